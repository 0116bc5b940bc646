// Numbers and ones in order: linspace and eye. (arange, full and their like are in autograd/making.cpp.)
#include <algorithm>
#include <cmath>
#include <string>

#include "autograd/apply.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/view.h"
#include "core/dispatch.h"

namespace fovea {

using detail::called;
using std::source_location;

Tensor linspace(Number start, Number end, Integer steps, const TensorOptions& o, source_location where) {
  return called("linspace", where, [&] {
    constexpr int64_t most = int64_t(1) << 62;
    if (steps < 0 || steps > most)
      throw ValueError("steps is " + std::to_string(steps) + " (expected 0 to " + std::to_string(most) + ")");
    check_holds(o.the_dtype(), start);
    check_holds(o.the_dtype(), end);
    const double a = start.real(), b = end.real(), gaps = double(steps - 1);
    const double step = steps < 2 ? 0 : std::isfinite(b - a) ? (b - a) / gaps : b / gaps - a / gaps;
    // From the nearer end, so that both are exact.
    if (o.the_dtype() == f32 || o.the_dtype() == f64) {
      Tensor x = empty({steps}, o);
      const int64_t half = (steps + 1) / 2;
      auto count = [](Array part, double from, double by) {
        const IotaAttrs attrs{from, by, 0, 0};
        if (part.numel() > 0) update(state(), op::iota, nullptr, 0, &attrs, &part, 1);
      };
      count(x.array().narrow(0, 0, half), a, step);
      if (steps > 1) count(x.array().slice(0, steps - 1, steps - half, -1), b, -step);
      return x;
    }
    Tensor i = arange(int64_t(steps), {.dtype = f64, .device = o.the_device()});
    Tensor x = fovea::where(i < double(steps) / 2, i * step + a, (i - double(steps - 1)) * step + b);
    x = x.to(o.the_dtype());
    return o.requires_grad ? x.requires_grad_() : x;
  });
}

Tensor eye(Integer n, std::optional<Integer> m, const TensorOptions& o, source_location where) {
  return called("eye", where, [&] {
    const int64_t columns = m.value_or(n);
    if (n < 0 || columns < 0)
      throw ShapeError(std::to_string(n) + " rows, " + std::to_string(columns) + " columns (expected 0 or more)");
    const TensorOptions plain{.dtype = o.the_dtype(), .device = o.the_device()};
    const int64_t rows = std::min<int64_t>(n, columns);
    Tensor x = empty({n, columns}, plain);  // what takes too much is refused before its sides are made
    if (rows > 0) {
      Tensor none, at = reshape(arange(rows, {.dtype = i64, .device = plain.device}), {rows, 1}),
                   one = expand(full({}, 1, plain), {rows, 1});
      x = apply<op::scatter, 3>({&none, &at, &one}, {-1, columns}, where);
      if (rows < n) x = cat({x, zeros({n - rows, columns}, plain)});
    }
    return o.requires_grad ? x.requires_grad_() : x;
  });
}

}  // namespace fovea
