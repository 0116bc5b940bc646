// Normalisations. layer_norm (Ba, Kiros and Hinton, 2016) over the last normalized_shape.rank axes:
// y = (x - mean) / sqrt(var + eps) * weight + bias, var the mean of the squares. Statistics in f32 or better, in two
// passes; right also where the mean is far larger than the spread, and for numbers whose squares overflow.
#pragma once
#include <optional>

#include "autograd/apply.h"

namespace fovea {

struct LayerNormOptions {
  double eps = 1e-5;
};
// weight and bias have shape `normalized_shape` and x's dtype, or are undefined. ShapeError, DTypeError.
Tensor layer_norm(const Operand& x, const Shape& normalized_shape, const Operand& weight = Tensor(),
                  const Operand& bias = Tensor(), LayerNormOptions o = {});

// x / sqrt(mean(x^2) + eps) * weight over the last axes (Zhang and Sennrich, 2019). PyTorch's eps: that of the dtype
// the numbers are summed in, 2^-23 or, in f64, 2^-52.
struct RmsNormOptions {
  std::optional<double> eps = {};
};
Tensor rms_norm(const Operand& x, const Shape& normalized_shape, const Operand& weight = Tensor(),
                RmsNormOptions o = {});

// input [N, C, ...]: each of num_groups groups of channels is normalised as by layer_norm (Wu and He, 2018); weight and
// bias [C].
struct GroupNormOptions {
  double eps = 1e-5;
};
Tensor group_norm(const Operand& input, Integer num_groups, const Operand& weight = Tensor(),
                  const Operand& bias = Tensor(), GroupNormOptions o = {});

}  // namespace fovea
