#include "autograd/ops/moments.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

using detail::wide;

// What was reduced over `dim`, in x's rank again, so that it broadcasts against x.
Tensor spread(const Tensor& reduced, const Shape& x, const Shape& dim) {
  return wide(view(reduced, detail::reduced_shape(x, dim, true)));
}

double degrees_of_freedom(const Shape& x, const VarAttrs& a) {
  return std::max(0.0, double(detail::reduced_count(x, a.dim)) - a.correction);
}

void infer_moments(Infer& c) {
  const auto& a = c.attrs<VarAttrs>();
  detail::check_floating(c.x(0), "x");
  if (a.correction != a.correction) throw ValueError("correction is NaN (expected a number)");
  for (int k = 0; k < 2; k++) c.set(k, c.x(0).dtype, detail::reduced_shape(shape_of(c.x(0)), a.dim, a.keepdim));
}

void put_moments(Compose& c, const VarAttrs& a, const Tensor& spread, const Tensor& center) {
  Shape shape = detail::reduced_shape(c.x(0).shape(), a.dim, a.keepdim);
  c.out[0] = view(spread.to(c.x(0).dtype()), shape);
  c.out[1] = view(center.to(c.x(0).dtype()), shape);
}
// What is left of the mean, which was rounded, is taken off too: equal numbers have no deviation.
Tensor deviations(const Tensor& x, const Tensor& center, const Shape& dim) {
  Tensor d = x - center;
  return d - mean(d, dim, {.keepdim = true});
}
void var_mean_compose(Compose& c) {
  const auto& a = c.attrs<VarAttrs>();
  Tensor x = wide(c.x(0)), center = mean(x, a.dim, {.keepdim = true});
  Tensor squares = sum(square(deviations(x, center, a.dim)), a.dim, {.keepdim = true});
  put_moments(c, a, squares / degrees_of_freedom(x.shape(), a), center);
}
// By the norm of the deviations, which neither overflows nor vanishes where their squares do.
void std_mean_compose(Compose& c) {
  const auto& a = c.attrs<VarAttrs>();
  Tensor x = wide(c.x(0)), center = mean(x, a.dim, {.keepdim = true});
  Tensor size = vector_norm(deviations(x, center, a.dim), 2, a.dim, {.keepdim = true});
  put_moments(c, a, size / std::sqrt(degrees_of_freedom(x.shape(), a)), center);
}

void add_moments(Backward& b, const Shape& dim, Tensor dx) {
  Shape shape = b.shape(0);
  if (b.g(1).defined()) {
    Tensor even = spread(b.g(1), shape, dim) * (1.0 / double(detail::reduced_count(shape, dim)));
    dx = dx.defined() ? dx + even : expand(even, shape);
  }
  b.add(0, dx.to(b.dtype(0)));
}
void var_mean_backward(Backward& b) {
  const auto& a = b.attrs<VarAttrs>();
  Shape shape = b.shape(0);
  Tensor dx;
  if (b.g(0).defined()) {
    Tensor x = wide(b.x(0)), scale = spread(b.g(0), shape, a.dim) * (2 / degrees_of_freedom(shape, a));
    dx = scale * deviations(x, mean(x, a.dim, {.keepdim = true}), a.dim);
  }
  add_moments(b, a.dim, dx);
}
// In units of the deviation itself, which is computed anew where the result was rounded to a half; where it is 0, so is
// the gradient.
void std_mean_backward(Backward& b) {
  const auto& a = b.attrs<VarAttrs>();
  Shape shape = b.shape(0);
  Tensor dx;
  if (b.g(0).defined()) {
    Tensor x = wide(b.x(0)), size = b.y(0), center = b.y(1);
    if (x.dtype() != b.dtype(0)) std::tie(size, center) = std_mean(x, a.dim, {a.correction, a.keepdim});
    Tensor d = deviations(x, spread(center, shape, a.dim), a.dim);
    size = spread(size, shape, a.dim);
    Tensor none = eq(size, 0);
    Tensor scale = where(none, 0.0, spread(b.g(0), shape, a.dim)) / degrees_of_freedom(shape, a);
    dx = scale * (d / where(none, 1.0, size));
  }
  add_moments(b, a.dim, dx);
}

void infer_vector_norm(Infer& c) {
  const auto& a = c.attrs<VectorNormAttrs>();
  detail::check_floating(c.x(0), "x");
  Shape x = shape_of(c.x(0)), y = detail::reduced_shape(x, a.dim, a.keepdim);
  if (a.ord != a.ord) throw ValueError("the order is NaN (expected a number or an infinity)");
  if ((a.ord < 0 || std::isinf(a.ord)) && numel(x) == 0 && numel(y) != 0)
    throw ShapeError("a norm of order " + std::to_string(a.ord) + " of nothing: " + to_string(x) +
                     " (expected at least one element along the axes)");
  c.set(0, c.x(0).dtype, y);
}

// In units of the largest number (of the least, for negative orders), so that powers neither overflow nor vanish; under
// the root, 0 has no slope.
Tensor root_of_powers(const Tensor& x, double ord, const Shape& dim, SumOptions o) {
  auto power = [&](const Tensor& t) { return ord == 2 ? square(t) : pow(abs(t), ord); };
  auto root = [&](const Tensor& t) { return ord == 2 ? sqrt(t) : pow(t, 1 / ord); };
  if (x.numel() == 0) return root(sum(power(x), dim, o));
  Tensor sizes = abs(x.detach()), unit = (ord > 0 ? amax : amin)(sizes, dim, {.keepdim = true});
  unit = where(logical_and(isfinite(unit), unit > 0), unit, 1.0);
  Tensor powers = sum(power(x / unit), dim, {.keepdim = true}), none = eq(powers, 0);
  Tensor y = ord > 0 ? where(none, 0.0, root(where(none, 1.0, powers))) : root(powers);
  y = y * unit;
  return o.keepdim ? y : view(y, detail::reduced_shape(x.shape(), dim, false));
}

void vector_norm_compose(Compose& c) {
  const auto& a = c.attrs<VectorNormAttrs>();
  Tensor x = wide(c.x(0)), y;
  SumOptions o{a.keepdim};
  if (a.ord == 0) y = sum(cast(ne(x, 0), x.dtype()), a.dim, o);
  else if (a.ord == 1) y = sum(abs(x), a.dim, o);
  else if (std::isinf(a.ord)) y = a.ord > 0 ? amax(abs(x), a.dim, {a.keepdim}) : amin(abs(x), a.dim, {a.keepdim});
  else y = root_of_powers(x, a.ord, a.dim, o);
  c.out[0] = y.to(c.x(0).dtype());
}

// g sign(x) (|x| / y)^(ord - 1), and 0 where x or y is 0. Of an infinite order, the elements that attain it share g.
void vector_norm_backward(Backward& b) {
  const auto& a = b.attrs<VectorNormAttrs>();
  if (a.ord == 0) return b.zero(0);
  Shape shape = b.shape(0);
  Tensor x = wide(b.x(0)), g = spread(b.g(), shape, a.dim), dx;
  if (a.ord == 1) {
    dx = g * sign(x);
  } else {
    Tensor y = spread(b.y(), shape, a.dim), nothing = eq(y, 0);
    if (a.ord == 2) {
      dx = g * (x / where(nothing, 1.0, y));
    } else if (std::isinf(a.ord)) {
      Tensor hit = logical_or(eq(abs(x), y), isnan(x));
      dx = where(hit, sign(x) * (g / sum(cast(hit, x.dtype()), a.dim, {.keepdim = true})), 0.0);
    } else {
      Tensor zero = logical_or(eq(x, 0), nothing);
      Tensor ratio = where(zero, 1.0, abs(x)) / where(nothing, 1.0, y);
      dx = where(zero, 0.0, g * sign(x) * pow(ratio, a.ord - 1));
    }
  }
  b.add(0, dx.to(b.dtype(0)));
}

template <op::Id id>
std::pair<Tensor, Tensor> moments(const Operand& x, const Shape& dim, VarOptions o, const char* name) {
  const Tensor* in[1] = {&detail::tensor_of(x, name)};
  VarAttrs a{dim, o.correction, o.keepdim};
  Tensor out[2];
  detail::apply_any(state(), id, in, 1, &a, x.where(), out);
  return {out[0], out[1]};
}

}  // namespace

void define_moment_ops() {
  define(op::var_mean, {.doc = "variance and mean over axes",
                        .infer = infer_moments,
                        .compose = var_mean_compose,
                        .gradient = Gradient::backward,
                        .backward = var_mean_backward});
  define(op::std_mean, {.doc = "standard deviation and mean over axes",
                        .infer = infer_moments,
                        .compose = std_mean_compose,
                        .gradient = Gradient::backward,
                        .backward = std_mean_backward});
  define(op::vector_norm, {.doc = "(sum |x|^ord)^(1/ord) over axes",
                           .infer = infer_vector_norm,
                           .compose = vector_norm_compose,
                           .gradient = Gradient::backward,
                           .backward = vector_norm_backward});
}

Tensor var(const Operand& x, const Shape& dim, VarOptions o) {
  return detail::called("var", x.where(), [&] { return moments<op::var_mean>(x, dim, o, "var").first; });
}
Tensor std(const Operand& x, const Shape& dim, VarOptions o) {
  return detail::called("std", x.where(), [&] { return moments<op::std_mean>(x, dim, o, "std").first; });
}
std::pair<Tensor, Tensor> var_mean(const Operand& x, const Shape& dim, VarOptions o) {
  return moments<op::var_mean>(x, dim, o, "var_mean");
}
std::pair<Tensor, Tensor> std_mean(const Operand& x, const Shape& dim, VarOptions o) {
  return moments<op::std_mean>(x, dim, o, "std_mean");
}

Tensor vector_norm(const Operand& x, double ord, const Shape& dim, SumOptions o) {
  if (o.dtype)
    return detail::in_dtype(*o.dtype, "vector_norm", x, [&](const Tensor& t) {
      detail::check_floating(x.tensor().array().view(), "x");
      if (promote(x.tensor().dtype(), t.dtype()) != t.dtype())
        throw DTypeError(std::string("dtype is ") + name_of(t.dtype()) + " (expected one that holds x's " +
                         name_of(x.tensor().dtype()) + ")");
      return vector_norm(t, ord, dim, {o.keepdim});
    });
  return apply<op::vector_norm, 1>({&detail::tensor_of(x, "vector_norm")}, {ord, dim, o.keepdim}, x.where());
}
Tensor norm(const Operand& x, double p, const Shape& dim, SumOptions o) {
  return detail::called("norm", x.where(), [&] { return vector_norm(x, p, dim, o); });
}

Tensor normalize(const Operand& x, double p, const Shape& dim, NormalizeOptions o) {
  return detail::called("normalize", x.where(), [&] {
    const Tensor& t = detail::tensor_of(x, "normalize");
    Tensor w = wide(t);
    return (w / clamp(vector_norm(w, p, dim, {.keepdim = true}), o.eps)).to(t.dtype());
  });
}

}  // namespace fovea
