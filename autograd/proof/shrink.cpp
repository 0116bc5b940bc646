// The smallest case that still fails: sizes of axes are halved, together wherever they are the same, as long as the op
// takes them and the check says no.
#include <algorithm>
#include <chrono>
#include <set>

#include "autograd/proof/findings.h"

namespace fovea::proof {
namespace {

constexpr int64_t kMostColumns = 4096;  // of a Jacobian that a diagnosis goes through

std::set<int64_t, std::greater<>> sizes_of(const Sample& s) {
  std::set<int64_t, std::greater<>> sizes;
  for (const Input& in : s.inputs)
    for (int d = 0; d < in.shape.rank; d++)
      if (in.shape[d] > 1) sizes.insert(in.shape[d]);
  return sizes;
}

int64_t columns(const Sample& s) {
  int64_t n = 0;
  for (int i : differentiated_inputs(s)) n += numel(s.inputs[size_t(i)].shape);
  return n;
}

Sample resized(const Sample& s, int64_t from, int64_t to) {
  Sample smaller = s;
  for (Input& in : smaller.inputs)
    for (int d = 0; d < in.shape.rank; d++)
      if (in.shape[d] == from) in.shape[d] = to;
  return smaller;
}

}  // namespace

Sample shrunk(const Sample& s, const CheckOptions& o) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::seconds(5);
  auto fails = [&](const Sample& smaller) {
    try {
      run(smaller, make_inputs(smaller, f64, o.device));
    } catch (const Error&) {
      return false;
    }
    return check_once(smaller, o).verdict == Verdict::fail;
  };
  Sample smallest = s;
  for (bool again = true; again;) {
    again = false;
    for (int64_t n : sizes_of(smallest))
      for (int64_t to : {int64_t(1), int64_t(2), n / 2, n - 1}) {
        if (to >= n || to < 1 || Clock::now() > end) continue;
        Sample smaller = resized(smallest, n, to);
        if (!fails(smaller)) continue;
        smallest = std::move(smaller);
        again = true;
        break;
      }
  }
  return smallest;
}

void explain(Report& r, const Sample& s, const CheckOptions& o) {
  try {
    const Sample smallest = shrunk(s, o);
    if (columns(s) <= kMostColumns) diagnose(r, s, o);
    else if (columns(smallest) <= kMostColumns) diagnose(r, smallest, o);
    bool smaller = false;
    for (size_t i = 0; i < s.inputs.size(); i++) smaller |= !(smallest.inputs[i].shape == s.inputs[i].shape);
    if (!smaller) return;
    for (const Input& in : smallest.inputs) r.smallest.push_back(in.shape);
  } catch (const Error& e) {  // the failure stands, whatever happens on the way to its cause
    r.detail += std::string(r.detail.empty() ? "" : "; ") + "looking for the cause: " + e.what();
  }
}

}  // namespace fovea::proof
