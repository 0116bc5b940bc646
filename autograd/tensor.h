// Tensor, Operand and what one does with a single tensor: making, reading, gradients. The ops are in autograd/ops; some
// of them are methods too.
#pragma once
#include <concepts>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "autograd/node.h"
#include "autograd/number.h"
#include "core/device.h"

namespace fovea {

// Where and how to make a tensor: `{.dtype = f64}`, `{.like = x}`, `{.requires_grad = true}`.
struct TensorOptions;

// x[..., start:stop:step, ...] with NumPy's rules: negative positions count from the end and are clamped, negative
// steps count down, and what is not given is the end that the step comes from or goes to: Slice{.step = -1} reverses.
struct Slice {
  std::optional<Integer> start = {}, stop = {};
  Integer step = 1;
};
// One of x[...]: a number, a Slice, or a tensor of places or truths.
class Index;

// Contiguous host data of a type that has a dtype: std::vector, std::array, std::span, T[n].
template <class R>
concept HostData = requires(const R& r) {
  dtype_of<std::remove_cvref_t<decltype(*std::data(r))>>(), std::size(r);
};

namespace detail {
// What keeps memory: not what points to it (T*, std::span, iterators), watches it (weak_ptr) or holds no memory at all.
template <class C>
concept Container = !std::is_trivially_copyable_v<C> && !std::ranges::enable_borrowed_range<C> && requires(const C& c) {
  std::size(c), std::begin(c), *std::data(c);
};
template <class P>
concept OwningPointer = !std::is_pointer_v<typename P::element_type> &&
                        !std::ranges::enable_borrowed_range<typename P::element_type> && requires(P & p) {
  p.get();
};
template <class P>
concept SharedPointer = OwningPointer<P> && requires(const P& p) {
  p.use_count();
};
template <class P>
concept UniquePointer = OwningPointer<P> && requires(P& p) {
  p.release(), p.get_deleter();
};
template <class K>
concept Keeper = SharedPointer<K> || UniquePointer<K> || Container<K>;

struct Keeps {
  bool something;          // false: an empty pointer
  bool container = false;  // and these are its bytes
  const void* bytes = nullptr;
  size_t count = 0;
};
template <class C> Keeps kept_by(const C& c) {
  using T = std::remove_cvref_t<decltype(*std::data(c))>;
  if constexpr (std::is_trivially_copyable_v<T>) return {true, true, std::data(c), std::size(c) * sizeof(T)};
  return {true};  // rows that lie elsewhere
}
template <OwningPointer P> Keeps kept_by(const P& p) {
  using T = typename P::element_type;
  if constexpr (requires { p.use_count(); }) {
    if (p.use_count() == 0) return {false};
  } else if (!p.get()) {
    return {false};
  }
  if constexpr (requires(const T& t) { std::size(t), std::begin(t), *std::data(t); })
    if (p.get()) return kept_by(*p);
  return {true};
}
}  // namespace detail

class Tensor : public TensorBase {
 public:
  using TensorBase::TensorBase;
  using Where = std::source_location;  // the caller's line, for errors
  Tensor(const Tensor&) = default;
  Tensor(Tensor&&) = default;
  // A variable is given another tensor; nothing is written. `x[0] = y` would write nowhere, and does not compile.
  Tensor& operator=(const Tensor&) & = default;
  Tensor& operator=(Tensor&&) & = default;

  // {1, 2, 3} or {{1, 2}, {3, 4}} or deeper: f32 unless the options say otherwise. ShapeError when rows differ in
  // length.
  Tensor(std::initializer_list<Nested> values, Where w = Where::current());
  Tensor(std::initializer_list<Nested> values, const TensorOptions& options, Where w = Where::current());
  // Copies of host data, row-major: shape [n], or the one given (ShapeError unless it holds just these numbers). The
  // dtype is that of the data unless the options say otherwise.
  template <HostData R> static Tensor of(const R& values);
  template <HostData R> static Tensor of(const R& values, const Shape& shape, Where w = Where::current());
  template <HostData R>
  static Tensor of(const R& values, const Shape& shape, const TensorOptions& options, Where w = Where::current());
  template <class T> static Tensor of(std::initializer_list<T> values) { return of(std::span(values)); }
  template <class T> static Tensor of(std::initializer_list<T> values, const Shape& shape, Where w = Where::current()) {
    return of(std::span(values), shape, w);
  }
  // Templates, so that no list of numbers becomes truths.
  template <std::same_as<std::vector<bool>> B> static Tensor of(const B& values, Where w = Where::current()) {
    return of_truths(values, {int64_t(values.size())}, w);
  }
  template <std::same_as<std::vector<bool>> B>
  static Tensor of(const B& values, const Shape& shape, Where w = Where::current()) {
    return of_truths(values, shape, w);
  }
  // Memory of the caller, not copied: a pointer and its keeper, which lives as long as a tensor over that memory. A
  // keeper is a shared_ptr, or a unique_ptr or container that is moved in; what owns memory in another way goes into a
  // shared_ptr. ValueError for a keeper that is empty, for memory outside of the container that keeps it, for null,
  // for what is not aligned for T, and for truths that are not 0 or 1. What others write there later changes the
  // tensor, and the gradients of what has saved it; a container that grows frees it.
  template <class T, class K> static Tensor borrow(T* data, const Shape& shape, K&& keeper, Where w = Where::current());
  // A container moved in: its numbers are not copied, and live as long as a tensor over them. ShapeError unless shape
  // holds just these.
  template <HostData R>
  requires(!std::is_lvalue_reference_v<R> && detail::Container<R>) static Tensor
      adopt(R&& values, const Shape& shape, Where w = Where::current());

  // ValueError for an undefined tensor.
  DType dtype(Where w = Where::current()) const { return made(w).dtype(); }
  Device device(Where w = Where::current()) const { return made(w).device(); }
  Shape shape(Where w = Where::current()) const { return made(w).shape(); }
  Shape strides(Where w = Where::current()) const { return made(w).strides(); }
  int64_t size(Integer dim, Where w = Where::current()) const;  // negative axes count from the right; ShapeError
  int dim(Where w = Where::current()) const { return made(w).rank(); }
  int64_t numel(Where w = Where::current()) const { return made(w).numel(); }

  // Reading waits for the device. item(): the only element (ValueError when there are more), exact where T can hold it,
  // truncated to whole numbers (ValueError for NaN and for what T cannot hold), nonzero is true.
  template <class T = double> T item(Where w = Where::current()) const;
  // Row-major, converted as to() converts.
  template <class T> std::vector<T> to_vector(Where w = Where::current()) const;
  // Host memory; strides() tells the layout. DTypeError unless T is the very dtype.
  template <class T> const T* data(Where w = Where::current()) const {
    return static_cast<const T*>(readable(dtype_of<T>(), w));
  }
  std::string to_string() const;  // as NumPy prints, with dtype and shape behind: `[1.  2.5] f32[2]`

  // Gradients.
  bool requires_grad() const { return bool(edge_); }
  bool is_leaf() const { return !edge_ || !edge_.node()->def; }
  // A leaf over this data; this tensor itself stays as it is.
  [[nodiscard]] Tensor requires_grad_(bool on = true, Where w = Where::current()) const;
  [[nodiscard]] Tensor detach(Where w = Where::current()) const;
  // d(this)/d(leaves), added to each leaf's grad(). `gradient` is the cotangent; absent: this must have one element,
  // and it is 1.
  void backward(const Tensor& gradient = {}, bool retain_graph = false, Where w = Where::current()) const;
  Tensor grad(Where w = Where::current()) const;  // of a leaf; undefined before the first backward
  void clear_grad() const;
  // Calls hook(gradient) when this tensor's gradient is complete; what it returns, if defined, replaces it. Dies with
  // the graph.
  void register_hook(std::function<Tensor(const Tensor&)> hook, Where w = Where::current()) const;

  // Another dtype, or another device: this tensor itself where it is so already. Recorded, as every op.
  [[nodiscard]] Tensor to(DType t, Where w = Where::current()) const;
  [[nodiscard]] Tensor to(Device d, Where w = Where::current()) const;

  // Ops under another spelling (autograd/ops/view.h, elementwise.h).
  Tensor view(const Shape& shape, Where w = Where::current()) const;
  Tensor reshape(const Shape& shape, Where w = Where::current()) const;
  Tensor flatten(Integer start_dim = 0, Integer end_dim = -1, Where w = Where::current()) const;
  Tensor permute(const Shape& dims, Where w = Where::current()) const;
  Tensor transpose(Integer dim0, Integer dim1, Where w = Where::current()) const;
  Tensor expand(const Shape& shape, Where w = Where::current()) const;
  Tensor unsqueeze(Integer dim, Where w = Where::current()) const;
  Tensor squeeze(const Shape& dims, Where w = Where::current()) const;
  Tensor squeeze(Where w = Where::current()) const;
  Tensor slice(Integer dim, const Slice& s, Where w = Where::current()) const;
  Tensor narrow(Integer dim, Integer start, Integer length, Where w = Where::current()) const;
  Tensor select(Integer dim, Integer index, Where w = Where::current()) const;
  Tensor diagonal(Integer offset = 0, Integer dim1 = 0, Integer dim2 = 1, Where w = Where::current()) const;
  Tensor contiguous(Where w = Where::current()) const;
  // x[-1], x[Slice{1, 5}], x[x > 0], x[{0, Slice{}, places}]: see index() in autograd/ops/advanced_index.h.
  Tensor operator[](const Index& i) const;
  Tensor operator[](std::initializer_list<Index> list) const;

 private:
  const Array& made(const Where& w) const {
    if (!array_.defined()) [[unlikely]]
      undefined(w);
    return array_;
  }
  [[noreturn]] static void undefined(const Where& w);
  static Tensor of_truths(const std::vector<bool>& values, const Shape& shape, const Where& w);
  const void* readable(DType t, const Where& w) const;
  double item_as_real(const Where& w) const;
  int64_t item_as_integer(int64_t low, int64_t high, const Where& w) const;
  bool item_as_bool(const Where& w) const;
  void copy_out(void* to, DType t, const Where& w) const;
  size_t host_count(int64_t bytes_each, const Where& w) const;  // MemoryError for more than this machine holds
  [[noreturn]] void no_host_memory(int64_t bytes_each, const Where& w) const;
  template <class T> std::vector<T> host_numbers(const Where& w) const try {
    return std::vector<T>(host_count(sizeof(T), w));
  } catch (const std::bad_alloc&) {
    no_host_memory(sizeof(T), w);
  }
};

std::ostream& operator<<(std::ostream& out, const Tensor& t);  // to_string()
std::ostream& operator<<(std::ostream& out, DType t);
namespace detail {
std::ostream& write(std::ostream& out, const Shape& s);
}
template <std::same_as<Shape> S> std::ostream& operator<<(std::ostream& out, const S& s) {
  return detail::write(out, s);
}

class Index {
 public:
  using Where = std::source_location;
  enum Kind : uint8_t { number, range, tensor };
  Index(const Slice& s = {}, Where w = Where::current()) : range_(s), kind_(range), where_(w) {}
  template <class T>
  requires std::is_constructible_v<Integer, T> Index(T place, Where w = Where::current())
      : range_{place}, kind_(number), where_(w) {}
  Index(const Tensor& t, Where w = Where::current()) : tensor_(t), kind_(t.defined() ? tensor : range), where_(w) {}

  Kind kind() const { return kind_; }
  int64_t place() const { return *range_.start; }
  const Slice& slice() const { return range_; }  // of an undefined tensor: all
  const Tensor& places() const { return tensor_; }
  Where where() const { return where_; }

 private:
  Slice range_;
  Tensor tensor_;
  Kind kind_;
  Where where_;
};

struct TensorOptions {
  std::optional<DType> dtype = {};    // like's, or else f32 (whole numbers make i64 in full and arange)
  std::optional<Device> device = {};  // like's, or else default_device()
  bool requires_grad = false;
  Tensor like = {};

  DType the_dtype(DType otherwise = f32) const { return dtype ? *dtype : like.defined() ? like.dtype() : otherwise; }
  Device the_device() const { return device ? *device : like.defined() ? like.device() : default_device(); }
};

class Parameter;
template <class T> class Ref;

// An argument of an op: a tensor, a parameter or a number, with the caller's line. Lives for the call only.
class Operand {
 public:
  using Where = std::source_location;
  Operand(Where w = Where::current());  // {}: an input that is absent
  Operand(const Tensor& t, Where w = Where::current()) : tensor_(&t), where_(w) {}
  Operand(const Parameter& p, Where w = Where::current());
  Operand(const Ref<Parameter>& p, Where w = Where::current());
  template <class T>
  requires std::is_arithmetic_v<T> Operand(T v, Where w = Where::current()) : tensor_(nullptr), where_(w), number_(v) {}
  Operand(const Number& v, Where w = Where::current()) : tensor_(nullptr), where_(w), number_(v) {}

  bool is_number() const { return !tensor_; }
  const Tensor& tensor() const { return *tensor_; }
  const Tensor* pointer() const { return tensor_; }
  const Number& number() const { return number_; }
  Where where() const { return where_; }
  // The number as a weak 0-dim tensor of the dtype it takes beside `other`.
  Tensor number_beside(DType other, Device device) const;
  // The same, for what is written into a tensor: ValueError where a whole number does not fit the dtype.
  Tensor element_beside(DType other, Device device) const;

 private:
  const Tensor* tensor_;
  Where where_;
  union {
    Number number_;  // unset beside a tensor
  };
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
                         const std::vector<Tensor>& cotangents = {}, const GradOptions& options = {},
                         std::source_location where = std::source_location::current());

// Making tensors. ShapeError for negative sizes and for more than 2^62 elements, MemoryError for what does not fit.
Tensor empty(const Shape& shape, const TensorOptions& o = {}, Tensor::Where w = Tensor::Where::current());
Tensor zeros(const Shape& shape, const TensorOptions& o = {}, Tensor::Where w = Tensor::Where::current());
Tensor ones(const Shape& shape, const TensorOptions& o = {}, Tensor::Where w = Tensor::Where::current());
Tensor full(const Shape& shape, Number value, const TensorOptions& o = {}, Tensor::Where w = Tensor::Where::current());
// start, start + step, ... below end (above it where step is negative): i64 if all three are whole numbers, else f32.
Tensor arange(Number end, const TensorOptions& o = {}, Tensor::Where w = Tensor::Where::current());
Tensor arange(Number start, Number end, const TensorOptions& o = {}, Tensor::Where w = Tensor::Where::current());
Tensor arange(Number start, Number end, Number step, const TensorOptions& o = {},
              Tensor::Where w = Tensor::Where::current());
// Of x's shape and, unless the options say otherwise, its dtype and device.
Tensor empty_like(const Tensor& x, const TensorOptions& o = {}, Tensor::Where w = Tensor::Where::current());
Tensor zeros_like(const Tensor& x, const TensorOptions& o = {}, Tensor::Where w = Tensor::Where::current());
Tensor ones_like(const Tensor& x, const TensorOptions& o = {}, Tensor::Where w = Tensor::Where::current());
Tensor full_like(const Tensor& x, Number value, const TensorOptions& o = {},
                 Tensor::Where w = Tensor::Where::current());

// Reads any array, converted, row-major.
void copy_to_host(const Array& from, void* to, DType t);
Tensor tensor_from_host(const void* data, DType from, const Shape& shape, const TensorOptions& o);
namespace detail {
void check_count(int64_t numbers, const Shape& shape, const std::source_location& where);  // ShapeError
void check_numbers(const void* data, DType t, int64_t numbers, const Shape& shape,
                   const std::source_location& where);  // the same, and ValueError for truths that are not 0 or 1
// release(context) is called when the last tensor dies, or when this throws.
Tensor over_host_memory(void* data, const Shape& shape, DType t, const Keeps& keeps, void (*release)(void*),
                        void* context, const std::source_location& where);
}  // namespace detail

template <class T> T Tensor::item(Where w) const {
  if constexpr (std::is_same_v<T, bool>) return item_as_bool(w);
  else if constexpr (std::is_integral_v<T>) {
    constexpr bool wide = std::is_unsigned_v<T> && sizeof(T) == 8;
    return T(item_as_integer(int64_t(std::numeric_limits<T>::min()),
                             wide ? INT64_MAX : int64_t(std::numeric_limits<T>::max()), w));
  } else if constexpr (std::is_same_v<T, double>) return item_as_real(w);
  else return T(float(item_as_real(w)));
}

template <class T> std::vector<T> Tensor::to_vector(Where w) const {
  if constexpr (std::is_same_v<T, bool>) {  // vector<bool> has no array of bool to copy into
    std::vector<uint8_t> bytes = host_numbers<uint8_t>(w);
    copy_out(bytes.data(), boolean, w);
    return std::vector<bool>(bytes.begin(), bytes.end());
  } else {
    std::vector<T> out = host_numbers<T>(w);
    copy_out(out.data(), dtype_of<T>(), w);
    return out;
  }
}

template <HostData R> Tensor Tensor::of(const R& values, const Shape& shape, const TensorOptions& o, Where w) {
  constexpr DType t = dtype_of<std::remove_cvref_t<decltype(*std::data(values))>>();
  detail::check_numbers(std::data(values), t, int64_t(std::size(values)), shape, w);
  return tensor_from_host(std::data(values), t, shape, o);
}
template <HostData R> Tensor Tensor::of(const R& values, const Shape& shape, Where w) {
  return of(values, shape, TensorOptions{}, w);
}
template <HostData R> Tensor Tensor::of(const R& values) {
  return of(values, {int64_t(std::size(values))}, TensorOptions{}, Where());  // a line here would tell nothing
}
template <class T, class K> Tensor Tensor::borrow(T* data, const Shape& shape, K&& keeper, Where w) {
  using Kept = std::remove_cvref_t<K>;
  static_assert(detail::Keeper<Kept>,
                "what keeps the memory is a shared_ptr, or a unique_ptr or container that is moved in");
  if constexpr (detail::Keeper<Kept>) {
    static_assert(detail::SharedPointer<Kept> || !std::is_lvalue_reference_v<K>, "this keeper has to be moved in");
    auto* kept = new Kept(std::forward<K>(keeper));
    auto release = [](void* p) { delete static_cast<Kept*>(p); };
    return detail::over_host_memory(data, shape, dtype_of<T>(), detail::kept_by(*kept), release, kept, w);
  }
}
template <HostData R>
requires(!std::is_lvalue_reference_v<R> && detail::Container<R>) Tensor Tensor::adopt(R&& values, const Shape& shape,
                                                                                      Where w) {
  using T = std::remove_reference_t<decltype(*std::data(values))>;
  static_assert(!std::is_const_v<T>, "adopt takes a container whose numbers may be written to");
  detail::check_count(int64_t(std::size(values)), shape, w);
  auto* kept = new R(std::move(values));  // moving may move the numbers
  auto release = [](void* p) { delete static_cast<R*>(p); };
  return detail::over_host_memory(std::data(*kept), shape, dtype_of<T>(), detail::kept_by(*kept), release, kept, w);
}

}  // namespace fovea
