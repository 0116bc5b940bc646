#include "autograd/ops/activation.h"

#include <limits>

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

constexpr double kSqrtHalf = 0.70710678118654752440, kGeluScale = 0.79788456080286535588 /* sqrt(2/pi) */,
                 kGeluCubic = 0.044715;
constexpr double kSeluScale = 1.0507009873554804934, kSeluAlpha = 1.6732632423543772848;

// An activation is value(x, attributes); the gradient of its row is a row of its own, slope(g, x, attributes), so that
// a backend may compute each in one pass.
template <op::Id id, op::Id backward, class Value, class Slope> void activation(const char* doc, Value, Slope) {
  define(id, {.doc = doc,
              .compose = [](Compose& c) { c.out[0] = Value{}(c.x(0), c.attrs<Attrs<id>>()); },
              .gradient = Gradient::backward,
              .backward =
                  [](Backward& b) {
                    Tensor g = b.g(), x = b.x(0);
                    b.add(0, apply<backward, 2>({&g, &x}, b.attrs<Attrs<id>>(), std::source_location::current()));
                  }});
  define(backward, {.doc = "g times the slope of the activation at x",
                    .compose = [](Compose& c) { c.out[0] = Slope{}(c.x(0), c.x(1), c.attrs<Attrs<id>>()); },
                    .gradient = Gradient::derived});
}

// x where it is not positive, else 0: what e^x is taken of, so that it cannot overflow in the branch that is not taken.
Tensor not_positive(const Tensor& x) { return where(x > 0, 0.0, x); }
// log(1 + e^z), without overflow. Both branches are the whole function: derivatives are right at 0 too.
Tensor log_one_plus_exp(const Tensor& z) {
  Tensor below = z < 0;
  return where(below, 0.0, z) + log1p(exp(where(below, z, -z)));
}

void swiglu_backward(Backward& b) {
  if (!b.needs(0)) return b.add(1, b.g() * silu(b.x(0)));  // up was not kept
  Tensor in[3] = {b.g(), b.x(0), b.x(1)}, out[2];
  const Tensor* x[3] = {&in[0], &in[1], &in[2]};
  detail::apply_any(state(), op::swiglu_backward, x, 3, &kNoAttrs, std::source_location::current(), out);
  for (int i = 0; i < 2; i++) b.add(i, out[i]);
}

}  // namespace

void define_activation_ops() {
  using T = const Tensor&;
  using None = const NoAttrs&;
  activation<op::logsigmoid, op::logsigmoid_backward>(
      "log(sigmoid(x))", [](T x, None) { return -log_one_plus_exp(-x); },
      [](T g, T x, None) { return g * sigmoid(-x); });
  activation<op::softsign, op::softsign_backward>(
      "x / (1 + |x|)", [](T x, None) { return x / (abs(x) + 1); },
      [](T g, T x, None) { return g / square(abs(x) + 1); });
  activation<op::relu6, op::relu6_backward>(
      "min(max(x, 0), 6)", [](T x, None) { return minimum(maximum(x, 0.0), 6.0); },
      [](T g, T x, None) { return where(logical_and(x > 0, x < 6), g, 0.0); });
  activation<op::selu, op::selu_backward>(
      "scaled elu", [](T x, None) { return where(x > 0, x, expm1(not_positive(x)) * kSeluAlpha) * kSeluScale; },
      [](T g, T x, None) {
        Tensor scaled = g * kSeluScale;
        return where(x > 0, scaled, scaled * exp(not_positive(x)) * kSeluAlpha);
      });
  activation<op::silu, op::silu_backward>(
      "x sigmoid(x)", [](T x, None) { return x * sigmoid(x); },
      [](T g, T x, None) {
        Tensor s = sigmoid(x);
        return g * s * (x * (1 - s) + 1);
      });
  activation<op::gelu, op::gelu_backward>(
      "x Phi(x)",
      [](T x, const GeluAttrs& a) {
        if (a.approximate == Gelu::none) return x * 0.5 * (erf(x * kSqrtHalf) + 1);
        // 1/2 (1 + tanh u) = sigmoid(2u), exact in both tails
        return x * sigmoid((x + square(x) * x * kGeluCubic) * (2 * kGeluScale));
      },
      [](T g, T x, const GeluAttrs& a) {
        if (a.approximate == Gelu::none) {
          Tensor cdf = (erf(x * kSqrtHalf) + 1) * 0.5, pdf = exp(square(x) * -0.5) * (0.5 * kGeluScale);
          return g * (cdf + x * pdf);
        }
        // Beyond 16 it is 0 or 1 in every dtype, and the square of a large x overflows. NaN stays, in derivatives too.
        Tensor z = where(x < -16, -16.0, where(x > 16, 16.0, x));
        Tensor s = sigmoid((z + square(z) * z * kGeluCubic) * (2 * kGeluScale));
        Tensor slope = (square(z) * (3 * kGeluCubic) + 1) * (2 * kGeluScale);
        return g * (s + z * s * (1.0 - s) * slope);
      });
  activation<op::mish, op::mish_backward>(
      "x tanh(softplus(x))", [](T x, None) { return x * tanh(log_one_plus_exp(x)); },
      [](T g, T x, None) {
        Tensor t = tanh(log_one_plus_exp(x));
        return g * (t + x * sigmoid(x) * (1 - square(t)));
      });
  activation<op::hardswish, op::hardswish_backward>(
      "x relu6(x + 3) / 6", [](T x, None) { return x * (minimum(maximum(x + 3, 0.0), 6.0) / 6); },
      [](T g, T x, None) { return where(x <= -3, 0.0, where(x >= 3, g, g * (x / 3 + 0.5))); });
  activation<op::softplus, op::softplus_backward>(
      "log(1 + e^(beta x)) / beta",
      [](T x, const SoftplusAttrs& a) {
        Tensor z = x * a.beta;
        return where(z > a.threshold, x, log_one_plus_exp(z) / a.beta);
      },
      [](T g, T x, const SoftplusAttrs& a) {
        Tensor z = x * a.beta;
        return where(z > a.threshold, g, g * sigmoid(z));
      });
  activation<op::leaky_relu, op::leaky_relu_backward>(
      "x, or negative_slope x where x <= 0",
      [](T x, const LeakyReluAttrs& a) { return where(x > 0, x, x * a.negative_slope); },
      [](T g, T x, const LeakyReluAttrs& a) { return where(x > 0, g, g * a.negative_slope); });
  activation<op::elu, op::elu_backward>(
      "x, or alpha (e^x - 1) where x <= 0",
      [](T x, const EluAttrs& a) { return where(x > 0, x, expm1(not_positive(x)) * a.alpha); },
      [](T g, T x, const EluAttrs& a) { return where(x > 0, g, g * exp(not_positive(x)) * a.alpha); });

  // A bound that is NaN compares with nothing.
  activation<op::clamp, op::clamp_backward>(
      "x, or the bound that it is beyond",
      [](T x, const ClampAttrs& a) {
        Tensor y = where(x <= a.min, a.min, x);
        return where(y >= a.max, a.max, y);
      },
      [](T g, T x, const ClampAttrs& a) {
        return where(logical_or(logical_or(x <= a.min, x >= a.max), isnan(x)), 0.0, g);
      });
  define(op::nan_to_num, {.doc = "x, or the number given for NaN and each infinity",
                          .compose =
                              [](Compose& c) {
                                const auto& a = c.attrs<NanToNumAttrs>();
                                constexpr double infinity = std::numeric_limits<double>::infinity();
                                Tensor y = where(isnan(c.x(0)), a.nan, c.x(0));
                                y = where(eq(c.x(0), infinity), a.posinf, y);
                                c.out[0] = where(eq(c.x(0), -infinity), a.neginf, y);
                              },
                          .gradient = Gradient::backward,
                          .backward = [](Backward& b) { b.add(0, where(isfinite(b.x(0)), b.g(), 0.0)); }});

  define(op::swiglu, {.doc = "silu(gate) up",
                      .compose = [](Compose& c) { c.out[0] = silu(c.x(0)) * c.x(1); },
                      .gradient = Gradient::backward,
                      .backward = swiglu_backward});
  define(op::swiglu_backward, {.doc = "the gradients of gate and up",
                               .compose =
                                   [](Compose& c) {
                                     const Tensor &g = c.x(0), &gate = c.x(1);
                                     Tensor inner = g * c.x(2);
                                     auto here = std::source_location::current();
                                     c.out[0] = apply<op::silu_backward, 2>({&inner, &gate}, {}, here);
                                     c.out[1] = expand(g * silu(gate), c.out[0].shape());  // as wide as all three
                                   },
                               .gradient = Gradient::derived});
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
Tensor gelu(const Operand& x, GeluOptions o) { return detail::apply_to_one<op::gelu>(x, {o.approximate}); }
Tensor elu(const Operand& x, double alpha) { return detail::apply_to_one<op::elu>(x, {alpha}); }

}  // namespace fovea
