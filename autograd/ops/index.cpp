#include "autograd/ops/index.h"

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

using std::source_location;

// `index` has x's rank and is no larger than x but on axis d.
void check_places(const View& index, const char* name, const Shape& x, int d) {
  detail::check_index(index, "index");
  bool fits = index.rank == x.rank;
  for (int i = 0; fits && i < x.rank; i++) fits = i == d || index.shape[i] <= x[i];
  if (!fits)
    throw ShapeError("index " + to_string(shape_of(index)) + " for " + name + " " + to_string(x) +
                     " (expected as many axes, no larger but on axis " + std::to_string(d) + ")");
}

void infer_gather(Infer& c) {
  Shape x = shape_of(c.x(0));
  check_places(c.x(1), "x", x, wrap_dim(c.attrs<DimAttrs>().dim, x.rank));
  c.set(0, c.x(0).dtype, shape_of(c.x(1)));
}

// Inputs base (absent: zeros), index, src.
void infer_scatter(Infer& c) {
  const auto& a = c.attrs<ScatterAttrs>();
  const View &index = c.x(1), &src = c.x(2);
  Shape y = shape_of(c.has(0) ? c.x(0) : src);
  int d = wrap_dim(a.dim, y.rank);
  if (!c.has(0)) {
    if (a.size < 0)
      throw ValueError("size is " + std::to_string(a.size) + " (expected the extent of axis " + std::to_string(d) +
                       ", since there is no base)");
    if (y.rank > 0) y[d] = a.size;
  }
  check_places(index, c.has(0) ? "x" : "zeros", y, d);
  detail::check_shape(src, "src", shape_of(index));
  if (c.has(0)) detail::check_dtype(src, "src", c.x(0).dtype);
  c.out[0] = Meta(src.dtype, src.device, y);
}

// Lays src into zeros of this shape, which differs from index's on axis `dim` at least, or adds it.
template <op::Id id>
Tensor scatter_into_zeros(const Shape& shape, int64_t dim, const Tensor& index, const Tensor& src) {
  Shape s = index.shape();
  int d = wrap_dim(dim, s.rank);
  ScatterAttrs a{dim, s.rank ? shape[d] : 1};
  if (s.rank) s[d] = shape[d];
  Tensor base = s == shape ? Tensor() : zeros(shape, {.like = src});
  return apply<id, 3>({&base, &index, &src}, a, source_location::current());
}
Tensor add_into_zeros(const Shape& shape, int64_t dim, const Tensor& index, const Tensor& src) {
  return scatter_into_zeros<op::scatter_add>(shape, dim, index, src);
}

void gather_backward(Backward& b) { b.add(0, add_into_zeros(b.shape(0), b.attrs<DimAttrs>().dim, b.x(1), b.g())); }

void scatter_add_backward(Backward& b) {
  if (b.needs(0)) b.add(0, b.g());
  if (b.needs(2)) b.add(2, gather(b.g(), b.attrs<ScatterAttrs>().dim, b.x(1)));
}

// x without the axes but d along which it only repeats itself.
Tensor unrepeated(Tensor x, int d) {
  for (int k = 0; k < x.dim(); k++)
    if (k != d && x.array().view().strides[k] == 0 && x.size(k) > 1) x = narrow(x, k, 0, 1);
  return x;
}

// What was overwritten gets nothing: of the base what src covers, of src all but the last written to a place.
void scatter_backward(Backward& b) {
  const DimAttrs a{b.attrs<ScatterAttrs>().dim};
  Tensor g = b.g(), index = b.x(1), out[2];
  if (!b.needs(2)) return b.add(0, scatter(g, a.dim, index, 0.0));
  const Tensor* in[2] = {&g, &index};
  detail::apply_any(state(), op::scatter_backward, in, 2, &a, source_location::current(), out);
  if (b.needs(0)) b.add(0, out[0]);
  b.add(2, out[1]);
}

// Inputs g, index; outputs the gradients of base and src.
void infer_scatter_backward(Infer& c) {
  infer_gather(c);
  c.set(1, c.x(0).dtype, shape_of(c.x(1)));
  c.set(0, c.x(0).dtype, shape_of(c.x(0)));
}

// Who was last is found by scattering their places on the axis.
void scatter_backward_compose(Compose& c) {
  const int64_t dim = c.attrs<DimAttrs>().dim;
  Tensor g = c.x(0), index = c.x(1);
  c.out[0] = scatter(g, dim, index, 0.0);
  c.out[1] = gather(g, dim, index);
  if (index.dim() == 0 || index.numel() == 0) return;
  const int d = wrap_dim(dim, index.dim());
  index = unrepeated(index, d);
  Shape line, into = index.shape();
  for (int k = 0; k < index.dim(); k++) line.push_back(k == d ? index.size(d) : 1);
  into[d] = g.size(d);
  const TensorOptions whole{.dtype = index.size(d) < int64_t(1) << 31 ? i32 : i64, .like = index};
  Tensor place = reshape(arange(double(index.size(d)), whole), line);
  Tensor last = scatter_into_zeros<op::scatter>(into, d, index, expand(place, index.shape()));
  c.out[1] = where(eq(gather(last, d, index), place), c.out[1], zeros({}, {.like = g}));
}

// Views of an index [n] as one number per row of `shape`.
Tensor along(const Tensor& index, const Shape& shape, int d) {
  Shape narrow, wide = shape;
  for (int i = 0; i < shape.rank; i++) narrow.push_back(i == d ? index.numel() : 1);
  wide[d] = index.numel();
  return expand(reshape(index, narrow), wide);
}

void infer_embedding(Infer& c) {
  const View &ids = c.x(0), &weight = c.x(1);
  detail::check_index(ids, "ids");
  int64_t pad = c.attrs<EmbeddingAttrs>().padding_idx;
  if (weight.rank != 2) throw ShapeError("weight is " + to_string(shape_of(weight)) + " (expected [V, C])");
  if (pad < -1 || pad >= weight.shape[0])
    throw IndexError("padding_idx " + std::to_string(pad) + " leaves weight " + to_string(shape_of(weight)));
  Shape s = shape_of(ids);
  s.push_back(weight.shape[1]);
  c.set(0, weight.dtype, s);
}

void embedding_compose(Compose& c) {
  const Tensor &ids = c.x(0), &weight = c.x(1);
  Shape s = ids.shape();
  s.push_back(weight.size(1));
  int64_t n = ids.numel();
  if (weight.size(1) != 1) detail::check_within(ids, weight.size(0));  // a bad id is named by its place
  c.out[0] = view(gather(weight, 0, along(reshape(ids, {n}), weight.shape(), 0)), s);
}

// Inputs g [..., C], ids [...]; output [V, C]: the rows of g added up by id.
void infer_embedding_backward(Infer& c) {
  const auto& a = c.attrs<EmbeddingBackwardAttrs>();
  const View &g = c.x(0), &ids = c.x(1);
  detail::check_index(ids, "ids");
  Shape s = shape_of(g);
  if (s.rank < 1) throw ShapeError("the gradient is 0-dim (expected [..., C])");
  if (a.num_embeddings < 0)
    throw ValueError("num_embeddings is " + std::to_string(a.num_embeddings) + " (expected 0 or more)");
  detail::check_shape(ids, "ids", Shape(s.dims, size_t(s.rank - 1)));
  c.set(0, g.dtype, {a.num_embeddings, s[s.rank - 1]});
}

void embedding_backward_compose(Compose& c) {
  const auto& a = c.attrs<EmbeddingBackwardAttrs>();
  const Tensor &g = c.x(0), &ids = c.x(1);
  int64_t n = ids.numel(), width = g.size(-1);
  Tensor rows = reshape(g, {n, width}), flat = reshape(ids, {n});
  if (a.padding_idx >= 0) rows = where(eq(reshape(flat, {n, 1}), a.padding_idx), 0.0, rows);
  c.out[0] = add_into_zeros({a.num_embeddings, width}, 0, along(flat, {a.num_embeddings, width}, 0), rows);
}

void embedding_backward_backward(Backward& b) {
  int64_t pad = b.attrs<EmbeddingBackwardAttrs>().padding_idx;
  Tensor ids = b.x(1), rows = embedding(ids, b.g());
  b.add(0, pad < 0 ? rows : where(eq(unsqueeze(ids, -1), pad), 0.0, rows));
}

void infer_sort(Infer& c) {
  const auto& a = c.attrs<SortAttrs>();
  Shape s = shape_of(c.x(0));
  const int d = wrap_dim(a.dim, s.rank);
  const int64_t n = s.rank ? s[d] : 1;
  if (a.k < -1 || a.k > n)
    throw ValueError("k is " + std::to_string(a.k) + " (expected 0 to " + std::to_string(n) + ", axis " +
                     std::to_string(d) + " of " + to_string(s) + ")");
  if (s.rank && a.k >= 0) s[d] = a.k;
  c.set(0, c.x(0).dtype, s);
  c.set(1, i64, s);
}

void infer_upper_bound(Infer& c) {
  const View &x = c.x(0), &v = c.x(1);
  if (x.rank != 2 || v.rank != 2 || x.shape[0] != v.shape[0])
    throw ShapeError("rows " + to_string(shape_of(x)) + ", values " + to_string(shape_of(v)) +
                     " (expected [rows, n] and [rows, values])");
  detail::check_dtype(v, "values", x.dtype);
  c.set(0, i64, shape_of(v));
}

void sort_backward(Backward& b) { b.add(0, add_into_zeros(b.shape(0), b.attrs<SortAttrs>().dim, b.y(1), b.g())); }

template <op::Id id>
Tensor scatter_op(const char* name, const Operand& x, int64_t dim, const Operand& index, const Operand& src) try {
  const Tensor &base = detail::tensor_of(x, name), &at = detail::tensor_of(index, name);
  Tensor from;
  if (src.is_number()) {
    from = expand(src.element_beside(base.dtype(), base.device()), at.shape());
    if (from.dtype() != base.dtype()) from = from.to(base.dtype());
  } else {
    from = detail::tensor_of(src, name);
    if (from.dim() != at.dim())
      throw ShapeError("src " + to_string(from.shape()) + " for index " + to_string(at.shape()) +
                       " (expected as many axes)");
    for (int i = 0; i < at.dim(); i++)
      if (from.size(i) > at.size(i)) from = narrow(Operand(from, x.where()), i, 0, at.size(i));
  }
  return apply<id, 3>({&base, &at, &from}, {dim, -1}, x.where());
} catch (Error& e) {
  detail::locate(e, name, x.where());
  throw;
}

std::pair<Tensor, Tensor> sorted(const char* name, const Operand& x, const SortAttrs& a) {
  const Tensor* in[1] = {&detail::tensor_of(x, name)};
  Tensor out[2];
  detail::apply_any(state(), op::sort, in, 1, &a, x.where(), out);
  return {out[0], out[1]};
}

}  // namespace

void define_index_ops() {
  define(op::gather, {.doc = "elements picked along an axis by index",
                      .infer = infer_gather,
                      .gradient = Gradient::backward,
                      .backward = gather_backward});
  define(op::scatter, {.doc = "elements written along an axis by index; the last in index order stays",
                       .infer = infer_scatter,
                       .gradient = Gradient::backward,
                       .backward = scatter_backward});
  define(op::scatter_backward, {.doc = "what scatter's base and source get of the gradient",
                                .infer = infer_scatter_backward,
                                .compose = scatter_backward_compose,
                                .gradient = Gradient::derived});
  define(op::scatter_add, {.doc = "elements added along an axis by index",
                           .infer = infer_scatter,
                           .gradient = Gradient::backward,
                           .backward = scatter_add_backward});
  define(op::embedding, {.doc = "rows of a table by id",
                         .infer = infer_embedding,
                         .compose = embedding_compose,
                         .gradient = Gradient::backward,
                         .backward = [](Backward& b) {
                           Tensor ids = b.x(0);
                           EmbeddingBackwardAttrs a{b.shape(1)[0], b.attrs<EmbeddingAttrs>().padding_idx};
                           b.add(1, apply<op::embedding_backward, 2>({&b.g(), &ids}, a, source_location::current()));
                         }});
  define(op::embedding_backward, {.doc = "rows of the gradient added up by id",
                                  .infer = infer_embedding_backward,
                                  .compose = embedding_backward_compose,
                                  .gradient = Gradient::backward,
                                  .backward = embedding_backward_backward});
  define(op::sort, {.doc = "sorted along an axis, and where each came from",
                    .infer = infer_sort,
                    .gradient = Gradient::backward,
                    .backward = sort_backward,
                    .fixed_outputs = 0b10});
  define(op::upper_bound,
         {.doc = "how many numbers of a sorted row are at most each of some values",
          .infer = infer_upper_bound,
          .compose = [](Compose& c) { c.out[0] = sum(unsqueeze(c.x(0), 1) <= unsqueeze(c.x(1), 2), 2); },
          .gradient = Gradient::not_differentiable});
}

void detail::check_within(const Tensor& places, int64_t n) {
  const TensorOptions bytes{.dtype = u8, .like = places.detach()};
  gather(expand(zeros({}, bytes), n), 0, reshape(places.detach(), -1));
}

Tensor gather(const Operand& x, Integer dim, const Operand& index) {
  const Tensor &t = detail::tensor_of(x, "gather"), &at = detail::tensor_of(index, "gather");
  if (t.dim() + at.dim() == 1)
    return detail::called("gather", x.where(), [&] {
      wrap_dim(dim, 1);
      return reshape(gather(reshape(t, -1), 0, reshape(at, -1)), at.shape());
    });
  return apply<op::gather, 2>({&t, &at}, {dim}, x.where());
}

Tensor scatter(const Operand& x, Integer dim, const Operand& index, const Operand& src) {
  return scatter_op<op::scatter>("scatter", x, dim, index, src);
}
Tensor scatter_add(const Operand& x, Integer dim, const Operand& index, const Operand& src) {
  return scatter_op<op::scatter_add>("scatter_add", x, dim, index, src);
}

Tensor index_select(const Operand& x, Integer dim, const Operand& index) {
  return detail::called("index_select", x.where(), [&]() -> Tensor {
    const Tensor &t = detail::tensor_of(x, "index_select"), &at = detail::tensor_of(index, "index_select");
    if (at.dim() > 1 || (t.dim() == 0 && at.numel() != 1))
      throw ShapeError("x " + to_string(t.shape()) + ", index " + to_string(at.shape()) + " (expected an index " +
                       (t.dim() == 0 ? "of one place)" : "[n])"));
    const int d = wrap_dim(dim, t.dim());
    if (t.dim() == 0) return reshape(gather(reshape(t, 1), 0, reshape(at, 1)), t.shape());
    if (t.numel() == 0) detail::check_index(at.array().view(), "index"), detail::check_within(at, t.size(d));
    Shape shape = t.shape();
    int64_t outer = 1;
    for (int i = 0; i < d; i++) outer *= shape[i];
    if (outer != 1 || shape[d] == 0 || !is_floating(t.dtype()) || !t.array().dense())
      return gather(x, d, Operand(along(at, shape, d), x.where()));
    Tensor rows = view(t, {shape[d], t.numel() / shape[d]});  // whole rows, for which embedding has a kernel
    shape[d] = at.numel();
    return view(embedding(reshape(at, -1), rows), shape);
  });
}

Tensor embedding(const Operand& ids, const Operand& weight, EmbeddingOptions o) {
  const Tensor &i = detail::tensor_of(ids, "embedding"), &w = detail::tensor_of(weight, "embedding");
  int64_t pad = o.padding_idx.value_or(-1), n = w.dim() > 0 ? w.size(0) : 0;
  if (o.padding_idx && (pad < -n || pad >= n))
    detail::fail<IndexError>("embedding", ids.where(),
                             "padding_idx " + std::to_string(pad) + " leaves weight " + to_string(w.shape()));
  return apply<op::embedding, 2>({&i, &w}, {o.padding_idx && pad < 0 ? pad + n : pad}, ids.where());
}

std::pair<Tensor, Tensor> sort(const Operand& x, Integer dim, SortOptions o) {
  return sorted("sort", x, {dim, o.descending});
}

Tensor argsort(const Operand& x, Integer dim, SortOptions o) {
  CallScope call("argsort", x.where());
  NoGrad guard;
  return sort(x, dim, o).second;
}

std::pair<Tensor, Tensor> topk(const Operand& x, Integer k, Integer dim, TopkOptions o) {
  return detail::called("topk", x.where(), [&] {
    if (k < 0) throw ValueError("k is " + std::to_string(k) + " (expected 0 or more)");
    return sorted("topk", x, {dim, o.largest, k});
  });
}

}  // namespace fovea
