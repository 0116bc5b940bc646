// Why a gradient is wrong: the analytic numbers are held against what usual mistakes would give.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/proof/findings.h"
#include "core/device.h"
#include "core/dispatch.h"

namespace fovea::proof {
namespace {

using detail::short_number;

constexpr double kAlike = 1e-9;  // of the largest number: two lists are the same

double largest(const Numbers& v) {
  double most = 0;
  for (double x : v) most = std::max(most, std::abs(x));
  return most;
}
bool alike(const Numbers& a, const Numbers& b) {
  if (a.size() != b.size()) return false;
  const double most = kAlike * std::max(largest(a), largest(b));
  for (size_t i = 0; i < a.size(); i++)
    if (!same(a[i], b[i]) && !(std::abs(a[i] - b[i]) <= most)) return false;
  return true;
}

struct Diagnosis {
  Cause cause = Cause::none;
  std::string text;
  explicit operator bool() const { return cause != Cause::none; }
};

// The gradients of one input for a few cotangents: what the rule says, and what is right.
struct Evidence {
  const Subject& s;
  size_t i;  // of s.inputs
  std::vector<Numbers> c, found, right;

  Evidence(const Subject& s, size_t i) : s(s), i(i) {
    for (uint64_t seed = 0; seed < 3; seed++) add(s.cotangent(seed < 2 ? Probe::signs : Probe::sixteenths, seed));
  }
  void add(Numbers cotangent) {
    found.push_back(s.pull(cotangent)[i]);
    right.push_back(s.exact_gradient(i, cotangent));
    c.push_back(std::move(cotangent));
  }
  // Whether for every cotangent the rule gives what `mistake` makes of the right gradient.
  template <class F> bool explained(const F& mistake) const {
    for (size_t k = 0; k < c.size(); k++)
      if (!alike(found[k], mistake(k))) return false;
    return true;
  }
};

// found = f * right, for one f.
Diagnosis by_factor(const Evidence& e) {
  double top = 0, bottom = 0;
  for (size_t k = 0; k < e.c.size(); k++)
    for (size_t j = 0; j < e.right[k].size(); j++)
      top += e.found[k][j] * e.right[k][j], bottom += e.right[k][j] * e.right[k][j];
  const double f = top / bottom;
  auto scaled = [&](size_t k) {
    Numbers v = e.right[k];
    for (double& x : v) x *= f;
    return v;
  };
  if (!std::isfinite(f) || !e.explained(scaled)) return {};
  if (f == 0) return {Cause::factor, "the gradient is 0 everywhere"};
  if (std::abs(f + 1) < kAlike) return {Cause::factor, "the gradient has the wrong sign"};
  const std::string ratio = "the gradient is " + short_number(f) + " times the right one";
  for (const Tensor& t : e.s.x)
    for (int d = -1; t.defined() && d < t.shape().rank; d++) {
      const auto n = double(d < 0 ? t.numel() : t.shape()[d]);
      if (n < 2 || (std::abs(f - n) > kAlike * n && std::abs(f * n - 1) > kAlike)) continue;
      return {Cause::missing_scale, ratio + ", and " + short_number(n) + " elements lie along an axis: a mean's " +
                                        (f > 1 ? "division is missing" : "division is there once too often")};
    }
  return {Cause::factor, ratio};
}

// found * z = right or found = right * z, z an input or output of the same size.
Diagnosis by_missing_factor(const Evidence& e) {
  auto test = [&](const Tensor& t, const std::string& name) -> Diagnosis {
    if (!t.defined() || !is_floating(t.dtype()) || size_t(t.numel()) != e.found[0].size()) return {};
    const Numbers z = numbers(t);
    if (largest(z) == 0) return {};
    for (int power : {1, -1, 2}) {
      auto wrong = [&](size_t k) {
        Numbers v = e.right[k];
        for (size_t j = 0; j < v.size(); j++) v[j] *= std::pow(z[j], -power);
        return v;
      };
      if (e.explained(wrong))
        return {Cause::missing_factor, std::string("the gradient ") +
                                           (power < 0 ? "has one factor too many" : "lacks a factor") + ": " + name +
                                           (power == 2 ? ", squared" : "")};
    }
    return {};
  };
  for (size_t j = 0; j < e.s.x.size(); j++)
    if (Diagnosis d = test(e.s.x[j], "input " + std::to_string(j))) return d;
  for (size_t k = 0; k < e.s.y.size(); k++)
    if (Diagnosis d = test(e.s.y[k], "output " + std::to_string(k))) return d;
  return {};
}

// The numbers of a tensor of this shape, its axes in another order, row by row.
Numbers permuted(const Numbers& v, const Shape& shape, const std::vector<int>& axes) {
  Numbers out(v.size());
  std::vector<int64_t> at(size_t(shape.rank));
  for (double& o : out) {
    int64_t from = 0;
    for (int d = 0; d < shape.rank; d++) {
      const auto moved = size_t(std::find(axes.begin(), axes.end(), d) - axes.begin());
      from = from * shape[d] + at[moved];
    }
    o = v[size_t(from)];
    for (int d = shape.rank - 1; d >= 0; d--) {
      if (++at[size_t(d)] < shape[axes[size_t(d)]]) break;
      at[size_t(d)] = 0;
    }
  }
  return out;
}

Diagnosis by_transposing(const Evidence& e) {
  const Shape shape = e.s.shape_of(e.i);
  std::vector<int> axes(size_t(shape.rank));
  std::iota(axes.begin(), axes.end(), 0);
  while (shape.rank < 6 && std::next_permutation(axes.begin(), axes.end()))
    if (e.explained([&](size_t k) { return permuted(e.right[k], shape, axes); })) {
      std::string order;
      for (int a : axes) order += (order.empty() ? "" : ", ") + std::to_string(a);
      return {Cause::transposed, "the gradient has the right numbers transposed: axes (" + order + ")"};
    }
  if (e.explained([&](size_t k) { return Numbers(e.right[k].rbegin(), e.right[k].rend()); }))
    return {Cause::transposed, "the gradient has the right numbers in reverse order"};
  return {};
}

Diagnosis by_cotangent(const Evidence& e) {
  if (!alike(e.found[0], e.found[1]) || !alike(e.found[0], e.found[2]) || largest(e.found[0]) == 0) return {};
  const Numbers ones(e.c[0].size(), 1.0);
  const bool of_ones = alike(e.found[0], e.s.exact_gradient(e.i, ones));
  return {Cause::ignores_cotangent, std::string("the gradient is the same for every cotangent") +
                                        (of_ones ? ": the one for ones (is b.g() missing?)" : "")};
}

// Single cotangents are right, several at once give the last or first one's gradient.
Diagnosis by_overwriting(const Evidence& e) {
  const size_t n = e.c[0].size();
  if (n < 2 || n > 64) return {};
  std::vector<Numbers> alone;
  for (size_t k = 0; k < n; k++) {
    Numbers one(n);
    one[k] = 1;
    alone.push_back(e.s.pull(one)[e.i]);
    if (!alike(alone.back(), e.s.exact_gradient(e.i, one))) return {};
  }
  const Numbers together = e.s.pull(Numbers(n, 1.0))[e.i];
  for (size_t j = 0; j < together.size(); j++) {
    bool one_of_them = false;
    for (size_t k = 0; k < n; k++) one_of_them |= std::abs(together[j] - alone[k][j]) <= kAlike;
    if (!one_of_them) return {};
  }
  return {Cause::overwrites,
          "each output's contribution is right alone, but together one is kept (of what is added to "
          "one element, the last write wins)"};
}

// The input given in the shape of the output has one gradient for each copy; the rule gives one of them.
Diagnosis by_missing_sum(const Evidence& e) {
  const auto at = size_t(e.s.inputs[e.i]);
  const Shape narrow = e.s.shape_of(e.i);
  if (e.s.y.size() != 1) return {};
  const Shape wide = e.s.y[0].shape();
  if (narrow == wide || narrow.rank > wide.rank) return {};
  for (int d = 1; d <= narrow.rank; d++)
    if (narrow[narrow.rank - d] != wide[wide.rank - d] && narrow[narrow.rank - d] != 1) return {};
  Sample spread = e.s.sample;
  spread.inputs[at] = like(Tensor(dense_copy(e.s.x[at].array().expand(wide))));
  const Subject all(spread, e.s.device);
  if (!(all.y[0].shape() == wide)) return {};
  // Which of the wide elements lie over narrow element j, in order.
  std::vector<std::vector<size_t>> over(e.found[0].size());
  for (int64_t k = 0; k < numel(wide); k++) {
    std::vector<int64_t> index = index_of(k, wide);
    int64_t j = 0;
    for (int d = 0; d < narrow.rank; d++)
      j = j * narrow[d] + (narrow[d] == 1 ? 0 : index[size_t(wide.rank - narrow.rank + d)]);
    over[size_t(j)].push_back(size_t(k));
  }
  for (bool last : {false, true}) {
    auto one_copy = [&](size_t k) {
      const Numbers each = all.exact_gradient(e.i, e.c[k]);
      Numbers v;
      for (const std::vector<size_t>& copies : over) v.push_back(each[last ? copies.back() : copies.front()]);
      return v;
    };
    if (e.explained(one_copy))
      return {Cause::missing_sum, "of an input that was broadcast from " + to_string(narrow) + " to " +
                                      to_string(wide) + ", the gradient is that of its " + (last ? "last" : "first") +
                                      " copy (expected the sum over the copies)"};
  }
  return {};
}

// How many entries are wrong, where no usual mistake explains them.
std::string extent(const Evidence& e) {
  size_t wrong = 0;
  for (size_t j = 0; j < e.found[0].size(); j++) {
    bool bad = false;
    for (size_t k = 0; k < e.c.size(); k++)
      bad |= !same(e.found[k][j], e.right[k][j]) &&
             !(std::abs(e.found[k][j] - e.right[k][j]) <= 1e-11 * std::max(1.0, largest(e.right[k])));
    wrong += bad;
  }
  return wrong == 0 ? "" : std::to_string(wrong) + " of " + std::to_string(e.found[0].size()) + " entries are wrong";
}

}  // namespace

void diagnose(Report& r, const Sample& s, const CheckOptions& o) {
  const Subject subject(s, o.device);
  const Device ref = fovea::device("ref");
  if (o.device != ref && !s.given()) {
    CheckOptions there = o;
    there.device = ref;
    if (check_once(s, there).verdict == Verdict::pass) {
      r.cause = Cause::device;
      r.detail = "right on ref, wrong on " + device_name(o.device) + (r.detail.empty() ? "" : ": " + r.detail);
      return;
    }
  }
  const auto which = std::find(subject.inputs.begin(), subject.inputs.end(), r.worst.input);
  if (r.cause != Cause::none || !subject.exact || which == subject.inputs.end()) return;
  const size_t i = size_t(which - subject.inputs.begin());
  const Numbers c = subject.cotangent(Probe::signs, 0), first = subject.pull(c)[i];
  if (!alike(first, subject.pull(c)[i])) {
    r.cause = Cause::stale;
    r.detail = "the same call gives another gradient the second time";
    return;
  }
  const Evidence e(subject, i);
  if (alike(e.found[0], e.right[0]) && alike(e.found[1], e.right[1]) && alike(e.found[2], e.right[2])) return;
  for (auto* usual : {by_cotangent, by_factor, by_transposing, by_missing_sum, by_overwriting, by_missing_factor})
    if (Diagnosis d = usual(e)) {
      r.cause = d.cause;
      r.detail = d.text + (r.detail.empty() ? "" : "; " + r.detail);
      return;
    }
  if (r.detail.empty()) r.detail = extent(e);
}

}  // namespace fovea::proof
