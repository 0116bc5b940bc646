// Tensor, Operand and what one does with a single tensor: making, reading, gradients. The ops are in autograd/ops.
#pragma once
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "autograd/node.h"
#include "core/device.h"

namespace fovea {

// Where and how to make a tensor: `{.dtype = f64}`, `{.like = x}`, `{.requires_grad = true}`.
struct TensorOptions;

class Tensor : public TensorBase {
 public:
  using TensorBase::TensorBase;

  // From host data, copied. Shape [n] for lists; the other forms check that the shape holds just these numbers
  // (ShapeError).
  Tensor(std::initializer_list<float> values);
  template <class T> static Tensor of(std::span<const T> values, const Shape& shape, const TensorOptions& options);
  template <class T> static Tensor of(const std::vector<T>& values, const Shape& shape);
  // Memory of the caller, not copied. It must outlive every tensor over it: `owner` is kept for as long as one lives.
  template <class T> static Tensor borrow(T* data, const Shape& shape, std::shared_ptr<void> owner);

  DType dtype() const { return array_.dtype(); }
  Device device() const { return array_.device(); }
  Shape shape() const { return array_.shape(); }
  int64_t size(int64_t dim) const { return array_.size(dim); }
  int dim() const { return array_.rank(); }
  int64_t numel() const { return array_.numel(); }

  // Reading waits for the device. item(): the only element, converted (ValueError when there are more).
  template <class T = double> T item() const { return T(item_as_double()); }
  int64_t item_as_integer() const;
  template <class T> std::vector<T> to_vector() const;  // row-major, converted
  template <class T> const T* data() const {
    return array_.data<T>();
  }  // host memory, of the exact dtype; strides() tells the layout
  Shape strides() const { return array_.strides(); }
  std::string to_string() const;  // as NumPy prints

  // Gradients.
  bool requires_grad() const { return bool(edge_); }
  bool is_leaf() const { return !edge_ || !edge_.node()->def; }
  Tensor requires_grad_(bool on = true,
                        std::source_location where = std::source_location::current()) const;  // a leaf over this data
  Tensor detach() const { return Tensor(array_); }
  // d(this)/d(leaves), added to each leaf's grad(). `gradient` is the cotangent; absent: this must have one element,
  // and it is 1.
  void backward(const Tensor& gradient = {}, bool retain_graph = false) const;
  Tensor grad() const;  // of a leaf; undefined before the first backward
  void clear_grad() const;
  // Calls hook(gradient) when this tensor's gradient is complete; what it returns, if defined, replaces it. Dies with
  // the graph.
  void register_hook(std::function<Tensor(const Tensor&)> hook) const;

  Tensor to(DType t, std::source_location where = std::source_location::current()) const;
  Tensor to(Device d, std::source_location where = std::source_location::current()) const;

 private:
  double item_as_double() const;
};

struct TensorOptions {
  DType dtype = f32;
  Device device = default_device();
  bool requires_grad = false;
  Tensor like = {};  // takes dtype and device from here

  DType the_dtype() const { return like.defined() ? like.dtype() : dtype; }
  Device the_device() const { return like.defined() ? like.device() : device; }
};

class Parameter;
template <class T> class Ref;

// An argument of an op: a tensor, a parameter or a number, with the caller's line. Lives for the call only.
class Operand {
 public:
  using Where = std::source_location;
  Operand(const Tensor& t, Where w = Where::current()) : tensor_(&t), where_(w) {}
  Operand(const Parameter& p, Where w = Where::current());
  Operand(const Ref<Parameter>& p, Where w = Where::current());
  template <class T>
  requires std::is_arithmetic_v<T> Operand(T v, Where w = Where::current())
      : tensor_(nullptr),
        where_(w),
        kind_(std::is_same_v<T, bool>       ? boolean
              : std::is_floating_point_v<T> ? floating
                                            : integer) {
    if constexpr (std::is_floating_point_v<T>) real_ = double(v);
    else integer_ = int64_t(v);
  }

  bool is_number() const { return !tensor_; }
  const Tensor& tensor() const { return *tensor_; }
  const Tensor* pointer() const { return tensor_; }
  Where where() const { return where_; }
  // The number as a weak 0-dim tensor of the dtype it takes beside `other`.
  Tensor number_beside(DType other, Device device) const;

 private:
  const Tensor* tensor_;
  Where where_;
  union {  // unset beside a tensor
    double real_;
    int64_t integer_;
  };
  enum Kind { floating, integer, boolean } kind_;
};

// Gradients of outputs with respect to inputs, which may be any tensors of the graph; leaves' grad() is not touched.
// With create_graph they can be differentiated again. An input that outputs do not depend on throws GradientError, or
// gives an undefined tensor with allow_unused.
struct GradOptions {
  bool create_graph = false;
  bool retain_graph = false;  // implied by create_graph
  bool allow_unused = false;
};
std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         const std::vector<Tensor>& cotangents = {}, const GradOptions& options = {});

// Making tensors.
Tensor empty(const Shape& shape, const TensorOptions& o = {});
Tensor zeros(const Shape& shape, const TensorOptions& o = {});
Tensor ones(const Shape& shape, const TensorOptions& o = {});
Tensor full(const Shape& shape, double value, const TensorOptions& o = {});
Tensor arange(double end, const TensorOptions& o = {.dtype = i64});
Tensor arange(double start, double end, double step, const TensorOptions& o = {.dtype = i64});
Tensor zeros_like(const Tensor& x);
Tensor ones_like(const Tensor& x);

// Reads any array, converted, row-major.
void copy_to_host(const Array& from, void* to, DType t);

template <class T> std::vector<T> Tensor::to_vector() const {
  if constexpr (std::is_same_v<T, bool>) {  // vector<bool> has no array of bool to copy into
    std::vector<uint8_t> bytes = to_vector<uint8_t>();
    return std::vector<bool>(bytes.begin(), bytes.end());
  } else {
    std::vector<T> out(static_cast<size_t>(numel()));
    copy_to_host(array_, out.data(), dtype_of<T>());
    return out;
  }
}

Tensor tensor_from_host(const void* data, DType from, const Shape& shape, const TensorOptions& o);
Tensor tensor_from_owner(void* data, DType t, const Shape& shape, std::shared_ptr<void> owner);

template <class T> Tensor Tensor::of(std::span<const T> values, const Shape& shape, const TensorOptions& o) {
  if (int64_t(values.size()) != fovea::numel(shape))
    throw ShapeError("tensor: " + std::to_string(values.size()) + " numbers for shape " + fovea::to_string(shape));
  return tensor_from_host(values.data(), dtype_of<T>(), shape, o);
}
template <class T> Tensor Tensor::of(const std::vector<T>& values, const Shape& shape) {
  return of(std::span<const T>(values.data(), values.size()), shape, TensorOptions{.dtype = dtype_of<T>()});
}
template <class T> Tensor Tensor::borrow(T* data, const Shape& shape, std::shared_ptr<void> owner) {
  return tensor_from_owner(data, dtype_of<T>(), shape, std::move(owner));
}

}  // namespace fovea
