// The kernels of the CPU backend as the seam calls them: thin functions that read views and call a family's raw kernels
// (gemm.h, elementwise.h, ...), where everything is said. They allocate nothing; `*_scratch` says what they need.
#pragma once
#include "core/backend.h"

namespace fovea::cpu {

Status unary(const Call& c, const NoAttrs&);
Status binary(const Call& c, const NoAttrs&);
Status select(const Call& c, const NoAttrs&);
bool same_dtypes(const Call& c, const void*);
Status hypot(const Call& c, const NoAttrs&);
Status logaddexp(const Call& c, const NoAttrs&);
Status lerp(const Call& c, const NoAttrs&);                // a, b, weight
Status clamp_between(const Call& c, const NoAttrs&);       // x, a, b
Status addcmul(const Call& c, const AddcmulAttrs& attrs);  // x, a, b
bool activation_accepts(const Call& c, const void*);
Status activation(const Call& c, const ActivationAttrs& a);  // x
bool activation_backward_accepts(const Call& c, const void*);
Status activation_backward(const Call& c, const ActivationAttrs& a);  // g, x or the result
Status gelu(const Call& c, const GeluAttrs& a);                       // x
Status gelu_backward(const Call& c, const GeluAttrs& a);              // g, x
Status swiglu(const Call& c, const NoAttrs&);                         // gate, up
Status swiglu_backward(const Call& c, const NoAttrs&);                // g, gate, up

Status copy(const Call& c, const NoAttrs&);
Status cat(const Call& c, const DimAttrs& a);
bool cat_accepts(const Call& c, const void*);
Status fill(const Call& c, const FillAttrs& a);
Status iota(const Call& c, const IotaAttrs& a);
Status tril(const Call& c, const TriangleAttrs& a);
Status triu(const Call& c, const TriangleAttrs& a);
Status reduce(const Call& c, const ReduceAttrs& a);
int64_t reduce_scratch(const Call& c, const void* attrs);
Status sum_to(const Call& c, const ShapeAttrs&);
Status prod_backward(const Call& c, const ReduceAttrs& a);  // g, x
bool prod_backward_accepts(const Call& c, const void* attrs);
bool sum_to_accepts(const Call& c, const void*);
int64_t sum_to_scratch(const Call& c, const void*);

Status matmul(const Call& c, const NoAttrs&);
int64_t matmul_scratch(const Call& c, const void*);
Status linear(const Call& c, const NoAttrs&);
bool linear_accepts(const Call& c, const void*);
int64_t linear_scratch(const Call& c, const void*);

bool last_axis(const Call& c, const void* attrs);
int64_t softmax_scratch(const Call& c, const void* a);
bool softmax_accepts(const Call& c, const void* attrs);
Status softmax(const Call& c, const DimAttrs&);
Status log_softmax(const Call& c, const DimAttrs&);
Status softmax_backward(const Call& c, const DimAttrs&);      // g, y
Status log_softmax_backward(const Call& c, const DimAttrs&);  // g, y
Status cross_entropy(const Call& c, const CrossEntropyAttrs& a);
int64_t cross_entropy_scratch(const Call& c, const void*);
Status cross_entropy_backward(const Call& c, const CrossEntropyAttrs& a);  // g, input, target, weight, statistic
bool cross_entropy_backward_accepts(const Call& c, const void*);

Status pair_loss(const Call& c, const PairLossAttrs& a);  // x, t
bool pair_loss_accepts(const Call& c, const void*);
int64_t pair_loss_scratch(const Call& c, const void* attrs);
Status pair_loss_backward(const Call& c, const PairLossAttrs& a);  // g, x, t
bool pair_loss_backward_accepts(const Call& c, const void*);

Status nll_loss(const Call& c, const NllLossAttrs& a);  // logarithms, target, weight
bool nll_loss_accepts(const Call& c, const void*);

bool all_dense(const Call& c, const void*);  // inputs and outputs
Status layer_norm(const Call& c, const LayerNormAttrs& a);
bool layer_norm_accepts(const Call& c, const void* attrs);
Status layer_norm_backward(const Call& c, const LayerNormAttrs& a);  // g, x, weight, mean, rstd
int64_t layer_norm_backward_scratch(const Call& c, const void* attrs);
Status rms_norm(const Call& c, const LayerNormAttrs& a);
bool rms_norm_accepts(const Call& c, const void* attrs);
Status rms_norm_backward(const Call& c, const LayerNormAttrs& a);  // g, x, weight, rstd
int64_t rms_norm_backward_scratch(const Call& c, const void* attrs);
Status vector_norm(const Call& c, const VectorNormAttrs& a);
bool vector_norm_accepts(const Call& c, const void* attrs);
int64_t vector_norm_scratch(const Call& c, const void*);
Status var_mean(const Call& c, const VarAttrs& a);
Status std_mean(const Call& c, const VarAttrs& a);
bool moments_accept(const Call& c, const void* attrs);
int64_t moments_scratch(const Call& c, const void*);
Status group_norm(const Call& c, const GroupNormAttrs& a);
bool group_norm_accepts(const Call& c, const void* attrs);
Status group_norm_backward(const Call& c, const GroupNormAttrs& a);  // g, x, weight, mean, rstd
int64_t group_norm_backward_scratch(const Call& c, const void* attrs);
Status max_pool1d(const Call& c, const MaxPoolAttrs& a);
Status max_pool1d_backward(const Call& c, const MaxPoolAttrs& a);  // g, x
bool max_pool1d_accepts(const Call& c, const void*);
Status rope(const Call& c, const RopeAttrs& a);  // x, positions
int64_t rope_scratch(const Call& c, const void* attrs);

Status random_bits(const Call& c, const NoAttrs&);
Status dropout(const Call& c, const DropoutAttrs& a);  // x, the draw
Status randperm(const Call& c, const CountAttrs& a);   // the draw
bool randperm_accepts(const Call& c, const void* attrs);
int64_t randperm_scratch(const Call& c, const void* attrs);
Status scan(const Call& c, const DimAttrs& a);
Status arg_reduce(const Call& c, const DimKeepAttrs& a);
Status sort(const Call& c, const SortAttrs& a);
int64_t sort_scratch(const Call& c, const void* attrs);
Status upper_bound(const Call& c, const NoAttrs&);  // sorted rows, values
bool upper_bound_accepts(const Call& c, const void*);
Status gather(const Call& c, const DimAttrs& a);       // x, index
Status scatter(const Call& c, const ScatterAttrs& a);  // base, index, src
int64_t scatter_scratch(const Call& c, const void* attrs);
Status scatter_backward(const Call& c, const DimAttrs& a);  // g, index
bool scatter_backward_accepts(const Call& c, const void* attrs);
Status true_places(const Call& c, const CountAttrs& a);  // mask
bool true_places_accepts(const Call& c, const void*);
int64_t true_places_scratch(const Call& c, const void*);

Status embedding(const Call& c, const EmbeddingAttrs&);  // ids, weight
bool embedding_accepts(const Call& c, const void*);
Status embedding_backward(const Call& c, const EmbeddingBackwardAttrs& a);  // g, ids
bool embedding_backward_accepts(const Call& c, const void*);

Status attention(const Call& c, const AttentionAttrs& a);
bool attention_accepts(const Call& c, const void* attrs);
int64_t attention_scratch(const Call& c, const void* attrs);
Status attention_backward(const Call& c, const AttentionAttrs& a);
bool attention_backward_accepts(const Call& c, const void* attrs);
int64_t attention_backward_scratch_bytes(const Call& c, const void* attrs);

Status adamw(const Call& c, const AdamWAttrs& a);

}  // namespace fovea::cpu
