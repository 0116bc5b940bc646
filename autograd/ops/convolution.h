// Convolutions and pools over the last one or two axes, with PyTorch's names, layouts and defaults; made of slices and
// a matrix product. Without a batch axis none is in the result either.
#pragma once
#include <optional>

#include "autograd/apply.h"

namespace fovea {

// Each size is one number for all axes, or one per axis. `padding` zeros stand at both ends.
struct ConvOptions {
  Shape stride = {1}, padding = {0}, dilation = {1};
  int64_t groups = 1;
  // As PyTorch's padding="same": as many zeros as keep the size, the odd one at the end. Stride must be 1.
  bool same = false;
};
// input [N, C, L] or [C, L], weight [O, C / groups, K], bias [O] -> [N, O, L'], with
// L' = (L + 2 padding - dilation (K - 1) - 1) / stride + 1, rounded down.
Tensor conv1d(const Operand& input, const Operand& weight, const Operand& bias = Tensor(), const ConvOptions& o = {});
// input [N, C, H, W] or [C, H, W], weight [O, C / groups, KH, KW].
Tensor conv2d(const Operand& input, const Operand& weight, const Operand& bias = Tensor(), const ConvOptions& o = {});

// input [N, C, L] or [C, L]; stride is kernel_size where it is not given. At most half of a window is padding.
struct MaxPoolOptions {
  std::optional<Integer> stride = {};
  int64_t padding = 0, dilation = 1;
  bool ceil_mode = false;  // a last window that is not full counts too
};
// The largest of each window; of equal ones the first gets the gradient, of NaN, which win, the last.
Tensor max_pool1d(const Operand& input, Integer kernel_size, MaxPoolOptions o = {});
struct AvgPoolOptions {
  std::optional<Integer> stride = {};
  int64_t padding = 0;
  bool ceil_mode = false, count_include_pad = true;
};
Tensor avg_pool1d(const Operand& input, Integer kernel_size, AvgPoolOptions o = {});

}  // namespace fovea
