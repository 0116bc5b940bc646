// DLPack, in and out: tensors of other libraries in the same process, without a copy.
// The structs are those of the specification, version 1.1 (https://dmlc.github.io/dlpack/latest/c_api.html), in a
// namespace of their own: where the other side has them from its own header, reinterpret_cast the pointer.
#pragma once
#include "autograd/tensor.h"

namespace fovea {
namespace dlpack {

inline constexpr uint32_t kMajor = 1, kMinor = 1;  // another major number means another layout
struct DLPackVersion {
  uint32_t major, minor;
};
enum DLDeviceType : int32_t { kDLCPU = 1, kDLCUDA = 2, kDLCUDAHost = 3 };  // there are more; host memory is taken
struct DLDevice {
  DLDeviceType device_type;
  int32_t device_id;
};
enum DLDataTypeCode : uint8_t { kDLInt = 0, kDLUInt = 1, kDLFloat = 2, kDLBfloat = 4, kDLComplex = 5, kDLBool = 6 };
struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void* data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t* shape;
  int64_t* strides;  // in elements; null: row-major
  uint64_t byte_offset;
};
struct DLManagedTensor {  // before version 1.0
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor* self);
};
inline constexpr uint64_t kReadOnly = 1, kIsCopied = 2;  // bits of `flags`
struct DLManagedTensorVersioned {
  DLPackVersion version;
  void* manager_ctx;
  void (*deleter)(DLManagedTensorVersioned* self);
  uint64_t flags;
  DLTensor dl_tensor;
};
static_assert(sizeof(DLTensor) == 48 && sizeof(DLManagedTensor) == 64 && sizeof(DLManagedTensorVersioned) == 80);

}  // namespace dlpack

struct FromDlpackOptions {
  // Numbers of our own: the way to take what is read-only, not aligned, or truths that are not 0 or 1.
  bool copy = false;
};
// A tensor over the other side's memory. `managed` is taken over, also where this throws: its deleter is called when
// the last tensor over it dies, on whichever thread that is. DTypeError for types that we have not, DeviceError for
// memory that is not the host's, ShapeError for more than 8 axes, ValueError for null and for what only a copy can take
// (in a copy any byte but 0 is true).
// Nobody sees what the other side writes later: it changes the tensor, and the gradients of what has saved it. Where
// the other side writes on, take a copy.
Tensor from_dlpack(dlpack::DLManagedTensorVersioned* managed, FromDlpackOptions o = {},
                   Tensor::Where w = Tensor::Where::current());
Tensor from_dlpack(dlpack::DLManagedTensor* managed, FromDlpackOptions o = {},
                   Tensor::Where w = Tensor::Where::current());

struct ToDlpackOptions {
  // Tensors do not change once made, so what is given out says that it is read-only. Writable memory counts as written
  // to: a graph that has saved it refuses to go backward. A graph that saves it from then on cannot know when the
  // receiver writes: it must have gone backward before, or its gradients are those of the new numbers.
  bool writable = false;
};
// The memory of x, which lives until the receiver calls `deleter`. GradientError where x requires gradients (give out
// x.detach()), DeviceError where it is not on the host.
dlpack::DLManagedTensorVersioned* to_dlpack(const Tensor& x, ToDlpackOptions o = {},
                                            Tensor::Where w = Tensor::Where::current());
// In the form before version 1.0, which cannot say read-only: writable.
dlpack::DLManagedTensor* to_dlpack_unversioned(const Tensor& x, Tensor::Where w = Tensor::Where::current());

}  // namespace fovea
