// Each family of ops defines itself when the first op is applied; there are no static constructors.
#pragma once

namespace fovea {

void define_elementwise_ops();
void define_activation_ops();
void define_reduce_ops();
void define_scan_ops();
void define_moment_ops();
void define_view_ops();
void define_arrange_ops();
void define_matmul_ops();
void define_softmax_ops();
void define_norm_ops();
void define_loss_ops();
void define_index_ops();
void define_place_ops();
void define_attention_ops();
void define_position_ops();
void define_pool_ops();
void define_random_ops();

}  // namespace fovea
