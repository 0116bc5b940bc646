// Array: a handle to data without history. One pointer to a counted body {storage, View, the numbers behind the view}
// in one block: 128 bytes to rank 4, 192 to rank 8; a fresh array of up to 64 bytes has storage and data in that block
// too. Handles share; every view (reshape, transpose, slice, ...) is another body over the same storage. Views are
// passed by pointer, never copied.
#pragma once
#include <atomic>
#include <cstring>
#include <source_location>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/mode.h"
#include "core/shape.h"
#include "core/storage.h"

namespace fovea {

struct Body {
  std::atomic<int32_t> refs{1};
  uint8_t lines = 0;       // size of the block, where the storage is not in it
  bool embedded = false;   // the storage lies in this block and frees it
  bool weak = false;       // a number the user wrote: takes the other operand's dtype
  bool statistic = false;  // mean, rstd, log-sum-exp: a function of other tensors, not to be differentiated through
  Storage* storage = nullptr;
  View view;
  int64_t* numbers() { return reinterpret_cast<int64_t*>(this) + 8; }  // shape, then strides
};
static_assert(sizeof(Body) <= 64);

// Dtype, device and shape of an array to be made: what an op's `infer` fills in.
struct Meta {
  DType dtype = DType::f32;
  Device device;
  int8_t rank = 0;
  int64_t dims[kMaxRank];

  Meta() = default;
  Meta(DType t, Device d, const Shape& s) : dtype(t), device(d), rank(int8_t(s.rank)) {
    std::memcpy(dims, s.dims, sizeof dims);
  }
  Shape shape() const { return Shape(dims, size_t(rank)); }
};
inline Shape shape_of(const View& v) { return Shape(v.shape, size_t(v.rank < 0 ? 0 : v.rank)); }
inline Meta meta_of(const View& v) { return Meta(v.dtype, v.device, shape_of(v)); }

class Array {
 public:
  Array() = default;
  explicit Array(Body* owned) : body_(owned) {}
  Array(const Array& o) : body_(o.body_) {
    if (body_) body_->refs.fetch_add(1, std::memory_order_relaxed);
  }
  Array(Array&& o) noexcept : body_(o.body_) { o.body_ = nullptr; }
  Array& operator=(Array o) noexcept {
    std::swap(body_, o.body_);
    return *this;
  }
  [[gnu::always_inline]] ~Array() {
    if (body_) release(body_);
  }

  // Uninitialised, dense. Throws MemoryError, ShapeError.
  static Array empty(ThreadState& s, const Meta& meta);
  static Array empty(const Shape& shape, DType dtype, Device device);
  // Dense, of v's shape and device: the path of elementwise ops.
  static Array like(ThreadState& s, const View& v, DType t);
  static Array empty_like(const Array& a) { return empty(state(), meta_of(a.view())); }
  // An array that has a shape on a real device, but no data: ops on it infer and allocate nothing. Reading it throws.
  static Array shape_only(const Shape& shape, DType dtype, Device device);
  // Memory of somebody else: `release(context)` is called when the last array over it dies. Strides in elements; empty:
  // dense. Null where there are no elements, and only there.
  static Array adopt(void* data, const Shape& shape, const Shape& strides, DType dtype, Device device,
                     void (*release)(void*), void* context);

  bool defined() const { return body_ != nullptr; }
  explicit operator bool() const { return body_ != nullptr; }
  const View& view() const { return body_->view; }
  DType dtype() const { return body_->view.dtype; }
  Device device() const { return body_->view.device; }
  int rank() const { return body_->view.rank; }
  int64_t numel() const { return body_->view.numel; }
  int64_t size(int64_t dim) const { return body_->view.shape[wrap_dim(dim, rank())]; }
  Shape shape() const { return shape_of(view()); }
  Shape strides() const { return Shape(view().strides, size_t(rank())); }
  bool dense() const { return body_->view.dense; }
  bool is_shape_only() const { return body_->storage->owner == Storage::shape_only; }
  uint32_t version() const { return body_->storage->version; }
  Body* body() const { return body_; }
  Storage* storage() const { return body_->storage; }
  Body* take() { return std::exchange(body_, nullptr); }
  // This handle alone keeps this body and its storage.
  bool sole_owner() const {
    return body_->refs.load(std::memory_order_acquire) == 1 &&
           body_->storage->refs.load(std::memory_order_acquire) == 1;
  }

  // The elements, on host memory, from the view's first one. DTypeError when T is another type, DeviceError off the
  // host, ValueError when there is no data. mutable_data counts as a write: graphs that saved this memory notice.
  template <class T> const T* data() const { return static_cast<const T*>(readable(dtype_of<T>())); }
  template <class T> T* mutable_data(std::source_location where = std::source_location::current()) {
    void* p = const_cast<void*>(readable(dtype_of<T>()));
    storage()->written_at(where);
    return static_cast<T*>(p);
  }

  const void* readable(DType t) const;  // data() for a dtype known at run time only

  // The same storage seen otherwise. `offset` counts elements from this view's first one. No checks: callers have made
  // sure.
  Array alias(const Shape& shape, const Shape& strides, int64_t offset = 0) const;

  // Views; ShapeError where the request does not fit. reshape_view gives an undefined array where only a copy would do.
  Array reshape_view(const Shape& shape) const;
  Array permute(const Shape& dims) const;
  Array transpose(int64_t a, int64_t b) const;
  Array expand(const Shape& shape) const;
  Array slice(int64_t dim, int64_t start, int64_t length, int64_t step = 1) const;
  // The elements whose places on dim1 and dim2 differ by offset (above the main diagonal where it is positive), as a
  // new last axis in the place of both.
  Array diagonal(int64_t offset, int64_t dim1, int64_t dim2) const;
  // Windows of `size` elements along an axis, `step` from each other, as a new last axis: they overlap in memory.
  Array unfold(int64_t dim, int64_t size, int64_t step) const;
  Array narrow(int64_t dim, int64_t start, int64_t length) const { return slice(dim, start, length); }

 private:
  [[gnu::always_inline]] static void release(Body* b) {
    if (b->refs.load(std::memory_order_acquire) == 1 || b->refs.fetch_sub(1, std::memory_order_acq_rel) == 1)
      destroy(b);
  }
  static void destroy(Body* b);

  Body* body_ = nullptr;
};

// What is wrong with truths: "the byte at [1,0] is 3 (expected 0 or 1)", since kernels count and shift by these bytes.
// Empty where nothing is, and for other dtypes. For host memory that comes from outside.
std::string wrong_truth(const Array& a);

// Fills shape, strides, numel and dense of a body's view from a dense shape. ShapeError on overflow.
void set_dense(Body& b, const int64_t* dims, int rank);
// A body over `storage`, whose reference it takes. For views and for arrays whose storage exists.
Body* make_body(ThreadState& s, Storage* storage, int rank);

}  // namespace fovea
