// trace: every op of some training steps, as a table and as a file; trace diff: where two such files part.
#include <fmt/core.h>

#include <cmath>
#include <map>

#include "autograd/tensor.h"
#include "models/config.h"
#include "nn/io/hdf5.h"
#include "nn/io/safetensors.h"
#include "nn/statistics.h"
#include "tools/cli/trace_picture.h"
#include "tools/cli/verbs.h"
#include "tools/cli/workload.h"

namespace fovea::cli {
namespace {

using io::Json;

void told(TraceSink& sink, Workload& w, int64_t steps) {
  TraceScope scope(state(), sink);
  for (int64_t i = 0; i < steps; i++) w.step();
}

void print_modules(const nn::ModuleStatistics& s, const Args& args) {
  if (!args.json()) return print_line(s.table());
  auto numbers = [](const nn::ModuleStatistics::Numbers& n) {
    return Json(Json::Object{{"count", n.count},
                             {"mean", finite(n.mean())},
                             {"rms", finite(n.rms())},
                             {"largest", n.largest},
                             {"zeros", n.zeros},
                             {"non_finite", n.non_finite}});
  };
  for (const auto& line : s.lines()) {
    Json j{Json::Object{}};
    j.set("module", line.module);
    j.set("activations", numbers(line.activations));
    j.set("gradients", numbers(line.gradients));
    print_json(j);
  }
}

int run_trace(const Args& args) {
  if (!args.has("WORKLOAD"))
    throw UsageError("trace: WORKLOAD is required (expected one of " + std::string(kWorkloads) + ")");
  int64_t steps = args.integer("--steps", 1);
  if (steps < 1 || steps > 10000) throw UsageError("--steps is " + std::to_string(steps) + " (expected 1 to 10000)");
  Workload w(args.text("WORKLOAD"), args, dtype_named(args.text("--dtype", "f32")));
  if (args.has("--dot")) {
    refuse(args, {"--out", "--modules", "--json"}, "is for the table (expected --dot alone)");
    GraphPicture picture;
    told(picture, w, steps);
    print_line(picture.dot());
    return 0;
  }
  if (args.has("--modules")) {
    refuse(args, {"--out"}, "is for the ops (expected --modules alone)");
    nn::ModuleStatistics statistics;
    told(statistics, w, steps);
    print_modules(statistics, args);
    return 0;
  }
  trace_steps(w, int(steps), args.text("--out"), args);
  return 0;
}

// The ops of a file with results, in order.
class Recorded {
 public:
  struct Op {
    std::string name, ran, in, at, module;
    bool forward;  // called by the user: not inside a backward rule
    std::vector<const io::H5Entry*> results;
    std::string where() const { return (at.empty() ? "" : " at " + at) + (module.empty() ? "" : " (" + module + ")"); }
  };
  explicit Recorded(const std::string& path) : file_(path) {
    if (!file_.attributes().count("trace"))
      throw FileError(path +
                      ": is no trace with results (expected a file of trace --out F.h5 or train lm --trace F.h5)");
    std::string last;
    for (const io::H5Entry& e : file_.entries()) {
      std::string number = e.path.substr(0, e.path.rfind('/'));
      auto optional = [&](const char* name) {
        auto at = e.attributes.find(name);
        return at == e.attributes.end() ? std::string() : at->second;
      };
      auto text = [&](const char* name) {
        if (!e.attributes.count(name)) throw FileError(path + ": '" + e.path + "' has no attribute " + name);
        return optional(name);
      };
      if (number != last)
        ops_.push_back(
            {text("op"), text("ran"), text("in"), optional("at"), optional("module"), optional("depth") == "0", {}});
      last = number;
      ops_.back().results.push_back(&e);
    }
  }
  const std::vector<Op>& ops() const { return ops_; }
  bool same_ops(const Recorded& o) const {
    return std::equal(ops_.begin(), ops_.end(), o.ops_.begin(), o.ops_.end(),
                      [](const Op& a, const Op& b) { return a.name == b.name; });
  }
  // Without what makes no numbers: it depends on layouts and dtypes, and so on who computed.
  void drop_copies() {
    std::erase_if(ops_, [](const Op& op) {
      return op.name == "contiguous" || op.name == "cast" || op.name == "assign" || op.name == "fill";
    });
  }
  Array read(const io::H5Entry& e) const { return file_.read(e); }

 private:
  io::H5Reader file_;
  std::vector<Op> ops_;
};

std::string text_of(DType t, const Shape& shape) { return std::string(name_of(t)) + " " + to_string(shape); }

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

// The comparison so far: it ends at the first pair that parts.
struct Comparison {
  double tolerance, largest = 0;
  std::string parts;
  Json found{Json::Object{}};

  // `what` names both, with ": " or ", " before what is said of the numbers.
  bool same(const std::string& what, const Array& x, const Array& y) {
    Distance d(x, y);
    largest = std::max(largest, d.error);
    if (d.error <= tolerance) return true;
    parts = fmt::format(
        "{}, {}: {} in the first and {} in the second at {}, {:.4g} ulp; {:.3g} of the largest, cosine {:.9g}", what,
        text_of(x.dtype(), x.shape()), d.first, d.second, to_string(d.index), d.ulp, d.error, d.cosine);
    found.set("index", Json::Array(d.index.begin(), d.index.end()));
    found.set("first", finite(d.first));
    found.set("second", finite(d.second));
    found.set("ulp", finite(d.ulp));
    found.set("error", finite(d.error));
    found.set("cosine", finite(d.cosine));
    return false;
  }
  void at(const Recorded::Op& op, size_t number) {
    found.set("op", int64_t(number + 1));
    found.set("name", op.name);
    if (!op.at.empty()) found.set("at", op.at);
    if (!op.module.empty()) found.set("module", op.module);
  }
  int report(const Args& args, size_t compared, const char* of) {
    const bool equal = parts.empty();
    if (equal) found = Json::Object{{"error", finite(largest)}};
    found.set("same", equal);
    found.set(of, int64_t(compared));
    if (!equal) found.set("difference", parts);
    if (args.json()) print_json(found);
    else if (!equal) print_line(parts);
    else if (largest == 0) print_line(fmt::format("{} {} with the same results", compared, of));
    else print_line(fmt::format("{} {}, results at most {:.3g} of the largest apart", compared, of, largest));
    return equal ? 0 : 1;
  }
};

// Two traces of ours: op by op.
int diff_ops(const Recorded& a, const Recorded& b, Comparison c, const Args& args) {
  size_t shorter = std::min(a.ops().size(), b.ops().size());
  for (size_t i = 0; i < shorter && c.parts.empty(); i++) {
    const Recorded::Op &x = a.ops()[i], &y = b.ops()[i];
    std::string where = fmt::format("op {} of {}, {}{}", i + 1, shorter, x.name, x.where());
    c.at(x, i);
    if (x.name != y.name || x.results.size() != y.results.size()) {
      c.parts = fmt::format("{} of {}: the second has {} of {} there", where, x.in, y.name, y.in);
      break;
    }
    std::string ran = x.ran == y.ran ? x.ran : x.ran + " in the first, " + y.ran + " in the second";
    for (size_t k = 0; k < x.results.size() && c.parts.empty(); k++) {
      const io::H5Entry &p = *x.results[k], &q = *y.results[k];
      if (!(p.shape == q.shape))
        c.parts = fmt::format("{} ({}), result {} is {} in the first and {} in the second", where, ran, k,
                              text_of(p.dtype, p.shape), text_of(q.dtype, q.shape));
      else if (!c.same(fmt::format("{} ({}), result {}", where, ran, k), a.read(p), b.read(q)))
        c.found.set("result", int64_t(k));
    }
  }
  if (c.parts.empty() && a.ops().size() != b.ops().size())
    c.parts = fmt::format("the {} ends after {} ops, the other has {}", a.ops().size() == shorter ? "first" : "second",
                          shorter, std::max(a.ops().size(), b.ops().size()));
  return c.report(args, shorter, "ops");
}

// Arrays of another framework: each is the result of the module of that name, which may leave out our first names:
// blocks.0.mlp is gpt.blocks.0.mlp. The result of a module is that of the last op called in it.
int diff_modules(const Recorded& a, const std::string& path, Comparison c, const Args& args) {
  const io::Safetensors other = io::read_safetensors(path);
  std::map<std::string, size_t> last;  // of each module, the op that gave its result
  for (size_t i = 0; i < a.ops().size(); i++) {
    const std::string& m = a.ops()[i].module;
    if (a.ops()[i].forward && !m.empty())
      for (size_t end = m.find('.');; end = m.find('.', end + 1)) {
        last[m.substr(0, end)] = i;
        if (end == m.npos) break;
      }
  }
  std::map<size_t, std::vector<const std::pair<std::string, Array>*>> pairs;  // by the op, in the order of the run
  std::string unknown;
  for (const auto& pair : other.arrays) {
    std::vector<const std::pair<const std::string, size_t>*> mine;
    for (const auto& module : last)
      if (("." + module.first).ends_with("." + pair.first)) mine.push_back(&module);
    if (mine.size() > 1)
      throw FileError(fmt::format("{}: {} may be {} or {} (expected more of the name)", path, pair.first,
                                  mine[0]->first, mine[1]->first));
    if (mine.empty()) unknown += (unknown.empty() ? "" : ", ") + pair.first;
    else pairs[mine[0]->second].push_back(&pair);
  }
  if (!unknown.empty()) {
    std::string modules;
    for (const auto& module : last)
      if (modules.size() < 200) modules += (modules.empty() ? "" : ", ") + module.first;
    throw FileError(path + ": no module of the trace has the name of " + unknown + " (it has " + modules + ", ...)");
  }
  for (const auto& [i, list] : pairs)
    for (const auto* pair : list) {
      if (!c.parts.empty()) break;
      const Recorded::Op& op = a.ops()[i];
      const io::H5Entry& p = *op.results[0];
      const std::string what = fmt::format("module {}, by {}{}", pair->first, op.name, op.where());
      c.at(op, i);
      if (numel(p.shape) != pair->second.numel())
        c.parts = fmt::format("{} is {} in the first and {} in the second", what, text_of(p.dtype, p.shape),
                              text_of(pair->second.dtype(), pair->second.shape()));
      else c.same(what, a.read(p), pair->second);
    }
  return c.report(args, other.arrays.size(), "modules");
}

int run_trace_diff(const Args& args) {
  const double tolerance = args.real("--tolerance", 0);
  if (tolerance < 0) throw UsageError("--tolerance is " + args.text("--tolerance") + " (expected 0 or more)");
  Recorded a(args.text("A"));
  const std::string b = args.text("B");
  if (b.ends_with(".safetensors")) return diff_modules(a, b, {tolerance}, args);
  Recorded other(b);
  if (!a.same_ops(other)) a.drop_copies(), other.drop_copies();
  return diff_ops(a, other, {tolerance}, args);
}

}  // namespace

const Verb kTrace = {
    "trace",
    "the ops of a training step: who ran them, how often, how long",
    {{"WORKLOAD", Option::text, "which", false, kWorkloads},
     {"-o,--out", Option::output, "F.json in Chrome's trace-event format, or F.h5 with results, for trace diff"},
     kArithmetic,
     {"--steps", Option::integer, "how many steps are recorded (1)"},
     {"--dot", Option::flag, "the ops as a graph, for graphviz"},
     {"--modules", Option::flag, "activations and gradients by module: mean, size, zeros, NaN"},
     kB,
     kT},
    true,
    run_trace};

const Verb kTraceDiff = {
    "trace diff",
    "the first op where two traces part, with its distance",
    {{"A", Option::file, "a trace with results", true},
     {"B", Option::file, "another, or F.safetensors: results of modules by name, of another framework", true},
     {"--tolerance", Option::real, "differences up to this part of a result's largest pass (0)"}},
    false,
    run_trace_diff};

}  // namespace fovea::cli
