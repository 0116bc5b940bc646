// Jacobians too large to look at entry by entry: <c, J u> for random signs c and u is one number that every entry takes
// part in. Where rule and oracle part, halving u finds the input's element, halving c the output's, in about
// log2(entries) calls.
#include <algorithm>
#include <cmath>

#include "autograd/proof/findings.h"

namespace fovea::proof {
namespace {

struct Part {
  size_t begin = 0, end = 0;
  size_t size() const { return end - begin; }
  Part left() const { return {begin, begin + size() / 2}; }
  Part right() const { return {begin + size() / 2, end}; }
};

Numbers inside(const Numbers& v, Part r) {
  Numbers part(v.size());
  std::copy(v.begin() + int64_t(r.begin), v.begin() + int64_t(r.end), part.begin() + int64_t(r.begin));
  return part;
}

double dot(const Numbers& a, const Numbers& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); i++) sum += a[i] * b[i];
  return sum;
}

// One comparison: a direction through all differentiated inputs, one behind the other, and a cotangent.
class Direction {
 public:
  Direction(const Subject& s, int order, uint64_t seed) : s_(s), order_(order) {
    // Equal errors of two entries cannot cancel in the third.
    const Probe kind = seed % 3 == 2 ? Probe::uneven : Probe::signs;
    c_ = s.cotangent(kind, 3 + seed);
    for (int i : s.inputs) {
      Numbers part = numbers(probe_like(s.x[size_t(i)], kind, 90 + 8 * seed + uint64_t(i)));
      u_.insert(u_.end(), part.begin(), part.end());
      if (order < 2) continue;
      part = numbers(probe_like(s.x[size_t(i)], Probe::sixteenths, 190 + 8 * seed + uint64_t(i)));
      w_.insert(w_.end(), part.begin(), part.end());
    }
    gradient_ = pull(c_);
  }

  Part inputs() const { return {0, u_.size()}; }
  Part outputs() const { return {0, c_.size()}; }
  double size() const {
    double sum = 0;
    for (size_t k = 0; k < u_.size(); k++) sum += std::abs(gradient_[k] * u_[k]);
    return sum;
  }
  double analytic(Part in) const { return dot(gradient_, inside(u_, in)); }
  double oracle(Part in) const { return dot(c_, push(in)); }
  double error(Part in) const { return std::abs(analytic(in) - oracle(in)); }

  // The element whose part of the sum is furthest from the oracle's.
  Part halve_inputs() const {
    Part r = inputs();
    while (r.size() > 1) r = !(error(r.left()) >= error(r.right())) ? r.right() : r.left();
    return r;
  }
  // The same of the outputs, for one element of the inputs.
  Part halve_outputs(Part in) const {
    const Numbers column = push(in);
    auto error = [&](Part out) {
      const Numbers c = inside(c_, out);
      return std::abs(pull(c)[in.begin] * u_[in.begin] - dot(c, column));
    };
    Part r = outputs();
    while (r.size() > 1) r = !(error(r.left()) >= error(r.right())) ? r.right() : r.left();
    return r;
  }

 private:
  std::vector<Numbers> lists(const Numbers& all) const {
    std::vector<Numbers> u = s_.no_tangents();
    size_t at = 0;
    for (int i : s_.inputs) {
      const auto n = size_t(s_.x[size_t(i)].numel());
      u[size_t(i)].assign(all.begin() + int64_t(at), all.begin() + int64_t(at + n));
      at += n;
    }
    return u;
  }
  Numbers push(Part in) const {
    const std::vector<Numbers> u = lists(inside(u_, in));
    return order_ < 2 ? s_.push(u) : s_.push(u, lists(w_));
  }
  Numbers pull(const Numbers& c) const { return flat(order_ < 2 ? s_.pull(c) : s_.pull_twice(c, lists(w_))); }

  const Subject& s_;
  const int order_;
  Numbers c_, u_, w_, gradient_;
};

// Which input, and which element of it, the k-th of all entries is.
std::pair<int, std::vector<int64_t>> place_of(const Subject& s, size_t k) {
  for (size_t i = 0; i < s.inputs.size(); i++) {
    const auto n = size_t(numel(s.shape_of(i)));
    if (k < n) return {s.inputs[i], index_of(int64_t(k), s.shape_of(i))};
    k -= n;
  }
  return {s.inputs[0], {}};
}

std::string output_of(const Subject& s, size_t e) {
  for (size_t k = 0; k < s.y.size(); k++) {
    const auto n = size_t(s.y[k].numel());
    if (e < n) {
      std::string text = s.y.size() > 1 ? "output " + std::to_string(k) + " [" : "output [";
      const std::vector<int64_t> at = index_of(int64_t(e), s.y[k].shape());
      for (size_t d = 0; d < at.size(); d++) text += (d ? "," : "") + std::to_string(at[d]);
      return text + "]";
    }
    e -= n;
  }
  return "no output";
}

}  // namespace

void check_directions(Findings& f, int order, uint64_t first) {
  const Subject& s = f.subject;
  for (uint64_t seed = first; seed < 3; seed++) {
    const Direction d(s, order, seed);
    Part in = d.inputs();
    // What the terms of an honest sum come to: rounding is relative to that.
    double a = d.analytic(in), o = d.oracle(in);
    const double size = std::max({d.size(), std::abs(o), f.floor});
    if (order == 1) f.can_find(s.tolerance * size);
    double error = same(a, o) ? 0 : std::abs(a - o) / size;
    if (error <= s.tolerance) {
      f.note({s.inputs[0], order, {}, a, o, error}, true);
      continue;
    }
    in = d.halve_inputs();
    a = d.analytic(in), o = d.oracle(in);
    auto [input, index] = place_of(s, in.begin);
    f.note({input, order, index, a, o, std::abs(a - o) / size}, false);
    f.settle(Verdict::fail, "of the derivative of " + output_of(s, d.halve_outputs(in).begin),
             order > 1 ? Cause::second_order : Cause::none);
    return;
  }
}

}  // namespace fovea::proof
