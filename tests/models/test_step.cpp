// One training step of a small GPT, as bench chargpt_s takes it: only kernels of the CPU backend run, and a steady step
// asks the system for nothing.
#include <malloc.h>
#include <sys/resource.h>

#include <doctest/doctest.h>
#include "autograd/ops/loss.h"
#include "autograd/ops/random.h"
#include "autograd/ops/view.h"
#include "backends/cpu/onednn.h"
#include "core/allocator.h"
#include "core/trace.h"
#include "models/gpt.h"
#include "nn/optim/adamw.h"

using namespace fovea;

namespace {

struct Training {
  Gpt model;
  optim::AdamW adam;
  Tensor x, y;

  explicit Training(double dropout = 0)
      : model(GptConfig{.layers = 4, .dim = 128, .heads = 4, .context = 64, .vocab = 65, .dropout = dropout}),
        adam(model, {.lr = 3e-4, .weight_decay = 0.1, .clip = 1}) {
    Tensor ids = randint(0, 65, {2, 12, 64}).to(i32);
    x = contiguous(select(ids, 0, 0)), y = flatten(select(ids, 0, 1));
  }
  double step() {
    adam.zero_grad();
    Tensor loss = cross_entropy(flatten(model(x), 0, 1), y);
    loss.backward();
    adam.step();
    return loss.item();
  }
};

// Ops that the CPU backend has no kernel for, by name.
struct Slow : TraceSink {
  std::string names;
  int ops = 0;
  void op(const TraceEvent& e) override {
    ops++;
    if (e.composed || e.reference || std::string(e.backend) != "cpu")
      names += std::string(names.empty() ? "" : ", ") + e.op + (e.composed ? " (composed)" : " (reference)");
  }
};

int64_t page_faults() {
  rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_minflt;
}
size_t heap_from_system() {
  struct mallinfo2 m = mallinfo2();
  return m.arena + m.hblkhd;
}

}  // namespace

TEST_CASE("a training step of a GPT runs kernels of the CPU backend only") {
  // With oneDNN for every product, and without it, whatever this machine would choose.
  struct Choice {
    ~Choice() { cpu::onednn::use(cpu::onednn::Use::where_faster); }
  } restore;
  for (auto [dtype, use] : {std::pair(f32, cpu::onednn::Use::always),
                            {f32, cpu::onednn::Use::never},
                            {bf16, cpu::onednn::Use::where_faster},
                            {f16, cpu::onednn::Use::where_faster}}) {
    cpu::onednn::use(use);
    INFO(std::string(name_of(dtype)), ", oneDNN ", int(use));
    manual_seed(1);
    Training t;
    t.model.to(dtype);
    const double first = t.step();
    Slow slow;
    {
      TraceScope scope(state(), slow);
      t.step();
    }
    CHECK(slow.names == "");
    CHECK(slow.ops > 100);
    for (int i = 0; i < 8; i++) t.step();
    CHECK(t.step() < first - 0.5);
  }
}

TEST_CASE("a steady training step asks the system for no memory") {
  manual_seed(1);
  Training t(0.1);
  double first = t.step();
  for (int i = 0; i < 5; i++) t.step();
  const int64_t calls = memory_stats().system_calls, faults = page_faults(), live = memory_stats().live;
  const size_t heap = heap_from_system();
  constexpr int kSteps = 20;
  double last = 0;
  for (int i = 0; i < kSteps; i++) last = t.step();
  CHECK(memory_stats().system_calls == calls);
  CHECK(memory_stats().live == live);
  CHECK(heap_from_system() < heap + kSteps * 1024);  // oneDNN makes lists of arguments
  CHECK(page_faults() - faults < kSteps);            // the kernel may count some of its own
  CHECK(last < first);
}
