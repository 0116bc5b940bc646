#include "autograd/ops/position.h"

#include <cmath>

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

int time_axis(int rank, const RopeAttrs& a) { return rank - (a.heads_inside ? 3 : 2); }

void infer_rope(Infer& c) {
  const auto& a = c.attrs<RopeAttrs>();
  const View &x = c.x(0), &positions = c.x(1);
  detail::check_floating(x, "x");
  detail::check_index(positions, "positions");
  const int t = time_axis(x.rank, a);
  if (t < 0)
    throw ShapeError("x is " + to_string(shape_of(x)) + " (expected " +
                     (a.heads_inside ? "[..., T, H, D])" : "[..., T, D])"));
  if (a.dims < 0 || a.dims % 2 || a.dims > x.shape[x.rank - 1])
    throw ShapeError("dims is " + std::to_string(a.dims) + ", x is " + to_string(shape_of(x)) +
                     " (expected an even number of at most the last axis's size)");
  if (!(a.base > 0) || !std::isfinite(a.scale))
    throw ValueError("base is " + text_of(a.base) + ", scale " + text_of(a.scale) +
                     " (expected base above 0 and a finite scale)");
  Shape expected{x.shape[t]};
  if (positions.rank == 2 && t > 0) expected = {x.shape[0], x.shape[t]};
  detail::check_shape(positions, "positions", expected);
  c.like(0, x);
}

// Cosine and sine of every angle, to be multiplied with x's pairs [..., T, (H,) dims / 2].
std::pair<Tensor, Tensor> turns(const Tensor& x, const Tensor& positions, const RopeAttrs& a, DType t) {
  const int64_t pairs = a.dims / 2;
  Tensor power = arange(double(pairs), {.dtype = f64, .device = x.device()}) * (-2 * std::log(a.base) / double(a.dims));
  Tensor angle = unsqueeze(cast(positions, f64) * a.scale, -1) * exp(power);
  Shape s;
  const int at = time_axis(x.dim(), a);
  for (int i = 0; i < x.dim() - 1; i++) s.push_back(i == at || (i == 0 && positions.dim() == 2) ? x.size(i) : 1);
  s.push_back(pairs);
  angle = reshape(angle, s);
  return {cast(cos(angle), t), cast(sin(angle) * (a.inverse ? -1.0 : 1.0), t)};
}

void rope_compose(Compose& c) {
  const auto& a = c.attrs<RopeAttrs>();
  DType own = c.x(0).dtype(), t = acc_dtype(own);
  Tensor x = c.x(0).to(t);
  if (a.dims == 0 || x.numel() == 0) {
    c.out[0] = cast(x * 1.0, own);
    return;
  }
  auto [cosine, sine] = turns(x, c.x(1), a, t);
  const int64_t pairs = a.dims / 2, rest = x.size(-1) - a.dims;
  Tensor turned = rest ? narrow(x, -1, 0, a.dims) : x, first, second;
  Shape shape = turned.shape();
  if (a.interleaved) {
    Shape split = shape;
    split[split.rank - 1] = pairs;
    split.push_back(2);
    turned = reshape(turned, split);
    first = select(turned, -1, 0), second = select(turned, -1, 1);
  } else {
    first = narrow(turned, -1, 0, pairs), second = narrow(turned, -1, pairs, pairs);
  }
  std::vector<Tensor> parts{first * cosine - second * sine, second * cosine + first * sine};
  Tensor y = a.interleaved ? reshape(stack(parts, -1), shape) : cat(parts, -1);
  if (rest) y = cat({y, narrow(x, -1, a.dims, rest)}, -1);
  c.out[0] = y.to(own);
}

}  // namespace

void define_position_ops() {
  define(op::rope, {.doc = "pairs of channels turned by angles that grow with the position",
                    .infer = infer_rope,
                    .compose = rope_compose,
                    .gradient = Gradient::backward,
                    .backward = [](Backward& b) {  // a rotation: its transpose turns back
                      RopeAttrs a = b.attrs<RopeAttrs>();
                      a.inverse = !a.inverse;
                      Tensor positions = b.x(1);
                      b.add(0, apply<op::rope, 2>({&b.g(), &positions}, a, std::source_location::current()));
                    }});
}

Tensor rope(const Operand& x, const RopeOptions& o) {
  return detail::called("rope", x.where(), [&]() -> Tensor {
    const Tensor& t = detail::tensor_of(x, "rope");
    RopeAttrs a{o.dims, o.base, o.scale, o.interleaved, o.heads_inside};
    const int at = time_axis(t.dim(), a);
    if (at < 0)
      throw ShapeError("x is " + to_string(t.shape()) + " (expected " +
                       (a.heads_inside ? "[..., T, H, D])" : "[..., T, D])"));
    if (a.dims == 0) a.dims = t.size(-1);
    Tensor positions = o.positions;
    if (int64_t end = 0; !positions.defined()) {
      if (o.offset < 0 || __builtin_add_overflow(o.offset, t.size(at), &end))
        throw ValueError("offset is " + std::to_string(o.offset) + " (expected positions from 0 to below 2^63)");
      positions = arange(o.offset, end, {.dtype = i64, .device = t.device()});
    }
    return apply<op::rope, 2>({&t, &positions}, a, x.where());
  });
}

}  // namespace fovea
