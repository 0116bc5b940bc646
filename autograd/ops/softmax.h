// softmax, log_softmax: the row maximum is subtracted first.
#pragma once
#include "autograd/apply.h"

namespace fovea {

Tensor softmax(const Operand& x, int64_t dim);
Tensor log_softmax(const Operand& x, int64_t dim);
Tensor logsumexp(const Operand& x, const Shape& dim, bool keepdim = false);  // all -inf: -inf with gradient 0

}  // namespace fovea
