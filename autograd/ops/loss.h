// Losses, with PyTorch's reductions. All targets ignored: loss 0 and gradient 0 (PyTorch: NaN).
#pragma once
#include "autograd/apply.h"

namespace fovea {

struct CrossEntropyOptions {
  Tensor weight = {};  // [C]
  Reduction reduction = Reduction::mean;
  int64_t ignore_index = -100;
  double label_smoothing = 0;
};
// input [N, C] logits, target [N] class indices (i64 or i32). mean divides by the (weighted) count of targets that are
// not ignored. An index outside 0..C-1 that is not ignore_index throws IndexError.
Tensor cross_entropy(const Operand& input, const Operand& target, const CrossEntropyOptions& o = {});
struct LossOptions {
  Reduction reduction = Reduction::mean;
};
Tensor mse_loss(const Operand& input, const Operand& target, LossOptions o = {});

}  // namespace fovea
