// The backend's class and its table, one line per kernel.
#include "backends/cpu/backend.h"

#include "backends/cpu/halves.h"
#include "backends/cpu/kernels.h"
#include "core/host_backend.h"

namespace fovea {
namespace {

constexpr DTypeSet kReal = dtypes(f32, f64), kFloats = kReal | cpu::kHalves;

class CpuBackend final : public HostBackend {
 public:
  const char* name() const override { return "cpu"; }

  void kernels(Kernels& table) override {
    table.set<op::copy, cpu::copy>();
    table.set<op::cat, cpu::cat>({.accepts = cpu::cat_accepts});
    table.set<op::fill, cpu::fill>();
    table.set<op::tril, cpu::tril>({.layout = Layout::last_dim_dense});
    table.set<op::triu, cpu::triu>({.layout = Layout::last_dim_dense});
    table.set<op::iota, cpu::iota>();
    table.set<op::unary, cpu::unary>({.dtypes = kFloats | only(boolean) | only(i64) | only(i32)});
    table.set<op::binary, cpu::binary>({.dtypes = kFloats | dtypes(i32, i64, boolean)});
    table.set<op::select, cpu::select>();
    const DTypeSet f32s = only(f32) | cpu::kHalves;
    table.set<op::activation, cpu::activation>({.dtypes = f32s, .accepts = cpu::activation_accepts});
    table.set<op::activation_backward, cpu::activation_backward>(
        {.dtypes = f32s, .accepts = cpu::activation_backward_accepts});
    table.set<op::swiglu, cpu::swiglu>({.dtypes = f32s, .accepts = cpu::same_dtypes});
    table.set<op::swiglu_backward, cpu::swiglu_backward>({.dtypes = f32s, .accepts = cpu::same_dtypes});
    table.set<op::hypot, cpu::hypot>({.dtypes = f32s, .accepts = cpu::same_dtypes});
    table.set<op::logaddexp, cpu::logaddexp>({.dtypes = f32s, .accepts = cpu::same_dtypes});
    table.set<op::lerp, cpu::lerp>({.dtypes = f32s, .accepts = cpu::same_dtypes});
    table.set<op::clamp_between, cpu::clamp_between>({.dtypes = f32s | dtypes(i32, i64), .accepts = cpu::same_dtypes});
    table.set<op::addcmul, cpu::addcmul>({.dtypes = f32s, .accepts = cpu::same_dtypes});
    table.set<op::gelu, cpu::gelu>({.dtypes = kFloats});
    table.set<op::gelu_backward, cpu::gelu_backward>({.dtypes = kFloats});
    table.set<op::reduce, cpu::reduce>({.dtypes = kFloats | dtypes(i32, i64, boolean), .scratch = cpu::reduce_scratch});
    table.set<op::sum_to, cpu::sum_to>(
        {.dtypes = kFloats, .accepts = cpu::sum_to_accepts, .scratch = cpu::sum_to_scratch});
    table.set<op::matmul, cpu::matmul>({.dtypes = kFloats, .adds = true, .scratch = cpu::matmul_scratch});
    table.set<op::linear, cpu::linear>(
        {.dtypes = kFloats, .adds = true, .accepts = cpu::linear_accepts, .scratch = cpu::linear_scratch});
    const SlotOptions rows{.dtypes = kReal, .layout = Layout::last_dim_dense};
    const SlotOptions softmaxes{.dtypes = kFloats,
                                .layout = Layout::last_dim_dense,
                                .accepts = cpu::softmax_accepts,
                                .scratch = cpu::softmax_scratch};
    table.set<op::softmax, cpu::softmax>(softmaxes);
    table.set<op::log_softmax, cpu::log_softmax>(softmaxes);
    table.set<op::softmax_backward, cpu::softmax_backward>(softmaxes);
    table.set<op::log_softmax_backward, cpu::log_softmax_backward>(softmaxes);
    cpu::set_with_halves<op::cross_entropy, cpu::cross_entropy, cpu::all_accepted, cpu::cross_entropy_scratch>(table,
                                                                                                               rows);
    cpu::set_with_halves<op::cross_entropy_backward, cpu::cross_entropy_backward, cpu::cross_entropy_backward_accepts>(
        table, rows);
    cpu::set_with_halves<op::layer_norm, cpu::layer_norm, cpu::layer_norm_accepts>(table, {.dtypes = kReal});
    const SlotOptions whole{.dtypes = kReal, .layout = Layout::contiguous};
    cpu::set_with_halves<op::layer_norm_backward, cpu::layer_norm_backward, cpu::all_dense,
                         cpu::layer_norm_backward_scratch>(table, whole);
    cpu::set_with_halves<op::rms_norm, cpu::rms_norm, cpu::rms_norm_accepts>(table, {.dtypes = kReal});
    cpu::set_with_halves<op::rms_norm_backward, cpu::rms_norm_backward, cpu::all_dense, cpu::rms_norm_backward_scratch>(
        table, whole);
    cpu::set_with_halves<op::group_norm, cpu::group_norm, cpu::group_norm_accepts>(table, whole);
    cpu::set_with_halves<op::group_norm_backward, cpu::group_norm_backward, cpu::group_norm_accepts,
                         cpu::group_norm_backward_scratch>(table, whole);
    table.set<op::vector_norm, cpu::vector_norm>(
        {.dtypes = kFloats, .accepts = cpu::vector_norm_accepts, .scratch = cpu::vector_norm_scratch});
    const SlotOptions dense{.dtypes = only(f32), .layout = Layout::contiguous};
    cpu::set_with_halves<op::var_mean, cpu::var_mean, cpu::moments_accept, cpu::moments_scratch>(table, dense);
    cpu::set_with_halves<op::std_mean, cpu::std_mean, cpu::moments_accept, cpu::moments_scratch>(table, dense);
    cpu::set_with_halves<op::prod_backward, cpu::prod_backward, cpu::prod_backward_accepts>(table, dense);
    cpu::set_with_halves<op::pair_loss, cpu::pair_loss, cpu::pair_loss_accepts, cpu::pair_loss_scratch>(table, dense);
    cpu::set_with_halves<op::pair_loss_backward, cpu::pair_loss_backward, cpu::pair_loss_backward_accepts>(table,
                                                                                                           dense);
    cpu::set_with_halves<op::max_pool1d, cpu::max_pool1d, cpu::max_pool1d_accepts>(table, dense);
    cpu::set_with_halves<op::max_pool1d_backward, cpu::max_pool1d_backward, cpu::max_pool1d_accepts>(table, dense);
    table.set<op::nll_loss, cpu::nll_loss>({.dtypes = only(f32), .accepts = cpu::nll_loss_accepts});
    cpu::set_with_halves<op::rope, cpu::rope, cpu::all_dense, cpu::rope_scratch>(table, dense);
    cpu::set_with_halves<op::dropout, cpu::dropout, cpu::all_dense>(table, dense);
    cpu::set_with_halves<op::scan, cpu::scan>(table, whole);
    cpu::set_with_halves<op::arg_reduce, cpu::arg_reduce>(table, dense);
    cpu::set_with_halves<op::sort, cpu::sort, cpu::all_accepted, cpu::sort_scratch>(
        table, {.dtypes = kReal | only(i64), .layout = Layout::contiguous});
    table.set<op::upper_bound, cpu::upper_bound>(
        {.dtypes = kReal, .layout = Layout::contiguous, .accepts = cpu::upper_bound_accepts});
    table.set<op::gather, cpu::gather>();
    cpu::set_with_halves<op::scatter_kind, cpu::scatter, cpu::all_accepted, cpu::scatter_scratch>(table, {});
    table.set<op::scatter_backward, cpu::scatter_backward>({.accepts = cpu::scatter_backward_accepts});
    table.set<op::true_places, cpu::true_places>(
        {.dtypes = only(boolean), .accepts = cpu::true_places_accepts, .scratch = cpu::true_places_scratch});
    table.set<op::random_bits, cpu::random_bits>();
    table.set<op::randperm, cpu::randperm>(
        {.dtypes = only(i64), .accepts = cpu::randperm_accepts, .scratch = cpu::randperm_scratch});
    table.set<op::embedding, cpu::embedding>({.dtypes = kFloats, .accepts = cpu::embedding_accepts});
    cpu::set_with_halves<op::embedding_backward, cpu::embedding_backward, cpu::embedding_backward_accepts>(table,
                                                                                                           whole);
    const SlotOptions heads{.dtypes = only(f32), .layout = Layout::last_dim_dense};
    cpu::set_with_halves<op::attention, cpu::attention, cpu::attention_accepts, cpu::attention_scratch>(table, heads);
    cpu::set_with_halves<op::attention_backward, cpu::attention_backward, cpu::attention_backward_accepts,
                         cpu::attention_backward_scratch_bytes>(table, heads);
    table.set<op::adamw, cpu::adamw>({.dtypes = kFloats});
  }
};

}  // namespace

Backend& cpu_backend() {
  static CpuBackend backend;
  return backend;
}

}  // namespace fovea
