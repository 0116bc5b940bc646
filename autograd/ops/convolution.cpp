#include "autograd/ops/convolution.h"

#include <algorithm>
#include <limits>
#include <string>

#include "autograd/ops/arrange.h"
#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/index.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

// Of a dilation, a kernel or a padding, so that no product of two overflows; strides stop at the end of the input.
constexpr int64_t kMost = int64_t(1) << 31, kMostStride = int64_t(1) << 62;
constexpr int64_t kMostKernel = int64_t(1) << 20;  // places of a window: each is a view of its own

// How windows lie on one axis.
struct Axis {
  int64_t size, kernel, stride, dilation, before, after, windows = 0;

  int64_t span() const { return dilation * (kernel - 1) + 1; }
  void count() { windows = (size + before + after - span()) / stride + 1; }
};

void check_number(const char* name, int64_t v, int64_t least, int64_t most = kMost) {
  if (v < least || v > most)
    throw ValueError(std::string(name) + " is " + std::to_string(v) + " (expected " + std::to_string(least) + " to " +
                     std::to_string(most) + ")");
}

int64_t at(const Shape& s, int i, const char* name, int axes) {
  if (s.rank != 1 && s.rank != axes)
    throw ValueError(std::string(name) + " is " + to_string(s) + " (expected 1 or " + std::to_string(axes) +
                     " numbers)");
  return s[s.rank == 1 ? 0 : i];
}

// Element k of every window along an axis.
Tensor window_element(const Tensor& x, int dim, const Axis& a, int64_t k) {
  const int64_t start = k * a.dilation;
  return slice(x, dim, {.start = start, .stop = start + (a.windows - 1) * a.stride + 1, .step = a.stride});
}

Tensor convolution(const Operand& input, const Operand& weight, const Operand& bias, const ConvOptions& o, int axes,
                   const char* op) {
  Tensor x = detail::tensor_of(input, op), w = detail::tensor_of(weight, op), b = *detail::optional_of(bias, op);
  const std::string form = axes == 1 ? "C, L]" : "C, H, W]";
  if (x.dim() != axes + 2 && x.dim() != axes + 1)
    throw ShapeError("input is " + to_string(x.shape()) + " (expected [N, " + form + " or [" + form + ")");
  if (w.dim() != axes + 2)
    throw ShapeError("weight is " + to_string(w.shape()) + " (expected [O, C / groups, " +
                     (axes == 1 ? "K])" : "KH, KW])"));
  if (x.dtype() != w.dtype() || (b.defined() && b.dtype() != x.dtype()))
    throw DTypeError(std::string("input is ") + name_of(x.dtype()) + ", weight " + name_of(w.dtype()) +
                     (b.defined() ? std::string(", bias ") + name_of(b.dtype()) : "") + " (expected one dtype)");
  const bool batched = x.dim() == axes + 2;
  if (!batched) x = unsqueeze(x, 0);
  const int64_t N = x.size(0), C = x.size(1), O = w.size(0), G = o.groups;
  check_number("groups", G, 1);
  if (G > std::max<int64_t>(C, 1) || w.size(1) * G != C || O % G)
    throw ShapeError("input " + to_string(x.shape()) + " has " + std::to_string(C) + " channels, weight is " +
                     to_string(w.shape()) + " for " + std::to_string(G) +
                     " groups (expected weight [O, C / groups, ...] and groups that divide O)");
  if (b.defined()) detail::check_shape(b.array().view(), "bias", {O});
  std::vector<Axis> a;
  int64_t elements = 1;
  Shape out{O, N}, windows{N};
  for (int i = 0; i < axes; i++) {
    Axis& d = a.emplace_back(
        Axis{x.size(2 + i), w.size(2 + i), at(o.stride, i, "stride", axes), at(o.dilation, i, "dilation", axes), 0, 0});
    check_number("stride", d.stride, 1, kMostStride), check_number("dilation", d.dilation, 1);
    check_number("the kernel's size", d.kernel, 1);
    if (o.same) {
      if (d.stride != 1) throw ValueError("stride is " + std::to_string(d.stride) + " (expected 1 with same)");
      d.before = (d.span() - 1) / 2, d.after = d.span() - 1 - d.before;
    } else {
      d.before = d.after = at(o.padding, i, "padding", axes);
      check_number("padding", d.before, 0);
    }
    if (d.size + d.before + d.after < d.span())
      throw ShapeError("a window of " + std::to_string(d.span()) + " on axis " + std::to_string(x.dim() - axes + i) +
                       " of " + to_string(x.shape()) + " with padding " + std::to_string(d.before) +
                       " (expected a window that fits)");
    d.count();
    elements *= d.kernel;
    if (elements > kMostKernel)
      throw ShapeError("weight is " + to_string(w.shape()) + " (expected a window of at most " +
                       std::to_string(kMostKernel) + " places)");
    out.push_back(d.windows), windows.push_back(d.windows);
  }
  const int64_t places = numel(windows);
  std::vector<int64_t> zeros;
  for (int i = axes - 1; i >= 0; i--) zeros.insert(zeros.end(), {a[size_t(i)].before, a[size_t(i)].after});
  x = pad(x, zeros);
  if (elements > 1) x = detail::wide(x);  // windows share elements, whose gradients are then summed in f32
  // Columns [C, K, N, L']: what each element of a kernel meets, over all windows.
  x = transpose(x, 0, 1);
  std::vector<Tensor> columns;
  const int64_t inner = axes == 2 ? a[1].kernel : 1;
  for (int64_t k = 0; k < elements; k++) {
    Tensor part = window_element(x, 2, a[0], k / inner);
    columns.push_back(axes == 2 ? window_element(part, 3, a[1], k % inner) : part);
  }
  Tensor all = reshape(elements == 1 ? columns[0] : stack(columns, 1), {G, C / G * elements, places}).to(w.dtype());
  Tensor y = reshape(matmul(reshape(w, {G, O / G, C / G * elements}), all), out);
  if (b.defined()) {
    Shape s = out;
    for (int i = 1; i < s.rank; i++) s[i] = 1;
    y = y + reshape(b, s);
  }
  y = contiguous(transpose(y, 0, 1));
  return batched ? y : squeeze(y, 0);
}

// The windows of a pool on the last axis of x.
Axis pool_axis(const View& x, const MaxPoolAttrs& p) {
  const Shape shape = shape_of(x);
  if (x.rank != 2 && x.rank != 3) throw ShapeError("input is " + to_string(shape) + " (expected [N, C, L] or [C, L])");
  detail::check_floating(x, "input");
  check_number("kernel_size", p.kernel_size, 1, kMostKernel), check_number("stride", p.stride, 1, kMostStride);
  check_number("dilation", p.dilation, 1), check_number("padding", p.padding, 0);
  if (p.padding > p.kernel_size / 2)
    throw ValueError("padding is " + std::to_string(p.padding) + " (expected at most half of kernel_size " +
                     std::to_string(p.kernel_size) + ")");
  Axis a{shape[x.rank - 1], p.kernel_size, p.stride, p.dilation, p.padding, p.padding};
  if (a.size == 0) throw ShapeError("input is " + to_string(shape) + " (expected one place or more on the last axis)");
  // With ceil_mode one more that is not full, unless it would begin behind the input.
  const int64_t left = a.size + 2 * p.padding - a.span();
  if (left >= 0) a.count();
  const bool more = left < 0 ? left + a.stride > 0 : left % a.stride != 0;
  if (p.ceil_mode && more && a.windows * a.stride < a.size + p.padding) a.windows++;
  if (a.windows == 0)
    throw ShapeError("a window of " + std::to_string(a.span()) + " on the last axis of " + to_string(shape) +
                     " with padding " + std::to_string(p.padding) + " (expected a window that fits)");
  a.after = std::max(a.after, (a.windows - 1) * a.stride + a.span() - a.size - a.before);
  return a;
}

Tensor window_starts(const Axis& a, const Tensor& x) {
  return arange(a.windows, {.dtype = i64, .like = x.detach()}) * a.stride;
}

Tensor windows_of(const Tensor& x, const Axis& a) {
  Tensor wide = pad(x, {a.before, a.after});
  std::vector<Tensor> parts;
  for (int64_t k = 0; k < a.kernel; k++) parts.push_back(window_element(wide, x.dim() - 1, a, k));
  return stack(parts, -2);
}

Shape pooled(const View& x, const MaxPoolAttrs& p) {
  const Axis a = pool_axis(x, p);
  Shape y = shape_of(x);
  y[y.rank - 1] = a.windows;
  return y;
}

// The largest number of each window, and its place on the last axis of x; -1 where all of the window is padding.
struct Best {
  Tensor value, place;
};
Best best_of(const Tensor& x, const MaxPoolAttrs& p) {
  const Axis a = pool_axis(x.array().view(), p);
  const double lowest = -std::numeric_limits<double>::infinity();
  Tensor wide = pad(x, {a.before, a.after}, {.value = lowest}), begin = window_starts(a, x) - a.before;
  Best best{full({}, lowest, {.like = x.detach()}), full({}, -1, {.dtype = i64, .like = x.detach()})};
  for (int64_t k = 0; k < a.kernel; k++) {
    Tensor next = window_element(wide, -1, a, k), place = begin + k * a.dilation;
    Tensor better = logical_or(logical_or(lt(best.place, 0), gt(next, best.value)), isnan(next));
    better = logical_and(better, logical_and(ge(place, 0), lt(place, a.size)));
    best = {where(better, next, best.value), where(better, place, best.place)};
  }
  return best;
}

void infer_max_pool1d(Infer& c) { c.set(0, c.x(0).dtype, pooled(c.x(0), c.attrs<MaxPoolAttrs>())); }
// Inputs g, x.
void infer_max_pool1d_backward(Infer& c) {
  detail::check_shape(c.x(0), "the gradient", pooled(c.x(1), c.attrs<MaxPoolAttrs>()));
  detail::check_dtype(c.x(0), "the gradient", c.x(1).dtype);
  c.like(0, c.x(1));
}
void max_pool1d_backward_compose(Compose& c) {
  const DType own = c.x(1).dtype();
  Tensor place = best_of(c.x(1).detach(), c.attrs<MaxPoolAttrs>()).place, none = lt(place, 0);
  Tensor g = where(none, 0.0, detail::wide(c.x(0)));
  c.out[0] = scatter_add(zeros(c.x(1).shape(), {.like = g.detach()}), -1, where(none, 0, place), g).to(own);
}

}  // namespace

Tensor conv1d(const Operand& input, const Operand& weight, const Operand& bias, const ConvOptions& o) {
  return detail::called("conv1d", input.where(), [&] { return convolution(input, weight, bias, o, 1, "conv1d"); });
}

Tensor conv2d(const Operand& input, const Operand& weight, const Operand& bias, const ConvOptions& o) {
  return detail::called("conv2d", input.where(), [&] { return convolution(input, weight, bias, o, 2, "conv2d"); });
}

void define_pool_ops() {
  define(op::max_pool1d, {.doc = "the largest of each window along the last axis",
                          .infer = infer_max_pool1d,
                          .compose = [](Compose& c) { c.out[0] = best_of(c.x(0), c.attrs<MaxPoolAttrs>()).value; },
                          .gradient = Gradient::backward,
                          .backward =
                              [](Backward& b) {
                                Tensor x = b.x(0).detach();
                                b.add(0, apply<op::max_pool1d_backward, 2>({&b.g(), &x}, b.attrs<MaxPoolAttrs>(),
                                                                           std::source_location::current()));
                              }});
  define(op::max_pool1d_backward, {.doc = "the gradient of each window added to where its largest is",
                                   .infer = infer_max_pool1d_backward,
                                   .compose = max_pool1d_backward_compose,
                                   .gradient = Gradient::derived});
}

Tensor max_pool1d(const Operand& input, Integer kernel_size, MaxPoolOptions o) {
  MaxPoolAttrs a{kernel_size, o.stride.value_or(kernel_size), o.padding, o.dilation, o.ceil_mode};
  return apply<op::max_pool1d, 1>({&detail::tensor_of(input, "max_pool1d")}, a, input.where());
}

Tensor avg_pool1d(const Operand& input, Integer kernel_size, AvgPoolOptions o) {
  return detail::called("avg_pool1d", input.where(), [&] {
    const Tensor& x = detail::tensor_of(input, "avg_pool1d");
    const int64_t stride = o.stride.value_or(kernel_size);
    Axis a = pool_axis(x.array().view(), {kernel_size, stride, o.padding, 1, o.ceil_mode});
    Tensor windows = windows_of(x, a);
    const bool whole = (a.windows - 1) * a.stride + a.kernel <= a.size + 2 * o.padding;
    if (whole && (o.count_include_pad || o.padding == 0)) return mean(windows, -2);
    // Places of a window that are on the input, or with count_include_pad on the padding that was asked for.
    Tensor begin = window_starts(a, x) - o.padding, end = minimum(begin + a.kernel, a.size + o.padding);
    Tensor count = o.count_include_pad ? end - begin : minimum(end, a.size) - maximum(begin, 0);
    const DType t = acc_dtype(x.dtype());
    return (sum(windows.to(t), -2) / count.to(t)).to(x.dtype());
  });
}

}  // namespace fovea
