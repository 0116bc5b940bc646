#include "autograd/ops/view.h"

#include <algorithm>

#include "autograd/laid.h"
#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/reduce.h"
#include "core/dispatch.h"

namespace fovea {
namespace {

using detail::locate;
using detail::tensor_of;

template <op::Id id> Tensor view_op(const Operand& x, const Attrs<id>& a) {
  tensor_of(x, row(id).name);
  return apply<id, 1>({x.pointer()}, a, x.where());
}

// Replaces one -1 by what is left, and checks the count.
Shape resolve(const Shape& wanted, int64_t n, const Shape& from) {
  Shape shape = wanted;
  int unknown = -1;
  for (int i = 0; i < shape.rank && unknown < 0; i++)
    if (shape[i] == -1) unknown = i;
  for (int i = unknown + 1; i < shape.rank; i++)
    if (unknown >= 0 && shape[i] == -1) throw ShapeError("more than one -1 in " + to_string(wanted));
  if (unknown >= 0) {
    shape[unknown] = 1;
    int64_t known = numel(shape);
    if (known == 0)
      throw ShapeError("cannot tell -1 in " + to_string(wanted) + ": beside a size of 0 it could be anything");
    shape[unknown] = n / known;
  }
  if (numel(shape) != n)
    throw ShapeError("cannot see " + to_string(from) + " (" + std::to_string(n) + " elements) as " + to_string(wanted));
  return shape;
}

// Axes in attributes count from the left.
int axis_of(int64_t dim, int rank) {
  if (dim < 0 || dim >= rank)
    throw ShapeError("axis out of range: " + std::to_string(dim) + " (expected 0 to " + std::to_string(rank - 1) + ")");
  return int(dim);
}

void slice_backward_compose(Compose& c) {
  const auto& a = c.attrs<SliceBackwardAttrs>();
  const Array& g = c.x(0).array();
  Shape shape = g.shape();
  const int64_t length = shape[int(a.dim)];
  shape[int(a.dim)] = a.size;
  if (g.is_shape_only()) {
    c.out[0] = Tensor(Array::shape_only(shape, g.dtype(), g.device()));
    return;
  }
  Laid whole(Array::empty(shape, g.dtype(), g.device()));
  whole.add({a.dim, a.start, length, a.step}, g);
  whole.finish();
  c.out[0] = Tensor(whole.array());
}

void cat_compose(Compose& c) {
  int64_t d = c.attrs<DimAttrs>().dim, at = 0;
  Shape shape = c.x(0).shape();
  shape[int(d)] = 0;
  bool shape_only = false;
  for (int i = 0; i < c.inputs; i++) shape[int(d)] += c.x(i).size(d), shape_only |= c.x(i).array().is_shape_only();
  if (shape_only) {
    c.out[0] = Tensor(Array::shape_only(shape, c.x(0).dtype(), c.x(0).device()));
    return;
  }
  Array out = Array::empty(shape, c.x(0).dtype(), c.x(0).device());
  for (int i = 0; i < c.inputs; i++) {
    int64_t n = c.x(i).size(d);
    if (n == 0) continue;
    Array part = out.narrow(d, at, n);
    assign(part, c.x(i).array());
    at += n;
  }
  c.out[0] = Tensor(out);
}

void infer_cat(Infer& c) {
  Shape first = shape_of(c.x(0));
  if (first.rank == 0)
    throw ShapeError("0-dim tensors cannot be joined (expected at least one axis; stack joins on a new one)");
  int64_t d = axis_of(c.attrs<DimAttrs>().dim, first.rank), n = 0;
  for (int i = 0; i < c.inputs; i++) {
    Shape s = shape_of(c.x(i));
    bool fits = s.rank == first.rank && c.x(i).dtype == c.x(0).dtype;
    for (int k = 0; fits && k < s.rank; k++) fits = k == d || s[k] == first[k];
    if (!fits)
      throw ShapeError("tensor " + std::to_string(i) + " is " + to_string(s) + " " + name_of(c.x(i).dtype) +
                       " beside " + to_string(first) + " " + name_of(c.x(0).dtype) +
                       " (expected equal sizes but on axis " + std::to_string(d) + ")");
    if (n > INT64_MAX - s[int(d)])
      throw ShapeError("axis " + std::to_string(d) + " of " + to_string(first) + " and what follows is longer than " +
                       std::to_string(INT64_MAX));
    n += s[int(d)];
  }
  first[int(d)] = n;
  c.set(0, c.x(0).dtype, first);
}

void infer_diagonal_backward(Infer& c) {
  const auto& a = c.attrs<DiagonalBackwardAttrs>();
  Array whole = Array::shape_only(a.shape, c.x(0).dtype, c.x(0).device);
  detail::check_shape(c.x(0), "the gradient", whole.diagonal(a.offset, a.dim1, a.dim2).shape());
  c.set(0, c.x(0).dtype, a.shape);
}
// Zeros with g laid into the diagonal.
void diagonal_backward_compose(Compose& c) {
  const auto& a = c.attrs<DiagonalBackwardAttrs>();
  const Array& g = c.x(0).array();
  if (g.is_shape_only()) {
    c.out[0] = Tensor(Array::shape_only(a.shape, g.dtype(), g.device()));
    return;
  }
  Array out = Array::empty(a.shape, g.dtype(), g.device());
  fill(out, 0);
  Array part = out.diagonal(a.offset, a.dim1, a.dim2);
  assign(part, g);
  c.out[0] = Tensor(out);
}

void permute_backward(Backward& b) {
  const Shape& dims = b.attrs<PermuteAttrs>().dims;
  Shape inverse = dims;
  for (int i = 0; i < dims.rank; i++) inverse[wrap_dim(dims[i], dims.rank)] = i;
  b.add(0, permute(b.g(), inverse));
}

}  // namespace

void define_view_ops() {
  define(op::view, {.doc = "another shape over the same memory",
                    .view =
                        [](const Array& x, const void* a) {
                          const Shape& s = static_cast<const ShapeAttrs*>(a)->shape;
                          Array out = x.reshape_view(s);
                          if (!out)
                            throw ShapeError(to_string(x.shape()) + " with strides " + to_string(x.strides()) +
                                             " cannot be seen as " + to_string(s) + " without a copy. Use reshape");
                          return out;
                        },
                    .gradient = Gradient::backward,
                    .backward = [](Backward& b) { b.add(0, reshape(b.g(), b.shape(0))); }});
  define(op::permute,
         {.doc = "axes in another order",
          .view = [](const Array& x, const void* a) { return x.permute(static_cast<const PermuteAttrs*>(a)->dims); },
          .gradient = Gradient::backward,
          .backward = permute_backward});
  define(op::transpose, {.doc = "two axes swapped",
                         .view =
                             [](const Array& x, const void* a) {
                               const auto& t = *static_cast<const TransposeAttrs*>(a);
                               return x.transpose(t.dim0, t.dim1);
                             },
                         .gradient = Gradient::backward,
                         .backward =
                             [](Backward& b) {
                               const auto& t = b.attrs<TransposeAttrs>();
                               b.add(0, transpose(b.g(), t.dim0, t.dim1));
                             }});
  define(op::expand,
         {.doc = "broadcast by zero strides",
          .view = [](const Array& x, const void* a) { return x.expand(static_cast<const ShapeAttrs*>(a)->shape); },
          .gradient = Gradient::backward,
          .backward = [](Backward& b) { b.add(0, sum_to(b.g(), b.shape(0))); }});
  define(op::slice, {.doc = "part of an axis",
                     .view =
                         [](const Array& x, const void* a) {
                           const auto& s = *static_cast<const SliceAttrs*>(a);
                           return x.slice(axis_of(s.dim, x.rank()), s.start, s.length, s.step);
                         },
                     .gradient = Gradient::backward,
                     .backward =
                         [](Backward& b) {
                           const auto& s = b.attrs<SliceAttrs>();
                           if (b.lay(0, s)) return;
                           Tensor g = b.g();
                           b.add(0, apply<op::slice_backward, 1>({&g}, {s.dim, s.start, s.step, b.shape(0)[int(s.dim)]},
                                                                 std::source_location::current()));
                         }});
  define(op::slice_backward, {.doc = "g laid into zeros",
                              .infer =
                                  [](Infer& c) {
                                    const auto& a = c.attrs<SliceBackwardAttrs>();
                                    Shape s = shape_of(c.x(0));
                                    s[axis_of(a.dim, s.rank)] = a.size;
                                    c.set(0, c.x(0).dtype, s);
                                  },
                              .compose = slice_backward_compose,
                              .gradient = Gradient::backward,
                              .backward =
                                  [](Backward& b) {
                                    const auto& a = b.attrs<SliceBackwardAttrs>();
                                    Tensor g = b.g();
                                    b.add(0, apply<op::slice, 1>({&g}, {a.dim, a.start, b.shape(0)[int(a.dim)], a.step},
                                                                 std::source_location::current()));
                                  }});
  define(op::diagonal, {.doc = "where two axes have equal places, or places that differ by offset",
                        .view =
                            [](const Array& x, const void* a) {
                              const auto& d = *static_cast<const DiagonalAttrs*>(a);
                              return x.diagonal(d.offset, d.dim1, d.dim2);
                            },
                        .gradient = Gradient::backward,
                        .backward =
                            [](Backward& b) {
                              const auto& d = b.attrs<DiagonalAttrs>();
                              Tensor g = b.g();
                              b.add(0, apply<op::diagonal_backward, 1>({&g}, {b.shape(0), d.offset, d.dim1, d.dim2},
                                                                       std::source_location::current()));
                            }});
  define(op::diagonal_backward, {.doc = "g laid into zeros",
                                 .infer = infer_diagonal_backward,
                                 .compose = diagonal_backward_compose,
                                 .gradient = Gradient::backward,
                                 .backward = [](Backward& b) {
                                   const auto& a = b.attrs<DiagonalBackwardAttrs>();
                                   b.add(0, diagonal(b.g(), a.offset, a.dim1, a.dim2));
                                 }});
  define(op::cat, {.doc = "joined along an axis",
                   .infer = infer_cat,
                   .compose = cat_compose,
                   .gradient = Gradient::backward,
                   .backward = [](Backward& b) {
                     int64_t d = b.attrs<DimAttrs>().dim, at = 0;
                     for (int i = 0; i < b.inputs(); i++) {
                       int64_t n = b.shape(i)[int(d)];
                       if (b.needs(i)) b.add(i, narrow(b.g(), d, at, n));
                       at += n;
                     }
                   }});
}

Tensor view(const Operand& x, const Shape& shape) try {
  const Tensor& t = tensor_of(x, "view");
  return view_op<op::view>(x, {resolve(shape, t.numel(), t.shape())});
} catch (Error& e) {
  locate(e, "view", x.where());
  throw;
}

Tensor reshape(const Operand& x, const Shape& shape) try {
  const Tensor& t = tensor_of(x, "reshape");
  Shape s = resolve(shape, t.numel(), t.shape());
  if (s == t.shape()) return t;
  if (t.array().dense() || t.array().reshape_view(s)) return view_op<op::view>(x, {s});
  Tensor copy = contiguous(x);
  return view_op<op::view>(Operand(copy, x.where()), {s});
} catch (Error& e) {
  locate(e, "reshape", x.where());
  throw;
}

Tensor flatten(const Operand& x, Integer start_dim, Integer end_dim) try {
  const Tensor& t = tensor_of(x, "flatten");
  int a = wrap_dim(start_dim, t.dim()), b = wrap_dim(end_dim, t.dim());
  if (t.dim() == 0) return reshape(x, {1});
  if (a > b) throw ShapeError("start axis " + std::to_string(a) + " lies behind end axis " + std::to_string(b));
  Shape s;
  for (int i = 0; i < t.dim(); i++) {
    if (i > a && i <= b) s[s.rank - 1] *= t.size(i);
    else s.push_back(t.size(i));
  }
  return reshape(x, s);
} catch (Error& e) {
  locate(e, "flatten", x.where());
  throw;
}

Tensor permute(const Operand& x, const Shape& dims) { return view_op<op::permute>(x, {dims}); }
Tensor transpose(const Operand& x, Integer a, Integer b) { return view_op<op::transpose>(x, {a, b}); }
Tensor expand(const Operand& x, const Shape& shape) { return view_op<op::expand>(x, {shape}); }

Tensor unsqueeze(const Operand& x, Integer dim) try {
  const Tensor& t = tensor_of(x, "unsqueeze");
  int d = wrap_dim(dim, t.dim() + 1);
  Shape s;
  for (int i = 0; i <= t.dim(); i++) {
    if (i == d) s.push_back(1);
    if (i < t.dim()) s.push_back(t.size(i));
  }
  return view_op<op::view>(x, {s});
} catch (Error& e) {
  locate(e, "unsqueeze", x.where());
  throw;
}

Tensor squeeze(const Operand& x, const Shape& dims) try {
  const Tensor& t = tensor_of(x, "squeeze");
  bool named[kMaxRank] = {};
  for (int64_t d : dims) {
    const int axis = wrap_dim(d, t.dim());
    if (named[axis]) throw ShapeError("axis " + std::to_string(d) + " twice in " + to_string(dims));
    named[axis] = true;
  }
  Shape s;
  for (int i = 0; i < t.dim(); i++)
    if (!(named[i] && t.size(i) == 1)) s.push_back(t.size(i));
  return s.rank == t.dim() ? t : view_op<op::view>(x, {s});
} catch (Error& e) {
  locate(e, "squeeze", x.where());
  throw;
}
Tensor squeeze(const Operand& x) {
  Shape ones;
  const Tensor& t = tensor_of(x, "squeeze");
  for (int i = 0; i < t.dim(); i++)
    if (t.size(i) == 1) ones.push_back(i);
  return squeeze(x, ones);
}

Tensor slice(const Operand& x, Integer dim, const Slice& s) try {
  const Tensor& t = tensor_of(x, "slice");
  if (t.dim() == 0) throw ShapeError("a 0-dim tensor has no axis to slice");
  if (s.step == 0) throw IndexError("step 0 (expected a positive or negative step)");
  int d = wrap_dim(dim, t.dim());
  int64_t n = t.size(d);
  bool up = s.step > 0;
  int64_t first = up ? 0 : -1, behind = up ? n : n - 1;  // where positions are clamped to
  auto clamp = [&](const std::optional<int64_t>& given, int64_t otherwise) {
    if (!given) return otherwise;
    int64_t p = *given < 0 && *given >= -n ? *given + n : *given < 0 ? first : *given;
    return std::clamp(p, first, behind);
  };
  int64_t start = clamp(s.start, up ? first : behind), stop = clamp(s.stop, up ? behind : first);
  int64_t way = up ? stop - start : start - stop;
  uint64_t stride = up ? uint64_t(s.step) : 0 - uint64_t(s.step);
  int64_t length = way <= 0 ? 0 : int64_t(uint64_t(way - 1) / stride) + 1;
  return view_op<op::slice>(x, {d, length ? start : 0, length, s.step});
} catch (Error& e) {
  locate(e, "slice", x.where());
  throw;
}

Tensor narrow(const Operand& x, Integer dim, Integer start, Integer length) try {
  const Tensor& t = tensor_of(x, "narrow");
  if (t.dim() == 0) throw ShapeError("a 0-dim tensor has no axis to narrow");
  int d = wrap_dim(dim, t.dim());
  const int64_t n = t.size(d), from = start + (start < 0 ? n : 0);
  if (length < 0 || from < 0 || from > n || length > n - from)
    throw IndexError("start " + std::to_string(start) + ", length " + std::to_string(length) + " leave axis " +
                     std::to_string(d) + " of " + to_string(t.shape()));
  return view_op<op::slice>(x, {d, from, length, 1});
} catch (Error& e) {
  locate(e, "narrow", x.where());
  throw;
}

Tensor select(const Operand& x, Integer dim, Integer index) try {
  CallScope call("select", x.where());
  const Tensor& t = tensor_of(x, "select");
  int d = wrap_dim(dim, t.dim());
  int64_t n = t.dim() ? t.size(d) : 0;
  if (index < -n || index >= n)
    throw IndexError("index " + std::to_string(index) + " leaves axis " + std::to_string(d) + " of " +
                     to_string(t.shape()));
  return squeeze(Operand(narrow(x, d, index + (index < 0 ? n : 0), 1), x.where()), d);
} catch (Error& e) {
  locate(e, "select", x.where());
  throw;
}

Tensor diagonal(const Operand& x, Integer offset, Integer dim1, Integer dim2) {
  return view_op<op::diagonal>(x, {offset, dim1, dim2});
}

}  // namespace fovea
