#include "autograd/proof/check.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

#include "autograd/proof/findings.h"
#include "autograd/proof/properties.h"
#include "core/device.h"

namespace fovea::proof {
namespace {

using detail::short_number;

constexpr double kSideTolerance = 1e-5;  // of the derivatives just beside a kink

// Cotangents: signs, so that one wrong entry shows whole, other numbers, and single entries.
std::vector<Numbers> cotangents(const Subject& s) {
  std::vector<Numbers> list;
  for (uint64_t seed = 0; seed < 3; seed++)
    list.push_back(s.cotangent(seed < 2 ? Probe::signs : Probe::sixteenths, seed));
  size_t begin = 0, all = list[0].size();
  for (const Tensor& t : s.y) {
    const auto n = size_t(t.numel());
    for (size_t e = 0; e < 4 && e < n; e++) list.emplace_back(all)[begin + (e * 7) % n] = 1;
    begin += n;
  }
  return list;
}

// A wrong first derivative is forgiven where it lies between those of both sides of a kink.
void judge_by_sides(Findings& f, const Subject& s, size_t i, size_t k, double analytic, const Numbers& c) {
  const Sides sides(s, i, k, c);
  if (sides.allow(analytic)) f.settle(Verdict::non_smooth, sides.jump());
  else f.settle(Verdict::fail);
}

// A first gradient against the Jacobian of its subject.
void compare_first(Findings& f, const Subject& s, const std::vector<Numbers>& g, const Numbers& c) {
  for (size_t i = 0; i < s.inputs.size(); i++)
    f.compare(1, s.inputs[i], s.shape_of(i), g[i], s.jacobian()[i], c,
              [&](size_t k, double a) { judge_by_sides(f, s, i, k, a, c); });
}

// What another way of calling finds, where dense inputs of the first numbers were right; kinks were told there.
template <class Pull>
void check_again(Findings& f, const Subject& s, Cause cause, const std::string& detail, Pull pull) {
  Report report;
  Findings again(report, s, f.scale);
  for (Probe kind : {Probe::signs, Probe::sixteenths}) {
    const Numbers c = s.cotangent(kind, 2);
    compare_first(again, s, pull(c), c);
  }
  if (!again.failed()) return;
  f.settle(Verdict::fail, detail, cause);
  f.report.worst = report.worst;
}

}  // namespace

Sides::Sides(const Subject& s, size_t i, size_t k, const Numbers& c) { std::tie(below, above) = s.sides(i, k, c); }
bool Sides::allow(double a) const {
  const bool kink = above - below > kSideTolerance * std::max(1.0, std::abs(above));
  return kink && a >= below - kSideTolerance && a <= above + kSideTolerance;
}
std::string Sides::jump() const {
  return "the derivative jumps here, from " + short_number(below) + " to " + short_number(above);
}

void Findings::compare(int order, int input, const Shape& shape, const Numbers& gradient,
                       const std::vector<Numbers>& columns, const Numbers& c, const Judge& judge) {
  Numbers oracle(columns.size());
  double largest = order > 1 ? scale : floor;
  for (size_t j = 0; j < columns.size(); j++) {
    double size = 0;
    for (size_t k = 0; k < c.size(); k++) {
      oracle[j] += c[k] * columns[j][k];
      size += std::abs(c[k] * columns[j][k]);
      largest = std::max(largest, std::abs(columns[j][k]));
    }
    if (size > largest) largest = size;
  }
  if (order == 1) {
    scale = std::max(scale, largest);
    can_find(subject.tolerance * largest);
  }
  for (size_t j = 0; j < columns.size(); j++) {
    const double a = gradient.empty() ? 0 : gradient[j];
    const double error = same(a, oracle[j]) ? 0 : std::abs(a - oracle[j]) / largest;
    const bool good = error <= subject.tolerance;  // false for NaN
    note({input, order, index_of(int64_t(j), shape), a, oracle[j], error}, good);
    if (!good) judge(j, a);
  }
}

void Findings::note(Worst w, bool good) {
  const Worst& old = report.worst;
  bool worse = old.input == -1000 || w.error > old.error || (w.error != w.error && old.error == old.error);
  if (!good && report.verdict == Verdict::pass) worse = true;  // the first that is wrong
  if (worse) report.worst = std::move(w);
}

void Findings::settle(Verdict v, const std::string& detail, Cause cause) {
  if (v > report.verdict) report.verdict = v, report.detail = detail, report.cause = cause;
}

void check_entries(Findings& f) {
  for (const Numbers& c : cotangents(f.subject)) compare_first(f, f.subject, f.subject.pull(c), c);
}

// A gradient that is another one each time, scattered around the right one, cannot be judged.
void check_noise(Findings& f) {
  const Subject& s = f.subject;
  const Numbers c = s.cotangent(Probe::signs, 0);
  std::vector<Numbers> tries;
  for (int n = 0; n < 8; n++) tries.push_back(flat(s.pull(c)));
  Numbers right;
  for (size_t i = 0; i < s.inputs.size(); i++) {
    const Numbers part = s.exact_gradient(i, c);
    right.insert(right.end(), part.begin(), part.end());
  }
  double widest = 0;
  for (size_t j = 0; j < right.size(); j++) {
    std::set<double> values;
    for (const Numbers& g : tries) values.insert(g[j]);
    const double low = *values.begin(), high = *values.rbegin(), spread = high - low;
    widest = std::max(widest, spread);
    if (values.size() > 2 ? right[j] < low - spread || right[j] > high + spread
                          : !(std::abs(tries[0][j] - right[j]) <= s.tolerance * f.scale))
      return;
  }
  if (widest == 0) return;
  f.report.verdict = Verdict::too_noisy;
  f.report.detail =
      "the same call gives gradients that differ by up to " + short_number(widest) + ", around the right one";
}

void check_layouts(Findings& f) {
  const Subject& s = f.subject;
  if (s.sample.op == op::view) return;  // takes dense tensors only
  const Subject repeated(s.sample, s.device, Order::repeated);
  for (int o = 1; o < kOrders && !f.failed(); o++) {
    const Subject& mine = Order(o) == Order::repeated ? repeated : s;
    check_again(f, mine, Cause::layout, std::string("wrong only where inputs and cotangents are ") + kOrderNames[o],
                [&](const Numbers& c) { return mine.pull(c, Order(o)); });
  }
}

void check_other_numbers(Findings& f) {
  const Subject other(f.subject.sample, f.subject.device, Order::dense, 1);
  check_again(f, other, Cause::none, "right at the first numbers, wrong at other ones in a second call",
              [&](const Numbers& c) { return other.pull(c); });
  if (f.failed()) {  // the numbers, or the call?
    const Numbers c = f.subject.cotangent(Probe::sixteenths, 2);
    std::vector<Numbers> before = f.subject.pull(c), now = other.pull(c);
    if (before == now)
      f.report.cause = Cause::stale, f.report.detail = "right in the first call, whose gradient later calls give again";
    return;
  }
  check_again(f, f.subject, Cause::stale, "right in the first call, wrong after a call with other numbers",
              [&](const Numbers& c) { return f.subject.pull(c); });
}

// For random w, <w, J^T c> has the gradient D_e D_w <c, y> with respect to x, and J w with respect to c.
void check_second_order(Findings& f) {
  const Subject& s = f.subject;
  const Numbers c = s.cotangent(Probe::signs, 0);
  std::vector<Numbers> w = s.no_tangents();
  for (int i : s.inputs) w[size_t(i)] = numbers(probe_like(s.x[size_t(i)], Probe::sixteenths, 50 + uint64_t(i)));
  Numbers to_c;
  const std::vector<Numbers> h = s.pull_twice(c, w, &to_c);
  auto wrong = [&](size_t, double) {
    f.settle(Verdict::fail, "right in first order, wrong in second", Cause::second_order);
  };
  for (size_t i = 0; i < s.inputs.size(); i++) {
    std::vector<Numbers> columns, e = s.no_tangents();
    Numbers& unit = e[size_t(s.inputs[i])];
    for (size_t k = 0; k < h[i].size(); k++) {
      unit.assign(h[i].size(), 0.0);
      unit[k] = 1;
      columns.push_back(s.push(w, e));
    }
    f.compare(2, s.inputs[i], s.shape_of(i), h[i], columns, c, wrong);
  }
  std::vector<Numbers> columns;  // entry e of J w is its own "column" with the cotangent 1
  for (double value : s.push(w)) columns.push_back({value});
  f.compare(2, -1, {int64_t(to_c.size())}, to_c, columns, {1}, wrong);
}

// At a documented kink the gradient must lie between the derivatives of both sides.
void check_kink(Findings& f) {
  const Subject& s = f.subject;
  const Numbers c = s.cotangent(Probe::signs, 0);
  std::vector<Numbers> g = s.pull(c);
  for (size_t i = 0; i < g.size(); i++)
    for (size_t k = 0; k < g[i].size(); k++) {
      const double a = g[i][k];
      auto [below, above] = s.sides(i, k, c);
      const double outside = a != a ? a : std::max({below - a, a - above, 0.0});
      const bool good = outside <= kSideTolerance;
      f.note({s.inputs[i], 1, index_of(int64_t(k), s.shape_of(i)), a, a < below ? below : above, outside}, good);
      if (!good)
        f.settle(Verdict::fail,
                 "no subgradient: both sides have " + short_number(below) + " and " + short_number(above));
    }
}

Report check_once(const Sample& s, const CheckOptions& o) {
  Report r;
  r.op = s.subject();
  r.sample = s.name;
  r.worst.input = -1000;
  r.checked = 1;
  r.order = o.order;
  if (s.order < 1) return r;
  try {
    const Subject subject(s, o.device);
    r.tolerance = subject.tolerance;
    r.exact = subject.exact;
    if (subject.inputs.empty() || subject.y.empty()) return r;
    Findings f(r, subject);
    if (s.kink) {
      check_kink(f);
    } else if (!subject.exact) {
      check_host_code(f, o.max_entries);
    } else {
      const bool whole = !s.large && subject.entries <= o.max_entries, second = o.order > 1 && s.order > 1;
      if (whole) check_entries(f);
      else check_directions(f, 1);
      if (f.failed() && whole) check_noise(f);
      if (r.verdict == Verdict::too_noisy) return r;
      if (!f.failed() && whole) check_other_numbers(f);
      if (!f.failed() && whole) check_layouts(f);
      if (!f.failed() && second) whole ? check_second_order(f) : check_directions(f, 2);
      if (!f.failed() && !s.large) check_differences(f, 1);
      if (!f.failed() && !s.large && second) check_differences(f, 2);
    }
    if (r.verdict != Verdict::pass || !o.contracts) return r;
    for (const Problem& p : check_contracts(s, o.device))
      f.settle(Verdict::fail, p.property + ": " + p.text, Cause::contract);
  } catch (const Error& e) {
    r.verdict = Verdict::fail;
    r.cause = Cause::exception;
    r.detail = e.what();
  }
  return r;
}

Report check(const Sample& s, const CheckOptions& o) {
  Report r = check_once(s, o);
  if (o.explain && r.verdict == Verdict::fail) explain(r, s, o);
  r.repro =
      "fovea gradcheck --op " + r.op + " --order " + std::to_string(o.order) + " --device " + device_name(o.device);
  if (r.smallest.empty()) return r;
  r.repro += " --sample " + std::to_string(s.number()) + " --shapes \"";
  for (const Shape& shape : r.smallest) r.repro += fovea::to_string(shape);
  r.repro += "\"";
  return r;
}

Report check(const std::string& name, Sample::Function f, const std::vector<Tensor>& inputs, const CheckOptions& o,
             std::source_location where) {
  Sample s;
  s.function = std::move(f);
  s.function_name = s.name = name;
  int64_t most = 1;
  for (const Tensor& t : inputs) {
    s.inputs.push_back(like(t));
    if (t.defined()) most = std::max(most, t.numel());
  }
  s.sums(most).conditioned(o.condition);
  Report r = check(s, o);
  r.repro = "check(\"" + name + "\") at " + describe(where);
  return r;
}

}  // namespace fovea::proof
