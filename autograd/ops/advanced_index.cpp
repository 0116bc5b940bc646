#include "autograd/ops/advanced_index.h"

#include <algorithm>
#include <string>

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

using detail::called;
using detail::tensor_of;
using std::source_location;

bool readable(const Tensor& t) { return on_host(t.device()) && !t.array().is_shape_only(); }

// True where an index is negative. IndexError naming the first outside of [low, high). On devices with memory of their
// own that is left to the caller.
bool check_range(const Tensor& index, int64_t low, int64_t high, const std::string& of) {
  if (!readable(index)) return true;
  if (index.numel() == 0) return false;
  const int64_t least = amin(index).item<int64_t>(), most = amax(index).item<int64_t>();
  if (least >= low && most < high) return least < 0;
  for (int64_t i : index.to_vector<int64_t>())
    if (i < low || i >= high)
      throw IndexError("index " + std::to_string(i) + " leaves " + of +
                       (low < high ? " (expected " + std::to_string(low) + " to " + std::to_string(high - 1) + ")"
                                   : " (there is no place in it)"));
  return true;
}

// Places on axis d counted from the start.
Tensor wrapped(const Tensor& given, const Shape& x, int d) {
  const int64_t n = x.rank ? x[d] : 1;
  Tensor index = given.to(i64);
  const bool negative = check_range(index, -n, n, "axis " + std::to_string(d) + " of " + to_string(x));
  if (negative) index = where(index < 0, index + n, index);
  if (!readable(index)) detail::check_within(index, n);
  return index;
}

void check_mask(const Tensor& mask) { detail::check_dtype(mask.array().view(), "mask", boolean); }

void infer_true_places(Infer& c) {
  const int64_t count = c.attrs<CountAttrs>().count;
  detail::check_dtype(c.x(0), "mask", boolean);
  if (count < 0 || count > c.x(0).numel)
    throw ValueError("count is " + std::to_string(count) + " (expected 0 to " + std::to_string(c.x(0).numel) + ")");
  c.set(0, i64, {count, c.x(0).rank});
}

// Each truth's place is scattered to its number among them, the others behind all.
void true_places_compose(Compose& c) {
  const Tensor& mask = c.x(0);
  const Shape shape = mask.shape();
  const int64_t n = mask.numel(), count = c.attrs<CountAttrs>().count;
  const TensorOptions whole{.dtype = i64, .like = mask};
  if (n == 0 || count == 0 || shape.rank == 0) {
    c.out[0] = zeros({count, shape.rank}, whole);
    return;
  }
  Tensor flat = reshape(mask, -1), to = minimum(where(flat, cumsum(flat, 0) - 1, count), count);
  flat = narrow(scatter(zeros(count + 1, whole), 0, to, arange(n, whole)), 0, 0, count);
  std::vector<Tensor> columns;
  int64_t stride = n;
  for (int d = 0; d < shape.rank; d++)
    stride /= shape[d], columns.push_back(remainder(floor_divide(flat, stride), shape[d]));
  c.out[0] = stack(columns, 1);
}

// The places of the truths in row-major order, [count, axes].
Tensor places_of(const Tensor& given) {
  const Tensor mask = contiguous(given);  // so that one too large for the memory is refused, not counted for years
  const int64_t count = mask.numel() ? sum(mask).item<int64_t>() : 0;
  return apply<op::true_places, 1>({&mask}, {count}, source_location::current());
}
Tensor flat_places(const Tensor& mask) {
  Tensor places = places_of(reshape(mask, -1));
  return view(places, places.size(0));
}

// x seen as [before, indexed axes together, behind], and what is picked along the middle.
struct Plan {
  Tensor x;       // indexed axes side by side; a 0-dim mask has made one
  Shape order;    // the axes of the tensor given, in x's order; rank 0: as they were
  Shape three;    // before, indexed, behind
  Tensor places;  // [n] on the middle axis
  Shape result;   // of index()
};

Plan plan(Tensor x, const std::vector<Tensor>& indices) {
  std::vector<Tensor> list;
  std::vector<int64_t> extents;  // a mask is one index of all its axes together
  std::vector<int> axes;
  Shape shape = x.shape();
  int axis = 0;
  for (size_t k = 0; k < indices.size(); k++) {
    const Tensor& given = indices[k];
    const bool mask = given.defined() && given.dtype() == boolean;
    if (mask && given.dim() == 0) x = unsqueeze(x, axis), shape = x.shape();
    const int taken = mask ? std::max(given.dim(), 1) : 1;
    if (axis + taken > shape.rank)
      throw IndexError("too many indices for x " + to_string(shape) + " (index " + std::to_string(k) +
                       " begins at axis " + std::to_string(axis) + " and takes " + std::to_string(taken) + ")");
    if (mask) {
      for (int i = 0; i < given.dim(); i++)
        if (given.size(i) != shape[axis + i])
          throw IndexError("mask " + to_string(given.shape()) + " at axis " + std::to_string(axis) + " of x " +
                           to_string(shape) + " (expected equal sizes)");
      list.push_back(flat_places(given)), extents.push_back(given.numel());
      for (int i = 0; i < taken; i++) axes.push_back(axis++);
      continue;
    }
    if (given.defined()) {
      detail::check_index(given.array().view(), "an index");
      list.push_back(wrapped(given, shape, axis)), extents.push_back(shape[axis]), axes.push_back(axis);
    }
    axis++;
  }
  Plan p{x, {}, {1, 1, 1}, {}, {}};
  if (list.empty()) return p;
  // Bring them side by side.
  int first = axes.front();
  const int count = int(axes.size());
  if (axes.back() - first != count - 1) {
    for (int a : axes) p.order.push_back(a);
    for (int a = 0; a < shape.rank; a++)
      if (std::find(axes.begin(), axes.end(), a) == axes.end()) p.order.push_back(a);
    p.x = permute(x, p.order);
    first = 0;
  }
  Shape picked, seen = p.x.shape();
  for (const Tensor& i : list) picked = broadcast(picked, i.shape());
  for (size_t i = 0; i < list.size(); i++) {
    p.places = i == 0 ? list[0] : p.places * extents[i] + list[i];
    p.three[1] *= extents[i];
  }
  p.places = reshape(expand(p.places, picked), -1);
  for (int a = 0; a < seen.rank; a++) {
    if (a == first)
      for (int64_t s : picked) p.result.push_back(s);
    if (a >= first && a < first + count) continue;
    p.three[a < first ? 0 : 2] *= seen[a];
    p.result.push_back(seen[a]);
  }
  return p;
}

}  // namespace

void define_place_ops() {
  define(op::true_places, {.doc = "the places of the first `count` truths of a mask",
                           .infer = infer_true_places,
                           .compose = true_places_compose,
                           .gradient = Gradient::not_differentiable});
}

Tensor index(const Operand& x, const std::vector<Index>& indices) {
  return called("index", x.where(), [&]() -> Tensor {
    Tensor rest = tensor_of(x, "index");
    std::vector<Tensor> tensors;
    int axis = 0;
    for (const Index& i : indices) {
      const bool one = i.kind() == Index::tensor && i.places().dim() == 0 && i.places().dtype() != boolean;
      if (i.kind() == Index::tensor && !one) {
        tensors.push_back(i.places());
        axis += i.places().dtype() == boolean ? i.places().dim() : 1;
        continue;
      }
      if (axis >= rest.dim())
        throw IndexError("too many indices for x " + to_string(tensor_of(x, "index").shape()) + " (index " +
                         std::to_string(&i - indices.data()) + " has no axis left)");
      if (one) {  // a number that a tensor holds
        detail::check_index(i.places().array().view(), "an index");
        rest = squeeze(index_select(rest, axis, wrapped(i.places(), rest.shape(), axis)), axis);
      } else if (i.kind() == Index::number) {
        rest = select(rest, axis, i.place());
      } else {
        const Slice& s = i.slice();
        if (s.start || s.stop || s.step != 1) rest = slice(rest, axis, s);
        tensors.emplace_back(), axis++;
      }
    }
    Plan p = plan(rest, tensors);
    if (!p.places.defined()) return p.x;
    return reshape(index_select(reshape(p.x, p.three), 1, p.places), p.result);
  });
}

Tensor index_put(const Operand& x, const std::vector<Tensor>& indices, const Operand& values, IndexPutOptions o) {
  return called("index_put", x.where(), [&]() -> Tensor {
    const Tensor& t = tensor_of(x, "index_put");
    Plan p = plan(t, indices);
    if (!p.places.defined()) throw ValueError("every index is undefined (expected one at least)");
    Tensor from = values.is_number() ? full({}, values.number(), {.dtype = t.dtype(), .device = t.device()})
                                     : tensor_of(values, "index_put");
    if (from.dtype() != t.dtype())
      throw DTypeError("values are " + std::string(name_of(from.dtype())) + " (expected " + name_of(t.dtype()) +
                       ", as x). Cast them with to(dtype)");
    const int64_t n = p.places.numel();
    Shape spread{p.three[0], n, p.three[2]};
    from = reshape(expand(from, p.result), spread);
    Tensor to = expand(reshape(p.places, {1, n, 1}), spread), base = reshape(p.x, p.three);
    Tensor y = reshape((o.accumulate ? scatter_add : scatter)(base, 1, to, from), p.x.shape());
    Shape back = p.order;
    for (int i = 0; i < back.rank; i++) back[int(p.order[i])] = i;
    if (back.rank) y = permute(y, back);
    return reshape(y, t.shape());
  });
}

Tensor nonzero(const Operand& x) {
  return called("nonzero", x.where(), [&] {
    const Tensor& t = tensor_of(x, "nonzero");
    return places_of(t.dtype() == boolean ? t : ne(t.detach(), 0));
  });
}

Tensor masked_select(const Operand& x, const Operand& mask) {
  return called("masked_select", x.where(), [&] {
    const Tensor &t = tensor_of(x, "masked_select"), &m = tensor_of(mask, "masked_select");
    check_mask(m);
    Shape shape = broadcast(t.shape(), m.shape());
    return index_select(reshape(expand(t, shape), -1), 0, flat_places(expand(m, shape)));
  });
}

Tensor masked_fill(const Operand& x, const Operand& mask, const Operand& value) {
  return called("masked_fill", x.where(), [&] {
    const Tensor &t = tensor_of(x, "masked_fill"), &m = tensor_of(mask, "masked_fill");
    check_mask(m);
    if (value.is_number()) return where(m, full({}, value.number(), {.dtype = t.dtype(), .device = t.device()}), t);
    const Tensor& v = tensor_of(value, "masked_fill");
    if (v.dim() > 0) throw ShapeError("value is " + to_string(v.shape()) + " (expected a number or a 0-dim tensor)");
    return where(m, v.to(t.dtype()), t);
  });
}

Tensor take_along_dim(const Operand& x, const Operand& index, std::optional<Integer> dim) {
  return called("take_along_dim", x.where(), [&] {
    Tensor t = tensor_of(x, "take_along_dim"), i = tensor_of(index, "take_along_dim");
    detail::check_index(i.array().view(), "index");
    if (!dim) t = reshape(t, -1), i = reshape(i, -1);
    const int d = dim ? wrap_dim(*dim, t.dim()) : 0;
    if (t.dim() != i.dim())
      throw ShapeError("x " + to_string(t.shape()) + ", index " + to_string(i.shape()) + " (expected as many axes)");
    i = wrapped(i, t.shape(), d);
    if (t.dim() > 0) {
      Shape a = t.shape(), b = i.shape();
      a[d] = b[d] = 1;
      Shape common = broadcast(a, b), wide = common, places = common;
      wide[d] = t.size(d), places[d] = i.size(d);
      t = expand(t, wide), i = expand(i, places);
    }
    return gather(t, d, i);
  });
}

Tensor index_add(const Operand& x, Integer dim, const Operand& index, const Operand& source, double alpha) {
  return called("index_add", x.where(), [&] {
    Tensor t = tensor_of(x, "index_add"), i = tensor_of(index, "index_add"), from = tensor_of(source, "index_add");
    const int d = wrap_dim(dim, t.dim());
    detail::check_index(i.array().view(), "index");
    Shape shape = t.shape(), expected = shape;
    if (shape.rank) expected[d] = i.numel();
    if (i.dim() > 1 || !(from.shape() == expected) || (shape.rank == 0 && i.numel() != 1))
      throw ShapeError("x " + to_string(shape) + ", index " + to_string(i.shape()) + ", source " +
                       to_string(from.shape()) + " (expected an index [n] and a source like x, n long on axis " +
                       std::to_string(d) + ")");
    const int64_t n = shape.rank ? shape[d] : 1;
    check_range(i, 0, n, "axis " + std::to_string(d) + " of " + to_string(shape));
    Shape narrow;
    for (int a = 0; a < shape.rank; a++) narrow.push_back(a == d ? i.numel() : 1);
    if (alpha != 1) from = is_floating(from.dtype()) ? from * alpha : from * int64_t(alpha);
    return scatter_add(t, d, expand(reshape(i, narrow), expected), from);
  });
}

Tensor one_hot(const Operand& ids, Integer num_classes) {
  return called("one_hot", ids.where(), [&] {
    const Tensor& i = tensor_of(ids, "one_hot");
    detail::check_index(i.array().view(), "ids");
    int64_t n = num_classes;
    if (n < -1) throw ValueError("num_classes is " + std::to_string(n) + " (expected 0 or more, or -1)");
    if (n == -1) {
      if (i.numel() == 0) throw ValueError("no ids to tell num_classes from: " + to_string(i.shape()));
      n = amax(i).item<int64_t>();
      if (n < 0) throw IndexError("the largest id is " + std::to_string(n) + " (expected 0 or more)");
      if (n == INT64_MAX) throw ShapeError("the largest id is " + std::to_string(INT64_MAX) + " (expected less)");
      n++;
    }
    check_range(i, 0, n, std::to_string(n) + " classes");
    Tensor none, at = unsqueeze(i, -1), one = expand(full({}, 1, {.dtype = i64, .device = i.device()}), at.shape());
    return apply<op::scatter, 3>({&none, &at, &one}, {-1, n}, ids.where());
  });
}

}  // namespace fovea
