// Activations, with PyTorch's names, definitions and defaults: elementwise, integers become f32. relu, sigmoid, tanh
// and gelu are in elementwise.h.
#pragma once
#include "autograd/apply.h"

namespace fovea {

inline Tensor logsigmoid(const Operand& x) {
  return apply_unary(op::logsigmoid, x);
}  // log(sigmoid(x)), exact in both tails
inline Tensor softsign(const Operand& x) { return apply_unary(op::softsign, x); }  // x / (1 + |x|)
inline Tensor relu6(const Operand& x) { return apply_unary(op::relu6, x); }  // min(max(x, 0), 6); gradient at 0, 6: 0
// scale x for x > 0, else scale alpha (e^x - 1): mean and variance settle at 0 and 1 (Klambauer et al., 2017).
inline Tensor selu(const Operand& x) { return apply_unary(op::selu, x); }
inline Tensor silu(const Operand& x) { return apply_unary(op::silu, x); }  // x sigmoid(x), also known as swish
inline Tensor mish(const Operand& x) { return apply_unary(op::mish, x); }  // x tanh(softplus(x)) (Misra, 2019)
inline Tensor hardswish(const Operand& x) {
  return apply_unary(op::hardswish, x);
}  // x relu6(x + 3) / 6 (Howard et al., 2019)

// silu(gate) up (Shazeer, 2020); of one tensor: its last axis is the gate's half, then up's.
Tensor swiglu(const Operand& gate, const Operand& up = Tensor());
// log(1 + e^(beta x)) / beta, which is x itself where beta x > threshold.
Tensor softplus(const Operand& x, double beta = 1, double threshold = 20);
// x for x > 0, else negative_slope x.
Tensor leaky_relu(const Operand& x, double negative_slope = 0.01);
// x for x > 0, else alpha (e^x - 1) (Clevert et al., 2016).
Tensor elu(const Operand& x, double alpha = 1);

}  // namespace fovea
