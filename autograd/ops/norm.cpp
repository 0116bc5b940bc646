#include "autograd/ops/norm.h"

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

// The first `x.rank - n` sizes, and the last n.
Shape leading(const Shape& x, int64_t n) { return Shape(x.dims, size_t(x.rank - n)); }
Shape trailing(const Shape& x, int64_t n) { return Shape(x.dims + x.rank - n, size_t(n)); }

void check_layer_norm(const View& x, const LayerNormAttrs& a) {
  detail::check_floating(x, "x");
  if (a.normalized_dims < 1 || a.normalized_dims > x.rank)
    throw ShapeError("normalized_shape has " + std::to_string(a.normalized_dims) + " axes (expected 1 to " +
                     std::to_string(x.rank) + " for x " + to_string(shape_of(x)) + ")");
}

void check_affine(const View& v, const char* name, const View& x, const LayerNormAttrs& a) {
  detail::check_shape(v, name, trailing(shape_of(x), a.normalized_dims));
  detail::check_dtype(v, name, x.dtype);
}

// y like x; mean and rstd: the leading axes, in the accumulator's dtype.
void infer_layer_norm(Infer& c) {
  const auto& a = c.attrs<LayerNormAttrs>();
  const View& x = c.x(0);
  check_layer_norm(x, a);
  if (c.has(1)) check_affine(c.x(1), "weight", x, a);
  if (c.has(2)) check_affine(c.x(2), "bias", x, a);
  c.like(0, x);
  for (int k : {1, 2}) c.set(k, acc_dtype(x.dtype), leading(shape_of(x), a.normalized_dims));
}

// Inputs g, x, weight, mean, rstd; outputs dx, dweight, dbias. The last two have the normalised shape also where there
// is no weight.
void infer_layer_norm_backward(Infer& c) {
  const auto& a = c.attrs<LayerNormAttrs>();
  const View& x = c.x(1);
  check_layer_norm(x, a);
  detail::check_shape(c.x(0), "the gradient", shape_of(x));
  detail::check_dtype(c.x(0), "the gradient", x.dtype);
  if (c.has(2)) check_affine(c.x(2), "weight", x, a);
  for (int k : {3, 4}) {
    detail::check_shape(c.x(k), "a statistic", leading(shape_of(x), a.normalized_dims));
    detail::check_dtype(c.x(k), "a statistic", acc_dtype(x.dtype));
  }
  c.like(0, x);
  for (int k : {1, 2}) c.set(k, x.dtype, trailing(shape_of(x), a.normalized_dims));
}

// x in the accumulator's dtype with mean 0 and variance 1 over its last axes; the statistics keep these axes, of size
// 1.
struct Normalized {
  Tensor hat, mean, rstd;

  Normalized(const Tensor& raw, const LayerNormAttrs& a) {
    Tensor x = detail::wide(raw);
    Shape axes;
    int64_t n = 1;
    for (int i = x.dim() - int(a.normalized_dims); i < x.dim(); i++) axes.push_back(i), n *= x.size(i);
    mean = fovea::mean(x, axes, {.keepdim = true});
    Tensor d = x - mean;
    // A mean that is large beside the spread was rounded: what is left of it is taken off too.
    d = d - fovea::mean(d, axes, {.keepdim = true});
    // Squares of numbers above 1 are taken in units of the largest, so that they do not overflow; the result does not
    // depend on the unit.
    Tensor unit = ones_like(mean);
    if (n > 0 && mean.numel() > 0) unit = maximum(amax(abs(d.detach()), axes, {.keepdim = true}), 1.0);
    Tensor var = fovea::mean(square(d / unit), axes, {.keepdim = true});
    rstd = rsqrt(var + a.eps / unit / unit) / unit;
    hat = d * rstd;
  }
};

void layer_norm_compose(Compose& c) {
  const Tensor& x = c.x(0);
  Normalized s(x, c.attrs<LayerNormAttrs>());
  DType t = s.hat.dtype();
  Tensor y = s.hat;
  if (c.has(1)) y = y * c.x(1).to(t);
  if (c.has(2)) y = y + c.x(2).to(t);
  Shape rows = leading(x.shape(), c.attrs<LayerNormAttrs>().normalized_dims);
  c.out[0] = y.to(x.dtype());
  c.out[1] = view(s.mean, rows);
  c.out[2] = view(s.rstd, rows);
}

// With h = (x - mean) rstd and gw = g weight: dx = rstd (gw - mean(gw) - h mean(gw h)), dweight = sum of g h over the
// leading axes, dbias = that of g. The statistics are computed anew.
void layer_norm_backward_compose(Compose& c) {
  const auto& a = c.attrs<LayerNormAttrs>();
  const Tensor& x = c.x(1);
  Normalized s(x, a);
  DType t = s.hat.dtype();
  Tensor g = c.x(0).to(t), gw = c.has(2) ? g * c.x(2).to(t) : g;
  Shape axes, rows;
  for (int i = 0; i < x.dim(); i++) (i < x.dim() - a.normalized_dims ? rows : axes).push_back(i);
  auto mean_of = [&](const Tensor& v) { return mean(v, axes, {.keepdim = true}); };
  auto sum_rows = [&](const Tensor& v) { return rows.rank ? sum(v, rows) : v; };
  c.out[0] = ((gw - mean_of(gw) - s.hat * mean_of(gw * s.hat)) * s.rstd).to(x.dtype());
  c.out[1] = sum_rows(g * s.hat).to(x.dtype());
  c.out[2] = sum_rows(cast(g, t)).to(x.dtype());
}

// y like x; rstd: the leading axes, in the accumulator's dtype.
void infer_rms_norm(Infer& c) {
  const auto& a = c.attrs<LayerNormAttrs>();
  const View& x = c.x(0);
  check_layer_norm(x, a);
  if (c.has(1)) check_affine(c.x(1), "weight", x, a);
  c.like(0, x);
  c.set(1, acc_dtype(x.dtype), leading(shape_of(x), a.normalized_dims));
}

// Inputs g, x, weight, rstd; outputs dx, dweight, which has the normalised shape also where there is no weight.
void infer_rms_norm_backward(Infer& c) {
  const auto& a = c.attrs<LayerNormAttrs>();
  const View& x = c.x(1);
  check_layer_norm(x, a);
  detail::check_shape(c.x(0), "the gradient", shape_of(x));
  detail::check_dtype(c.x(0), "the gradient", x.dtype);
  if (c.has(2)) check_affine(c.x(2), "weight", x, a);
  detail::check_shape(c.x(3), "the statistic", leading(shape_of(x), a.normalized_dims));
  detail::check_dtype(c.x(3), "the statistic", acc_dtype(x.dtype));
  c.like(0, x);
  c.set(1, x.dtype, trailing(shape_of(x), a.normalized_dims));
}

// The axes that are normalised (`last`), or the others.
Shape axes_of(const Tensor& x, const LayerNormAttrs& a, bool last) {
  Shape axes;
  for (int i = 0; i < x.dim(); i++)
    if ((i >= x.dim() - a.normalized_dims) == last) axes.push_back(i);
  return axes;
}

// 1 / sqrt(mean(x^2) + eps) over the last axes, which stay with size 1. Squares in units of the largest number, as
// above; an infinity among them makes it 0.
Tensor rms_rstd(const Tensor& x, const LayerNormAttrs& a) {
  Shape axes = axes_of(x, a, true);
  if (x.numel() == 0) return rsqrt(mean(square(x), axes, {.keepdim = true}) + a.eps);
  Tensor unit = maximum(amax(abs(x.detach()), axes, {.keepdim = true}), 1.0);
  unit = where(isfinite(unit), unit, 1.0);
  return rsqrt(mean(square(x / unit), axes, {.keepdim = true}) + a.eps / unit / unit) / unit;
}

void rms_norm_compose(Compose& c) {
  const auto& a = c.attrs<LayerNormAttrs>();
  DType t = acc_dtype(c.x(0).dtype());
  Tensor x = c.x(0).to(t), rstd = rms_rstd(x, a), y = x * rstd;
  if (c.has(1)) y = y * c.x(1).to(t);
  c.out[0] = y.to(c.x(0).dtype());
  c.out[1] = view(rstd, leading(x.shape(), a.normalized_dims));
}

// With h = x rstd and gw = g weight: dx = rstd (gw - h mean(gw h)), dweight = sum of g h over the leading axes.
void rms_norm_backward_compose(Compose& c) {
  const auto& a = c.attrs<LayerNormAttrs>();
  DType own = c.x(1).dtype(), t = acc_dtype(own);
  Tensor x = c.x(1).to(t), rstd = rms_rstd(x, a), h = x * rstd, g = c.x(0).to(t);
  Tensor gw = c.has(2) ? g * c.x(2).to(t) : g;
  c.out[0] = ((gw - h * mean(gw * h, axes_of(x, a, true), {.keepdim = true})) * rstd).to(own);
  Shape rows = axes_of(x, a, false);
  c.out[1] = (rows.rank ? sum(g * h, rows) : g * h).to(own);
}

void rms_norm_backward(Backward& b) {
  Tensor x = b.x(0), weight = b.x(1), rstd = b.y(1), out[2];
  const Tensor* in[4] = {&b.g(), &x, &weight, &rstd};
  detail::apply_any(state(), op::rms_norm_backward, in, 4, &b.attrs<LayerNormAttrs>(), std::source_location::current(),
                    out);
  for (int i = 0; i < 2; i++)
    if (b.has(i) && b.needs(i)) b.add(i, out[i]);
}

void check_group_norm(const View& x, const GroupNormAttrs& a) {
  detail::check_floating(x, "input");
  if (x.rank < 2) throw ShapeError("input is " + to_string(shape_of(x)) + " (expected [N, C, ...])");
  if (a.num_groups < 1 || x.shape[1] % a.num_groups)
    throw ShapeError("input " + to_string(shape_of(x)) + " has " + std::to_string(x.shape[1]) +
                     " channels, num_groups is " + std::to_string(a.num_groups) + " (expected a divisor)");
}
void check_channels(const View& v, const char* name, const View& x) {
  detail::check_shape(v, name, {x.shape[1]});
  detail::check_dtype(v, name, x.dtype);
}

// y like x; mean and rstd: [N, groups], in the accumulator's dtype.
void infer_group_norm(Infer& c) {
  const auto& a = c.attrs<GroupNormAttrs>();
  const View& x = c.x(0);
  check_group_norm(x, a);
  for (int i : {1, 2})
    if (c.has(i)) check_channels(c.x(i), i == 1 ? "weight" : "bias", x);
  c.like(0, x);
  for (int k : {1, 2}) c.set(k, acc_dtype(x.dtype), {x.shape[0], a.num_groups});
}

// Inputs g, x, weight, mean, rstd; outputs dx, dweight, dbias, the last two also where there is no weight.
void infer_group_norm_backward(Infer& c) {
  const auto& a = c.attrs<GroupNormAttrs>();
  const View& x = c.x(1);
  check_group_norm(x, a);
  detail::check_shape(c.x(0), "the gradient", shape_of(x));
  detail::check_dtype(c.x(0), "the gradient", x.dtype);
  if (c.has(2)) check_channels(c.x(2), "weight", x);
  for (int k : {3, 4}) {
    detail::check_shape(c.x(k), "a statistic", {x.shape[0], a.num_groups});
    detail::check_dtype(c.x(k), "a statistic", acc_dtype(x.dtype));
  }
  c.like(0, x);
  for (int k : {1, 2}) c.set(k, x.dtype, {x.shape[1]});
}

// A group is a row of layer_norm; weight and bias are per channel.
struct Groups {
  Shape rows, across;  // [N groups, elements of one]; [C, 1, ...]
  Normalized s;

  Groups(const Tensor& x, const GroupNormAttrs& a)
      : rows{int64_t(uint64_t(x.size(0)) * uint64_t(a.num_groups)),  // reshape refuses what wraps round
             x.numel() == 0 ? 0 : x.numel() / (x.size(0) * a.num_groups)},
        s(reshape(x, rows), {1, a.eps}) {
    for (int i = 1; i < x.dim(); i++) across.push_back(i == 1 ? x.size(1) : 1);
  }
};

void group_norm_compose(Compose& c) {
  const auto& a = c.attrs<GroupNormAttrs>();
  const Tensor& x = c.x(0);
  Groups groups(x, a);
  DType t = groups.s.hat.dtype();
  Tensor y = reshape(groups.s.hat, x.shape());
  if (c.has(1)) y = y * reshape(c.x(1).to(t), groups.across);
  if (c.has(2)) y = y + reshape(c.x(2).to(t), groups.across);
  c.out[0] = cast(y, x.dtype());
  c.out[1] = view(groups.s.mean, {x.size(0), a.num_groups});
  c.out[2] = view(groups.s.rstd, {x.size(0), a.num_groups});
}

// As layer_norm's, of groups; the gradients of weight and bias are sums over everything but the channels.
void group_norm_backward_compose(Compose& c) {
  const Tensor& x = c.x(1);
  Groups groups(x, c.attrs<GroupNormAttrs>());
  DType t = groups.s.hat.dtype();
  Tensor g = c.x(0).to(t), gw = c.has(2) ? g * reshape(c.x(2).to(t), groups.across) : g;
  const Tensor &hat = groups.s.hat, spread = reshape(gw, groups.rows);
  auto mean_of = [](const Tensor& v) { return mean(v, 1, {.keepdim = true}); };
  c.out[0] = reshape((spread - mean_of(spread) - hat * mean_of(spread * hat)) * groups.s.rstd, x.shape()).to(x.dtype());
  Shape others{0};
  for (int i = 2; i < x.dim(); i++) others.push_back(i);
  c.out[1] = sum(g * reshape(hat, x.shape()), others).to(x.dtype());
  c.out[2] = sum(g, others).to(x.dtype());
}

void group_norm_backward(Backward& b) {
  if (!b.needs(0) && !b.needs(1)) {  // the bias alone: x was not kept
    Shape others{0};
    for (int i = 2; i < b.g().dim(); i++) others.push_back(i);
    return b.add(2, sum(b.g(), others));
  }
  Tensor in[5] = {b.g(), b.x(0), b.x(1), b.y(1), b.y(2)}, out[3];
  const Tensor* x[5] = {&in[0], &in[1], &in[2], &in[3], &in[4]};
  detail::apply_any(state(), op::group_norm_backward, x, 5, &b.attrs<GroupNormAttrs>(), std::source_location::current(),
                    out);
  for (int i = 0; i < 3; i++)
    if (b.has(i) && b.needs(i)) b.add(i, out[i]);
}

void layer_norm_backward(Backward& b) {
  const auto& a = b.attrs<LayerNormAttrs>();
  if (!b.needs(0) && !b.needs(1)) {  // the bias alone: x was not kept
    Shape rows;
    for (int i = 0; i < b.g().dim() - a.normalized_dims; i++) rows.push_back(i);
    return b.add(2, rows.rank ? sum(b.g(), rows) : b.g());
  }
  Tensor in[5] = {b.g(), b.x(0), b.x(1), b.y(1), b.y(2)}, out[3];
  const Tensor* x[5] = {&in[0], &in[1], &in[2], &in[3], &in[4]};
  detail::apply_any(state(), op::layer_norm_backward, x, 5, &a, std::source_location::current(), out);
  for (int i = 0; i < 3; i++)
    if (b.has(i) && b.needs(i)) b.add(i, out[i]);
}

}  // namespace

void define_norm_ops() {
  define(op::layer_norm, {.doc = "(x - mean) / sqrt(var + eps) * weight + bias over the last axes; also mean and rstd",
                          .infer = infer_layer_norm,
                          .compose = layer_norm_compose,
                          .gradient = Gradient::backward,
                          .backward = layer_norm_backward,
                          .fixed_outputs = 0b110});
  define(op::layer_norm_backward, {.doc = "the gradients of x, weight and bias",
                                   .infer = infer_layer_norm_backward,
                                   .compose = layer_norm_backward_compose,
                                   .gradient = Gradient::derived});
  define(op::rms_norm, {.doc = "x / sqrt(mean(x^2) + eps) * weight over the last axes; also 1 / sqrt(...)",
                        .infer = infer_rms_norm,
                        .compose = rms_norm_compose,
                        .gradient = Gradient::backward,
                        .backward = rms_norm_backward,
                        .fixed_outputs = 0b10});
  define(op::rms_norm_backward, {.doc = "the gradients of x and weight",
                                 .infer = infer_rms_norm_backward,
                                 .compose = rms_norm_backward_compose,
                                 .gradient = Gradient::derived});
  define(op::group_norm, {.doc = "layer_norm of groups of channels, * weight + bias per channel; also mean and rstd",
                          .infer = infer_group_norm,
                          .compose = group_norm_compose,
                          .gradient = Gradient::backward,
                          .backward = group_norm_backward,
                          .fixed_outputs = 0b110});
  define(op::group_norm_backward, {.doc = "the gradients of x, weight and bias",
                                   .infer = infer_group_norm_backward,
                                   .compose = group_norm_backward_compose,
                                   .gradient = Gradient::derived});
}

namespace {

// The count of normalised axes.
int check_norm(const char* op, const Operand& x, const Shape& normalized_shape, double eps) {
  const Tensor& t = detail::tensor_of(x, op);
  const int n = normalized_shape.rank;
  if (n < 1 || n > t.dim() || !(trailing(t.shape(), n) == normalized_shape))
    detail::fail<ShapeError>(op, x.where(),
                             "x " + to_string(t.shape()) + " does not end in normalized_shape " +
                                 to_string(normalized_shape) + " (expected the sizes of x's last axes)");
  if (!(eps >= 0)) detail::fail<ValueError>(op, x.where(), "eps is " + text_of(eps) + " (expected 0 or more)");
  return n;
}

}  // namespace

Tensor layer_norm(const Operand& x, const Shape& normalized_shape, const Operand& weight, const Operand& bias,
                  LayerNormOptions o) {
  const int n = check_norm("layer_norm", x, normalized_shape, o.eps);
  return apply<op::layer_norm, 3>(
      {x.pointer(), detail::optional_of(weight, "layer_norm"), detail::optional_of(bias, "layer_norm")}, {n, o.eps},
      x.where());
}

Tensor rms_norm(const Operand& x, const Shape& normalized_shape, const Operand& weight, RmsNormOptions o) {
  const int n = check_norm("rms_norm", x, normalized_shape, o.eps.value_or(0));
  const double smallest = x.tensor().dtype() == f64 ? 0x1p-52 : 0x1p-23;
  return apply<op::rms_norm, 2>({x.pointer(), detail::optional_of(weight, "rms_norm")}, {n, o.eps.value_or(smallest)},
                                x.where());
}

Tensor group_norm(const Operand& input, Integer num_groups, const Operand& weight, const Operand& bias,
                  GroupNormOptions o) {
  const Tensor& x = detail::tensor_of(input, "group_norm");
  if (!(o.eps >= 0))
    detail::fail<ValueError>("group_norm", input.where(), "eps is " + text_of(o.eps) + " (expected 0 or more)");
  return apply<op::group_norm, 3>(
      {&x, detail::optional_of(weight, "group_norm"), detail::optional_of(bias, "group_norm")}, {num_groups, o.eps},
      input.where());
}

}  // namespace fovea
