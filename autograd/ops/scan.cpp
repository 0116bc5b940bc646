#include "autograd/ops/scan.h"

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

using detail::wide;

void infer_scan(Infer& c) {
  wrap_dim(c.attrs<DimAttrs>().dim, c.x(0).rank);
  c.like(0, c.x(0));
}

// dx_k is the sum of g_i y_i over i >= k, divided by x_k, where neither zeros, overflow nor underflow took part. Else
// dx_k = (x_0 ... x_k-1) s_k with s_k = g_k + x_k+1 s_k+1: no division, so zeros are no case of their own, in any order
// of derivative. s by doubling: with b_k = g_k + x_k+1 g_k+1 + ... (n terms) and a_k = x_k+1 ... x_k+n,
// b_k + a_k b_k+n has 2n terms.
void cumprod_backward(Backward& b) {
  const int64_t d = b.attrs<DimAttrs>().dim;
  Tensor x = wide(b.x(0)), s = wide(b.g());
  const int64_t n = x.dim() ? x.size(d) : 1;
  Tensor y = b.y();
  if (y.dtype() != x.dtype()) y = cumprod(x, d);
  if (n > 1 && detail::are_normal(y)) {
    const Slice reversed{.step = -1};
    s = slice(cumsum(slice(s * y, d, reversed), d), d, reversed) / x;
  } else if (n > 1) {
    Tensor before = cumprod(narrow(x, d, 0, n - 1), d), a = narrow(x, d, 1, n - 1);
    for (int64_t step = 1; step < n; step *= 2) {
      s = cat({narrow(s, d, 0, n - step) + a * narrow(s, d, step, n - step), narrow(s, d, n - step, step)}, d);
      const int64_t left = n - 2 * step;
      if (left > 0) a = narrow(a, d, 0, left) * narrow(a, d, step, left);
    }
    s = cat({narrow(s, d, 0, 1), before * narrow(s, d, 1, n - 1)}, d);
  }
  b.add(0, s.to(b.dtype(0)));
}

// By doubling: y_k over the last n terms, with y_k-n, over the last 2n.
void logcumsumexp_compose(Compose& c) {
  const int64_t d = c.attrs<DimAttrs>().dim;
  Tensor y = wide(c.x(0));
  const int64_t n = y.dim() ? y.size(d) : 1;
  for (int64_t step = 1; step < n; step *= 2)
    y = cat({narrow(y, d, 0, step), logaddexp(narrow(y, d, step, n - step), narrow(y, d, 0, n - step))}, d);
  c.out[0] = n > 1 ? y.to(c.x(0).dtype()) : c.x(0) + 0.0;
}

}  // namespace

void define_scan_ops() {
  define(op::cumprod, {.doc = "running product along an axis",
                       .infer =
                           [](Infer& c) {
                             infer_scan(c);
                             if (!is_floating(c.out[0].dtype)) c.out[0].dtype = i64;
                           },
                       .gradient = Gradient::backward,
                       .backward = cumprod_backward});
  define(op::logcumsumexp, {.doc = "log of the running sum of e^x along an axis",
                            .infer =
                                [](Infer& c) {
                                  detail::check_floating(c.x(0), "x");
                                  infer_scan(c);
                                },
                            .compose = logcumsumexp_compose,
                            .gradient = Gradient::derived});
}

Tensor cumprod(const Operand& x, Integer dim, DTypeOptions o) {
  if (o.dtype) return detail::in_dtype(*o.dtype, "cumprod", x, [&](const Tensor& t) { return cumprod(t, dim); });
  return apply<op::cumprod, 1>({&detail::tensor_of(x, "cumprod")}, {dim}, x.where());
}
Tensor logcumsumexp(const Operand& x, Integer dim) {
  Tensor t = detail::tensor_of(x, "logcumsumexp");
  if (!is_floating(t.dtype())) t = t.to(f32, x.where());
  return apply<op::logcumsumexp, 1>({&t}, {dim}, x.where());
}

}  // namespace fovea
