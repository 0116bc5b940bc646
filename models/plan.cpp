#include "models/plan.h"

#include <fmt/core.h>
#include <unistd.h>

#include <fstream>

#include "autograd/ops/loss.h"
#include "autograd/ops/random.h"
#include "autograd/ops/view.h"
#include "nn/optim/adamw.h"

namespace fovea {
namespace {

int64_t bytes_of(const nn::NamedParameters& parameters) {
  int64_t n = 0;
  for (auto& [name, p] : parameters) n += p->value().numel() * size_of(p->value().dtype());
  return n;
}

// A plan draws no random numbers.
struct KeepGenerator {
  Generator before = default_generator();
  ~KeepGenerator() { default_generator() = before; }
};

}  // namespace

MemoryPlan plan_training(const GptConfig& config, int64_t batch, int64_t context, DType dtype) {
  KeepGenerator keep;
  nn::ShapesOnly no_data;
  PlannedMemory& memory = state().blocks.planned;
  int64_t before = memory.live;
  memory.start();
  Gpt model(config);
  model.to(dtype);
  optim::AdamW adam(model);
  Tensor ids(Array::shape_only({batch, context}, i32, default_device()));
  MemoryPlan plan;
  // The optimizer's state is made by the first step, so the second is what all others are like.
  for (int step = 0; step < 2; step++) {
    adam.zero_grad();
    memory.peak = memory.live;
    cross_entropy(flatten(model(ids), 0, 1), flatten(ids)).backward();
    adam.step();
    plan.peak = memory.peak - before;
  }
  plan.reserved = memory.reserved;
  plan.weights = bytes_of(model.named_state());
  plan.gradients = bytes_of(model.named_parameters());
  for (const auto& slot : adam.slots()) plan.optimizer += 2 * slot.m.numel() * size_of(slot.m.dtype());
  return plan;
}

int64_t kv_cache_bytes(const GptConfig& c, DType dtype) {
  return 2 * c.layers * c.context * (c.kv_heads ? c.kv_heads : c.heads) * (c.dim / c.heads) * size_of(dtype);
}

int64_t matmul_parameters(const Gpt& model) {
  int64_t n = 0;
  for (auto& [name, p] : model.named_parameters())
    if (p->role() == Role::weight) n += p->value().numel();
  return model.config().tie_head ? n + model.tok.weight->value().numel() : n;
}

FlopsPlan plan_flops(const Gpt& model, int64_t context) {
  const GptConfig& c = model.config();
  // Position t sees t + 1 keys, at most the window.
  double T = double(context), w = c.window > 0 ? std::min(double(c.window), T) : T;
  double keys = (w * (w + 1) / 2 + (T - w) * w) / T;
  FlopsPlan plan;
  plan.attention = 4 * double(c.layers) * double(c.dim) * keys;
  plan.forward = 2 * double(matmul_parameters(model)) + plan.attention;
  return plan;
}

int64_t available_memory() {
  int64_t least = int64_t(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  std::ifstream info("/proc/meminfo");
  for (std::string name, unit; info >> name;) {
    int64_t kilobytes = 0;
    if (name == "MemAvailable:" && info >> kilobytes) least = std::min(least, kilobytes << 10);
    std::getline(info, unit);
  }
  for (const char* limit : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::ifstream in(limit);
    if (int64_t bytes; in >> bytes) least = std::min(least, bytes);
  }
  return least;
}

std::string bytes_text(double bytes) {
  const char* unit = "B";
  for (const char* larger : {"kB", "MB", "GB", "TB", "PB"}) {
    if (bytes < 1000) break;
    bytes /= 1000;
    unit = larger;
  }
  return fmt::format("{:.{}f} {}", bytes, unit[0] == 'B' ? 0 : bytes < 10 ? 2 : bytes < 100 ? 1 : 0, unit);
}

}  // namespace fovea
