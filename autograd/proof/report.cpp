// What a check found, in words.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "autograd/proof/check.h"
#include "autograd/proof/subject.h"

namespace fovea::proof {

std::string detail::short_number(double v) {
  char text[40];
  std::snprintf(text, sizeof text, "%.6g", v);
  return text;
}
using detail::short_number;

const char* name_of(Verdict v) {
  const char* names[] = {"pass", "non-smooth", "too-noisy", "fail"};
  return names[int(v)];
}
int exit_code(Verdict v) {
  const int codes[] = {0, 3, 4, 1};
  return codes[int(v)];
}
const char* name_of(Cause c) {
  const char* names[] = {"",           "exception",    "factor",     "missing scale",     "missing factor",
                         "transposed", "missing sum",  "overwrites", "ignores cotangent", "second call",
                         "layout",     "second order", "device",     "contract"};
  return names[int(c)];
}

double Worst::ulps() const {
  const double size = std::abs(oracle), next = std::nextafter(size, INFINITY);
  return same(analytic, oracle) ? 0 : std::abs(analytic - oracle) / (next - size);
}

std::string Report::to_string() const {
  std::string text = op + ": " + name_of(verdict) + ", order " + std::to_string(order);
  if (verdict == Verdict::pass) {
    text += ", worst error " + short_number(worst.error) + " (" + sample + ")";
    text += ", would miss a single wrong entry below " + short_number(limit);
    return detail.empty() ? text : text + ". " + detail;
  }
  text += " (" + sample + ")";
  if (worst.input > -1000 && cause != Cause::contract && cause != Cause::exception) {
    text += ": ";
    text += worst.input >= 0 ? "input " + std::to_string(worst.input) : "cotangent";
    if (worst.order > 1) text += ", second derivative";
    text += " [";
    for (size_t i = 0; i < worst.index.size(); i++) text += (i ? "," : "") + std::to_string(worst.index[i]);
    text += "]: analytic " + short_number(worst.analytic) + ", oracle " + short_number(worst.oracle) + ", error " +
            short_number(worst.error) + " (expected at most " + short_number(tolerance) + "; " +
            short_number(worst.ulps()) + " ulps)";
  }
  if (!detail.empty()) text += "; " + detail;
  if (!smallest.empty()) {
    text += ". Smallest case that fails:";
    for (const Shape& s : smallest) text += " " + fovea::to_string(s);
  }
  return text + ". " + repro;
}

const Report& Report::or_throw() const {
  if (verdict != Verdict::pass) throw GradientError(to_string());
  return *this;
}

Report check_op(std::string_view name, const CheckOptions& o) {
  Report worst;
  int n = 0;
  for (const Sample* s : samples_of(name)) {
    Report r = check(*s, o);
    double limit = std::max(worst.limit, r.limit);
    bool worse = n == 0 || r.verdict > worst.verdict ||
                 (r.verdict == worst.verdict && (r.tolerance > 0 ? r.worst.error / r.tolerance : 0) >
                                                    (worst.tolerance > 0 ? worst.worst.error / worst.tolerance : 0));
    if (worse) worst = std::move(r);
    worst.limit = limit;
    worst.checked = ++n;
  }
  if (n == 0) throw ValueError(std::string(name) + ": it has no samples");
  return worst;
}
Report check_op(int op, const CheckOptions& o) { return check_op(row(op).name, o); }

}  // namespace fovea::proof
