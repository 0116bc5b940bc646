// Layer normalisation (Ba, Kiros and Hinton, 2016) over the last normalized_shape.rank axes:
// y = (x - mean) / sqrt(var + eps) * weight + bias, var the mean of the squares. Statistics in f32 or better, in two
// passes; right also where the mean is far larger than the spread, and for numbers whose squares overflow.
#pragma once
#include "autograd/apply.h"

namespace fovea {

struct LayerNormOptions {
  double eps = 1e-5;
};
// weight and bias have shape `normalized_shape` and x's dtype, or are undefined. ShapeError, DTypeError.
Tensor layer_norm(const Operand& x, const Shape& normalized_shape, const Operand& weight = Tensor(),
                  const Operand& bias = Tensor(), LayerNormOptions o = {});

}  // namespace fovea
