// Running products and log-sum-exps along an axis; cumsum is in reduce.h.
#pragma once
#include "autograd/ops/reduce.h"

namespace fovea {

Tensor cumprod(const Operand& x, Integer dim, DTypeOptions o = {});  // integers and booleans give i64
Tensor logcumsumexp(const Operand& x, Integer dim);  // log of the running sum of e^x; integers become f32

}  // namespace fovea
