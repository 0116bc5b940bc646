// The seam between ops and kernels, self-contained: plain structs, inline code, pure virtuals. A plug-in of kernels
// includes this header and links nothing of ours. A backend is a small class for memory and streams and a flat table of
// plain functions, empty slots allowed: where a slot is empty or `accepts` says no, the op's composition runs.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/op_list.h"

namespace fovea {

// A device is a backend (its place in the host's registry) and a number: "cuda:0".
struct Device {
  uint8_t backend = 0, index = 0;
  bool operator==(const Device&) const = default;
};

// An array as kernels see it. `data` points at element [0, ..., 0]; strides count elements and may be zero or negative.
// An absent optional input has data == nullptr and rank == -1.
struct View {
  void* data = nullptr;
  const int64_t* shape = nullptr;
  const int64_t* strides = nullptr;
  int64_t numel = 0;
  int8_t rank = -1;
  DType dtype = DType::f32;
  Device device;
  bool dense = true;  // row-major without gaps

  bool present() const { return rank >= 0; }
  template <class T> T* as() const { return static_cast<T*>(data); }
};

// What a kernel returns. `text` has static storage; the dispatcher adds op, backend and line, and throws.
struct Status {
  enum Code : int32_t { ok, invalid, unsupported, out_of_memory, failed };
  Code code = ok;
  const char* text = nullptr;
  explicit operator bool() const { return code == ok; }
};

// Where a kernel reports bad data (an index out of range); it clamps the index and goes on. The first report is kept.
struct Fault {
  int32_t raised = 0;
  int64_t position = 0, value = 0, limit = 0;
  void raise(int64_t at, int64_t what, int64_t bound) {
    if (__atomic_exchange_n(&raised, 1, __ATOMIC_RELAXED) == 0) position = at, value = what, limit = bound;
  }
};

struct Call;
struct Slot;

// Services of the host for backends and kernels.
struct Host {
  uint64_t abi = 0;
  void (*log)(const char* text) = nullptr;
  int (*threads)() = nullptr;
  // Calls body(context, begin, end) on pieces of at least `grain`; see core/parallel.h.
  void (*parallel_for)(int64_t begin, int64_t end, int64_t grain, void (*body)(void*, int64_t, int64_t),
                       void* context) = nullptr;
  // The reference backend's kernel of that name, for a kernel that adds something to it; null where it has none.
  const Slot* (*reference)(const char* name) = nullptr;
};

// One launch. Outputs are allocated by the dispatcher; with `add` the kernel adds to them (only kernels that say `adds`
// see it). Inputs of elementwise ops arrive broadcast to the output's shape by zero strides. Update ops write into
// `out`.
struct Call {
  const View* const* in = nullptr;
  const View* const* out = nullptr;
  int32_t inputs = 0, outputs = 0;
  uint8_t kind = 0;  // of a shared slot
  bool add = false;
  bool deterministic = false;
  void* scratch = nullptr;  // as many bytes as the slot's scratch() asked for, 64-byte aligned
  void* stream = nullptr;
  Fault* fault = nullptr;
  const Host* host = nullptr;

  const View& x(int i) const { return *in[i]; }
  const View& y(int i = 0) const { return *out[i]; }
};

// What a kernel needs of its inputs' layout; the dispatcher packs what does not fit.
enum class Layout : uint8_t { any, last_dim_dense, matrix_like /* last or last but one dense */, contiguous };

struct Slot {
  using Thunk = Status (*)(const Call&, const void* attrs);
  Thunk thunk = nullptr;
  bool (*accepts)(const Call&, const void* attrs) = nullptr;     // absent: everything of the right dtype
  int64_t (*scratch)(const Call&, const void* attrs) = nullptr;  // bytes; absent: none
  DTypeSet dtypes = kAllDTypes;  // of the dispatch input (outputs[0] where there is none)
  Layout layout = Layout::any;
  bool adds = false;       // honours Call::add
  bool reference = false;  // taken over from the reference backend
};

// What an author writes beside a kernel.
struct SlotOptions {
  DTypeSet dtypes = kAllDTypes & ~kDuals;
  Layout layout = Layout::any;
  bool adds = false;
  bool (*accepts)(const Call&, const void* attrs) = nullptr;
  int64_t (*scratch)(const Call&, const void* attrs) = nullptr;
};

// Where a backend registers its kernels, by name: the host refuses, by name, a row it does not know or whose attrs
// differ.
class Kernels {
 public:
  // set<op::softmax, softmax_kernel>({...}) with `Status softmax_kernel(const Call&, const DimAttrs&)`: no casts by
  // authors.
  template <op::Id id, auto kernel> void set(const SlotOptions& o = {}) {
    Slot s{[](const Call& c, const void* a) -> Status { return kernel(c, *static_cast<const Attrs<id>*>(a)); },
           o.accepts,
           o.scratch,
           o.dtypes,
           o.layout,
           o.adds,
           false};
    put(kNames[id], attrs_hash<Attrs<id>>(), s);
  }
  virtual bool put(const char* name, uint64_t attrs_hash, const Slot& slot) = 0;

 protected:
  ~Kernels() = default;

 private:
  static constexpr const char* kNames[] = {"none",
#define FOVEA_NAME(id, ...) #id,
                                           FOVEA_OPS(FOVEA_NAME)
#undef FOVEA_NAME
  };
};

// clang-format off
// A number made of every layout and numbering that crosses the seam: a plug-in built against another one is refused.
constexpr uint64_t abi_number() {
  uint64_t h = 0x666f766561303032;  // "fovea002"
  for (size_t n : {
      sizeof(View), offsetof(View, data), offsetof(View, shape), offsetof(View, strides), offsetof(View, numel),
      offsetof(View, rank), offsetof(View, dtype), offsetof(View, device), offsetof(View, dense),
      sizeof(Call), offsetof(Call, in), offsetof(Call, out), offsetof(Call, inputs), offsetof(Call, kind),
      offsetof(Call, add), offsetof(Call, deterministic), offsetof(Call, scratch), offsetof(Call, stream),
      offsetof(Call, fault), offsetof(Call, host),
      sizeof(Slot), offsetof(Slot, accepts), offsetof(Slot, scratch), offsetof(Slot, dtypes), offsetof(Slot, layout),
      offsetof(Slot, adds), sizeof(Status), offsetof(Status, text), sizeof(Fault), offsetof(Fault, limit),
      sizeof(Host), offsetof(Host, log), offsetof(Host, parallel_for), offsetof(Host, reference),
      size_t(kDTypes), size_t(kMaxRank), size_t(Unary::isfinite), size_t(Binary::shift_right), size_t(Reduce::all),
      size_t(Scan::prod), size_t(Activation::sigmoid), size_t(ArgReduce::min), size_t(Scatter::amin)})
    h = detail::hash_number(h, n);
  return h;
}
// clang-format on

class Backend {
 public:
  const uint64_t abi;  // of the header that the author compiled with; it stays the first member
  virtual const char* name() const = 0;
  virtual int device_count() const = 0;
  virtual const char* unavailable() const { return nullptr; }  // in one line why it has no device
  virtual bool host_memory() const = 0;  // its arrays are ordinary memory, served by the host's arena
  virtual Status allocate(int device, size_t bytes, void** data) = 0;
  virtual void free(int device, void* data, size_t bytes) = 0;
  // Copies bytes between this device and host memory (or within the device); ordered with its stream.
  virtual Status to_host(int device, void* host, const void* data, size_t bytes) = 0;
  virtual Status from_host(int device, void* data, const void* host, size_t bytes) = 0;
  virtual Status synchronize(int device) = 0;
  virtual void* stream(int device) = 0;
  virtual bool starts_from_reference() const { return host_memory(); }
  virtual void kernels(Kernels& table) = 0;

 protected:
  explicit Backend(uint64_t compiled_with = abi_number()) : abi(compiled_with) {}
  ~Backend() = default;  // the host owns no backend and unloads none
};

// The entry of a plug-in of kernels: `extern "C" fovea::Backend* fovea_backend(const fovea::Host& host)`. The host
// loads it, compares its backend's abi, asks it for kernels and never unloads it.
using BackendEntry = Backend* (*)(const Host&);

}  // namespace fovea
