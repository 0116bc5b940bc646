// The reference backend's class and its table, one line per kernel.
#include "backends/ref/backend.h"

#include <cstdlib>
#include <cstring>

#include "backends/ref/kernels.h"

namespace fovea {
namespace {

class RefBackend final : public Backend {
 public:
  const char* name() const override { return "ref"; }
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

 private:
  static Status move(void* to, const void* from, size_t bytes) {
    if (bytes) std::memmove(to, from, bytes);
    return {};
  }
};

}  // namespace

Backend& ref_backend() {
  static RefBackend backend;
  return backend;
}

}  // namespace fovea
