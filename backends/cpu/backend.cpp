// The backend's class and its table, one line per kernel.
#include "backends/cpu/backend.h"

#include <cstdlib>
#include <cstring>

#include "backends/cpu/kernels.h"

namespace fovea {
namespace {

constexpr DTypeSet kReal = dtypes(f32, f64);

class CpuBackend final : public Backend {
 public:
  const char* name() const override { return "cpu"; }
  int device_count() const override { return 1; }
  bool host_memory() const override { return true; }
  Status allocate(int, size_t bytes, void** data) override {
    *data = std::aligned_alloc(64, (bytes + 63) / 64 * 64 + (bytes == 0) * 64);
    return *data ? Status{} : Status{Status::out_of_memory, "out of memory"};
  }
  void free(int, void* data, size_t) override { std::free(data); }
  Status to_host(int, void* host, const void* data, size_t bytes) override { return move(host, data, bytes); }
  Status from_host(int, void* data, const void* host, size_t bytes) override { return move(data, host, bytes); }
  Status synchronize(int) override { return {}; }
  void* stream(int) override { return nullptr; }

  void kernels(Kernels& table) override {
    table.set<op::copy, cpu::copy>();
    table.set<op::fill, cpu::fill>();
    table.set<op::iota, cpu::iota>();
    table.set<op::unary, cpu::unary>({.dtypes = kReal});
    table.set<op::binary, cpu::binary>({.dtypes = kReal});
    table.set<op::select, cpu::select>();
    table.set<op::reduce, cpu::reduce>({.dtypes = kReal, .scratch = cpu::reduce_scratch});
    table.set<op::sum_to, cpu::sum_to>(
        {.dtypes = kReal, .accepts = cpu::sum_to_accepts, .scratch = cpu::sum_to_scratch});
    table.set<op::matmul, cpu::matmul>({.dtypes = kReal, .adds = true, .scratch = cpu::matmul_scratch});
    table.set<op::linear, cpu::linear>(
        {.dtypes = kReal, .adds = true, .accepts = cpu::linear_accepts, .scratch = cpu::linear_scratch});
    table.set<op::gelu, cpu::gelu>({.dtypes = kReal});
    table.set<op::gelu_backward, cpu::gelu_backward>({.dtypes = kReal});
    const SlotOptions rows{.dtypes = kReal, .layout = Layout::last_dim_dense, .accepts = cpu::last_axis};
    table.set<op::softmax, cpu::softmax>(rows);
    table.set<op::log_softmax, cpu::log_softmax>(rows);
    table.set<op::softmax_backward, cpu::softmax_backward>(rows);
    table.set<op::log_softmax_backward, cpu::log_softmax_backward>(rows);
    table.set<op::cross_entropy, cpu::cross_entropy>(
        {.dtypes = kReal, .layout = Layout::last_dim_dense, .scratch = cpu::cross_entropy_scratch});
    table.set<op::cross_entropy_backward, cpu::cross_entropy_backward>(
        {.dtypes = kReal, .layout = Layout::last_dim_dense, .accepts = cpu::cross_entropy_backward_accepts});
    table.set<op::layer_norm, cpu::layer_norm>({.dtypes = kReal, .accepts = cpu::layer_norm_accepts});
    table.set<op::layer_norm_backward, cpu::layer_norm_backward>({.dtypes = kReal,
                                                                  .layout = Layout::contiguous,
                                                                  .accepts = cpu::layer_norm_backward_accepts,
                                                                  .scratch = cpu::layer_norm_backward_scratch});
    table.set<op::embedding, cpu::embedding>({.dtypes = kReal, .accepts = cpu::embedding_accepts});
    table.set<op::embedding_backward, cpu::embedding_backward>(
        {.dtypes = kReal, .layout = Layout::contiguous, .accepts = cpu::embedding_backward_accepts});
    table.set<op::attention, cpu::attention>({.dtypes = only(f32),
                                              .layout = Layout::last_dim_dense,
                                              .accepts = cpu::attention_accepts,
                                              .scratch = cpu::attention_scratch});
    table.set<op::attention_backward, cpu::attention_backward>({.dtypes = only(f32),
                                                                .layout = Layout::last_dim_dense,
                                                                .accepts = cpu::attention_backward_accepts,
                                                                .scratch = cpu::attention_backward_scratch_bytes});
    table.set<op::adamw, cpu::adamw>({.dtypes = kReal});
  }

 private:
  static Status move(void* to, const void* from, size_t bytes) {
    if (bytes) std::memmove(to, from, bytes);
    return {};
  }
};

}  // namespace

Backend& cpu_backend() {
  static CpuBackend backend;
  return backend;
}

}  // namespace fovea
