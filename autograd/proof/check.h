// The gradient checker. An op's rule is compared with exact derivatives: the reference backend's kernels carry dual
// numbers through the op's composition, so the oracle has no step size and is good to 1e-12, to second order. Six-point
// differences are an independent third opinion, and the only one for ops that have no composition.
#pragma once
#include <string>
#include <vector>

#include "autograd/proof/sample.h"
#include "autograd/proof/verdict.h"
#include "core/device.h"

namespace fovea::proof {

struct CheckOptions {
  int order = 1;                     // 1, or 2: the gradient's own gradient too
  Device device = default_device();  // whose gradient is checked; the oracle is the reference's
  int64_t max_entries = 400;         // larger inputs are checked along directions, not entry by entry
};

// The entry that is furthest off. `error` is |analytic - oracle| over the size of the product's terms.
struct Worst {
  int input = -1;  // negative: of the cotangent that second derivatives are taken by
  int order = 1;   // of the derivative
  std::vector<int64_t> index;
  double analytic = 0, oracle = 0, error = 0;
};

struct Report {
  std::string op, sample;
  Verdict verdict = Verdict::pass;
  int order = 1;  // of the derivative that `worst` is of
  Worst worst;
  double tolerance = 0;
  double limit = 0;    // a single wrong entry of the Jacobian above this is found
  bool exact = true;   // the oracle was exact; else six-point differences
  int checked = 0;     // samples
  std::string detail;  // what went wrong, in one line
  std::string repro;   // the command that shows it again
  std::string to_string() const;
};

// One sample in f64. What is thrown on the way becomes a failure.
Report check(const Sample& s, const CheckOptions& o = {});
// All samples of an op, or of a function by its name: the worst report. ValueError when it has none.
Report check_op(int op, const CheckOptions& o = {});
Report check_op(std::string_view name, const CheckOptions& o = {});

namespace detail {
std::string short_number(double v);
}

}  // namespace fovea::proof
