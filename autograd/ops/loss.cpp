#include "autograd/ops/loss.h"

#include <cmath>

#include "autograd/ops/activation.h"
#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/index.h"
#include "autograd/ops/moments.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

// The row takes input [N, C], target [N], weight [C]; cross_entropy() below brings the other forms to it.
void check_classes(const View& x, const View& target, const View* weight, const CrossEntropyAttrs& a) {
  detail::check_floating(x, "input");
  detail::check_index(target, "target");
  if (x.rank != 2) throw ShapeError("input is " + to_string(shape_of(x)) + " (expected [N, C])");
  if (x.shape[1] == 0 && x.shape[0] > 0)
    throw ShapeError("input is " + to_string(shape_of(x)) + " (expected one class or more)");
  detail::check_shape(target, "target", {x.shape[0]});
  if (weight) {
    detail::check_shape(*weight, "weight", {x.shape[1]});
    detail::check_dtype(*weight, "weight", x.dtype);
  }
  if (!(a.label_smoothing >= 0 && a.label_smoothing <= 1))
    throw ValueError("label_smoothing is " + text_of(a.label_smoothing) + " (expected 0 to 1)");
}

// The statistic is a row's largest logit and its sum of exp(x - largest), not the log-sum-exp that they make: as one
// number that loses the sum where the largest is far from 0.
DType statistic_dtype(DType t) { return is_dual(t) ? t : f64; }
Shape statistic_shape(const View& x) { return {x.shape[0], 2}; }

void infer_cross_entropy(Infer& c) {
  const auto& a = c.attrs<CrossEntropyAttrs>();
  const View& x = c.x(0);
  check_classes(x, c.x(1), c.has(2) ? &c.x(2) : nullptr, a);
  c.set(0, x.dtype, a.reduction == Reduction::none ? Shape{x.shape[0]} : Shape());
  c.set(1, statistic_dtype(x.dtype), statistic_shape(x));
}

void infer_cross_entropy_backward(Infer& c) {
  const auto& a = c.attrs<CrossEntropyAttrs>();
  const View& x = c.x(1);
  check_classes(x, c.x(2), c.has(3) ? &c.x(3) : nullptr, a);
  detail::check_shape(c.x(0), "the gradient", a.reduction == Reduction::none ? Shape{x.shape[0]} : Shape());
  detail::check_dtype(c.x(0), "the gradient", x.dtype);
  detail::check_shape(c.x(4), "the statistic", statistic_shape(x));
  detail::check_dtype(c.x(4), "the statistic", statistic_dtype(x.dtype));
  c.like(0, x);
}

// What loss and gradient share: per row its class (0 where ignored), its weight, and what the sum is divided by.
struct Targets {
  Tensor valid, index, weight, divisor;

  Targets(const Tensor& target, const Tensor& weights, DType t, const CrossEntropyAttrs& a) {
    valid = ne(target, a.ignore_index);
    index = where(valid, target, 0);
    weight = weights.defined() ? where(valid, gather(weights.to(t), 0, index), 0.0) : cast(valid, t);
    if (a.reduction != Reduction::mean) return;
    // Nothing is divided by zero where no target counts; weights that add up to zero are the caller's.
    divisor = weights.defined() ? where(any(valid), sum(weight), 1.0) : clamp(sum(weight), 1);
  }
};

Tensor column(const Tensor& rows) { return unsqueeze(rows, 1); }

// Sum or mean of the rows' losses, or the rows themselves.
Tensor reduce_rows(const Tensor& rows, const Targets& y, Reduction r) {
  if (r == Reduction::none) return rows;
  return r == Reduction::sum ? sum(rows) : sum(rows) / y.divisor;
}

// With e the label smoothing, over classes c:
//   row loss = (1 - e) w_y nll_y + e / C sum_c w_c nll_c,   nll_c = log sum exp(x - max) - (x_c - max).
void cross_entropy_compose(Compose& c) {
  const auto& a = c.attrs<CrossEntropyAttrs>();
  DType t = acc_dtype(c.x(0).dtype());
  Tensor x = c.x(0).to(t), weights = c.has(2) ? c.x(2).to(t) : Tensor();
  Targets y(c.x(1), weights, t, a);
  Tensor m = zeros({x.size(0), 1}, {.like = x});
  if (x.numel() > 0) {
    m = amax(x.detach(), {1}, {.keepdim = true});
    m = where(eq(m, -INFINITY), 0.0, m);
  }
  Tensor shifted = x - m, total = sum(exp(shifted), {1}, {.keepdim = true}), log_total = log(total);
  double e = a.label_smoothing;
  Tensor rows = y.weight * squeeze(log_total - gather(shifted, 1, column(y.index)), 1);
  if (e > 0) {
    Tensor nll = log_total - shifted;
    rows = rows * (1 - e) + sum(weights.defined() ? nll * weights : nll, {1}) * (e / double(x.size(1)));
  }
  rows = where(y.valid, rows, 0.0);
  c.out[0] = reduce_rows(rows, y, a.reduction).to(c.x(0).dtype());
  c.out[1] = cat({m, total}, 1).to(statistic_dtype(c.x(0).dtype()));
}

// Inputs g, input, target, weight, statistic, which is computed anew. With p = softmax(x):
//   d row / d x_c = (1 - e) w_y (p_c - [c = y]) + e / C (p_c sum_k w_k - w_c), and 0 where ignored.
// An ignored row counts as zeros, lest derivatives of this multiply its NaN by 0.
void cross_entropy_backward_compose(Compose& c) {
  const auto& a = c.attrs<CrossEntropyAttrs>();
  DType t = acc_dtype(c.x(1).dtype());
  Tensor g = c.x(0).to(t), weights = c.has(3) ? c.x(3).to(t) : Tensor();
  Targets y(c.x(2), weights, t, a);
  Tensor x = where(column(y.valid), c.x(1).to(t), 0.0), p = softmax(x, 1);
  int64_t classes = x.size(1);
  Tensor hit = cast(eq(arange(double(classes), {.dtype = i64, .like = x}), column(y.index)), t);
  Tensor slope = column(y.weight) * (p - hit);
  double e = a.label_smoothing;
  if (e > 0) {
    Tensor spread = weights.defined() ? p * sum(weights) - weights : p * double(classes) - 1;
    slope = slope * (1 - e) + spread * (e / double(classes));
  }
  Tensor scale = a.reduction == Reduction::none ? column(g) : a.reduction == Reduction::mean ? g / y.divisor : g;
  c.out[0] = where(column(y.valid), slope * scale, 0.0).to(c.x(1).dtype());
}

void infer_nll_loss(Infer& c) {
  const auto& a = c.attrs<NllLossAttrs>();
  const View& x = c.x(0);
  check_classes(x, c.x(1), c.has(2) ? &c.x(2) : nullptr, {});
  c.set(0, x.dtype, a.reduction == Reduction::none ? Shape{x.shape[0]} : Shape());
}
void nll_loss_compose(Compose& c) {
  const auto& a = c.attrs<NllLossAttrs>();
  Tensor x = detail::wide(c.x(0));
  Targets y(c.x(1), c.has(2) ? detail::wide(c.x(2)) : Tensor(), x.dtype(), {a.ignore_index, a.reduction});
  Tensor rows = where(y.valid, -squeeze(gather(x, 1, column(y.index)), 1) * y.weight, 0.0);
  c.out[0] = reduce_rows(rows, y, a.reduction).to(c.x(0).dtype());
}
void nll_loss_backward(Backward& b) {
  const auto& a = b.attrs<NllLossAttrs>();
  Tensor g = detail::wide(b.g()), weight = b.has(2) ? detail::wide(b.x(2)) : Tensor(), none;
  Targets y(b.x(1), weight, g.dtype(), {a.ignore_index, a.reduction});
  if (a.reduction == Reduction::mean) g = g / y.divisor;
  Tensor index = column(y.index), slope = column(where(y.valid, -g * y.weight, 0.0).to(b.dtype(0)));
  b.add(0, apply<op::scatter, 3>({&none, &index, &slope}, {1, b.shape(0)[1]}, std::source_location::current()));
}

// [C] -> [1, C]; [N, C, d...] -> [N d..., C]. `rows` becomes the shape of the targets.
Tensor class_rows(const Tensor& x, Shape& rows, std::source_location where) {
  if (x.dim() < 1) throw ShapeError("input is 0-dim (expected [N, C], [C] or [N, C, d1, ...])");
  rows = Shape();
  for (int i = 0; i < x.dim(); i++)
    if (i != (x.dim() == 1 ? 0 : 1)) rows.push_back(x.size(i));
  if (x.dim() == 2) return x;
  if (x.dim() == 1) return unsqueeze(Operand(x, where), 0);
  Shape order{0};
  for (int i = 2; i < x.dim(); i++) order.push_back(i);
  order.push_back(1);
  return reshape(permute(Operand(x, where), order), {numel(rows), x.size(1)});
}

void check_target(const Tensor& target, const Shape& rows, const Tensor& input) {
  if (!(target.shape() == rows))
    throw ShapeError("target is " + to_string(target.shape()) + " (expected " + to_string(rows) + " for input " +
                     to_string(input.shape()) + ")");
}

void check_constant(const Tensor& t, const char* name) {
  if (t.defined() && t.requires_grad() && (state().mode & kGrad))
    throw GradientError(std::string(name) + " requires gradients, but is a constant here. Pass " + name + ".detach()");
}

Tensor reduced(const Tensor& x, Reduction r) {
  check_listed(r, "reduction");
  return r == Reduction::none ? x : r == Reduction::sum ? sum(x) : mean(x);
}

// Of numbers x and their targets t.
Tensor pair_terms(const PairLossAttrs& a, const Tensor& x, const Tensor& t) {
  if (a.kind == PairLoss::logits) return (1.0 - t) * x - logsigmoid(x);
  Tensor d = x - t;
  if (a.kind == PairLoss::squared) return square(d);
  if (a.kind == PairLoss::absolute) return abs(d);
  // One formula for all parts, without a branch that overflows, and smooth at 0.
  Tensor near = maximum(minimum(d, a.delta), -a.delta);
  return near * a.scale * (d - near * 0.5);
}
// The derivative of the terms by x.
Tensor pair_slopes(const PairLossAttrs& a, const Tensor& x, const Tensor& t) {
  if (a.kind == PairLoss::logits) return sigmoid(x) - t;
  Tensor d = x - t;
  if (a.kind == PairLoss::squared) return d * 2;
  if (a.kind == PairLoss::absolute) return sign(d);
  return maximum(minimum(d, a.delta), -a.delta) * a.scale;
}

void check_pair(const View& x, const View& t, const PairLossAttrs& a) {
  detail::check_floating(x, "input");
  detail::check_shape(t, "target", shape_of(x));
  detail::check_dtype(t, "target", x.dtype);
  if (a.kind == PairLoss::huber && !(a.delta > 0))
    throw ValueError("delta is " + text_of(a.delta) + " (expected more than 0)");
}
Shape loss_shape(const View& x, Reduction r) { return r == Reduction::none ? shape_of(x) : Shape(); }

void infer_pair_loss(Infer& c) {
  check_pair(c.x(0), c.x(1), c.attrs<PairLossAttrs>());
  c.set(0, c.x(0).dtype, loss_shape(c.x(0), c.attrs<PairLossAttrs>().reduction));
}
void pair_loss_compose(Compose& c) {
  const auto& a = c.attrs<PairLossAttrs>();
  c.out[0] = reduced(pair_terms(a, detail::wide(c.x(0)), detail::wide(c.x(1))), a.reduction).to(c.x(0).dtype());
}

// Inputs g, x, t; the output is the gradient of x.
void infer_pair_loss_backward(Infer& c) {
  check_pair(c.x(1), c.x(2), c.attrs<PairLossAttrs>());
  detail::check_shape(c.x(0), "the gradient", loss_shape(c.x(1), c.attrs<PairLossAttrs>().reduction));
  detail::check_dtype(c.x(0), "the gradient", c.x(1).dtype);
  c.like(0, c.x(1));
}
Tensor of_each(const Tensor& g, const PairLossAttrs& a, int64_t n) {
  return a.reduction == Reduction::mean ? detail::wide(g) * (1.0 / double(std::max<int64_t>(n, 1))) : detail::wide(g);
}
void pair_loss_backward_compose(Compose& c) {
  const auto& a = c.attrs<PairLossAttrs>();
  const Tensor& x = c.x(1);
  c.out[0] = (of_each(c.x(0), a, x.numel()) * pair_slopes(a, detail::wide(x), detail::wide(c.x(2)))).to(x.dtype());
}

// The gradient of t is that of x with the other sign, but for logits, where the terms are linear in t.
void pair_loss_backward(Backward& b) {
  const auto& a = b.attrs<PairLossAttrs>();
  Tensor g = b.g(), x = b.x(0), t = b.x(1), dx;
  const bool linear = a.kind == PairLoss::logits;
  if (b.needs(0) || !linear) dx = apply<op::pair_loss_backward, 3>({&g, &x, &t}, a, std::source_location::current());
  if (b.needs(0)) b.add(0, dx);
  if (b.needs(1)) b.add(1, linear ? (detail::wide(x) * -of_each(g, a, x.numel())).to(x.dtype()) : -dx);
}

// input and target broadcast together, and then promote. Whole numbers and numbers beside tensors take the formula.
Tensor pair_loss(const char* name, const Operand& input, const Operand& target, PairLossAttrs a) {
  auto fit_scale = [&a](DType t) {  // 1 / beta beyond the dtype: no difference is that near
    if (!std::isfinite(nearest(acc_dtype(t), a.scale))) a.kind = PairLoss::absolute;
  };
  if (!input.is_number() && !target.is_number()) {
    const Tensor &x = detail::tensor_of(input, name), &t = detail::tensor_of(target, name);
    if (const DType own = promote(x.dtype(), t.dtype()); is_floating(own)) {
      fit_scale(own);
      const Shape shape = broadcast(x.shape(), t.shape());
      Tensor u = expand(x.to(own), shape), v = expand(t.to(own), shape);
      return apply<op::pair_loss, 2>({&u, &v}, a, input.where());
    }
  }
  Tensor d = sub(input, target);
  fit_scale(d.dtype());
  return reduced(pair_terms(a, d, zeros({}, {.dtype = d.dtype(), .like = d})), a.reduction);
}

// Targets that are probabilities: -sum_c w_c t_c log p_c, t mixed with the uniform distribution.
Tensor soft_cross_entropy(const Tensor& x, const Tensor& target, const CrossEntropyOptions& o) {
  check_target(target, x.shape(), x);
  if (!(o.label_smoothing >= 0 && o.label_smoothing <= 1))
    throw ValueError("label_smoothing is " + text_of(o.label_smoothing) + " (expected 0 to 1)");
  if (o.ignore_index >= 0)
    throw ValueError("ignore_index is " + std::to_string(o.ignore_index) + ", target floating (expected i64 or i32)");
  int axis = x.dim() == 1 ? 0 : 1;
  Tensor t = target;
  if (o.label_smoothing > 0) t = t * (1 - o.label_smoothing) + o.label_smoothing / double(x.size(axis));
  Tensor terms = log_softmax(x, axis) * t;
  if (o.weight.defined()) {
    Shape s;
    for (int i = 0; i < x.dim(); i++) s.push_back(i == axis ? x.size(axis) : 1);
    terms = terms * reshape(o.weight, s);
  }
  Tensor rows = -sum(terms, {axis});
  return o.reduction == Reduction::mean && rows.numel() == 0 ? sum(rows) : reduced(rows, o.reduction);
}

}  // namespace

void define_loss_ops() {
  define(op::cross_entropy,
         {.doc = "-log softmax(input)[target], reduced; also each row's largest number and sum of exp(x - largest)",
          .infer = infer_cross_entropy,
          .compose = cross_entropy_compose,
          .gradient = Gradient::backward,
          .backward =
              [](Backward& b) {
                Tensor x = b.x(0), target = b.x(1), weight = b.x(2), statistic = b.y(1);
                b.add(0, apply<op::cross_entropy_backward, 5>({&b.g(), &x, &target, &weight, &statistic},
                                                              b.attrs<CrossEntropyAttrs>(),
                                                              std::source_location::current()));
              },
          .fixed_outputs = 0b10});
  define(op::cross_entropy_backward, {.doc = "the gradient of cross_entropy's input",
                                      .infer = infer_cross_entropy_backward,
                                      .compose = cross_entropy_backward_compose,
                                      .gradient = Gradient::derived});
  define(op::nll_loss, {.doc = "-input[target], reduced",
                        .infer = infer_nll_loss,
                        .compose = nll_loss_compose,
                        .gradient = Gradient::backward,
                        .backward = nll_loss_backward});
  define(op::pair_loss, {.doc = "a loss of numbers and their targets, reduced",
                         .infer = infer_pair_loss,
                         .compose = pair_loss_compose,
                         .gradient = Gradient::backward,
                         .backward = pair_loss_backward});
  define(op::pair_loss_backward, {.doc = "the gradient of pair_loss's numbers",
                                  .infer = infer_pair_loss_backward,
                                  .compose = pair_loss_backward_compose,
                                  .gradient = Gradient::derived});
}

Tensor cross_entropy(const Operand& input, const Operand& target, const CrossEntropyOptions& o) {
  return detail::called("cross_entropy", input.where(), [&]() -> Tensor {
    const Tensor &x = detail::tensor_of(input, "cross_entropy"), &y = detail::tensor_of(target, "cross_entropy");
    check_constant(o.weight, "weight");
    if (is_floating(y.dtype())) return soft_cross_entropy(x, y, o);
    Shape rows;
    Tensor logits = class_rows(x, rows, input.where());
    check_target(y, rows, x);
    Tensor flat = reshape(Operand(y, input.where()), {numel(rows)});
    Tensor loss = apply<op::cross_entropy, 3>({&logits, &flat, &o.weight},
                                              {o.ignore_index, o.reduction, o.label_smoothing}, input.where());
    return o.reduction == Reduction::none ? reshape(loss, rows) : loss;
  });
}

Tensor nll_loss(const Operand& input, const Operand& target, const NllLossOptions& o) {
  return detail::called("nll_loss", input.where(), [&]() -> Tensor {
    const Tensor &x = detail::tensor_of(input, "nll_loss"), &y = detail::tensor_of(target, "nll_loss");
    check_constant(o.weight, "weight");
    Shape rows;
    Tensor logs = class_rows(x, rows, input.where());
    check_target(y, rows, x);
    Tensor flat = reshape(Operand(y, input.where()), {numel(rows)});
    Tensor loss = apply<op::nll_loss, 3>({&logs, &flat, &o.weight}, {o.ignore_index, o.reduction}, input.where());
    return o.reduction == Reduction::none ? reshape(loss, rows) : loss;
  });
}

Tensor mse_loss(const Operand& input, const Operand& target, LossOptions o) {
  return detail::called("mse_loss", input.where(), [&] {
    return pair_loss("mse_loss", input, target, {PairLoss::squared, o.reduction});
  });
}

Tensor l1_loss(const Operand& input, const Operand& target, LossOptions o) {
  return detail::called("l1_loss", input.where(), [&] {
    return pair_loss("l1_loss", input, target, {PairLoss::absolute, o.reduction});
  });
}

Tensor kl_div(const Operand& input, const Operand& target, KlDivOptions o) {
  return detail::called("kl_div", input.where(), [&]() -> Tensor {
    const Tensor &x = detail::tensor_of(input, "kl_div"), &t = detail::tensor_of(target, "kl_div");
    detail::check_floating(x.array().view(), "input"), detail::check_floating(t.array().view(), "target");
    Tensor terms;
    if (o.log_target) {
      terms = exp(t) * (t - x);
    } else {
      Tensor none = eq(t, 0);
      terms = where(none, 0.0, t * log(where(none, 1.0, t))) - t * x;
    }
    check_listed(o.reduction, "reduction");
    if (o.reduction != KlReduction::batchmean) return reduced(terms, Reduction(o.reduction));  // of the same order
    return x.dim() == 0 ? sum(terms) : sum(terms) / double(x.size(0));
  });
}

Tensor cosine_similarity(const Operand& x1, const Operand& x2, Integer dim, CosineSimilarityOptions o) {
  return detail::called("cosine_similarity", x1.where(), [&] {
    const Tensor &a = detail::tensor_of(x1, "cosine_similarity"), &b = detail::tensor_of(x2, "cosine_similarity");
    if (!(o.eps > 0)) throw ValueError("eps is " + text_of(o.eps) + " (expected more than 0)");
    const DType own = promote(a.dtype(), b.dtype()), t = acc_dtype(own);
    if (!is_floating(own))
      throw DTypeError(std::string("x1 and x2 are ") + name_of(own) + " (expected a floating dtype)");
    Shape shape = broadcast(a.shape(), b.shape());
    const int axis = wrap_dim(dim, shape.rank);
    if (shape.rank == 0) shape = {1};
    Tensor u = expand(a.to(t), shape), v = expand(b.to(t), shape);
    auto unit = [&](const Tensor& x) { return x / clamp(vector_norm(x, 2, axis, {.keepdim = true}), o.eps); };
    return sum(unit(u) * unit(v), {axis}).to(own);
  });
}

Tensor huber_loss(const Operand& input, const Operand& target, HuberLossOptions o) {
  return detail::called("huber_loss", input.where(), [&]() -> Tensor {
    if (!(o.delta > 0)) throw ValueError("delta is " + text_of(o.delta) + " (expected more than 0)");
    return pair_loss("huber_loss", input, target, {PairLoss::huber, o.reduction, o.delta, 1});
  });
}

Tensor smooth_l1_loss(const Operand& input, const Operand& target, SmoothL1LossOptions o) {
  return detail::called("smooth_l1_loss", input.where(), [&]() -> Tensor {
    if (!(o.beta >= 0)) throw ValueError("beta is " + text_of(o.beta) + " (expected 0 or more)");
    if (o.beta == 0) return l1_loss(input, target, {o.reduction});
    return pair_loss("smooth_l1_loss", input, target, {PairLoss::huber, o.reduction, o.beta, 1 / o.beta});
  });
}

// Written as (1 - t) x - (1 + (pos_weight - 1) t) log(sigmoid(x)).
Tensor binary_cross_entropy_with_logits(const Operand& input, const Operand& target, const BceOptions& o) {
  return detail::called("binary_cross_entropy_with_logits", input.where(), [&]() -> Tensor {
    const char* name = "binary_cross_entropy_with_logits";
    const Tensor &x = detail::tensor_of(input, name), &t = detail::tensor_of(target, name);
    if (!(x.shape() == t.shape()))
      throw ShapeError("target is " + to_string(t.shape()) + " (expected " + to_string(x.shape()) + " as input)");
    if (!o.weight.defined() && !o.pos_weight.defined())
      return pair_loss(name, input, target, {PairLoss::logits, o.reduction});
    Tensor likely = logsigmoid(Operand(x, input.where()));
    if (o.pos_weight.defined()) likely = likely * (t * (o.pos_weight - 1) + 1);
    Tensor loss = (1.0 - t) * x - likely;
    if (o.weight.defined()) loss = loss * o.weight;
    return reduced(loss, o.reduction);
  });
}

}  // namespace fovea
