// softmax, log_softmax and logsumexp: the row maximum is subtracted first, sums run in f32 or better. Floating dtypes
// only (DTypeError), but for logsumexp, which takes integers as f32.
#pragma once
#include "autograd/ops/reduce.h"

namespace fovea {

// exp(x) / sum(exp(x)) along one axis. A row of -inf only gives NaN, as in PyTorch; attention() has masks that do not.
Tensor softmax(const Operand& x, Integer dim, DTypeOptions o = {});
Tensor log_softmax(const Operand& x, Integer dim, DTypeOptions o = {});
// log(sum(exp(x))) over axes, all of them where the list is empty. A row of -inf only: -inf with gradient 0.
Tensor logsumexp(const Operand& x, const Shape& dim, ReduceOptions o = {});

}  // namespace fovea
