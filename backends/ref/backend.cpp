// The reference backend's class and its table, one line per kernel.
#include "backends/ref/backend.h"

#include "backends/ref/kernels.h"
#include "core/host_backend.h"

namespace fovea {
namespace {

class RefBackend final : public HostBackend {
 public:
  const char* name() const override { return "ref"; }

  void kernels(Kernels& table) override {
    table.set<op::fill, ref::fill>({.dtypes = kAllDTypes});
    table.set<op::iota, ref::iota>({.dtypes = kAllDTypes});
    table.set<op::copy, ref::copy>({.dtypes = kAllDTypes});
    table.set<op::select, ref::select>({.dtypes = kAllDTypes});
    table.set<op::unary, ref::unary>({.dtypes = kAllDTypes});
    table.set<op::binary, ref::binary>({.dtypes = kAllDTypes});
    table.set<op::reduce, ref::reduce>({.dtypes = kAllDTypes});
    table.set<op::scan, ref::scan>({.dtypes = kAllDTypes});
    table.set<op::arg_reduce, ref::arg_reduce>({.dtypes = kAllDTypes});
    table.set<op::matmul, ref::matmul>({.dtypes = kAllDTypes});
    table.set<op::gather, ref::gather>({.dtypes = kAllDTypes});
    table.set<op::scatter_kind, ref::scatter>({.dtypes = kAllDTypes, .scratch = ref::scatter_scratch});
    table.set<op::random_bits, ref::random_bits>({.dtypes = only(i64)});
    table.set<op::sort, ref::sort>({.dtypes = kAllDTypes, .scratch = ref::sort_scratch});
    table.set<op::adamw, ref::adamw>({.dtypes = kFloating});
  }
};

}  // namespace

Backend& ref_backend() {
  static RefBackend backend;
  return backend;
}

}  // namespace fovea
