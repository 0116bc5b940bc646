// bench: seconds per unit of a workload, one JSON object a line. Forms and sizes are those of the peers' scripts, so
// that figures compare.
#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "core/parallel.h"
#include "models/gpt.h"
#include "nn/optim/adamw.h"
#include "nn/sequential.h"
#include "tools/cli/verbs.h"

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
};

class Bench {
 public:
  explicit Bench(const Args& args)
      : iters_(args.integer("--iters", 0)),
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
    j.set("peak_rss_mb", peak_rss_mb());
    if (row.losses && !row.losses->empty()) {
      j.set("loss_first", row.losses->front());
      j.set("loss_last", row.losses->back());
    }
    j.set("cpu", cpu_name());
    j.set("versions", Json(Json::Object{{"fovea", FOVEA_VERSION}, {"compiler", __VERSION__}}));
    if (json_) print_json(j);
    else
      print_line(fmt::format("{:10} {:8} {:5} threads {:2}  median {:.4g} s  min {:.4g} s  x{}", row.workload,
                             row.variant, dtype_, thread_count(), median, s[0], s.size()));
  }

  DType dtype() const {
    for (DType t : {f32, f64, bf16, f16})
      if (dtype_ == name_of(t)) return t;
    throw UsageError("--dtype is '" + dtype_ + "' (expected f32, bf16, f16 or f64)");
  }

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

struct TinyMlp : nn::Module<TinyMlp> {
  nn::List<nn::Linear> layers{this, "layers", 8, 16, 16};
  Tensor forward(Tensor x) {
    for (auto& layer : layers) x = relu(layer(x));
    return x;
  }
};

void mlp_tiny(const Bench& bench) {
  manual_seed(0);
  TinyMlp model;
  model.to(bench.dtype());
  optim::AdamW adam(model);
  Tensor x = randn({1, 16}).to(bench.dtype());
  std::vector<double> losses;
  bench.run({.workload = "mlp_tiny", .per = 20, .warmup = 5, .losses = &losses}, [&] {
    for (int i = 0; i < 20; i++) {
      adam.zero_grad();
      Tensor loss = mean(square(model(x)));
      loss.backward();
      adam.step();
      if (i == 0) losses.push_back(loss.item());
    }
  });
}

void gpt_step(const Bench& bench, const std::string& name, const GptConfig& c, int64_t B, int64_t T) {
  manual_seed(0);
  Gpt model(c);
  model.to(bench.dtype());
  optim::AdamW adam(model, {.lr = 3e-4, .weight_decay = 0.1, .decay_all = true});
  Tensor ids = randint(0, c.vocab, {2, B, T}).to(i32);
  Tensor x = contiguous(select(ids, 0, 0)), y = flatten(select(ids, 0, 1));
  std::vector<double> losses;
  double L = double(c.layers), C = double(c.dim), tokens = double(B * T);
  double per_token =
      6 * (12 * L * C * C + double(c.vocab) * C) + 6 * L * C * double(T);  // causal attention counted once
  bench.run({.workload = name, .flops = per_token * tokens, .tokens = tokens, .losses = &losses}, [&] {
    Tensor loss = cross_entropy(flatten(model(x), 0, 1), y);
    loss.backward();
    adam.step();
    adam.zero_grad();
    losses.push_back(loss.item());
  });
}

int run_bench(const Args& args) {
  Bench bench(args);
  std::string name = args.text("WORKLOAD");
  if (name == "dispatch") dispatch(bench);
  else if (name == "mlp_tiny") mlp_tiny(bench);
  else if (name == "chargpt_s")
    gpt_step(bench, name, {.layers = 4, .dim = 128, .heads = 4, .context = 64, .vocab = 65}, 12, 64);
  else if (name == "chargpt_m")
    gpt_step(bench, name, {.layers = 6, .dim = 384, .heads = 6, .context = 256, .vocab = 65}, 16, 256);
  else if (name == "gpt2_step")
    gpt_step(bench, name, gpt_preset("gpt2-small"), args.integer("--B", 4), args.integer("--T", 512));
  else
    throw UsageError("bench: unknown workload '" + name +
                     "' (expected dispatch, mlp_tiny, chargpt_s, chargpt_m or gpt2_step)");
  return 0;
}

}  // namespace

const Verb kBench = {"bench",
                     "timings of a workload: dispatch, mlp_tiny, chargpt_s, chargpt_m, gpt2_step",
                     {{"WORKLOAD", Option::text, "which", true, "dispatch mlp_tiny chargpt_s chargpt_m gpt2_step"},
                      {"--dtype", Option::text, "f32, bf16, f16 or f64", false, kDTypes},
                      {"--iters", Option::integer, "how many calls are timed"},
                      {"--max-s", Option::real, "about how long (without --iters)"},
                      {"--B", Option::integer, "batch, of gpt2_step"},
                      {"--T", Option::integer, "context, of gpt2_step"}},
                     true,
                     run_bench};

}  // namespace fovea::cli
