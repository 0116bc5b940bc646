#include "autograd/ops/reduce.h"

#include <limits>

#include "autograd/ops/arrange.h"
#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/index.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

// The axes as bits; an empty list means all.
uint32_t axes_of(const Shape& dim, int rank) {
  if (dim.rank == 0) return (1u << rank) - 1;
  uint32_t bits = 0;
  for (int64_t d : dim) {
    uint32_t bit = 1u << wrap_dim(d, rank);
    if (bits & bit) throw ShapeError("axis " + std::to_string(d) + " appears twice in " + to_string(dim));
    bits |= bit;
  }
  return bits & ((1u << rank) - 1);
}

using detail::reduced_shape;

template <bool kToI64> void infer_reduce(Infer& c) {
  const auto& a = c.attrs<ReduceAttrs>();
  DType t = c.x(0).dtype;
  c.set(0, kToI64 && !is_floating(t) ? i64 : t, reduced_shape(shape_of(c.x(0)), a.dim, a.keepdim));
}
void infer_any(Infer& c) {
  const auto& a = c.attrs<ReduceAttrs>();
  c.set(0, boolean, reduced_shape(shape_of(c.x(0)), a.dim, a.keepdim));
}

void infer_extremum(Infer& c) {
  infer_reduce<false>(c);
  Shape x = shape_of(c.x(0));
  if (numel(x) == 0 && numel(c.out[0].shape()) != 0)
    throw ShapeError("there is no largest and no smallest of nothing: " + to_string(x) +
                     " (expected at least one element along the axes)");
}

// A reduced tensor seen with the input's rank again, so that it broadcasts against it.
Tensor spread(Backward& b, const Tensor& reduced) {
  const auto& a = b.attrs<ReduceAttrs>();
  return a.keepdim ? reduced : view(reduced, reduced_shape(b.shape(0), a.dim, true));
}

// amax, amin: the gradient is shared evenly among the elements that attain the extremum.
void extremum_backward(Backward& b) {
  Tensor hit = cast(eq(b.x(0), spread(b, b.y())), b.dtype(0));
  Tensor count = sum(hit, b.attrs<ReduceAttrs>().dim, {.keepdim = true});
  b.add(0, hit * (spread(b, b.g()) / count));
}

// The product of what comes before each element on the last axis.
Tensor product_before(const Tensor& x) {
  Tensor one = ones_like(narrow(x, -1, 0, 1));
  if (x.size(-1) <= 1) return one;  // not ?:, in which GCC 12 destroys the list twice when cumprod throws
  return cat({one, cumprod(narrow(x, -1, 0, x.size(-1) - 1), -1)}, -1);
}

// Inputs g, x; g times the product of the others, for every element.
void infer_prod_backward(Infer& c) {
  const auto& a = c.attrs<ReduceAttrs>();
  const View &g = c.x(0), &x = c.x(1);
  detail::check_floating(x, "x");
  detail::check_shape(g, "the gradient", reduced_shape(shape_of(x), a.dim, a.keepdim));
  detail::check_dtype(g, "the gradient", x.dtype);
  c.like(0, x);
}

// Where neither zeros, overflow nor underflow took part the product of the others is y / x_i, else that of those before
// it and of those behind it: without a division zeros are no case of their own, in any order of derivative.
void prod_backward_compose(Compose& c) {
  const auto& a = c.attrs<ReduceAttrs>();
  const Shape shape = c.x(1).shape();
  const DType own = c.x(1).dtype(), t = acc_dtype(own);
  const uint32_t axes = axes_of(a.dim, shape.rank);
  Tensor g = view(c.x(0), reduced_shape(shape, a.dim, true)).to(t), x = c.x(1).to(t);
  if (numel(shape) == 0) {
    c.out[0] = (g * x).to(own);
    return;
  }
  Shape order, flat, moved, back = shape;  // the reduced axes as one, the last
  for (int reduced = 0; reduced < 2; reduced++)
    for (int i = 0; i < shape.rank; i++)
      if (int(axes >> i & 1) == reduced) {
        back[i] = order.rank;
        order.push_back(i), moved.push_back(shape[i]);
        if (!reduced) flat.push_back(shape[i]);
      }
  if (Tensor y = prod(x, a.dim, {.keepdim = true}); detail::are_normal(y)) {
    c.out[0] = (g * y / x).to(own);
    return;
  }
  x = permute(x, order);
  flat.push_back(detail::reduced_count(shape, a.dim));
  x = reshape(x, flat);
  Tensor others = product_before(x) * flip(product_before(flip(x, -1)), -1);
  c.out[0] = (g * permute(reshape(others, moved), back)).to(own);
}

void infer_arg(Infer& c) {
  const auto& a = c.attrs<DimKeepAttrs>();
  Shape x = shape_of(c.x(0));
  int d = wrap_dim(a.dim, x.rank);
  if (x.rank > 0 && x[d] == 0)
    throw ShapeError("axis " + std::to_string(d) + " of " + to_string(x) + " is empty (expected at least one element)");
  c.set(0, i64, reduced_shape(x, {d}, a.keepdim));
}

void infer_sum_to(Infer& c) {
  Shape to = c.attrs<ShapeAttrs>().shape, from = shape_of(c.x(0));
  if (to.rank > from.rank || !(broadcast(to, from) == from))
    throw ShapeError(to_string(from) + " is not a broadcast of " + to_string(to));
  c.set(0, c.x(0).dtype, to);
}

template <op::Id id> Tensor place_op(const char* name, const Operand& x, std::optional<int64_t> dim, bool keepdim) {
  if (dim) return apply<id, 1>({x.pointer()}, {*dim, keepdim}, x.where());
  return detail::called(name, x.where(), [&] {
    const Tensor& t = detail::tensor_of(x, name);
    Tensor flat = reshape(t, -1), place = apply<id, 1>({&flat}, {0, false}, x.where());
    return keepdim ? view(place, detail::reduced_shape(t.shape(), {}, true)) : place;
  });
}

template <op::Id id>
std::pair<Tensor, Tensor> extremum_op(const char* name, const Operand& x, int64_t dim, bool keepdim) {
  return detail::called(name, x.where(), [&]() -> std::pair<Tensor, Tensor> {
    const Tensor& t = detail::tensor_of(x, name);
    Tensor places = apply<id, 1>({&t}, {dim, true}, x.where()), values = gather(t, dim, places);
    if (keepdim) return {values, places};
    return {squeeze(values, dim), squeeze(places, dim)};
  });
}

template <op::Id id> Tensor reduce_op(const Operand& x, const Shape& dim, ReduceOptions o) {
  Tensor number = x.is_number() ? x.number_beside(f32, default_device()) : Tensor();
  return apply<id, 1>({x.is_number() ? &number : x.pointer()}, {dim, o.keepdim}, x.where());
}

template <op::Id id> Tensor reduce_op(const char* name, const Operand& x, const Shape& dim, SumOptions o) {
  if (!o.dtype) return reduce_op<id>(x, dim, {o.keepdim});
  return detail::in_dtype(*o.dtype, name, x, [&](const Tensor& t) { return reduce_op<id>(t, dim, {o.keepdim}); });
}

}  // namespace

bool detail::are_normal(const Tensor& y) {
  if (!on_host(y.device()) || y.array().is_shape_only() || y.numel() == 0 || (y.dtype() != f32 && y.dtype() != f64))
    return false;
  const bool narrow = y.dtype() == f32;
  const double least = narrow ? double(std::numeric_limits<float>::min()) : std::numeric_limits<double>::min();
  const double most = narrow ? double(std::numeric_limits<float>::max()) : std::numeric_limits<double>::max();
  Tensor size = abs(y.detach());
  return amin(size).item<double>() >= least && amax(size).item<double>() <= most;
}

Shape detail::reduced_shape(const Shape& x, const Shape& dim, bool keepdim) {
  uint32_t axes = axes_of(dim, x.rank);
  Shape out;
  for (int i = 0; i < x.rank; i++) {
    if (!(axes >> i & 1)) out.push_back(x[i]);
    else if (keepdim) out.push_back(1);
  }
  return out;
}

int64_t detail::reduced_count(const Shape& x, const Shape& dim) {
  uint32_t axes = axes_of(dim, x.rank);
  int64_t n = 1;
  for (int i = 0; i < x.rank; i++)
    if (axes >> i & 1) n *= x[i];
  return n;
}

void define_reduce_ops() {
  define(op::sum, {.doc = "sum over axes",
                   .infer = infer_reduce<true>,
                   .gradient = Gradient::backward,
                   .backward = [](Backward& b) { b.add(0, expand(spread(b, b.g()), b.shape(0))); }});
  define(op::mean, {.doc = "mean over axes",
                    .infer =
                        [](Infer& c) {
                          infer_reduce<false>(c);
                          if (!is_floating(c.out[0].dtype)) c.out[0].dtype = f32;
                        },
                    .gradient = Gradient::backward,
                    .backward =
                        [](Backward& b) {
                          const int64_t n = detail::reduced_count(b.shape(0), b.attrs<ReduceAttrs>().dim);
                          b.add(0, expand(spread(b, b.g()) * (1.0 / double(std::max<int64_t>(n, 1))), b.shape(0)));
                        }});
  define(op::prod,
         {.doc = "product over axes",
          .infer = infer_reduce<true>,
          .gradient = Gradient::backward,
          .backward = [](Backward& b) {
            Tensor g = b.g(), x = b.x(0);
            b.add(0, apply<op::prod_backward, 2>({&g, &x}, b.attrs<ReduceAttrs>(), std::source_location::current()));
          }});
  define(op::prod_backward, {.doc = "the gradient times the product of the others",
                             .infer = infer_prod_backward,
                             .compose = prod_backward_compose,
                             .gradient = Gradient::derived});
  define(op::amax, {.doc = "largest over axes",
                    .infer = infer_extremum,
                    .gradient = Gradient::backward,
                    .backward = extremum_backward});
  define(op::amin, {.doc = "smallest over axes",
                    .infer = infer_extremum,
                    .gradient = Gradient::backward,
                    .backward = extremum_backward});
  define(op::any, {.doc = "is any element nonzero", .infer = infer_any, .gradient = Gradient::not_differentiable});
  define(op::all, {.doc = "are all elements nonzero", .infer = infer_any, .gradient = Gradient::not_differentiable});
  define(op::argmax, {.doc = "where the largest is", .infer = infer_arg, .gradient = Gradient::not_differentiable});
  define(op::argmin, {.doc = "where the smallest is", .infer = infer_arg, .gradient = Gradient::not_differentiable});
  define(op::cumsum, {.doc = "running sum along an axis",
                      .infer =
                          [](Infer& c) {
                            wrap_dim(c.attrs<DimAttrs>().dim, c.x(0).rank);
                            c.like(0, c.x(0));
                            if (!is_floating(c.out[0].dtype)) c.out[0].dtype = i64;
                          },
                      .gradient = Gradient::backward,
                      .backward = [](Backward& b) {  // the sum of what comes behind: cumsum of the reversed axis
                        int64_t d = b.attrs<DimAttrs>().dim;
                        if (b.g().dim() == 0) return b.add(0, b.g());
                        Slice reversed{.step = -1};
                        b.add(0, slice(cumsum(slice(b.g(), d, reversed), d), d, reversed));
                      }});
  define(op::sum_to, {.doc = "sum back to a shape that broadcasts to this one",
                      .infer = infer_sum_to,
                      .compose =
                          [](Compose& c) {
                            const Shape &to = c.attrs<ShapeAttrs>().shape, from = c.x(0).shape();
                            Shape axes;
                            int lead = from.rank - to.rank;
                            for (int i = 0; i < from.rank; i++)
                              if (i < lead || (to[i - lead] == 1 && from[i] != 1)) axes.push_back(i);
                            c.out[0] = axes.rank ? view(sum(c.x(0), axes, {.keepdim = true}), to) : view(c.x(0), to);
                          },
                      .gradient = Gradient::backward,
                      .backward = [](Backward& b) { b.add(0, expand(b.g(), b.shape(0))); }});
}

Tensor sum(const Operand& x, const Shape& dim, SumOptions o) { return reduce_op<op::sum>("sum", x, dim, o); }
Tensor mean(const Operand& x, const Shape& dim, SumOptions o) {
  if (o.dtype && !is_floating(*o.dtype))
    detail::fail<DTypeError>("mean", x.where(),
                             std::string("dtype is ") + name_of(*o.dtype) + " (expected a floating one)");
  if (!x.is_number() && x.tensor().defined() && !is_floating(x.tensor().dtype()))
    return detail::called("mean", x.where(), [&] {
      return reduce_op<op::mean>(x.tensor().to(f64), dim, {o.keepdim}).to(o.dtype.value_or(f32));
    });
  return reduce_op<op::mean>("mean", x, dim, o);
}
Tensor prod(const Operand& x, const Shape& dim, SumOptions o) { return reduce_op<op::prod>("prod", x, dim, o); }
Tensor amax(const Operand& x, const Shape& dim, ReduceOptions o) { return reduce_op<op::amax>(x, dim, o); }
Tensor amin(const Operand& x, const Shape& dim, ReduceOptions o) { return reduce_op<op::amin>(x, dim, o); }
Tensor any(const Operand& x, const Shape& dim, ReduceOptions o) { return reduce_op<op::any>(x, dim, o); }
Tensor all(const Operand& x, const Shape& dim, ReduceOptions o) { return reduce_op<op::all>(x, dim, o); }
Tensor count_nonzero(const Operand& x, const Shape& dim) {
  return detail::called("count_nonzero", x.where(), [&] { return sum(ne(x, 0), dim); });
}
Tensor argmax(const Operand& x, std::optional<Integer> dim, ReduceOptions o) {
  return place_op<op::argmax>("argmax", x, dim, o.keepdim);
}
Tensor argmin(const Operand& x, std::optional<Integer> dim, ReduceOptions o) {
  return place_op<op::argmin>("argmin", x, dim, o.keepdim);
}
Tensor max(const Operand& x) {
  return detail::called("max", x.where(), [&] { return amax(x); });
}
Tensor min(const Operand& x) {
  return detail::called("min", x.where(), [&] { return amin(x); });
}
Tensor max(const Operand& a, const Tensor& b) { return maximum(a, Operand(b, a.where())); }
Tensor min(const Operand& a, const Tensor& b) { return minimum(a, Operand(b, a.where())); }
std::pair<Tensor, Tensor> max(const Operand& x, Integer dim, ReduceOptions o) {
  return extremum_op<op::argmax>("max", x, dim, o.keepdim);
}
std::pair<Tensor, Tensor> min(const Operand& x, Integer dim, ReduceOptions o) {
  return extremum_op<op::argmin>("min", x, dim, o.keepdim);
}
Tensor cumsum(const Operand& x, Integer dim, DTypeOptions o) {
  if (o.dtype) return detail::in_dtype(*o.dtype, "cumsum", x, [&](const Tensor& t) { return cumsum(t, dim); });
  return apply<op::cumsum, 1>({x.pointer()}, {dim}, x.where());
}
Tensor sum_to(const Operand& x, const Shape& shape) {
  if (detail::tensor_of(x, "sum_to").shape() == shape) return x.tensor();
  return apply<op::sum_to, 1>({x.pointer()}, {shape}, x.where());
}

}  // namespace fovea
