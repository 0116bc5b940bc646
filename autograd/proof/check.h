// The gradient checker. A rule is compared with exact derivatives: the reference backend's kernels carry dual numbers
// through the composition, so the oracle has no step size and is good to 1e-12, to second order. Six-point differences
// are an independent third opinion, and the only one for host code. Of what is wrong it says why, on the smallest case.
//
//   Tensor x = randn({3, 4}), w = randn({4});
//   proof::check("my_norm", [](const std::vector<Tensor>& in) { return my_norm(in[0], in[1]); }, {x, w}).or_throw();
#pragma once
#include <source_location>
#include <string>
#include <vector>

#include "autograd/proof/check_model.h"
#include "autograd/proof/sample.h"
#include "autograd/proof/verdict.h"
#include "core/device.h"

namespace fovea::proof {

struct CheckOptions {
  int order = 1;                     // 1, or 2: the gradient's own gradient too
  Device device = default_device();  // whose gradient is checked; the oracle is the reference's
  int64_t max_entries = 400;         // larger inputs are checked along directions, not entry by entry
  double condition = 1;   // of a user's function: how many times more than rounding its derivatives may be off
  bool contracts = true;  // also what a rule may do beside the numbers (contracts.cpp)
  bool explain = true;    // a failure is diagnosed, and its case made small
};

// The entry that is furthest off. `error` is |analytic - oracle| over the size of the product's terms, `ulps` the same
// difference in units of the oracle's last place.
struct Worst {
  int input = -1;  // negative: of the cotangent that second derivatives are taken by
  int order = 1;   // of the derivative
  std::vector<int64_t> index;
  double analytic = 0, oracle = 0, error = 0;
  double ulps() const;
};

struct Report {
  std::string op, sample;
  Verdict verdict = Verdict::pass;
  int order = 1;  // of the derivatives that were checked
  Worst worst;
  double tolerance = 0;
  double limit = 0;             // a single wrong entry of the Jacobian above this is found
  bool exact = true;            // the oracle was exact; else six-point differences
  int checked = 0;              // samples
  Cause cause = Cause::none;    // why it failed, where that was found out
  std::string detail;           // the cause in words
  std::vector<Shape> smallest;  // of the inputs of the smallest case that still fails
  std::string repro;            // the command, or the line of the user's test, that shows it again
  std::string to_string() const;
  const Report& or_throw() const;  // GradientError unless the verdict is pass
};

// One sample in f64. What is thrown on the way becomes a failure.
Report check(const Sample& s, const CheckOptions& o = {});
// Any function of tensors at these inputs, of which the floating ones are differentiated, in f64: one tensor, or a
// list. It must give the same for the same inputs. What it takes beside them should be made in their dtype.
Report check(const std::string& name, Sample::Function f, const std::vector<Tensor>& inputs, const CheckOptions& o = {},
             std::source_location where = std::source_location::current());
// All samples of an op, or of a function by its name: the worst report. ValueError when it has none.
Report check_op(int op, const CheckOptions& o = {});
Report check_op(std::string_view name, const CheckOptions& o = {});

namespace detail {
std::string short_number(double v);
}

}  // namespace fovea::proof
