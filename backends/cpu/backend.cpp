// The backend's class and its table, one line per kernel.
#include "backends/cpu/backend.h"

#include "backends/cpu/kernels.h"
#include "core/host_backend.h"

namespace fovea {
namespace {

constexpr DTypeSet kReal = dtypes(f32, f64);

class CpuBackend final : public HostBackend {
 public:
  const char* name() const override { return "cpu"; }

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
};

}  // namespace

Backend& cpu_backend() {
  static CpuBackend backend;
  return backend;
}

}  // namespace fovea
