// One call out of many, at the numbers that came along. They are of any size and may lie on kinks, so what a sample
// rules out by its choice of numbers is ruled out here by looking again.
#include <algorithm>
#include <cmath>

#include "autograd/proof/findings.h"

namespace fovea::proof {
namespace {

using detail::short_number;

constexpr double kNatural = 1e-3;     // of a natural derivative: what is smaller came from cancelling
constexpr int64_t kHostEntries = 32;  // of host code that are looked at one by one
constexpr uint64_t kUneven = 2;       // the direction in which errors do not cancel
constexpr double kAway = 1 / 16.0;    // from kinks, in parts of a number

double largest_finite(const Numbers& v) {
  double most = 0;
  for (double x : v)
    if (std::isfinite(x)) most = std::max(most, std::abs(x));
  return most;
}

double floor_of(const Subject& s) {
  double in = 0, out = 0;
  for (int i : s.inputs) in = std::max(in, largest_finite(numbers(s.x[size_t(i)])));
  for (const Tensor& t : s.y) out = std::max(out, largest_finite(numbers(t)));
  return kNatural * (in > 0 ? std::max(1.0, out / in) : 1);
}

// The kernels' outputs against what dual numbers make of them. A wrong one is told whatever its gradient is.
bool forward_is_right(Findings& f) {
  const Subject& s = f.subject;
  const std::vector<Tensor> all = run(s.sample, s.mine);
  size_t at = 0;
  for (int k : differentiable_outputs(s.sample, all)) {
    const Tensor& t = all[size_t(k)];
    const Numbers mine = numbers(t),
                  right(s.values().begin() + int64_t(at), s.values().begin() + int64_t(at + mine.size()));
    at += mine.size();
    if (t.dtype() != f64) continue;  // rounded, which duals are not
    const double bound = s.tolerance * largest_finite(right);
    for (size_t e = 0; e < mine.size(); e++) {
      if (same(mine[e], right[e]) || std::abs(mine[e] - right[e]) <= bound) continue;
      f.report.worst = {-1, 1, index_of(int64_t(e), t.shape()), mine[e], right[e], std::abs(mine[e] - right[e])};
      f.report.verdict = Verdict::fail;
      f.report.detail = "the forward is wrong: output " + std::to_string(k) + " is " + short_number(mine[e]) +
                        " (expected " + short_number(right[e]) + " by its composition)";
      return false;
    }
  }
  return true;
}

void check_rule(Findings& f, Subject& s) {
  try {
    if (s.exact) return check_directions(f, 1, kUneven);
  } catch (const UnsupportedError&) {  // host code, or a base op of a user's, without duals
    s.exact = false;
  }
  check_host_code(f, kHostEntries);
}

// Whether the rule is right for these numbers in another order of memory, or for others.
Verdict verdict_of(const Sample& s, Device d, Order order) {
  Report r;
  Subject subject(s, d, order);
  Findings f(r, subject, floor_of(subject));
  check_rule(f, subject);
  return r.verdict;
}

// Off kinks: no number is 0, no two are the same, and each stays on its side of 0 and 1.
Sample moved(const Sample& s) {
  Sample away = s;
  for (size_t i = 0; i < away.inputs.size(); i++)
    if (differentiated(s, int(i)))
      for (size_t k = 0; k < away.inputs[i].values.size(); k++) {
        double &v = away.inputs[i].values[k], part = kAway * std::abs(noise(k, 7 + i));
        v = v == 0 ? part : v * (1 - part);
      }
  return away;
}

// Another look at what failed: a subgradient at a kink, a derivative that nobody has, a matter of layouts.
void reconsider(Findings& f) {
  const Subject& s = f.subject;
  Report& r = f.report;
  if (s.exact && !std::isfinite(r.worst.oracle)) {
    r.verdict = Verdict::too_noisy;
    r.detail = "the derivative is no finite number here";
    return;
  }
  const auto which = std::find(s.inputs.begin(), s.inputs.end(), r.worst.input);
  if (s.exact && which != s.inputs.end()) {
    const auto i = size_t(which - s.inputs.begin());
    const Shape shape = s.shape_of(i);
    size_t k = 0;
    for (int d = 0; d < shape.rank; d++) k = k * size_t(shape[d]) + size_t(r.worst.index[size_t(d)]);
    const Numbers c = s.cotangent(Probe::uneven, 0);
    const Sides sides(s, i, k, c);
    if (sides.allow(s.pull(c)[i][k]) && verdict_of(moved(s.sample), s.device, Order::own) == Verdict::pass) {
      r.verdict = Verdict::non_smooth;
      r.detail = sides.jump();
      return;
    }
  }
  std::string lie;
  for (size_t i = 0; i < s.mine.size(); i++)
    if (s.sample.inputs[i].strides.rank)
      lie += (lie.empty() ? "input " : ", input ") + std::to_string(i) + " " + to_string(s.mine[i].shape()) +
             " by strides " + to_string(s.sample.inputs[i].strides);
  if (lie.empty() || verdict_of(s.sample, s.device, Order::dense) == Verdict::fail) return;
  r.cause = Cause::layout;
  r.detail = "right for dense inputs, wrong as they lie here: " + lie;
}

// Cotangents come transposed from behind views, and repeated from behind sums.
void check_cotangents(Findings& f) {
  const Subject& s = f.subject;
  for (Order as : {Order::transposed, Order::repeated}) {
    const Numbers c = s.laid(s.cotangent(Probe::uneven, 1), as);
    const std::vector<Numbers> dense = s.pull(c, Order::dense), other = s.pull(c, as);
    for (size_t i = 0; i < dense.size(); i++) {
      const double size = std::max(largest_finite(dense[i]), f.floor);
      for (size_t k = 0; k < dense[i].size(); k++) {
        const double error = same(other[i][k], dense[i][k]) ? 0 : std::abs(other[i][k] - dense[i][k]) / size;
        if (error <= s.tolerance) continue;
        f.note({s.inputs[i], 1, index_of(int64_t(k), s.shape_of(i)), other[i][k], dense[i][k], error}, false);
        return f.settle(
            Verdict::fail,
            std::string("wrong where cotangents are ") + kOrderNames[int(as)] + " (expected as for dense ones)",
            Cause::layout);
      }
    }
  }
}

}  // namespace

Report check_call(const Sample& s, Device d) {
  Report r;
  r.op = s.subject();
  r.sample = s.name;
  r.worst.input = -1000;
  r.checked = 1;
  try {
    Subject subject(s, d, Order::own);
    r.tolerance = subject.tolerance;
    if (subject.entries == 0 || subject.y.empty()) return r;
    Findings f(r, subject, floor_of(subject));
    check_rule(f, subject);
    r.exact = subject.exact;
    if (r.exact && !forward_is_right(f)) return r;
    if (f.failed()) reconsider(f);
    if (r.verdict == Verdict::pass) check_cotangents(f);
  } catch (const Error& e) {
    r.verdict = Verdict::fail;
    r.cause = Cause::exception;
    r.detail = e.what();
  }
  return r;
}

}  // namespace fovea::proof
