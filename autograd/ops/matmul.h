// Matrix products.
#pragma once
#include "autograd/apply.h"

namespace fovea {

// [..., M, K] x [..., K, N] -> [..., M, N]; batch axes broadcast; a 1-dim operand is a row or column vector, as in
// PyTorch.
Tensor matmul(const Operand& a, const Operand& b);
// x [..., in], weight [out, in], bias [out] or undefined -> [..., out].
Tensor linear(const Operand& x, const Operand& weight, const Operand& bias = Tensor());

}  // namespace fovea
