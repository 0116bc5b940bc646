// Layer normalisation (Ba, Kiros and Hinton, 2016) over the last normalized_shape.rank axes. Statistics in f32 or
// better, in two passes.
#pragma once
#include "autograd/apply.h"

namespace fovea {

struct LayerNormOptions {
  double eps = 1e-5;
};
// weight and bias have shape `normalized_shape`, or are undefined.
Tensor layer_norm(const Operand& x, const Shape& normalized_shape, const Operand& weight = Tensor(),
                  const Operand& bias = Tensor(), LayerNormOptions o = {});

}  // namespace fovea
