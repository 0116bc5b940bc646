// How the checks of one sample work together: each compares gradients with an oracle and notes what it found.
#pragma once
#include <functional>

#include "autograd/proof/check.h"
#include "autograd/proof/subject.h"

namespace fovea::proof {

struct Findings {
  Findings(Report& report, const Subject& subject, double floor = 0) : report(report), subject(subject), floor(floor) {}

  Report& report;
  const Subject& subject;
  const double floor;  // errors are relative to no less than this
  double scale = 0;    // the largest size of a first derivative so far

  // Compares a gradient with <c, columns>, entry by entry. The error is relative to the largest sum of |terms|, or to
  // the largest entry of the Jacobian where the cotangent picks out a small one. NaN equals NaN, and nothing else.
  // `input` as in Worst; a wrong entry is given to `judge`.
  using Judge = std::function<void(size_t entry, double analytic)>;
  void compare(int order, int input, const Shape& shape, const Numbers& gradient, const std::vector<Numbers>& columns,
               const Numbers& c, const Judge& judge);
  void note(Worst w, bool good);  // kept if it is the worst so far
  void settle(Verdict v, const std::string& detail = "", Cause cause = Cause::none);
  void can_find(double entry) { report.limit = std::max(report.limit, entry); }
  bool failed() const { return report.verdict == Verdict::fail; }
};

// Each by itself; what they find goes into the report.
void check_entries(Findings& f);        // the Jacobian, column by column
void check_noise(Findings& f);          // whether what failed is right on the average
void check_layouts(Findings& f);        // the same gradient for inputs in other orders of memory
void check_other_numbers(Findings& f);  // ... and for other numbers, after these
void check_second_order(Findings& f);   // the gradient of the gradient
// Along random directions, from this one of three on, halved where they disagree.
void check_directions(Findings& f, int order, uint64_t first = 0);
void check_kink(Findings& f);                     // a subgradient
void check_differences(Findings& f, int order);   // by six points, the oracle's rival
void check_host_code(Findings& f, int64_t most);  // by six points, where there is no oracle

// What lies between the derivatives of both sides of a kink, at element k of inputs[i], is right there.
struct Sides {
  double below, above;
  Sides(const Subject& s, size_t i, size_t k, const Numbers& c);
  bool allow(double analytic) const;
  std::string jump() const;
};

// The slope of f at 0 with a whole and a half step: their difference is the error bar.
struct Slope {
  double whole, half;
};
Slope slope_of(double step, const std::function<double(double)>& f);
double difference_step(double largest);       // for numbers up to this size
inline constexpr double kDifferences = 1e-8;  // how far honest differences may be off
inline constexpr double kNoise = 1e-6;        // where two steps part by more, they say nothing

// The checks of one sample, without explaining what fails.
Report check_once(const Sample& s, const CheckOptions& o);
// The same for one call among others, at the numbers that came along: first order, inputs laid out as they were, and
// the forward.
Report check_call(const Sample& s, Device d);
// Says why a sample fails, and on which smallest case.
void explain(Report& r, const Sample& s, const CheckOptions& o);
void diagnose(Report& r, const Sample& s, const CheckOptions& o);
Sample shrunk(const Sample& s, const CheckOptions& o);

}  // namespace fovea::proof
