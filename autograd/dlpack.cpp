#include "autograd/dlpack.h"

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

// `release(managed)` is called when the array dies; the caller does it where this throws.
Array array_over(const DLTensor& t, void (*release)(void*), void* managed) {
  if (t.device.device_type != kDLCPU && t.device.device_type != kDLCUDAHost)
    throw DeviceError("memory of device type " + std::to_string(t.device.device_type) + ":" +
                      std::to_string(t.device.device_id) + " (expected 1, the host's). Copy it there first");
  if (t.ndim < 0 || t.ndim > kMaxRank)
    throw ShapeError(std::to_string(t.ndim) + " axes (expected 0 to " + std::to_string(kMaxRank) + ")");
  if (t.ndim > 0 && !t.shape) throw ValueError("its shape is null");
  const DType type = dtype_from(t.dtype);
  const Shape shape(t.shape, size_t(t.ndim));
  Shape strides;
  if (t.strides) strides = Shape(t.strides, size_t(t.ndim));
  const bool empty = numel(shape) == 0;
  if (!t.data && !empty) throw ValueError("its data is null");
  char* data = t.data ? static_cast<char*>(t.data) + t.byte_offset : nullptr;
  if (reinterpret_cast<uintptr_t>(data) % uintptr_t(size_of(type)))
    throw ValueError(std::string("its data is not aligned for ") + name_of(type));
  const Device d = on_host(default_device()) ? default_device() : device("cpu");
  return Array::adopt(data, shape, strides, type, d, release, managed);
}

template <class Managed> Tensor taken(Managed* m, const FromDlpackOptions& o, uint64_t flags, const Tensor::Where& w) {
  auto release = [](void* p) {
    auto* managed = static_cast<Managed*>(p);
    if (managed->deleter) managed->deleter(managed);
  };
  bool ours = false;  // the array calls release
  try {
    if ((flags & kReadOnly) && !o.copy)
      throw ValueError("the memory is read-only. Pass {.copy = true} to have the numbers copied");
    Array a = array_over(m->dl_tensor, release, m);
    ours = true;
    return Tensor(o.copy ? dense_copy(a) : a);
  } catch (Error& e) {
    if (!ours) release(m);
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
