#include "autograd/proof/check.h"

#include <algorithm>
#include <cmath>

#include "autograd/apply.h"
#include "autograd/proof/evaluate.h"

namespace fovea::proof {
namespace {

using detail::short_number;

constexpr double kUnit = 1e-12;        // of the exact comparison, times the sample's class
constexpr double kDifferences = 1e-8;  // of six-point differences
constexpr double kSideStep = 1e-7;     // to both sides of a kink
constexpr double kSideTolerance = 1e-5;

std::vector<int64_t> index_of(int64_t flat, const Shape& shape) {
  std::vector<int64_t> at(size_t(shape.rank));
  for (int d = shape.rank - 1; d >= 0; d--) at[size_t(d)] = flat % shape[d], flat /= shape[d];
  return at;
}

// Checks one sample; `report` keeps the worst of everything compared.
class Checker {
 public:
  Checker(const Sample& s, const CheckOptions& o, Report& report) : s_(s), o_(o), report_(report) {
    Device ref = fovea::device("ref");
    x_ = make_inputs(s, f64, ref);
    mine_ = o.device == ref ? x_ : make_inputs(s, f64, o.device);
    inputs_ = differentiated_inputs(s);
    std::vector<Tensor> y = run(s, x_);
    for (int k : differentiable_outputs(s, y)) y_.push_back(y[size_t(k)]);
    tolerance_ = kUnit * s.factor * s.condition;
    report_.tolerance = tolerance_;
  }

  void all() {
    if (inputs_.empty() || y_.empty()) return;
    if (s_.kink) return membership();
    bool exact = has_oracle();
    report_.exact = exact;
    if (!exact) return differences(true);
    int64_t entries = 0;
    for (int i : inputs_) entries += x_[size_t(i)].numel();
    if (s_.large || entries > o_.max_entries) {
      directions();
    } else {
      jacobian();
      first();
      if (o_.order > 1 && s_.order > 1) second(), second_differences();
    }
    if (!s_.large) differences(false);
  }

 private:
  std::vector<Numbers> no_tangents() const { return std::vector<Numbers>(x_.size()); }
  Numbers unit(int i, size_t k) const {
    Numbers u(size_t(x_[size_t(i)].numel()));
    u[k] = 1;
    return u;
  }

  bool has_oracle() {
    try {
      dual_derivative(s_, x_, no_tangents());
      return true;
    } catch (const UnsupportedError&) {  // a base op of a user's, without duals
      return false;
    }
  }

  // Columns of the Jacobian: J e for every element of every differentiated input, outputs one behind the other.
  void jacobian() {
    for (int i : inputs_) {
      auto& columns = jacobian_.emplace_back();
      for (size_t k = 0; k < size_t(x_[size_t(i)].numel()); k++) {
        std::vector<Numbers> u = no_tangents();
        u[size_t(i)] = unit(i, k);
        columns.push_back(flat(dual_derivative(s_, x_, u)));
      }
    }
  }

  static Numbers flat(const std::vector<Numbers>& parts) {
    Numbers all;
    for (const Numbers& p : parts) all.insert(all.end(), p.begin(), p.end());
    return all;
  }
  static Numbers flat(const std::vector<Tensor>& parts) {
    std::vector<Numbers> all;
    for (const Tensor& t : parts) all.push_back(numbers(t));
    return flat(all);
  }

  // Cotangents: signs, so that one wrong entry shows whole, other numbers, and single entries.
  std::vector<std::vector<Tensor>> cotangents(const std::vector<Tensor>& like) {
    std::vector<std::vector<Tensor>> list;
    for (uint64_t seed = 0; seed < 3; seed++) {
      auto& v = list.emplace_back();
      for (size_t k = 0; k < like.size(); k++)
        v.push_back(probe_like(like[k], seed < 2 ? Probe::signs : Probe::sixteenths, seed * 8 + k));
    }
    for (size_t k = 0; k < like.size(); k++)
      for (size_t e = 0; e < 4 && e < size_t(like[k].numel()); e++) {
        auto& v = list.emplace_back();
        for (const Tensor& t : like) v.push_back(zeros_like(t));
        Numbers one(size_t(like[k].numel()));
        one[(e * 7) % one.size()] = 1;
        v[k] = tensor_from_host(one.data(), f64, like[k].shape(), {.like = like[k]});
      }
    return list;
  }

  std::vector<Tensor> outputs_here() {
    std::vector<Tensor> y = run(s_, mine_), list;
    for (int k : differentiable_outputs(s_, y)) list.push_back(y[size_t(k)]);
    return list;
  }

  void first() {
    for (const std::vector<Tensor>& v : cotangents(outputs_here())) {
      std::vector<Tensor> dx = gradients(s_, mine_, v);
      Numbers c = flat(v);
      for (size_t i = 0; i < inputs_.size(); i++) compare(1, inputs_[i], dx[i], jacobian_[i], c, true);
    }
  }

  // The gradient of <w, J^T v>, for random w: with respect to x it is D_w D_e <v, y>, to v it is J w.
  void second() {
    std::vector<Tensor> x = mine_, targets, y, v, w;
    for (int i : inputs_) targets.push_back(x[size_t(i)] = x[size_t(i)].requires_grad_());
    std::vector<Tensor> all = call(s_, x);
    for (int k : differentiable_outputs(s_, all)) y.push_back(all[size_t(k)]);
    for (size_t k = 0; k < y.size(); k++) v.push_back(probe_like(y[k], Probe::signs, k).requires_grad_());
    std::vector<Tensor> g = grad(y, targets, v, {.create_graph = true, .allow_unused = true}), roots, given;
    std::vector<Numbers> u = no_tangents();
    for (size_t i = 0; i < g.size(); i++) {
      Tensor direction = probe_like(targets[i], Probe::sixteenths, 50 + i);
      u[size_t(inputs_[i])] = numbers(direction);
      if (!g[i].defined() || !g[i].requires_grad()) continue;
      roots.push_back(g[i]);
      given.push_back(direction);
    }
    for (const Tensor& t : v) targets.push_back(t);
    std::vector<Tensor> h =
        roots.empty() ? std::vector<Tensor>(targets.size()) : grad(roots, targets, given, {.allow_unused = true});
    Numbers c = flat(v);
    for (size_t i = 0; i < inputs_.size(); i++) {
      std::vector<Numbers> columns;
      for (size_t k = 0; k < size_t(targets[i].numel()); k++) {
        std::vector<Numbers> e = no_tangents();
        e[size_t(inputs_[i])] = unit(inputs_[i], k);
        columns.push_back(flat(dual_derivative(s_, x_, u, e)));
      }
      compare(2, inputs_[i], h[i], columns, c, false);
    }
    std::vector<Numbers> along = dual_derivative(s_, x_, u);
    for (size_t k = 0; k < v.size(); k++) {  // entry e of J w is its own "column" with the cotangent 1
      std::vector<Numbers> columns;
      for (double value : along[k]) columns.push_back({value});
      compare(2, -1 - int(k), h[inputs_.size() + k], columns, {1}, false);
    }
  }

  // The gradient of <v, y> along u, by six points, against D_w D_u <v, y>: where rule and composition leave out the
  // same term (a branch that holds at one point only), differences alone see it.
  void second_differences() {
    for (const Tensor& t : y_)
      if (t.dtype() != f64) return;  // a cast: its rounding is coarser than any step
    double largest = 1;
    std::vector<Tensor> v;
    std::vector<Numbers> u = no_tangents(), w = no_tangents();
    for (size_t k = 0; k < y_.size(); k++) v.push_back(probe_like(y_[k], Probe::signs, 11 + k));
    for (int i : inputs_) {
      for (double value : numbers(x_[size_t(i)])) largest = std::max(largest, std::abs(value));
      u[size_t(i)] = numbers(probe_like(x_[size_t(i)], Probe::signs, 130 + uint64_t(i)));
      w[size_t(i)] = numbers(probe_like(x_[size_t(i)], Probe::sixteenths, 150 + uint64_t(i)));
    }
    const double step = std::pow(2.2e-16, 1 / 7.0) * (largest < 1e6 ? std::min(largest, 2.0) : largest);
    double size = 1;
    auto slope = [&](const std::vector<Tensor>& x) {
      std::vector<Tensor> dx = gradients(s_, x, v);
      double sum = 0, all = 0;
      for (size_t i = 0; i < dx.size(); i++) {
        Numbers g = numbers(dx[i]);
        for (size_t k = 0; k < g.size(); k++) {
          const double term = g[k] * w[size_t(inputs_[i])][k];
          sum += term, all += std::abs(term);
        }
      }
      size = std::max(size, all);
      return sum;
    };
    const double d = six_points(u, step, slope), half = six_points(u, step / 2, slope);
    double expected = 0;
    Numbers c = flat(v), curve = flat(dual_derivative(s_, x_, w, u));
    for (size_t e = 0; e < c.size(); e++) expected += c[e] * curve[e], size = std::max(size, std::abs(curve[e]));
    const double bar = std::abs(d - half) / size, error = std::abs(half - expected) / size;
    if (!(bar <= 1e-6) || error <= 100 * kDifferences + 4 * bar) return;
    settle(Verdict::fail, "the exact oracle says " + short_number(expected) +
                              " of a second derivative, six-point differences of the gradient say " +
                              short_number(half));
  }

  // Compares a gradient with <c, columns>, entry by entry. The error is relative to the largest sum of |terms|, or to
  // the largest entry of the Jacobian where the cotangent picks out a small one. NaN equals NaN, and nothing else.
  void compare(int order, int input, const Tensor& gradient, const std::vector<Numbers>& columns, const Numbers& c,
               bool sides) {
    Numbers a = gradient.defined() ? numbers(gradient) : Numbers(columns.size()), oracle(columns.size());
    double scale = order > 1 ? scale_ : 0;
    for (size_t j = 0; j < columns.size(); j++) {
      double sum = 0, size = 0;
      for (size_t k = 0; k < c.size(); k++) {
        sum += c[k] * columns[j][k];
        size += std::abs(c[k] * columns[j][k]);
        scale = std::max(scale, std::abs(columns[j][k]));
      }
      oracle[j] = sum;
      if (size > scale) scale = size;
    }
    if (order == 1 && scale > scale_) scale_ = scale;
    if (order == 1) report_.limit = std::max(report_.limit, tolerance_ * scale);
    const Shape shape = gradient.defined() ? gradient.shape() : Shape{int64_t(columns.size())};
    for (size_t j = 0; j < columns.size(); j++) {
      bool same = a[j] == oracle[j] || (a[j] != a[j] && oracle[j] != oracle[j]);
      double error = same ? 0 : std::abs(a[j] - oracle[j]) / scale;
      bool good = error <= tolerance_;  // false for NaN
      note(order, input, index_of(int64_t(j), shape), a[j], oracle[j], error, good);
      if (!good && sides) judge(input, j, a[j], c);
      else if (!good) settle(Verdict::fail, "");
    }
  }

  void note(int order, int input, std::vector<int64_t> index, double a, double o, double error, bool good) {
    Worst& w = report_.worst;
    bool worse = w.input == -1000 || error > w.error || (error != error && w.error == w.error);
    if (!good && report_.verdict == Verdict::pass) worse = true;  // the first that is wrong
    if (!worse) return;
    w = {input, order, std::move(index), a, o, error};
  }
  void settle(Verdict v, const std::string& detail) {
    if (v > report_.verdict) report_.verdict = v, report_.detail = detail;
  }

  // The derivatives of <c, y> along element k of an input, just below and above.
  std::pair<double, double> sides_of(int i, size_t k, const Numbers& c) {
    double side[2];
    for (int up = 0; up < 2; up++) {
      std::vector<Tensor> moved = x_;
      Numbers v = numbers(x_[size_t(i)]);
      v[k] += up ? kSideStep : -kSideStep;
      moved[size_t(i)] = tensor_from_host(v.data(), f64, x_[size_t(i)].shape(), {.like = x_[size_t(i)]});
      std::vector<Numbers> u = no_tangents();
      u[size_t(i)] = unit(i, k);
      Numbers column = flat(dual_derivative(s_, moved, u));
      side[up] = 0;
      for (size_t e = 0; e < c.size(); e++) side[up] += c[e] * column[e];
    }
    return {std::min(side[0], side[1]), std::max(side[0], side[1])};
  }

  void judge(int i, size_t k, double analytic, const Numbers& c) {
    auto [below, above] = sides_of(i, k, c);
    bool kink = above - below > kSideTolerance * std::max(1.0, std::abs(above));
    if (kink && analytic >= below - kSideTolerance && analytic <= above + kSideTolerance)
      settle(Verdict::non_smooth,
             "the derivative jumps here, from " + short_number(below) + " to " + short_number(above));
    else settle(Verdict::fail, "");
  }

  // At a documented kink the gradient must lie between the derivatives of both sides.
  void membership() {
    std::vector<Tensor> v;
    for (size_t k = 0; k < y_.size(); k++) v.push_back(probe_like(y_[k], Probe::signs, k));
    Numbers c = flat(v);
    std::vector<Tensor> here;
    for (const Tensor& t : v) here.push_back(t.to(o_.device));
    std::vector<Tensor> dx = gradients(s_, mine_, here);
    for (size_t i = 0; i < inputs_.size(); i++) {
      Numbers a = numbers(dx[i]);
      for (size_t k = 0; k < a.size(); k++) {
        auto [below, above] = sides_of(inputs_[i], k, c);
        double outside = std::max({below - a[k], a[k] - above, 0.0});
        if (a[k] != a[k]) outside = a[k];
        bool good = outside <= kSideTolerance;
        note(1, inputs_[i], index_of(int64_t(k), dx[i].shape()), a[k], a[k] < below ? below : above, outside, good);
        if (!good)
          settle(Verdict::fail,
                 "no subgradient: both sides have " + short_number(below) + " and " + short_number(above));
      }
    }
  }

  // <v, J u> against <J^T v, u>, a few times: for inputs with too many entries.
  void directions() {
    std::vector<Tensor> like = outputs_here();
    for (uint64_t seed = 0; seed < 2; seed++) {
      std::vector<Tensor> v;
      for (size_t k = 0; k < like.size(); k++) v.push_back(probe_like(like[k], Probe::signs, 3 + seed * 8 + k));
      std::vector<Tensor> dx = gradients(s_, mine_, v);
      std::vector<Numbers> u = no_tangents();
      double a = 0, size = 0, o = 0;
      for (size_t i = 0; i < inputs_.size(); i++) {
        Numbers along = numbers(probe_like(x_[size_t(inputs_[i])], Probe::signs, 90 + seed * 8 + i)),
                g = numbers(dx[i]);
        for (size_t k = 0; k < g.size(); k++) a += g[k] * along[k], size += std::abs(g[k] * along[k]);
        u[size_t(inputs_[i])] = std::move(along);
      }
      std::vector<Numbers> ju = dual_derivative(s_, x_, u);
      for (size_t k = 0; k < v.size(); k++) {
        Numbers c = numbers(v[k]);
        for (size_t e = 0; e < c.size(); e++) o += c[e] * ju[k][e];
      }
      double error = a == o ? 0 : std::abs(a - o) / size;
      report_.limit = std::max(report_.limit, tolerance_ * size);
      note(1, inputs_[0], {}, a, o, error, error <= tolerance_);
      if (!(error <= tolerance_)) settle(Verdict::fail, "along a random direction of all inputs");
    }
  }

  // The slope of f(x + h u) by six points; with whole and half steps, their difference is the error bar.
  template <class F> double six_points(const std::vector<Numbers>& u, double step, const F& f) {
    const double weights[3] = {45, -9, 1};
    double sum = 0;
    for (int m = 1; m <= 3; m++)
      for (int sign : {-1, 1}) {
        std::vector<Tensor> moved = x_;
        for (int i : inputs_) {
          Numbers v = numbers(x_[size_t(i)]);
          for (size_t k = 0; k < v.size(); k++) v[k] += sign * m * step * u[size_t(i)][k];
          moved[size_t(i)] = tensor_from_host(v.data(), f64, x_[size_t(i)].shape(), {.like = x_[size_t(i)]});
        }
        sum += sign * weights[m - 1] * f(moved);
      }
    return sum / (60 * step);
  }

  void differences(bool alone) {
    for (const Tensor& t : y_)
      if (t.dtype() != f64) return;  // a cast: its rounding is coarser than any step
    double largest = 1;
    std::vector<Tensor> v;
    for (size_t k = 0; k < y_.size(); k++) v.push_back(probe_like(y_[k], Probe::signs, 7 + k));
    Numbers c = flat(v);
    std::vector<Numbers> u = no_tangents();
    for (int i : inputs_) {
      for (double value : numbers(x_[size_t(i)])) largest = std::max(largest, std::abs(value));
      u[size_t(i)] = numbers(probe_like(x_[size_t(i)], Probe::signs, 70 + uint64_t(i)));
    }
    double step = std::pow(2.2e-16, 1 / 7.0) * (largest < 1e6 ? std::min(largest, 2.0) : largest);
    auto value = [&](const std::vector<Tensor>& x) {
      std::vector<Tensor> y = run(s_, x);
      double sum = 0;
      size_t e = 0;
      for (int k : differentiable_outputs(s_, y))
        for (double number : numbers(y[size_t(k)])) sum += c[e++] * number;
      return sum;
    };
    double d = six_points(u, step, value), half = six_points(u, step / 2, value);
    double expected = 0, size = 1;
    if (alone) {
      std::vector<Tensor> here;
      for (const Tensor& t : v) here.push_back(t.to(o_.device));
      std::vector<Tensor> dx = gradients(s_, mine_, here);
      for (size_t i = 0; i < dx.size(); i++) {
        Numbers g = numbers(dx[i]);
        for (size_t k = 0; k < g.size(); k++)
          expected += g[k] * u[size_t(inputs_[i])][k], size = std::max(size, std::abs(g[k]) * double(g.size()));
      }
    } else {
      Numbers ju = flat(dual_derivative(s_, x_, u));
      for (size_t e = 0; e < c.size(); e++)
        expected += c[e] * ju[e], size = std::max(size, std::abs(ju[e]) * double(c.size()));
    }
    double bar = std::abs(d - half) / size, error = std::abs(half - expected) / size;
    if (!(bar <= 1e-6)) {
      if (alone)
        settle(Verdict::too_noisy, "no exact oracle, and differences of two steps part by " + short_number(bar));
      return;
    }
    bool good = error <= kDifferences + 4 * bar;
    if (alone) note(1, inputs_[0], {}, expected, half, error, good);
    if (!good)
      settle(Verdict::fail, (alone ? "the gradient is " : "the exact oracle says ") + short_number(expected) +
                                ", six-point differences say " + short_number(half));
  }

  const Sample& s_;
  const CheckOptions& o_;
  Report& report_;
  std::vector<Tensor> x_, mine_, y_;  // inputs on the reference and on the device; differentiable outputs
  std::vector<int> inputs_;
  std::vector<std::vector<Numbers>> jacobian_;  // per differentiated input, per element
  double tolerance_, scale_ = 0;
};

}  // namespace

Report check(const Sample& s, const CheckOptions& o) {
  Report r;
  r.op = s.subject();
  r.sample = s.name;
  r.worst.input = -1000;
  r.checked = 1;
  r.order = o.order;
  r.repro =
      "fovea gradcheck --op " + r.op + " --order " + std::to_string(o.order) + " --device " + device_name(o.device);
  if (s.order < 1) return r;
  try {
    Checker(s, o, r).all();
  } catch (const Error& e) {
    r.verdict = Verdict::fail;
    r.detail = e.what();
  }
  return r;
}

}  // namespace fovea::proof
