// A plug-in of kernels: it includes core/backend.h alone and links nothing. `toy` starts from the reference and brings
// an exp of its own; `few`, on memory that the host does not manage, has the mandatory kernels only and borrows them
// from the reference, so everything else on it is composed.
#include <cstdlib>
#include <cstring>

#include "core/backend.h"

namespace {

using namespace fovea;

const Host* services;

Status move(void* to, const void* from, size_t bytes) {
  if (bytes) std::memcpy(to, from, bytes);
  return {};
}

template <class T> void sevens(void* y, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) static_cast<T*>(y)[i] = 7;
}

// exp is 7 here, so that everyone sees whose kernel ran; the other kinds are the reference's.
Status unary(const Call& c, const NoAttrs& a) {
  bool single = c.y().dtype == f32;
  if (Unary(c.kind) != Unary::exp || !(single || c.y().dtype == f64) || !c.y().dense)
    return services->reference("unary")->thunk(c, &a);
  services->parallel_for(0, c.y().numel, 1000, single ? sevens<float> : sevens<double>, c.y().data);
  return {};
}

class Toy : public Backend {
 public:
  explicit Toy(uint64_t abi = abi_number()) : Backend(abi) {}
  const char* name() const override { return "toy"; }
  int device_count() const override { return 1; }
  bool host_memory() const override { return true; }
  Status allocate(int, size_t bytes, void** data) override {
    *data = std::aligned_alloc(64, (bytes + 64) / 64 * 64);
    return *data ? Status{} : Status{Status::out_of_memory, "out of memory"};
  }
  void free(int, void* data, size_t) override { std::free(data); }
  Status to_host(int, void* host, const void* data, size_t bytes) override { return move(host, data, bytes); }
  Status from_host(int, void* data, const void* host, size_t bytes) override { return move(data, host, bytes); }
  Status synchronize(int) override { return {}; }
  void* stream(int) override { return nullptr; }
  void kernels(Kernels& table) override {
    table.set<op::unary, unary>();
#ifdef FOVEA_TOY_STALE  // built against another version of the table
    table.put("softmax", attrs_hash<DimAttrs>() + 1, *services->reference("unary"));
    table.put("no_such_op", attrs_hash<NoAttrs>(), *services->reference("unary"));
#endif
  }
};

class Few final : public Toy {
 public:
  const char* name() const override { return "few"; }
  bool host_memory() const override { return false; }
  void kernels(Kernels& table) override {
    borrow<op::fill>(table, "fill");
    borrow<op::iota>(table, "iota");
    borrow<op::copy>(table, "copy");
    borrow<op::unary>(table, "unary");
    borrow<op::binary>(table, "binary");
    borrow<op::select>(table, "select");
    borrow<op::reduce>(table, "reduce");
    borrow<op::scan>(table, "scan");
    borrow<op::arg_reduce>(table, "arg_reduce");
    borrow<op::matmul>(table, "matmul");
    borrow<op::gather>(table, "gather");
    borrow<op::scatter_kind>(table, "scatter_kind");
    borrow<op::random_bits>(table, "random_bits");
    borrow<op::sort>(table, "sort");
  }

 private:
  template <op::Id id> static void borrow(Kernels& table, const char* name) {
    table.put(name, attrs_hash<Attrs<id>>(), *services->reference(name));
  }
};

}  // namespace

extern "C" Backend* fovea_backend(const Host& host) {
  services = &host;
#ifdef FOVEA_TOY_FEW
  static Few backend;
#elif defined(FOVEA_TOY_OTHER_ABI)
  static Toy backend(abi_number() + 1);
#else
  static Toy backend;
#endif
  return &backend;
}
