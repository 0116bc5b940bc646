#include "autograd/dlpack.h"

#include <cstring>

#include "autograd/ops/checks.h"
#include "core/dispatch.h"

namespace fovea {

using namespace dlpack;

namespace {

struct Known {
  DType ours;
  DLDataType theirs;
};
constexpr Known kKnown[] = {{f32, {kDLFloat, 32, 1}}, {f64, {kDLFloat, 64, 1}}, {bf16, {kDLBfloat, 16, 1}},
                            {f16, {kDLFloat, 16, 1}}, {i64, {kDLInt, 64, 1}},   {i32, {kDLInt, 32, 1}},
                            {u8, {kDLUInt, 8, 1}},    {i8, {kDLInt, 8, 1}},     {boolean, {kDLBool, 8, 1}}};

DType dtype_from(const DLDataType& d) {
  for (const Known& k : kKnown)
    if (k.theirs.code == d.code && k.theirs.bits == d.bits && k.theirs.lanes == d.lanes) return k.ours;
  throw DTypeError("type code " + std::to_string(d.code) + " of " + std::to_string(d.bits) + " bits and " +
                   std::to_string(d.lanes) + " lanes is none of ours");
}

struct Memory {
  void* data;  // null where there are no elements
  Shape shape, strides;
  DType type;
  Device device;
  Array array(DType as, void (*release)(void*) = nullptr, void* managed = nullptr) const {
    return Array::adopt(data, shape, strides, as, device, release, managed);
  }
};

Memory memory_of(const DLTensor& t) {
  if (t.device.device_type != kDLCPU && t.device.device_type != kDLCUDAHost)
    throw DeviceError("memory of device type " + std::to_string(t.device.device_type) + ":" +
                      std::to_string(t.device.device_id) + " (expected 1, the host's). Copy it there first");
  if (t.ndim < 0 || t.ndim > kMaxRank)
    throw ShapeError(std::to_string(t.ndim) + " axes (expected 0 to " + std::to_string(kMaxRank) + ")");
  if (t.ndim > 0 && !t.shape) throw ValueError("its shape is null");
  const size_t rank = size_t(t.ndim);
  Memory m{nullptr, Shape(t.shape, rank), {}, dtype_from(t.dtype), default_device()};
  if (!on_host(m.device)) m.device = device("cpu");
  const bool empty = numel(m.shape) == 0;
  m.strides = t.strides ? Shape(t.strides, rank) : m.shape;
  if (!t.strides) dense_strides(m.shape.dims, m.shape.rank, m.strides.dims);
  if (empty) return m;
  constexpr int64_t kFar = int64_t(1) << 48;  // bytes between the first element and any other
  for (int i = 0, size = int(size_of(m.type)); i < m.shape.rank; i++) {
    int64_t way = 0;
    if (__builtin_mul_overflow(m.shape[i] - 1, m.strides[i], &way) || way >= kFar / size || way <= -kFar / size)
      throw ShapeError("axis " + std::to_string(i) + " of " + to_string(m.shape) + " has the stride " +
                       std::to_string(m.strides[i]) + " (expected one that stays in the memory)");
  }
  if (!t.data) throw ValueError("its data is null");
  m.data = static_cast<char*>(t.data) + t.byte_offset;
  return m;
}

bool is_aligned(const Memory& m) { return reinterpret_cast<uintptr_t>(m.data) % uintptr_t(size_of(m.type)) == 0; }

// Wherever it lies: element by element, as bytes.
Array unaligned_copy(const Memory& m) {
  Array out = Array::empty(m.shape, m.type, m.device);
  const auto size = size_of(m.type);
  auto* to = static_cast<char*>(out.view().data);
  Shape at = m.shape;
  for (int i = 0; i < at.rank; i++) at[i] = 0;
  for (int64_t n = out.numel(); n > 0; n--, to += size) {
    int64_t offset = 0;
    for (int i = 0; i < at.rank; i++) offset += at[i] * m.strides[i];
    std::memcpy(to, static_cast<char*>(m.data) + offset * size, size_t(size));
    for (int i = at.rank - 1; i >= 0 && ++at[i] == m.shape[i]; i--) at[i] = 0;
  }
  return out;
}

Array copy_of(const Memory& m) {
  if (!is_aligned(m)) return unaligned_copy(m);
  return cast_copy(m.array(m.type == boolean ? u8 : m.type), m.type);
}

// Read in place: what holds for tensors of ours must hold for these bytes.
void check_usable(const Memory& m, bool read_only) {
  const std::string wrong = read_only        ? "the memory is read-only"
                            : !is_aligned(m) ? std::string("its data is not aligned for ") + name_of(m.type)
                                             : wrong_truth(m.array(m.type));
  if (!wrong.empty()) throw ValueError(wrong + ". Pass {.copy = true} to have the numbers copied");
}

template <class Managed> Tensor taken(Managed* m, const FromDlpackOptions& o, uint64_t flags, const Tensor::Where& w) {
  auto release = [](void* p) {
    auto* managed = static_cast<Managed*>(p);
    if (managed->deleter) managed->deleter(managed);
  };
  try {
    const Memory memory = memory_of(m->dl_tensor);
    if (!o.copy) {
      check_usable(memory, flags & kReadOnly);
      return Tensor(memory.array(memory.type, release, m));
    }
    Tensor copy(copy_of(memory));
    release(m);
    return copy;
  } catch (Error& e) {
    release(m);
    detail::locate(e, "from_dlpack", w);
    throw;
  }
}

// What the receiver gets, and all that it points to.
template <class Managed> struct Given {
  Managed managed{};
  Array array;
  int64_t shape[kMaxRank], strides[kMaxRank];
};

template <class Managed> Managed* given(const Tensor& x, bool writable, const Tensor::Where& w) try {
  if (!x.defined()) throw ValueError("an undefined tensor");
  if (x.requires_grad()) throw GradientError("the tensor requires gradients. Give out x.detach()");
  Array a = x.array();
  if (a.is_shape_only()) throw ValueError(to_string(a.shape()) + " is shape-only: it has no data");
  if (!on_host(a.device()))
    throw DeviceError("the tensor is on " + device_name(a.device()) + ". Copy it with to(device)");
  auto* g = new Given<Managed>;
  g->array = a;
  DLTensor& t = g->managed.dl_tensor;
  for (int i = 0; i < a.rank(); i++) g->shape[i] = a.view().shape[i], g->strides[i] = a.view().strides[i];
  t = {a.view().data, {kDLCPU, 0}, a.rank(), {}, g->shape, g->strides, 0};
  for (const Known& k : kKnown)
    if (k.ours == a.dtype()) t.dtype = k.theirs;
  g->managed.manager_ctx = g;
  g->managed.deleter = [](Managed* m) { delete static_cast<Given<Managed>*>(m->manager_ctx); };
  if (writable) a.storage()->written_at(w);
  return &g->managed;
} catch (Error& e) {
  detail::locate(e, "to_dlpack", w);
  throw;
}

}  // namespace

Tensor from_dlpack(DLManagedTensorVersioned* managed, FromDlpackOptions o, Tensor::Where w) {
  if (!managed) detail::fail<ValueError>("from_dlpack", w, "the pointer is null");
  if (managed->version.major != kMajor) {  // version and deleter lie where they always do; the rest may not
    const std::string version = std::to_string(managed->version.major) + "." + std::to_string(managed->version.minor);
    if (managed->deleter) managed->deleter(managed);
    detail::fail<UnsupportedError>("from_dlpack", w, "DLPack version " + version + " (expected 1.x)");
  }
  return taken(managed, o, managed->flags, w);
}

Tensor from_dlpack(DLManagedTensor* managed, FromDlpackOptions o, Tensor::Where w) {
  if (!managed) detail::fail<ValueError>("from_dlpack", w, "the pointer is null");
  return taken(managed, o, 0, w);
}

DLManagedTensorVersioned* to_dlpack(const Tensor& x, ToDlpackOptions o, Tensor::Where w) {
  auto* m = given<DLManagedTensorVersioned>(x, o.writable, w);
  m->version = {kMajor, kMinor};
  m->flags = o.writable ? 0 : kReadOnly;
  return m;
}

DLManagedTensor* to_dlpack_unversioned(const Tensor& x, Tensor::Where w) { return given<DLManagedTensor>(x, true, w); }

}  // namespace fovea
