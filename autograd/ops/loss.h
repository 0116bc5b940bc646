// Losses, with PyTorch's definitions and reductions. All targets ignored: loss 0 and gradient 0 (PyTorch: NaN).
#pragma once
#include "autograd/apply.h"

namespace fovea {

struct CrossEntropyOptions {
  Tensor weight = {};  // [C], of input's dtype; a constant: GradientError when it requires gradients
  int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
  double label_smoothing = 0;
};
// input: logits [N, C], [C] or [N, C, d1, ...]. target: class indices (i64 or i32) [N], [] or [N, d1, ...], or
// probabilities, floating and of input's shape (which no ignore_index of 0 or more goes with). Reduction::none keeps
// target's shape (without the axis of classes), mean divides by the (weighted) count of targets that are not ignored;
// by N d1
// ... for probabilities. An index outside 0..C-1 that is not ignore_index throws IndexError.
Tensor cross_entropy(const Operand& input, const Operand& target, const CrossEntropyOptions& o = {});

struct NllLossOptions {
  Tensor weight = {};
  int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
};
// input: log-probabilities, shaped as cross_entropy's; target: class indices.
Tensor nll_loss(const Operand& input, const Operand& target, const NllLossOptions& o = {});

struct LossOptions {
  Reduction reduction = Reduction::mean;
};
// (input - target)^2 and |input - target|; the shapes broadcast.
Tensor mse_loss(const Operand& input, const Operand& target, LossOptions o = {});
Tensor l1_loss(const Operand& input, const Operand& target, LossOptions o = {});

// Of distributions, input as logarithms: the divergence of target from input, target (log(target) - input), or with
// log_target exp(target) (target - input). batchmean divides the sum by the first size (0-dim: by 1); mean, PyTorch's
// default, divides by the number of elements. The shapes broadcast. Where target is 0 the term is 0, and so is the
// gradient of target but for -input, its part that is finite.
enum class KlReduction : int32_t { none, mean, sum, batchmean };
constexpr KlReduction last_of(KlReduction) { return KlReduction::batchmean; }
struct KlDivOptions {
  KlReduction reduction = KlReduction::mean;
  bool log_target = false;
};
Tensor kl_div(const Operand& input, const Operand& target, KlDivOptions o = {});
// x1 . x2 / (max(|x1|, eps) max(|x2|, eps)) along an axis that goes; the shapes broadcast.
struct CosineSimilarityOptions {
  double eps = 1e-8;
};
Tensor cosine_similarity(const Operand& x1, const Operand& x2, Integer dim = 1, CosineSimilarityOptions o = {});

// With d = |input - target|: d^2 / 2 up to delta, then delta (d - delta / 2). delta > 0.
struct HuberLossOptions {
  Reduction reduction = Reduction::mean;
  double delta = 1;
};
Tensor huber_loss(const Operand& input, const Operand& target, HuberLossOptions o = {});
// huber_loss / beta; beta = 0 is l1_loss.
struct SmoothL1LossOptions {
  Reduction reduction = Reduction::mean;
  double beta = 1;
};
Tensor smooth_l1_loss(const Operand& input, const Operand& target, SmoothL1LossOptions o = {});

// -(pos_weight t log(sigmoid(x)) + (1 - t) log(1 - sigmoid(x))) weight, finite for every finite x. weight and
// pos_weight broadcast against input.
struct BceOptions {
  Tensor weight = {};
  Reduction reduction = Reduction::mean;
  Tensor pos_weight = {};
};
Tensor binary_cross_entropy_with_logits(const Operand& input, const Operand& target, const BceOptions& o = {});

}  // namespace fovea
