#include "autograd/ops/softmax.h"

#include <cmath>

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

using std::source_location;

void infer_rows(Infer& c) {
  detail::check_floating(c.x(0), "x");
  wrap_dim(c.attrs<DimAttrs>().dim, c.x(0).rank);
  c.like(0, c.x(0));
}

void infer_rows_backward(Infer& c) {
  infer_rows(c);
  detail::check_shape(c.x(1), "the output", shape_of(c.x(0)));
  detail::check_dtype(c.x(1), "the output", c.x(0).dtype);
}

using detail::wide;
// What the rows are shifted by; results do not depend on it, so it takes no part in gradients.
Tensor largest(const Tensor& x, const Shape& dim) { return amax(x.detach(), dim, {.keepdim = true}); }

template <bool kLog> void rows_compose(Compose& c) {
  Shape dim{c.attrs<DimAttrs>().dim};
  DType t = c.x(0).dtype();
  if (c.x(0).numel() == 0) {
    c.out[0] = cast(c.x(0), t);
    return;
  }
  Tensor x = wide(c.x(0));
  x = x - largest(x, dim);
  Tensor e = exp(x), total = sum(e, dim, {.keepdim = true});
  c.out[0] = (kLog ? x - log(total) : e / total).to(t);
}

// Inputs: the gradient and the forward's output y.
//   softmax:     y (g - sum(g y))
//   log_softmax: g - exp(y) sum(g)
template <bool kLog> void rows_backward_compose(Compose& c) {
  Shape dim{c.attrs<DimAttrs>().dim};
  Tensor g = wide(c.x(0)), y = wide(c.x(1));
  Tensor dx = kLog ? g - exp(y) * sum(g, dim, {.keepdim = true}) : y * (g - sum(g * y, dim, {.keepdim = true}));
  c.out[0] = dx.to(c.x(0).dtype());
}

template <op::Id id> void rows_backward(Backward& b) {
  Tensor y = b.y();
  b.add(0, apply<id, 2>({&b.g(), &y}, b.attrs<DimAttrs>(), source_location::current()));
}

void infer_logsumexp(Infer& c) {
  const auto& a = c.attrs<ReduceAttrs>();
  detail::check_floating(c.x(0), "x");
  c.set(0, c.x(0).dtype, detail::reduced_shape(shape_of(c.x(0)), a.dim, a.keepdim));
}

void logsumexp_compose(Compose& c) {
  const auto& a = c.attrs<ReduceAttrs>();
  Tensor x = wide(c.x(0));
  Shape kept = detail::reduced_shape(x.shape(), a.dim, true);
  Tensor shift = full(kept, 0, {.like = x});
  if (x.numel() > 0) {
    Tensor m = largest(x, a.dim);
    shift = where(isfinite(m), m, 0.0);
  }
  // Only a row of nothing but -inf (or of nothing) has the sum 0.
  Tensor total = sum(exp(x - shift), a.dim, {.keepdim = true}), none = eq(total, 0);
  Tensor y = where(none, -INFINITY, log(where(none, 1.0, total)) + shift);
  c.out[0] = view(y.to(c.x(0).dtype()), detail::reduced_shape(x.shape(), a.dim, a.keepdim));
}

// g exp(x - y): the softmax of x, and 0 where y = -inf.
void logsumexp_backward(Backward& b) {
  const auto& a = b.attrs<ReduceAttrs>();
  Shape kept = detail::reduced_shape(b.shape(0), a.dim, true);
  Tensor y = wide(view(b.y(), kept)), g = wide(view(b.g(), kept));
  b.add(0, (g * exp(wide(b.x(0)) - where(eq(y, -INFINITY), 0.0, y))).to(b.dtype(0)));
}

}  // namespace

void define_softmax_ops() {
  define(op::softmax, {.doc = "exp(x) / sum(exp(x)) along an axis",
                       .infer = infer_rows,
                       .compose = rows_compose<false>,
                       .gradient = Gradient::backward,
                       .backward = rows_backward<op::softmax_backward>});
  define(op::softmax_backward, {.doc = "y (g - sum(g y)) along an axis",
                                .infer = infer_rows_backward,
                                .compose = rows_backward_compose<false>,
                                .gradient = Gradient::derived});
  define(op::log_softmax, {.doc = "x - log(sum(exp(x))) along an axis",
                           .infer = infer_rows,
                           .compose = rows_compose<true>,
                           .gradient = Gradient::backward,
                           .backward = rows_backward<op::log_softmax_backward>});
  define(op::log_softmax_backward, {.doc = "g - exp(y) sum(g) along an axis",
                                    .infer = infer_rows_backward,
                                    .compose = rows_backward_compose<true>,
                                    .gradient = Gradient::derived});
  define(op::logsumexp, {.doc = "log(sum(exp(x))) over axes",
                         .infer = infer_logsumexp,
                         .compose = logsumexp_compose,
                         .gradient = Gradient::backward,
                         .backward = logsumexp_backward});
}

Tensor softmax(const Operand& x, Integer dim, DTypeOptions o) {
  if (o.dtype) return detail::in_dtype(*o.dtype, "softmax", x, [&](const Tensor& t) { return softmax(t, dim); });
  return apply<op::softmax, 1>({&detail::tensor_of(x, "softmax")}, {dim}, x.where());
}
Tensor log_softmax(const Operand& x, Integer dim, DTypeOptions o) {
  if (o.dtype)
    return detail::in_dtype(*o.dtype, "log_softmax", x, [&](const Tensor& t) { return log_softmax(t, dim); });
  return apply<op::log_softmax, 1>({&detail::tensor_of(x, "log_softmax")}, {dim}, x.where());
}
Tensor logsumexp(const Operand& x, const Shape& dim, ReduceOptions o) {
  Tensor t = detail::tensor_of(x, "logsumexp");
  if (!is_floating(t.dtype())) t = t.to(f32, x.where());
  return apply<op::logsumexp, 1>({&t}, {dim, o.keepdim}, x.where());
}

}  // namespace fovea
