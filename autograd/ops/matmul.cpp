#include "autograd/ops/matmul.h"

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

Tensor transposed(const Tensor& x) { return transpose(x, -1, -2); }

// Of the shapes that the user wrote; a vector on the right is a column.
void check_inner(const Shape& a, const Shape& b) {
  int64_t left = a[a.rank - 1], right = b[b.rank > 1 ? b.rank - 2 : 0];
  if (left == right) return;
  throw ShapeError("inner sizes differ: lhs " + to_string(a) + ", rhs " + to_string(b) + " (" + std::to_string(left) +
                   " vs " + std::to_string(right) + ")" +
                   (b.rank > 1 && left == b[b.rank - 1] ? ". Did you mean a transposed rhs?" : ""));
}

// The row takes matrices with equal batch axes; matmul() below brings every other form to it.
void infer_matmul(Infer& c) {
  const View &a = c.x(0), &b = c.x(1);
  if (a.dtype != b.dtype)
    throw DTypeError(std::string("operands differ: ") + name_of(a.dtype) + " and " + name_of(b.dtype) +
                     " (expected one dtype)");
  Shape s = shape_of(a);
  int r = s.rank;
  if (r < 2 || b.rank != r)
    throw ShapeError("matrices expected: lhs " + to_string(s) + ", rhs " + to_string(shape_of(b)));
  check_inner(s, shape_of(b));
  for (int i = 0; i < r - 2; i++)
    if (a.shape[i] != b.shape[i])
      throw ShapeError("batch sizes differ: lhs " + to_string(s) + ", rhs " + to_string(shape_of(b)));
  s[r - 1] = b.shape[r - 1];
  c.set(0, a.dtype, s);
}

Tensor product(const Tensor& a, const Tensor& b, std::source_location where) {
  return apply<op::matmul, 2>({&a, &b}, {}, where);
}

// Rows of x as one matrix.
Tensor rows(const Tensor& x) {
  return x.dim() == 2
             ? x
             : reshape(x, {x.size(-1) ? x.numel() / x.size(-1) : numel(x.shape().dims, x.dim() - 1), x.size(-1)});
}

void infer_linear(Infer& c) {
  const View &x = c.x(0), &w = c.x(1);
  if (w.rank != 2 || x.rank < 1)
    throw ShapeError("x " + to_string(shape_of(x)) + ", weight " + to_string(shape_of(w)) +
                     " (expected [..., in] and [out, in])");
  if (x.shape[x.rank - 1] != w.shape[1])
    throw ShapeError("inner sizes differ: x " + to_string(shape_of(x)) + ", weight " + to_string(shape_of(w)) + " (" +
                     std::to_string(x.shape[x.rank - 1]) + " vs " + std::to_string(w.shape[1]) +
                     "; weight is [out, in])");
  if (x.dtype != w.dtype || (c.has(2) && c.x(2).dtype != x.dtype))
    throw DTypeError(std::string("operands differ: x ") + name_of(x.dtype) + ", weight " + name_of(w.dtype) +
                     (c.has(2) ? std::string(", bias ") + name_of(c.x(2).dtype) : ""));
  if (c.has(2) && !(shape_of(c.x(2)) == Shape{w.shape[0]}))
    throw ShapeError("bias " + to_string(shape_of(c.x(2))) + " (expected [" + std::to_string(w.shape[0]) + "])");
  Shape s = shape_of(x);
  s[s.rank - 1] = w.shape[0];
  c.set(0, x.dtype, s);
}

void linear_compose(Compose& c) {
  const Tensor& x = c.x(0);
  Shape s = x.shape();
  s[s.rank - 1] = c.x(1).size(0);
  Tensor y = product(rows(x), transposed(c.x(1)), std::source_location::current());
  if (c.has(2)) y = y + c.x(2);
  c.out[0] = reshape(y, s);
}

void linear_backward(Backward& b) {
  Tensor g = rows(b.g());
  auto here = std::source_location::current();
  if (b.needs(0)) b.add(0, reshape(product(g, b.x(1), here), b.shape(0)));
  if (b.needs(1)) b.add(1, product(transposed(g), rows(b.x(0)), here));
  if (b.needs(2)) b.add(2, sum(g, {0}));
}

}  // namespace

void define_matmul_ops() {
  define(op::matmul, {.doc = "matrix product over equal batch axes",
                      .infer = infer_matmul,
                      .gradient = Gradient::backward,
                      .backward = [](Backward& b) {
                        auto here = std::source_location::current();
                        if (b.needs(0)) b.add(0, product(b.g(), transposed(b.x(1)), here));
                        if (b.needs(1)) b.add(1, product(transposed(b.x(0)), b.g(), here));
                      }});
  define(op::linear, {.doc = "x weight^T + bias",
                      .infer = infer_linear,
                      .compose = linear_compose,
                      .gradient = Gradient::backward,
                      .backward = linear_backward});
}

Tensor matmul(const Operand& lhs, const Operand& rhs) try {
  if (lhs.is_number() || rhs.is_number() || !lhs.tensor().defined() || !rhs.tensor().defined())
    throw ValueError("expected two defined tensors");
  auto at = lhs.where();
  Tensor a = lhs.tensor(), b = rhs.tensor();
  if (a.dim() >= 2 && b.dim() == a.dim()) {
    bool same = true;
    for (int i = 0; i < a.dim() - 2; i++) same &= a.size(i) == b.size(i);
    if (same) return product(a, b, at);
  }
  if (a.dim() == 0 || b.dim() == 0)
    throw ShapeError("0-dim operand: lhs " + to_string(a.shape()) + ", rhs " + to_string(b.shape()) +
                     " (expected at least one axis). Use * for a number");
  check_inner(a.shape(), b.shape());
  bool row = a.dim() == 1, column = b.dim() == 1;
  if (row) a = unsqueeze(Operand(a, at), 0);
  if (column) b = unsqueeze(Operand(b, at), 1);
  Tensor y;
  if (b.dim() == 2 && a.size(-1) == b.size(0)) {  // one matrix on the right: all rows of a at once
    Shape s = a.shape();
    s[s.rank - 1] = b.size(1);
    y = reshape(product(rows(a), b, at), s);
  } else {
    Shape sa = a.shape(), sb = b.shape();
    Shape batch = broadcast(Shape(sa.dims, size_t(sa.rank - 2)), Shape(sb.dims, size_t(sb.rank - 2)));
    auto widen = [&](const Tensor& t) {
      Shape s = batch;
      s.push_back(t.size(-2));
      s.push_back(t.size(-1));
      return t.shape() == s ? t : expand(Operand(t, at), s);
    };
    y = product(widen(a), widen(b), at);
  }
  if (column) y = squeeze(y, -1);
  if (row) y = squeeze(y, column ? -1 : -2);
  return y;
} catch (Error& e) {
  detail::locate(e, "matmul", lhs.where());
  throw;
}

Tensor linear(const Operand& x, const Operand& weight, const Operand& bias) {
  return apply<op::linear, 3>({x.pointer(), weight.pointer(), bias.pointer()}, {}, x.where());
}

}  // namespace fovea
