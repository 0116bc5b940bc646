#include "autograd/ops/elementwise.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "autograd/ops/checks.h"
#include "autograd/ops/families.h"
#include "autograd/ops/reduce.h"
#include "core/dispatch.h"

namespace fovea {
namespace {

void rule(op::Id id, const char* doc, void (*backward)(Backward&)) {
  define(id, {.doc = doc, .gradient = Gradient::backward, .backward = backward});
}
void no_rule(op::Id id, const char* doc) { define(id, {.doc = doc, .gradient = Gradient::not_differentiable}); }

// The element with the larger value gets the gradient; of equal ones each gets half (the two-sided derivative of max(x,
// x) = x).
void extremum_backward(Backward& b, bool larger) {
  Tensor x = b.x(0), y = b.x(1);
  Tensor first = larger ? x > y : x < y, tie = eq(x, y);
  for (int i = 0; i < 2; i++) {
    if (!b.needs(i)) continue;
    Tensor half = where(tie, b.g() * 0.5, 0.0);
    b.add(i, half + (i == 0 ? where(first, b.g(), 0.0) : where(logical_or(first, tie), 0.0, b.g())));
  }
}

// The larger magnitude times sqrt(1 + ratio^2). An infinity wins over NaN, as in C.
void hypot_compose(Compose& c) {
  Tensor a = abs(c.x(0)), b = abs(c.x(1)), large = maximum(a, b), small = minimum(a, b);
  Tensor ratio = small / where(eq(large, 0), 1.0, large);
  Tensor y = large * sqrt(square(ratio) + 1);
  double infinity = std::numeric_limits<double>::infinity();
  c.out[0] = where(logical_or(eq(a, infinity), eq(b, infinity)), infinity, y);
}

// a - b, and 0 of two equal infinities.
Tensor difference(const Tensor& a, const Tensor& b) {
  Tensor same = logical_and(eq(a, b), isinf(a));
  return where(same, 0.0, a) - where(same, 0.0, b);
}
// Of the larger one, a + log1p(e^(b - a)). Both branches are the whole function, so derivatives of every order are
// right where a = b too, which those of max(a, b) + log1p(e^-|a - b|) are not.
void logaddexp_compose(Compose& c) {
  const Tensor &a = c.x(0), &b = c.x(1);
  Tensor d = difference(a, b), below = d < 0;
  c.out[0] = where(below, b, a) + log1p(exp(where(below, d, -d)));
}

// The gradient of what knows its slope by its result is a row, which a backend may compute in one pass.
template <op::Id backward> void by_result(Backward& b) {
  Tensor g = b.g(), y = b.y();
  b.add(0, apply<backward, 2>({&g, &y}, {}, std::source_location::current()));
}
void result_rule(op::Id id, void (*compose)(Compose&)) {
  define(id, {.doc = "g times the slope, from the result", .compose = compose, .gradient = Gradient::derived});
}

void check_device(const ToDeviceAttrs& a) {
  const bool known = a.backend >= 0 && a.backend < backend_count();
  if (!known || a.index < 0 || a.index >= backend_of(Device{uint8_t(a.backend), 0}).device_count())
    throw DeviceError("there is no device " + std::to_string(a.index) + " of backend " + std::to_string(a.backend) +
                      " (expected one that device() gave)");
}

}  // namespace

void define_elementwise_ops() {
  rule(op::neg, "-x", [](Backward& b) { b.add(0, -b.g()); });
  rule(op::abs, "|x|", [](Backward& b) { b.add(0, b.g() * sign(b.x(0))); });
  rule(op::sign, "-1, 0 or 1", [](Backward& b) { b.zero(0); });
  rule(op::exp, "e^x", [](Backward& b) { b.add(0, b.g() * b.y()); });
  rule(op::expm1, "e^x - 1", [](Backward& b) { b.add(0, b.g() * (b.y() + 1)); });
  rule(op::log, "natural logarithm", [](Backward& b) { b.add(0, b.g() / b.x(0)); });
  rule(op::log1p, "log(1 + x)", [](Backward& b) { b.add(0, b.g() / (b.x(0) + 1)); });
  rule(op::sqrt, "square root", [](Backward& b) { b.add(0, b.g() * 0.5 / b.y()); });
  rule(op::rsqrt, "1 / sqrt(x)", [](Backward& b) { b.add(0, b.g() * -0.5 * b.y() * square(b.y())); });
  rule(op::reciprocal, "1 / x", [](Backward& b) { b.add(0, -b.g() * square(b.y())); });
  rule(op::square, "x^2", [](Backward& b) { b.add(0, b.g() * b.x(0) * 2); });
  rule(op::sin, "sine", [](Backward& b) { b.add(0, b.g() * cos(b.x(0))); });
  rule(op::cos, "cosine", [](Backward& b) { b.add(0, -b.g() * sin(b.x(0))); });
  rule(op::log2, "logarithm to base 2", [](Backward& b) { b.add(0, b.g() / (b.x(0) * std::numbers::ln2)); });
  rule(op::log10, "logarithm to base 10", [](Backward& b) { b.add(0, b.g() / (b.x(0) * std::numbers::ln10)); });
  rule(op::tan, "tangent", [](Backward& b) { b.add(0, b.g() * (square(b.y()) + 1)); });
  rule(op::asin, "arc sine", [](Backward& b) { b.add(0, b.g() * rsqrt((1 - b.x(0)) * (1 + b.x(0)))); });
  rule(op::acos, "arc cosine", [](Backward& b) { b.add(0, -b.g() * rsqrt((1 - b.x(0)) * (1 + b.x(0)))); });
  rule(op::atan, "arc tangent", [](Backward& b) { b.add(0, b.g() / (square(b.x(0)) + 1)); });
  rule(op::sinh, "hyperbolic sine", [](Backward& b) { b.add(0, b.g() * cosh(b.x(0))); });
  rule(op::cosh, "hyperbolic cosine", [](Backward& b) { b.add(0, b.g() * sinh(b.x(0))); });
  rule(op::floor, "rounded down", [](Backward& b) { b.zero(0); });
  rule(op::ceil, "rounded up", [](Backward& b) { b.zero(0); });
  rule(op::round, "rounded to the nearest whole number, ties to even", [](Backward& b) { b.zero(0); });
  rule(op::trunc, "rounded towards zero", [](Backward& b) { b.zero(0); });
  rule(op::tanh, "hyperbolic tangent", by_result<op::tanh_backward>);
  rule(op::sigmoid, "1 / (1 + e^-x)", by_result<op::sigmoid_backward>);
  rule(op::erf, "error function",
       [](Backward& b) { b.add(0, b.g() * exp(-square(b.x(0))) * (2 * std::numbers::inv_sqrtpi)); });
  rule(op::relu, "max(x, 0)", by_result<op::relu_backward>);
  no_rule(op::logical_not, "x == 0");
  no_rule(op::isnan, "is x NaN");
  no_rule(op::isinf, "is x infinite");
  no_rule(op::isfinite, "is x neither NaN nor infinite");
  no_rule(op::bitwise_not, "every bit flipped");

  rule(op::add, "a + b", [](Backward& b) {
    if (b.needs(0)) b.add(0, b.g());
    if (b.needs(1)) b.add(1, b.g());
  });
  rule(op::sub, "a - b", [](Backward& b) {
    if (b.needs(0)) b.add(0, b.g());
    if (b.needs(1)) b.add(1, -b.g());
  });
  rule(op::mul, "a b", [](Backward& b) {
    if (b.needs(0)) b.add(0, b.g() * b.x(1));
    if (b.needs(1)) b.add(1, b.g() * b.x(0));
  });
  rule(op::div, "a / b", [](Backward& b) {
    if (b.needs(0)) b.add(0, b.g() / b.x(1));
    if (b.needs(1)) b.add(1, b.g() * (b.y() / -b.x(1)));  // not (g / b) y: 1 / b of a denormal is infinite, y may be 0
  });
  rule(op::pow, "a^b", [](Backward& b) {
    Tensor x = b.x(0);
    if (b.needs(0)) {  // b a^(b-1), and 0 where b = 0
      Tensor e = b.x(1);
      b.add(0, where(eq(e, 0), 0.0, b.g() * e * pow(x, e - 1)));
    }
    if (b.needs(1)) {  // a^b log a, and its limit 0 at a = 0 where a^b is finite there
      Tensor zero = logical_and(eq(x, 0), isfinite(b.y()));
      b.add(1, where(zero, 0.0, b.g() * b.y() * log(where(zero, 1.0, x))));
    }
  });
  rule(op::maximum, "the larger, NaN if either is", [](Backward& b) { extremum_backward(b, true); });
  rule(op::minimum, "the smaller, NaN if either is", [](Backward& b) { extremum_backward(b, false); });
  for (op::Id id : {op::eq, op::ne, op::lt, op::le, op::gt, op::ge}) no_rule(id, "comparison");
  for (op::Id id : {op::bitwise_and, op::bitwise_or, op::bitwise_xor}) no_rule(id, "bit by bit");
  for (op::Id id : {op::logical_and, op::logical_or, op::logical_xor}) no_rule(id, "logical, nonzero is true");
  rule(op::floor_divide, "a / b rounded down", [](Backward& b) { b.zero(0), b.zero(1); });
  define(op::trunc_divide, {.doc = "a / b rounded towards 0",
                            .compose =
                                [](Compose& c) {
                                  const Tensor &a = c.x(0), &b = c.x(1);
                                  c.out[0] = is_floating(a.dtype()) ? trunc(a / b) : floor_divide(a - fmod(a, b), b);
                                },
                            .gradient = Gradient::backward,
                            .backward = [](Backward& b) { b.zero(0), b.zero(1); }});
  rule(op::remainder, "a - b floor(a / b)", [](Backward& b) {
    if (b.needs(0)) b.add(0, b.g());
    if (b.needs(1)) b.add(1, -b.g() * floor_divide(b.x(0), b.x(1)));
  });
  rule(op::fmod, "a - b trunc(a / b)", [](Backward& b) {
    if (b.needs(0)) b.add(0, b.g());
    if (b.needs(1)) b.add(1, -b.g() * trunc(b.x(0) / b.x(1)));
  });
  rule(op::atan2, "the angle of the point (b, a)", [](Backward& b) {
    Tensor y = b.x(0), x = b.x(1), squares = square(y) + square(x), origin = eq(squares, 0);
    Tensor g = where(origin, 0.0, b.g() / where(origin, 1.0, squares));
    if (b.needs(0)) b.add(0, g * x);
    if (b.needs(1)) b.add(1, -g * y);
  });
  define(
      op::hypot,
      {.doc = "sqrt(a^2 + b^2)", .compose = hypot_compose, .gradient = Gradient::backward, .backward = [](Backward& b) {
         Tensor y = b.y(), origin = eq(y, 0), g = where(origin, 0.0, b.g()), size = where(origin, 1.0, y);
         for (int i = 0; i < 2; i++)
           if (b.needs(i)) b.add(i, g * (b.x(i) / size));  // 1 / size may leave the range
       }});
  define(op::logaddexp, {.doc = "log(e^a + e^b)",
                         .compose = logaddexp_compose,
                         .gradient = Gradient::backward,
                         .backward = [](Backward& b) {
                           Tensor d = difference(b.x(0), b.x(1));
                           if (b.needs(0)) b.add(0, b.g() * sigmoid(d));
                           if (b.needs(1)) b.add(1, b.g() * sigmoid(-d));
                         }});
  define(op::lerp, {.doc = "a + weight (b - a)",
                    .compose =
                        [](Compose& c) {
                          Tensor d = c.x(1) - c.x(0), near_end = abs(c.x(2)) >= 0.5;
                          c.out[0] = where(near_end, c.x(1) - d * (1 - c.x(2)), c.x(0) + c.x(2) * d);
                        },
                    .gradient = Gradient::backward,
                    .backward =
                        [](Backward& b) {
                          if (b.needs(0)) b.add(0, b.g() * (1 - b.x(2)));
                          if (b.needs(1)) b.add(1, b.g() * b.x(2));
                          if (b.needs(2)) b.add(2, b.g() * (b.x(1) - b.x(0)));
                        }});
  define(op::addcmul, {.doc = "x + value a b",
                       .compose =
                           [](Compose& c) {
                             const double value = c.attrs<AddcmulAttrs>().value;
                             Tensor product = c.x(1) * c.x(2);
                             c.out[0] = c.x(0) + (value == 1 ? product : product * value);
                           },
                       .gradient = Gradient::backward,
                       .backward =
                           [](Backward& b) {
                             const double value = b.attrs<AddcmulAttrs>().value;
                             Tensor g = value == 1 || !(b.needs(1) || b.needs(2)) ? b.g() : b.g() * value;
                             if (b.needs(0)) b.add(0, b.g());
                             if (b.needs(1)) b.add(1, g * b.x(2));
                             if (b.needs(2)) b.add(2, g * b.x(1));
                           }});
  define(op::clamp_between, {.doc = "min(max(x, a), b)",
                             .compose = [](Compose& c) { c.out[0] = minimum(maximum(c.x(0), c.x(1)), c.x(2)); },
                             .gradient = Gradient::derived});
  no_rule(op::shift_right, "logical shift to the right");

  rule(op::where, "condition ? a : b", [](Backward& b) {
    Tensor c = b.x(0);
    if (b.needs(1)) b.add(1, where(c, b.g(), 0.0));
    if (b.needs(2)) b.add(2, where(c, 0.0, b.g()));
  });
  define(op::cast, {.doc = "the same numbers as another dtype",
                    .infer =
                        [](Infer& c) {
                          c.like(0, c.x(0));
                          // Duals stand for any floating dtype: tangents survive casts.
                          DType to = c.attrs<CastAttrs>().dtype;
                          c.out[0].dtype = is_dual(c.x(0).dtype) && is_floating(to) ? c.x(0).dtype : to;
                        },
                    .gradient = Gradient::backward,
                    .backward = [](Backward& b) { b.add(0, b.g()); }});  // the engine casts it to the input's dtype
  define(op::to_device, {.doc = "the same numbers on another device",
                         .infer =
                             [](Infer& c) {
                               const auto& a = c.attrs<ToDeviceAttrs>();
                               check_device(a);
                               c.like(0, c.x(0));
                               c.out[0].device = {uint8_t(a.backend), uint8_t(a.index)};
                             },
                         .compose =
                             [](Compose& c) {
                               const auto& a = c.attrs<ToDeviceAttrs>();
                               Device d{uint8_t(a.backend), uint8_t(a.index)};
                               const Array& x = c.x(0).array();
                               c.out[0] = Tensor(x.device() == d ? dense_copy(x) : to_device(x, d));
                             },
                         .gradient = Gradient::backward,
                         .backward = [](Backward& b) { b.add(0, to_device(b.g(), b.device(0))); }});
  rule(op::contiguous, "a dense copy", [](Backward& b) { b.add(0, b.g()); });

  result_rule(op::tanh_backward, [](Compose& c) { c.out[0] = c.x(0) * (1.0 - square(c.x(1))); });
  result_rule(op::sigmoid_backward, [](Compose& c) { c.out[0] = c.x(0) * c.x(1) * (1.0 - c.x(1)); });
  result_rule(op::relu_backward, [](Compose& c) { c.out[0] = where(c.x(1) > 0, c.x(0), 0.0); });
}

Tensor where(const Operand& condition, const Operand& a, const Operand& b) try {
  const Tensor* like = !a.is_number() ? a.pointer() : !b.is_number() ? b.pointer() : nullptr;
  // Two numbers: the one of the higher kind decides.
  auto kind = std::max(a.number().kind(), b.number().kind());
  DType t = like                      ? (like->defined() ? like->dtype() : f32)
            : kind == Number::boolean ? boolean
            : kind == Number::whole   ? i64
                                      : f32;
  Device d = condition.is_number()          ? default_device()
             : condition.tensor().defined() ? condition.tensor().device()
                                            : default_device();
  Tensor c = condition.is_number() ? condition.number_beside(boolean, d) : condition.tensor();
  if (c.defined() && c.dtype() != boolean) {
    if (c.dtype() != u8)
      throw DTypeError("condition is " + detail::describe(c.array().view()) +
                       " (expected bool). Compare it: condition != 0");
    c = ne(c, 0);
  }
  auto branch = [&](const Operand& o) { return o.is_number() ? o.element_beside(t, d) : o.tensor(); };
  Tensor x = branch(a), y = branch(b);
  return apply<op::where, 3>({&c, &x, &y}, {}, condition.where());
} catch (Error& e) {
  detail::locate(e, "where", condition.where());
  throw;
}

Tensor cast(const Operand& x, DType dtype) {
  if (x.is_number()) return x.number_beside(dtype, default_device());
  return apply<op::cast, 1>({x.pointer()}, {dtype}, x.where());
}

Tensor to_device(const Operand& x, Device d) {
  if (x.is_number()) return x.number_beside(f32, d);
  Device from = detail::tensor_of(x, "to_device").device();
  if (from == d) return x.tensor();
  return apply<op::to_device, 1>({x.pointer()}, {d.backend, d.index}, x.where());
}

Tensor lerp(const Operand& a, const Operand& b, const Operand& weight) {
  const Tensor &x = detail::tensor_of(a, "lerp"), &y = detail::tensor_of(b, "lerp");
  DType t = x.dtype();
  if (weight.is_number() && is_floating(t) && nearest(t, weight.number().real()) != weight.number().real())
    t = acc_dtype(t);  // it keeps its digits
  Tensor w = weight.is_number() ? weight.number_beside(t, x.device()) : weight.tensor();
  return apply<op::lerp, 3>({&x, &y, &w}, {}, a.where());
}

Tensor addcmul(const Operand& x, const Operand& a, const Operand& b, Number value) {
  const Operand* given[3] = {&x, &a, &b};
  const Tensor* in[3] = {x.pointer(), a.pointer(), b.pointer()};
  Device d = default_device();
  for (const Tensor* t : in)
    if (t && t->defined()) d = t->device();
  Tensor number[3];
  DType t = boolean;  // of the three; numbers are made for themselves first, then beside it
  for (int pass = 0; pass < 2; pass++) {
    for (int i = 0; i < 3; i++)
      if (given[i]->is_number()) in[i] = &(number[i] = given[i]->number_beside(t, d));
    t = result_type(in, 3);
    if (is_floating(t)) t = acc_dtype(t);
  }
  if (is_floating(t)) return apply<op::addcmul, 3>({in[0], in[1], in[2]}, {value.real()}, x.where());
  CallScope call("addcmul", x.where());
  Tensor product = in[1]->to(t) * in[2]->to(t);
  return in[0]->to(t) + (value.real() == 1 ? product : product * value);
}

Tensor clamp(const Operand& x, std::optional<Number> min, std::optional<Number> max) {
  Tensor y = detail::tensor_of(x, "clamp");
  if (!min && !max) detail::fail<ValueError>("clamp", x.where(), "neither min nor max is given");
  return detail::called("clamp", x.where(), [&] {
    auto fraction = [](const std::optional<Number>& n) { return n && n->kind() == Number::floating; };
    const bool floating = is_floating(y.dtype()) || fraction(min) || fraction(max);
    const DType t = is_floating(y.dtype()) ? y.dtype() : floating ? f32 : y.dtype();
    if ((min && std::isnan(min->real())) || (max && std::isnan(max->real()))) return where(true, NAN, y.to(t));
    // A bound beyond all numbers of the dtype bounds nothing, or cannot be kept to.
    const bool low = min && (holds(t, *min) || min->real() > 0), high = max && (holds(t, *max) || max->real() < 0);
    if (low) check_holds(t, *min);
    if (high) check_holds(t, *max);
    if (floating) {
      constexpr double none = std::numeric_limits<double>::quiet_NaN();
      return apply<op::clamp, 1>({&y}, {low ? min->real() : none, high ? max->real() : none}, x.where());
    }
    auto bound = [&](const Number& n) { return full({}, n, {.dtype = t, .device = y.device()}); };
    return low && high ? clamp(y, bound(*min), bound(*max))
           : low       ? maximum(y, bound(*min))
           : high      ? minimum(y, bound(*max))
                       : y;
  });
}

Tensor clamp(const Operand& x, const Tensor& min, const Tensor& max) {
  return detail::called("clamp", x.where(), [&] {
    Tensor y = detail::tensor_of(x, "clamp");
    if (!min.defined() && !max.defined()) throw ValueError("neither min nor max is given");
    if (!max.defined()) return maximum(y, min);
    if (!min.defined()) return minimum(y, max);
    return apply<op::clamp_between, 3>({&y, &min, &max}, {}, x.where());
  });
}

Tensor nan_to_num(const Operand& x, double nan, std::optional<double> posinf, std::optional<double> neginf) {
  const Tensor& t = detail::tensor_of(x, "nan_to_num");
  if (!is_floating(t.dtype())) return t;
  double most = t.dtype() == f16    ? 65504
                : t.dtype() == bf16 ? 0x1.fep127
                : t.dtype() == f32  ? 0x1.fffffep127
                                    : 0x1.fffffffffffffp1023;
  return apply<op::nan_to_num, 1>({&t}, {nan, posinf.value_or(most), neginf.value_or(-most)}, x.where());
}

Tensor contiguous(const Operand& x) {
  if (!x.is_number() && x.tensor().defined() && x.tensor().array().dense()) return x.tensor();
  return apply_unary(op::contiguous, x);
}

Tensor clone(const Operand& x) {
  return detail::called("clone", x.where(), [&] { return apply_unary(op::contiguous, detail::tensor_of(x, "clone")); });
}

Tensor div(const Operand& a, const Operand& b, DivOptions o) {
  return detail::called("div", a.where(), [&] {
    check_listed(o.rounding_mode, "rounding_mode");
    return o.rounding_mode == Rounding::none    ? div(a, b)
           : o.rounding_mode == Rounding::trunc ? trunc_divide(a, b)
                                                : floor_divide(a, b);
  });
}

Tensor round(const Operand& x, RoundOptions o) {
  if (o.decimals == 0) return round(x);
  return detail::called("round", x.where(), [&] {
    const Tensor& t = detail::tensor_of(x, "round");
    detail::check_floating(t.array().view(), "x");
    const int64_t most = acc_dtype(t.dtype()) == f64 ? 308 : 38;  // powers of ten that the dtype has
    if (o.decimals < -most || o.decimals > most)
      throw ValueError("decimals is " + std::to_string(o.decimals) + " (expected " + std::to_string(-most) + " to " +
                       std::to_string(most) + ")");
    const double ten = std::pow(10.0, double(std::abs(o.decimals)));
    Tensor w = detail::wide(t);
    if (o.decimals < 0) return (round(w / ten) * ten).to(t.dtype());
    Tensor scaled = w * ten;  // what is too large for that has no such places
    return where(isfinite(scaled), round(scaled) / ten, w.detach()).to(t.dtype());
  });
}

}  // namespace fovea
