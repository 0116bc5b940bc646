// trace: every op of some training steps, as a table and as a file; trace diff: where two such files part.
#include <fmt/core.h>

#include <cmath>
#include <map>

#include "autograd/tensor.h"
#include "models/config.h"
#include "nn/io/hdf5.h"
#include "tools/cli/verbs.h"
#include "tools/cli/workload.h"

namespace fovea::cli {
namespace {

using io::Json;

int run_trace(const Args& args) {
  if (!args.has("WORKLOAD"))
    throw UsageError("trace: WORKLOAD is required (expected one of " + std::string(kWorkloads) + ")");
  int64_t steps = args.integer("--steps", 1);
  if (steps < 1 || steps > 10000) throw UsageError("--steps is " + std::to_string(steps) + " (expected 1 to 10000)");
  Workload w(args.text("WORKLOAD"), args, dtype_named(args.text("--dtype", "f32")));
  trace_steps(w, int(steps), args.text("--out"), args);
  return 0;
}

// The ops of a file with results, in order; without copies, which depend on layouts and so on who computed.
class Recorded {
 public:
  struct Op {
    std::string name, ran, in;
    std::vector<const io::H5Entry*> results;
  };
  explicit Recorded(const std::string& path) : file_(path) {
    if (!file_.attributes().count("trace"))
      throw FileError(path +
                      ": is no trace with results (expected a file of trace --out F.h5 or train lm --trace F.h5)");
    std::string last;
    for (const io::H5Entry& e : file_.entries()) {
      std::string number = e.path.substr(0, e.path.rfind('/'));
      auto text = [&](const char* name) {
        auto at = e.attributes.find(name);
        if (at == e.attributes.end()) throw FileError(path + ": '" + e.path + "' has no attribute " + name);
        return at->second;
      };
      if (text("op") == "contiguous") continue;
      if (number != last) ops_.push_back({text("op"), text("ran"), text("in"), {}});
      last = number;
      ops_.back().results.push_back(&e);
    }
  }
  const std::vector<Op>& ops() const { return ops_; }
  Array read(const io::H5Entry& e) const { return file_.read(e); }

 private:
  io::H5Reader file_;
  std::vector<Op> ops_;
};

std::string text_of(const io::H5Entry& e) { return std::string(name_of(e.dtype)) + " " + to_string(e.shape); }

// How far apart two results of one shape are, at the worst entry and as a whole.
struct Distance {
  double error = 0;  // the largest difference over the largest magnitude
  double first = 0, second = 0, ulp = 0, cosine = 1;
  Shape index;

  Distance(const Array& a, const Array& b) {
    auto x = Tensor(a).to_vector<double>(), y = Tensor(b).to_vector<double>();
    double most = 0, worst = -1, xx = 0, yy = 0, xy = 0;
    size_t at = 0;
    for (size_t i = 0; i < x.size(); i++) {
      bool same = x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]));
      double d = same ? 0 : std::abs(x[i] - y[i]);
      if (std::isnan(d)) d = INFINITY;  // NaN on one side
      if (d > worst) worst = d, at = i;
      if (std::isfinite(x[i])) most = std::max(most, std::abs(x[i])), xx += x[i] * x[i];
      if (std::isfinite(y[i])) most = std::max(most, std::abs(y[i])), yy += y[i] * y[i];
      if (std::isfinite(x[i]) && std::isfinite(y[i])) xy += x[i] * y[i];
    }
    if (x.empty() || worst <= 0) return;
    error = most > 0 ? worst / most : INFINITY;
    first = x[at], second = y[at];
    int bits = std::min(mantissa(a.dtype()), mantissa(b.dtype()));
    ulp = std::abs(first - second) / std::ldexp(1.0, std::ilogb(std::max(std::abs(first), std::abs(second))) - bits);
    cosine = xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
    for (int d = a.shape().rank - 1; d >= 0; d--)
      index.push_back(int64_t(at) % a.shape()[d]), at /= size_t(a.shape()[d]);
    std::reverse(index.dims, index.dims + index.rank);
  }
  static int mantissa(DType t) { return t == f64 ? 52 : t == f32 ? 23 : t == f16 ? 10 : t == bf16 ? 7 : 0; }
};

// Stops at the first op whose name or results differ by more than the tolerance.
int run_trace_diff(const Args& args) {
  double tolerance = args.real("--tolerance", 0);
  if (tolerance < 0) throw UsageError("--tolerance is " + args.text("--tolerance") + " (expected 0 or more)");
  Recorded a(args.text("A")), b(args.text("B"));
  size_t shorter = std::min(a.ops().size(), b.ops().size());
  double largest = 0;
  Json j{Json::Object{}};
  std::string parts;
  for (size_t i = 0; i < shorter && parts.empty(); i++) {
    const Recorded::Op &x = a.ops()[i], &y = b.ops()[i];
    std::string where = fmt::format("op {} of {}, {}", i + 1, shorter, x.name);
    j.set("op", int64_t(i + 1));
    j.set("name", x.name);
    if (x.name != y.name || x.results.size() != y.results.size()) {
      parts = fmt::format("{} of {}: the second has {} of {} there", where, x.in, y.name, y.in);
      break;
    }
    std::string ran = x.ran == y.ran ? x.ran : x.ran + " in the first, " + y.ran + " in the second";
    for (size_t k = 0; k < x.results.size() && parts.empty(); k++) {
      const io::H5Entry &p = *x.results[k], &q = *y.results[k];
      if (!(p.shape == q.shape)) {
        parts = fmt::format("{} ({}), result {} is {} in the first and {} in the second", where, ran, k, text_of(p),
                            text_of(q));
        break;
      }
      Distance d(a.read(p), b.read(q));
      largest = std::max(largest, d.error);
      if (d.error <= tolerance) continue;
      parts = fmt::format(
          "{} ({}), result {}, {}: {} in the first and {} in the second at {}, {:.4g} ulp; {:.3g} of the "
          "largest, cosine {:.9g}",
          where, ran, k, text_of(p), d.first, d.second, to_string(d.index), d.ulp, d.error, d.cosine);
      j.set("result", int64_t(k));
      j.set("index", Json::Array(d.index.begin(), d.index.end()));
      j.set("first", finite(d.first));
      j.set("second", finite(d.second));
      j.set("ulp", finite(d.ulp));
      j.set("error", finite(d.error));
      j.set("cosine", finite(d.cosine));
    }
  }
  if (parts.empty() && a.ops().size() != b.ops().size())
    parts = fmt::format("the {} ends after {} ops, the other has {}", a.ops().size() == shorter ? "first" : "second",
                        shorter, std::max(a.ops().size(), b.ops().size()));
  bool same = parts.empty();
  if (same) j = Json::Object{{"error", finite(largest)}};
  j.set("same", same);
  j.set("ops", int64_t(shorter));
  if (!same) j.set("difference", parts);
  if (args.json()) print_json(j);
  else if (!same) print_line(parts);
  else if (largest == 0) print_line(fmt::format("{} ops with the same results", shorter));
  else print_line(fmt::format("{} ops, results at most {:.3g} of the largest apart", shorter, largest));
  return same ? 0 : 1;
}

}  // namespace

const Verb kTrace = {
    "trace",
    "the ops of a training step: who ran them, how often, how long",
    {{"WORKLOAD", Option::text, "which", false, kWorkloads},
     {"-o,--out", Option::output, "F.json in Chrome's trace-event format, or F.h5 with results, for trace diff"},
     kArithmetic,
     {"--steps", Option::integer, "how many steps are recorded (1)"},
     kB,
     kT},
    true,
    run_trace};

const Verb kTraceDiff = {"trace diff",
                         "the first op where two traces part, with its distance",
                         {{"A", Option::file, "a trace with results", true},
                          {"B", Option::file, "another", true},
                          {"--tolerance", Option::real, "differences up to this part of a result's largest pass (0)"}},
                         false,
                         run_trace_diff};

}  // namespace fovea::cli
