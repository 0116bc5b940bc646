// Six-point differences: a rival of the exact oracle, which shares its compositions with the rules; and the only oracle
// of host code.
#include <algorithm>
#include <cmath>

#include "autograd/proof/findings.h"

namespace fovea::proof {
namespace {

using detail::short_number;

constexpr const char* kKink = "the slopes of both sides part here";

// x + t u for every differentiated input; of an input without a direction, x.
std::vector<Tensor> moved(const Subject& s, const std::vector<Numbers>& u, double t) {
  std::vector<Tensor> x = s.x;
  for (int i : s.inputs) {
    const Numbers& along = u[size_t(i)];
    if (along.empty()) continue;
    Numbers v = numbers(x[size_t(i)]);
    for (size_t k = 0; k < v.size(); k++) v[k] += t * along[k];
    x[size_t(i)] = tensor_from_host(v.data(), f64, x[size_t(i)].shape(), {.like = x[size_t(i)]});
  }
  return x;
}

double step_of(const Subject& s) {
  double largest = 1;
  for (int i : s.inputs)
    for (double value : numbers(s.x[size_t(i)])) largest = std::max(largest, std::abs(value));
  return difference_step(largest);
}

// Whether f has a kink at 0: the slopes of both sides part by the same at a small and at a smaller step, and by more
// than what is nothing in derivatives of this size. Of a smooth f the gap shrinks with the step, of a noisy one it
// grows.
template <class F> bool jumps(double step, double size, const F& f) {
  const double middle = f(0);
  auto gap = [&](double h) { return std::abs(f(h) - 2 * middle + f(-h)) / h; };
  const double wide = gap(step / 64), narrow = gap(step / 1024);
  return narrow > kNoise * size && narrow > wide / 4 && narrow < wide * 4;
}

double dot_all(const Subject& s, const std::vector<Numbers>& g, const std::vector<Numbers>& u, double& size) {
  double sum = 0, all = 0;
  for (size_t i = 0; i < g.size(); i++) {
    const Numbers& along = u[size_t(s.inputs[i])];
    for (size_t k = 0; k < along.size(); k++) sum += g[i][k] * along[k], all += std::abs(g[i][k] * along[k]);
  }
  size = std::max(size, all);
  return sum;
}

// <c, y(x)>
double value_at(const Subject& s, const std::vector<Tensor>& x, const Numbers& c) {
  std::vector<Tensor> y = run(s.sample, x);
  double sum = 0;
  size_t e = 0;
  for (int k : differentiable_outputs(s.sample, y))
    for (double number : numbers(y[size_t(k)])) sum += c[e++] * number;
  return sum;
}

// <w, gradient of <c, y> at x>
double slope_at(const Subject& s, const std::vector<Tensor>& x, const Numbers& c, const std::vector<Numbers>& w,
                double& size) {
  std::vector<Tensor> v;
  size_t at = 0;
  for (const Tensor& t : s.y) {
    v.push_back(tensor_from_host(c.data() + at, f64, t.shape(), {.like = t}));
    at += size_t(t.numel());
  }
  std::vector<Numbers> g;
  for (const Tensor& t : gradients(s.sample, x, v)) g.push_back(numbers(t));
  return dot_all(s, g, w, size);
}

std::vector<Numbers> direction(const Subject& s, Probe kind, uint64_t seed) {
  std::vector<Numbers> u = s.no_tangents();
  for (int i : s.inputs) u[size_t(i)] = numbers(probe_like(s.x[size_t(i)], kind, seed + uint64_t(i)));
  return u;
}

}  // namespace

double difference_step(double largest) {
  return std::pow(2.2e-16, 1 / 7.0) * (largest < 1e6 ? std::clamp(largest, 1.0, 2.0) : largest);
}

Slope slope_of(double step, const std::function<double(double)>& f) {
  const double weights[3] = {45, -9, 1};
  auto six_points = [&](double h) {
    double sum = 0;
    for (int m = 1; m <= 3; m++)
      for (int sign : {-1, 1}) sum += sign * weights[m - 1] * f(sign * m * h);
    return sum / (60 * h);
  };
  return {six_points(step), six_points(step / 2)};
}

// First order: the slope of <c, y>. Second: that of <w, gradient>, where a branch that rule and composition both leave
// out shows.
void check_differences(Findings& f, int order) {
  const Subject& s = f.subject;
  if (s.rounds()) return;
  const Numbers c = s.cotangent(Probe::signs, 7);
  const std::vector<Numbers> u = direction(s, Probe::signs, 70), w = direction(s, Probe::sixteenths, 150);
  double size = 1, expected = 0;
  auto along = [&](double t) {
    std::vector<Tensor> x = moved(s, u, t);
    return order > 1 ? slope_at(s, x, c, w, size) : value_at(s, x, c);
  };
  const Slope slope = slope_of(step_of(s), along);
  const Numbers derivative = order > 1 ? s.push(w, u) : s.push(u);
  for (size_t e = 0; e < c.size(); e++) {
    expected += c[e] * derivative[e];
    size = std::max(size, std::abs(derivative[e]) * (order > 1 ? 1 : double(c.size())));
  }
  const double bar = std::abs(slope.whole - slope.half) / size, error = std::abs(slope.half - expected) / size;
  if (order == 1 && jumps(step_of(s), size, along)) return f.settle(Verdict::non_smooth, kKink);
  if (!(bar <= kNoise) || error <= (order > 1 ? 100 : 1) * kDifferences + 4 * bar) return;
  f.settle(Verdict::fail, "the exact oracle says " + short_number(expected) +
                              (order > 1 ? " of a second derivative" : "") + ", six-point differences say " +
                              short_number(slope.half));
}

// Element by element, or along whole directions where there are more than `most`.
void check_host_code(Findings& f, int64_t most) {
  const Subject& s = f.subject;
  if (s.rounds()) return f.settle(Verdict::too_noisy, "no exact oracle, and outputs coarser than float64");
  const double step = step_of(s);
  for (uint64_t seed = 0; seed < 2; seed++) {
    const Numbers c = s.cotangent(Probe::signs, 7 + seed);
    const std::vector<Numbers> g = s.pull(c);
    double largest = 0;
    for (const Numbers& part : g)
      for (double v : part) largest = std::max(largest, std::abs(v));
    auto compare = [&](const std::vector<Numbers>& u, int input, std::vector<int64_t> index, double size) {
      auto along = [&](double t) { return value_at(s, moved(s, u, t), c); };
      const double a = dot_all(s, g, u, size);
      const Slope slope = slope_of(step, along);
      size = std::max({size, std::abs(slope.half), std::abs(along(0)) * 1e-3});
      const double bar = std::abs(slope.whole - slope.half) / size;
      const double error = same(a, slope.half) ? 0 : std::abs(a - slope.half) / size, bound = kDifferences + 4 * bar;
      const bool clear = bar <= kNoise, good = error <= bound;
      if (clear) f.can_find(bound * size);
      f.note({input, 1, std::move(index), a, slope.half, error}, good || !clear);
      f.report.tolerance = std::max(f.report.tolerance, clear ? bound : 0);
      if (jumps(step, size, along)) {
        const double h = step / 1024, left = (along(0) - along(-h)) / h, right = (along(h) - along(0)) / h;
        const double outside = std::max(std::min(left, right) - a, a - std::max(left, right));
        if (outside <= 1e-3 * size) f.settle(Verdict::non_smooth, kKink);
        else
          f.settle(Verdict::fail,
                   "no subgradient: both sides have " + short_number(left) + " and " + short_number(right));
      } else if (clear && !good) f.settle(Verdict::fail);
      else if (!clear)
        f.settle(Verdict::too_noisy, "no exact oracle, and differences of two steps part by " + short_number(bar));
    };
    if (s.entries > most) {
      compare(direction(s, Probe::signs, 70 + 8 * seed), s.inputs[0], {}, 0);
      continue;
    }
    for (size_t i = 0; i < s.inputs.size(); i++)
      for (size_t k = 0; k < g[i].size(); k++) {
        std::vector<Numbers> u = s.no_tangents();
        u[size_t(s.inputs[i])].assign(g[i].size(), 0.0);
        u[size_t(s.inputs[i])][k] = 1;
        compare(u, s.inputs[i], index_of(int64_t(k), s.shape_of(i)), largest);
      }
  }
}

}  // namespace fovea::proof
