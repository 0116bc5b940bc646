// bench: seconds per unit of a workload, one JSON object a line. Forms and sizes are those of the peers' scripts, so
// that figures compare.
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <optional>

#include "autograd/ops/elementwise.h"
#include "backends/cpu/onednn.h"
#include "core/allocator.h"
#include "core/nan_watch.h"
#include "core/parallel.h"
#include "models/config.h"
#include "tools/cli/verbs.h"
#include "tools/cli/workload.h"

namespace fovea::cli {
namespace {

using io::Json;
using Clock = std::chrono::steady_clock;

std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
  return "unknown";
}

double peak_rss_mb() {
  rusage u;
  getrusage(RUSAGE_SELF, &u);
  return double(u.ru_maxrss) / 1024;
}

struct Row {
  std::string workload, variant;
  double per = 1;  // units inside one call
  int warmup = 3;
  double flops = 0;   // per unit
  double tokens = 0;  // per unit
  std::vector<double>* losses = nullptr;
  std::string implementation = "";
};

class Bench {
 public:
  explicit Bench(const Args& args)
      : iters_(args.integer("--iters", 0, 1)),
        most_seconds_(args.real("--max-s", 20)),
        dtype_(args.text("--dtype", "f32")),
        json_(args.json()) {
    if (iters_ < 0 || most_seconds_ <= 0) throw UsageError("bench: --iters and --max-s (expected above 0)");
  }

  // Calls f until --iters, or until 30 calls (at least 5) and the seconds are used up.
  void run(const Row& row, const std::function<void()>& f) const {
    for (int i = 0; i < row.warmup; i++) f();
    std::vector<double> s;
    auto start = Clock::now();
    int64_t most = iters_ ? iters_ : 30;
    while (int64_t(s.size()) < most && (iters_ || s.size() < 5 || seconds(start) < most_seconds_)) {
      auto begin = Clock::now();
      f();
      s.push_back(seconds(begin) / row.per);
    }
    std::sort(s.begin(), s.end());
    double median = s.size() % 2 ? s[s.size() / 2] : (s[s.size() / 2 - 1] + s[s.size() / 2]) / 2;
    Json j{Json::Object{}};
    j.set("workload", row.workload);
    j.set("dtype", dtype_);
    j.set("variant", row.variant);
    j.set("threads", thread_count());
    j.set("median_s", median);
    j.set("min_s", s[0]);
    j.set("iters", int64_t(s.size()));
    if (row.tokens > 0) j.set("tokens_per_s", row.tokens / median);
    if (row.flops > 0) j.set("flops", row.flops);
    if (!row.implementation.empty()) j.set("implementation", row.implementation);
    j.set("peak_rss_mb", peak_rss_mb());
    j.set("peak_arrays_mb", double(memory_stats().peak) / 1048576);
    if (row.losses && !row.losses->empty()) {
      j.set("loss_first", row.losses->front());
      j.set("loss_last", row.losses->back());
    }
    j.set("cpu", cpu_name());
    j.set("versions", Json(Json::Object{{"fovea", FOVEA_VERSION}, {"compiler", __VERSION__}}));
    if (json_) print_json(j);
    else
      print_line(fmt::format("{:10} {:8} {:5} threads {:2}  median {:.4g} s  min {:.4g} s  x{}{}  peak {:.4g} MB {}",
                             row.workload, row.variant, dtype_, thread_count(), median, s[0], s.size(),
                             row.flops > 0 ? fmt::format("  {:.4g} GF/s", row.flops / s[0] / 1e9) : "", peak_rss_mb(),
                             row.implementation));
  }

  DType dtype() const { return dtype_named(dtype_); }

 private:
  static double seconds(Clock::time_point since) { return std::chrono::duration<double>(Clock::now() - since).count(); }
  int64_t iters_;
  double most_seconds_;
  std::string dtype_;
  bool json_;
};

// One-element tensors, one thread: what a call costs beside its arithmetic.
void dispatch(const Bench& bench) {
  set_thread_count(1);
  constexpr int n = 5000;
  TensorOptions o{.dtype = bench.dtype()};
  Tensor x = ones({1}, o), y = ones({1}, o);
  {
    NoGrad guard;
    bench.run({"dispatch", "nograd", n}, [&] {
      for (int i = 0; i < n; i++) Tensor z = x + y;
    });
  }
  x = x.requires_grad_();
  bench.run({"dispatch", "grad", n}, [&] {
    for (int i = 0; i < n / 2; i++) Tensor z = x * y + y;
  });
  Tensor w = ones({1}, o).requires_grad_(), c = ones({1}, o).requires_grad_();
  bench.run({"dispatch", "fwdbwd", n}, [&] {
    for (int i = 0; i < n / 10; i++) {
      Tensor z = y;
      for (int k = 0; k < 5; k++) z = z * w + c;
      z.backward();
      w.clear_grad();
      c.clear_grad();
    }
  });
}

// C = A B of [M, K] and [K, N] in every layout that a linear layer asks for (n: as it is, t: transposed), by our
// kernel and, in f32, by oneDNN.
template <class T> void gemm_of(const Bench& bench, const std::string& shape) try {
  cpu::Gemm<T> g;
  char behind = 0;
  if (std::sscanf(shape.c_str(), "%ldx%ldx%ld%c", &g.m, &g.n, &g.k, &behind) != 3 || g.m < 1 || g.n < 1 || g.k < 1 ||
      g.m > 1 << 20 || g.n > 1 << 20 || g.k > 1 << 20)
    throw UsageError("--shape is '" + shape + "' (expected MxNxK, each 1 to 1048576)");
  std::vector<T> a(size_t(g.m * g.k), T(0.5)), b(size_t(g.k * g.n), T(0.25)), c(size_t(g.m * g.n));
  g.a = a.data(), g.b = b.data(), g.c = c.data(), g.c_row = g.n;
  for (const char* layout : {"nt", "nn", "tn"}) {
    g.a_row = layout[0] == 'n' ? g.k : 1, g.a_col = layout[0] == 'n' ? 1 : g.m;
    g.b_row = layout[1] == 'n' ? g.n : 1, g.b_col = layout[1] == 'n' ? 1 : g.k;
    std::vector<char> scratch(size_t(cpu::gemm_scratch(g)) + 1);
    double flops = 2 * double(g.m) * double(g.n) * double(g.k);
    int per = int(std::max(1.0, 2e8 / flops));
    Row row{.workload = "gemm", .variant = layout, .per = double(per), .flops = flops};
    row.implementation = "own";
    bench.run(row, [&] {
      for (int i = 0; i < per; i++) cpu::gemm(g, scratch.data());
    });
    if constexpr (std::is_same_v<T, float>) {
      const char* theirs = cpu::onednn::implementation(g);
      if (!theirs) continue;
      row.implementation = std::string("onednn ") + theirs;
      scratch.resize(std::max(scratch.size(), size_t(cpu::onednn::scratch(g))));
      bench.run(row, [&] {
        for (int i = 0; i < per; i++) cpu::onednn::gemm(g, scratch.data());
      });
    }
  }
} catch (const std::bad_alloc&) {
  throw MemoryError("out of memory: three arrays of MxNxK = " + shape + ", " + name_of(dtype_of<T>()));
}
void gemm(const Bench& bench, const Args& args) {
  const std::string shape = args.text("--shape", "768x512x128");
  if (bench.dtype() == f32) gemm_of<float>(bench, shape);
  else if (bench.dtype() == f64) gemm_of<double>(bench, shape);
  else
    throw UsageError(std::string("--dtype is ") + name_of(bench.dtype()) +
                     " (expected f32 or f64: gemm times the kernels, which have no halves)");
}

void model_step(const Bench& bench, const Args& args) {
  Workload w(args.text("WORKLOAD"), args, bench.dtype());
  std::vector<double> losses;
  if (args.has("--losses")) {
    w.save(args.text("--losses"));
    for (int64_t i = args.integer("--iters", 20, 1); i > 0; i--) losses.push_back(w.step().item());
    print_json(Json(Json::Object{{"workload", args.text("WORKLOAD")},
                                 {"losses", Json(Json::Array(losses.begin(), losses.end()))}}));
    return;
  }
  std::optional<NanWatch> watch;
  if (args.has("--watch-nan")) watch.emplace();
  bool tiny = w.tokens == 0;  // too short to be timed alone
  int per = tiny ? 20 : 1;
  bench.run({.workload = args.text("WORKLOAD"),
             .per = double(per),
             .warmup = tiny ? 5 : 3,
             .flops = w.flops,
             .tokens = w.tokens,
             .losses = &losses},
            [&] {
              for (int i = 0; i < per; i++) {
                double loss = w.step().item();
                if (i == 0) losses.push_back(loss);
              }
            });
  if (args.has("--trace")) trace_steps(w, 1, args.text("--trace"), args);
}

int run_bench(const Args& args) {
  Bench bench(args);
  std::string name = args.text("WORKLOAD");
  if (name != "gemm") refuse(args, {"--shape"}, "is for gemm");
  else refuse(args, {"--deterministic"}, "does nothing here: gemm calls the kernels themselves");
  if (std::string device = args.text("--device", "auto"); name == "gemm" && device != "auto" && device != "cpu")
    throw UsageError("--device is " + device + " (expected cpu: gemm compares its kernels with oneDNN's)");
  if (name == "gemm" || name == "dispatch")
    refuse(args, {"--trace", "--losses", "--watch-nan"}, "is for training steps");
  if (name == "dispatch" || name == "gemm") refuse(args, {"--B", "--T"}, "is for gpt2_step");
  if (args.has("--losses")) refuse(args, {"--trace", "--max-s"}, "is for timings, and --losses times nothing");
  if (name == "dispatch") dispatch(bench);
  else if (name == "gemm") gemm(bench, args);
  else model_step(bench, args);
  return 0;
}

}  // namespace

const Verb kBench = {"bench",
                     "timings of a workload: dispatch, gemm, or a training step",
                     {{"WORKLOAD", Option::text, "which", true, "dispatch gemm mlp_tiny chargpt_s chargpt_m gpt2_step"},
                      kArithmetic,
                      {"--iters", Option::integer, "how many calls are timed"},
                      {"--max-s", Option::real, "about how long (without --iters)"},
                      {"--shape", Option::text, "MxNxK, of gemm"},
                      {"--watch-nan", Option::flag, "with every result of an op checked for NaN and infinities"},
                      {"--trace", Option::output, "record a step behind the timed ones: F.json for Chrome, F.h5"},
                      {"--losses", Option::output, "no timing: save the first weights there, print each step's loss"},
                      kB,
                      kT},
                     true,
                     run_bench};

}  // namespace fovea::cli
