#include "autograd/ops/advanced_index.h"

#include <algorithm>
#include <string>

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

using detail::called;
using detail::tensor_of;

bool readable(const Tensor& t) { return on_host(t.device()) && !t.array().is_shape_only(); }

// IndexError naming the first index outside of [low, high). Devices with memory of their own leave it to gather.
void check_range(const Tensor& index, int64_t low, int64_t high, const std::string& of) {
  if (!readable(index) || !any(logical_or(index < low, index >= high)).item<bool>()) return;
  for (int64_t i : index.to_vector<int64_t>())
    if (i < low || i >= high)
      throw IndexError("index " + std::to_string(i) + " leaves " + of + " (expected " + std::to_string(low) + " to " +
                       std::to_string(high - 1) + ")");
}

// Places on axis d counted from the start.
Tensor wrapped(const Tensor& given, const Shape& x, int d) {
  const int64_t n = x.rank ? x[d] : 1;
  Tensor index = given.to(i64);
  check_range(index, -n, n, "axis " + std::to_string(d) + " of " + to_string(x));
  return where(index < 0, index + n, index);
}

void check_mask(const Tensor& mask) { detail::check_dtype(mask.array().view(), "mask", boolean); }

// The places of the truths in a mask [n], in order: each is scattered to its number among them, the others behind all.
Tensor places_of(const Tensor& mask) {
  const int64_t n = mask.numel();
  if (n == 0) return zeros(0, {.dtype = i64, .device = mask.device()});
  Tensor numbers = cumsum(mask, 0);
  const int64_t count = numbers[-1].item<int64_t>();
  Tensor to = where(mask, numbers - 1, count), from = arange(n, {.dtype = i64, .device = mask.device()});
  return narrow(scatter(zeros(count + 1, {.dtype = i64, .device = mask.device()}), 0, to, from), 0, 0, count);
}

// One tensor of places for each axis of a mask.
std::vector<Tensor> columns_of(const Tensor& mask) {
  Tensor flat = places_of(reshape(mask, -1));
  std::vector<Tensor> columns;
  Shape shape = mask.shape();
  int64_t stride = std::max<int64_t>(numel(shape), 1);
  for (int d = 0; d < shape.rank; d++) {
    stride /= std::max<int64_t>(shape[d], 1);
    columns.push_back(remainder(floor_divide(flat, stride), std::max<int64_t>(shape[d], 1)));
  }
  return columns;
}

// x seen as [before, indexed axes together, behind], and what is picked along the middle.
struct Plan {
  Tensor x;       // indexed axes side by side
  Shape order;    // the axes of the tensor given, in x's order; rank 0: as they were
  Shape three;    // before, indexed, behind
  Tensor places;  // [n] on the middle axis
  Shape result;   // of index()
};

Plan plan(const Tensor& x, const std::vector<Tensor>& indices) {
  std::vector<Tensor> list;
  std::vector<int> axes;
  Shape shape = x.shape();
  int axis = 0;
  for (size_t k = 0; k < indices.size(); k++) {
    const Tensor& given = indices[k];
    const int taken = given.defined() && given.dtype() == boolean ? given.dim() : 1;
    if (axis + taken > shape.rank)
      throw IndexError("too many indices for x " + to_string(shape) + " (index " + std::to_string(k) +
                       " begins at axis " + std::to_string(axis) + " and takes " + std::to_string(taken) + ")");
    if (given.defined() && given.dtype() == boolean) {
      if (taken == 0) throw IndexError("index " + std::to_string(k) + " is a 0-dim mask (expected an axis at least)");
      for (int i = 0; i < taken; i++)
        if (given.size(i) != shape[axis + i])
          throw IndexError("mask " + to_string(given.shape()) + " at axis " + std::to_string(axis) + " of x " +
                           to_string(shape) + " (expected equal sizes)");
      for (const Tensor& column : columns_of(given)) list.push_back(column), axes.push_back(axis++);
      continue;
    }
    if (given.defined()) {
      detail::check_index(given.array().view(), "an index");
      list.push_back(wrapped(given, shape, axis)), axes.push_back(axis);
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
  for (int a = 0; a < count; a++) {
    const int64_t n = seen[first + a];
    p.places = a == 0 ? list[0] : p.places * n + list[size_t(a)];
    p.three[1] *= n;
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

Tensor index(const Operand& x, const std::vector<Tensor>& indices) {
  return called("index", x.where(), [&]() -> Tensor {
    Plan p = plan(tensor_of(x, "index"), indices);
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
    const int64_t n = p.places.numel();
    Shape spread{p.three[0], n, p.three[2]};
    from = reshape(expand(from, p.result), spread);
    Tensor to = expand(reshape(p.places, {1, n, 1}), spread), base = reshape(p.x, p.three);
    Tensor y = reshape((o.accumulate ? scatter_add : scatter)(base, 1, to, from), p.x.shape());
    if (!p.order.rank) return y;
    Shape back = p.order;
    for (int i = 0; i < back.rank; i++) back[int(p.order[i])] = i;
    return permute(y, back);
  });
}

Tensor nonzero(const Operand& x) {
  return called("nonzero", x.where(), [&] {
    const Tensor& t = tensor_of(x, "nonzero");
    Tensor mask = ne(t.detach(), 0);
    if (t.dim() == 0) return zeros({places_of(reshape(mask, 1)).numel(), 0}, {.dtype = i64, .device = t.device()});
    return stack(columns_of(mask), 1);
  });
}

Tensor masked_select(const Operand& x, const Operand& mask) {
  return called("masked_select", x.where(), [&] {
    const Tensor &t = tensor_of(x, "masked_select"), &m = tensor_of(mask, "masked_select");
    check_mask(m);
    Shape shape = broadcast(t.shape(), m.shape());
    return index_select(reshape(expand(t, shape), -1), 0, places_of(reshape(expand(m, shape), -1)));
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

Tensor take_along_dim(const Operand& x, const Operand& index, std::optional<int64_t> dim) {
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

Tensor index_add(const Operand& x, int64_t dim, const Operand& index, const Operand& source, double alpha) {
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
    Shape narrow;
    for (int a = 0; a < shape.rank; a++) narrow.push_back(a == d ? i.numel() : 1);
    if (alpha != 1) from = is_floating(from.dtype()) ? from * alpha : from * int64_t(alpha);
    return scatter_add(t, d, expand(reshape(i, narrow), expected), from);
  });
}

Tensor one_hot(const Operand& ids, int64_t num_classes) {
  return called("one_hot", ids.where(), [&] {
    const Tensor& i = tensor_of(ids, "one_hot");
    detail::check_index(i.array().view(), "ids");
    int64_t n = num_classes;
    if (n < -1) throw ValueError("num_classes is " + std::to_string(n) + " (expected 0 or more, or -1)");
    if (n == -1) {
      if (i.numel() == 0) throw ValueError("no ids to tell num_classes from: " + to_string(i.shape()));
      n = amax(i).item<int64_t>() + 1;
    }
    check_range(i, 0, n, std::to_string(n) + " classes");
    return eq(unsqueeze(i, -1), arange(n, {.dtype = i64, .like = i})).to(i64);
  });
}

}  // namespace fovea
