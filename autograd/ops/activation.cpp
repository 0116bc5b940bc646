#include "autograd/ops/activation.h"

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

constexpr double kSeluScale = 1.0507009873554804934, kSeluAlpha = 1.6732632423543772848;

void activation(op::Id id, const char* doc, void (*compose)(Compose&), void (*backward)(Backward&)) {
  define(id, {.doc = doc, .compose = compose, .gradient = Gradient::backward, .backward = backward});
}

// x where it is not positive, else 0: what e^x is taken of, so that it cannot overflow in the branch that is not taken.
Tensor not_positive(const Tensor& x) { return where(x > 0, 0.0, x); }
// log(1 + e^z), without overflow.
Tensor log_one_plus_exp(const Tensor& z) { return maximum(z, 0.0) + log1p(exp(-abs(z))); }

}  // namespace

void define_activation_ops() {
  activation(
      op::logsigmoid, "log(sigmoid(x))", [](Compose& c) { c.out[0] = minimum(c.x(0), 0.0) - log1p(exp(-abs(c.x(0)))); },
      [](Backward& b) { b.add(0, b.g() * sigmoid(-b.x(0))); });
  activation(
      op::softsign, "x / (1 + |x|)", [](Compose& c) { c.out[0] = c.x(0) / (abs(c.x(0)) + 1); },
      [](Backward& b) { b.add(0, b.g() / square(abs(b.x(0)) + 1)); });
  activation(
      op::relu6, "min(max(x, 0), 6)", [](Compose& c) { c.out[0] = minimum(maximum(c.x(0), 0.0), 6.0); },
      [](Backward& b) { b.add(0, where(logical_and(b.x(0) > 0, b.x(0) < 6), b.g(), 0.0)); });
  activation(
      op::selu, "scaled elu",
      [](Compose& c) {
        const Tensor& x = c.x(0);
        c.out[0] = where(x > 0, x, expm1(not_positive(x)) * kSeluAlpha) * kSeluScale;
      },
      [](Backward& b) {
        Tensor x = b.x(0), g = b.g() * kSeluScale;
        b.add(0, where(x > 0, g, g * exp(not_positive(x)) * kSeluAlpha));
      });
  activation(
      op::silu, "x sigmoid(x)", [](Compose& c) { c.out[0] = c.x(0) * sigmoid(c.x(0)); },
      [](Backward& b) {
        Tensor x = b.x(0), s = sigmoid(x);
        b.add(0, b.g() * s * (x * (1 - s) + 1));
      });
  activation(
      op::mish, "x tanh(softplus(x))", [](Compose& c) { c.out[0] = c.x(0) * tanh(log_one_plus_exp(c.x(0))); },
      [](Backward& b) {
        Tensor x = b.x(0), t = tanh(log_one_plus_exp(x));
        b.add(0, b.g() * (t + x * sigmoid(x) * (1 - square(t))));
      });
  activation(
      op::hardswish, "x relu6(x + 3) / 6",
      [](Compose& c) { c.out[0] = c.x(0) * minimum(maximum(c.x(0) + 3, 0.0), 6.0) / 6; },
      [](Backward& b) {
        Tensor x = b.x(0);
        b.add(0, where(x <= -3, 0.0, where(x >= 3, b.g(), b.g() * (x / 3 + 0.5))));
      });
  activation(
      op::swiglu, "silu(gate) up", [](Compose& c) { c.out[0] = silu(c.x(0)) * c.x(1); },
      [](Backward& b) {
        Tensor gate = b.x(0), s = sigmoid(gate);
        if (b.needs(0)) b.add(0, b.g() * b.x(1) * s * (gate * (1 - s) + 1));
        if (b.needs(1)) b.add(1, b.g() * gate * s);
      });
  activation(
      op::softplus, "log(1 + e^(beta x)) / beta",
      [](Compose& c) {
        auto [beta, threshold] = c.attrs<SoftplusAttrs>();
        Tensor z = c.x(0) * beta;
        c.out[0] = where(z > threshold, c.x(0), log_one_plus_exp(z) / beta);
      },
      [](Backward& b) {
        auto [beta, threshold] = b.attrs<SoftplusAttrs>();
        Tensor z = b.x(0) * beta;
        b.add(0, where(z > threshold, b.g(), b.g() * sigmoid(z)));
      });
  activation(
      op::leaky_relu, "x, or negative_slope x where x <= 0",
      [](Compose& c) { c.out[0] = where(c.x(0) > 0, c.x(0), c.x(0) * c.attrs<LeakyReluAttrs>().negative_slope); },
      [](Backward& b) { b.add(0, where(b.x(0) > 0, b.g(), b.g() * b.attrs<LeakyReluAttrs>().negative_slope)); });
  activation(
      op::elu, "x, or alpha (e^x - 1) where x <= 0",
      [](Compose& c) {
        const Tensor& x = c.x(0);
        c.out[0] = where(x > 0, x, expm1(not_positive(x)) * c.attrs<EluAttrs>().alpha);
      },
      [](Backward& b) {
        Tensor x = b.x(0);
        b.add(0, where(x > 0, b.g(), b.g() * exp(not_positive(x)) * b.attrs<EluAttrs>().alpha));
      });
}

Tensor swiglu(const Operand& gate, const Operand& up) {
  if (up.is_number() || up.tensor().defined()) return apply_binary(op::swiglu, gate, up);
  return detail::called("swiglu", gate.where(), [&] {
    const Tensor& x = detail::tensor_of(gate, "swiglu");
    if (x.dim() < 1 || x.size(-1) % 2)
      throw ShapeError("x is " + to_string(x.shape()) + " (expected an even size of the last axis: gate, then up)");
    const int64_t n = x.size(-1) / 2;
    return swiglu(narrow(gate, -1, 0, n), narrow(gate, -1, n, n));
  });
}
Tensor softplus(const Operand& x, double beta, double threshold) {
  return detail::apply_to_one<op::softplus>(x, {beta, threshold});
}
Tensor leaky_relu(const Operand& x, double negative_slope) {
  return detail::apply_to_one<op::leaky_relu>(x, {negative_slope});
}
Tensor elu(const Operand& x, double alpha) { return detail::apply_to_one<op::elu>(x, {alpha}); }

}  // namespace fovea
