#include "autograd/tensor.h"

#include <unistd.h>

#include <cmath>
#include <ostream>

#include "autograd/engine.h"
#include "autograd/gradient_report.h"
#include "autograd/hooks.h"
#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "core/dispatch.h"
#include "core/print.h"

namespace fovea {

using Where = std::source_location;
namespace {

void check_differentiable(const Tensor& t, const char* what) {
  if (!t.defined()) throw GradientError(std::string(what) + ": an undefined tensor");
  if (!t.requires_grad())
    throw GradientError(std::string(what) + ": nothing to differentiate: " + to_string(t.shape()) +
                        " was not computed from a tensor that requires gradients (or inside NoGrad)");
}

// Fills `a`, where it is one number on the host without a kernel.
void write_number(Array& a, Number v) {
  const View& to = a.view();
  const bool here = to.numel == 1 && on_host(to.device) && to.data;
  if (here && to.dtype == f32) *to.as<float>() = float(v.real());
  else if (here && to.dtype == f64) *to.as<double>() = v.real();
  else if (here && to.dtype == i64) *to.as<int64_t>() = v.integer();
  else if (is_floating(to.dtype)) fill(a, v.real());
  else fill_integer(a, v.integer());
}

Tensor cotangent_for(const Tensor& out, const Tensor& given, const char* what, const Where& w) {
  if (!given.defined()) {
    if (out.numel() != 1)
      throw GradientError(std::string(what) + ": output " + to_string(out.shape()) + " has " +
                          std::to_string(out.numel()) +
                          " elements (expected 1). Reduce it with sum() or mean(), or pass a cotangent");
    Array one = Array::like(state(), out.array().view(), out.dtype());
    write_number(one, 1);
    return Tensor(std::move(one));
  }
  if (!(given.shape() == out.shape()))
    throw ShapeError(std::string(what) + ": cotangent " + to_string(given.shape()) + " for output " +
                     to_string(out.shape()));
  return given.dtype() == out.dtype() ? given : given.to(out.dtype(), w);
}

LeafNode* leaf_of(const Tensor& t) {
  if (!t.edge() || !t.is_leaf()) return nullptr;
  return static_cast<LeafNode*>(t.edge().node());
}

}  // namespace

void copy_to_host(const Array& from, void* to, DType t) {
  Array host = on_host(from.device()) ? from : to_device(from, default_device());
  if (host.is_shape_only())
    throw ValueError("reading " + to_string(from.shape()) + ": it is shape-only and has no data");
  if (host.numel() == 0) return;
  Array out = Array::adopt(to, host.shape(), {}, t, host.device(), nullptr, nullptr);
  assign(out, host);
}

Tensor tensor_from_host(const void* data, DType from, const Shape& shape, const TensorOptions& o) {
  Device d = o.the_device();
  Device host = on_host(d) ? d : default_device();
  Array view = Array::adopt(const_cast<void*>(data), shape, {}, from, host, nullptr, nullptr);
  Array copy = cast_copy(view, o.the_dtype(from));
  Tensor t(to_device(copy, d));
  return o.requires_grad ? t.requires_grad_() : t;
}

namespace {

// The shape and the numbers of a nested list, row-major.
void flatten(const Nested& n, int depth, Shape& shape, std::vector<Number>& numbers) {
  auto refuse = [&](const std::string& what) {
    throw ShapeError(what + " at depth " + std::to_string(depth) + " of a nested list");
  };
  if (!n.is_list()) {
    if (depth != shape.rank) refuse("a number beside a list");
    return numbers.push_back(n.number());
  }
  auto length = int64_t(n.list().size());
  if (depth == shape.rank && numbers.empty()) shape.push_back(length);
  if (depth >= shape.rank) refuse("a list beside a number");
  if (shape[depth] != length)
    refuse("rows of " + std::to_string(shape[depth]) + " and of " + std::to_string(length) + " elements");
  for (const Nested& e : n.list()) flatten(e, depth + 1, shape, numbers);
}

Tensor from_nested(const Nested& list, const TensorOptions& o) {
  Shape shape;
  std::vector<Number> numbers;
  flatten(list, 0, shape, numbers);
  for (const Number& n : numbers) check_holds(o.the_dtype(), n);
  if (is_floating(o.the_dtype())) {
    std::vector<double> v;
    for (const Number& n : numbers) v.push_back(n.real());
    return tensor_from_host(v.data(), f64, shape, {o.the_dtype(), o.the_device(), o.requires_grad});
  }
  std::vector<int64_t> v;
  for (const Number& n : numbers) v.push_back(o.the_dtype() == boolean ? n.real() != 0 : n.integer());
  return tensor_from_host(v.data(), i64, shape, {o.the_dtype(), o.the_device(), o.requires_grad});
}

[[noreturn]] void not_single(const Array& a, const std::source_location& w) {
  detail::fail<ValueError>(
      "item", w, "tensor " + to_string(a.shape()) + " has " + std::to_string(a.numel()) + " elements (expected 1)");
}

}  // namespace

Tensor::Tensor(std::initializer_list<Nested> values, Where w) : Tensor(values, {}, w) {}
Tensor::Tensor(std::initializer_list<Nested> values, const TensorOptions& o, Where w) try
    : Tensor(from_nested(values, o)) {
} catch (Error& e) {
  detail::locate(e, "tensor", w);
  throw;
}

Tensor Tensor::of_truths(const std::vector<bool>& values, const Shape& shape, const Where& w) {
  std::vector<uint8_t> bytes(values.begin(), values.end());
  return of(bytes, shape, {.dtype = boolean}, w);
}

void detail::check_count(int64_t numbers, const Shape& shape, const std::source_location& where) {
  int64_t n = -1;
  try {
    n = numel(shape);
  } catch (Error& e) {
    locate(e, "tensor", where);
    throw;
  }
  if (n != numbers)
    fail<ShapeError>(
        "tensor", where,
        std::to_string(numbers) + " numbers for shape " + to_string(shape) + " (expected " + std::to_string(n) + ")");
}

void detail::check_numbers(const void* data, DType t, int64_t numbers, const Shape& shape,
                           const std::source_location& where) {
  check_count(numbers, shape, where);
  if (t != boolean) return;
  const std::string wrong =
      wrong_truth(Array::adopt(const_cast<void*>(data), shape, {}, t, default_device(), nullptr, nullptr));
  if (!wrong.empty()) fail<ValueError>("tensor", where, wrong);
}

void Tensor::undefined(const Where& w) {
  detail::fail<ValueError>("tensor", w, "undefined: it was never given a value");
}

int64_t Tensor::size(Integer dim, Where w) const {
  const View& v = made(w).view();
  if (dim < -v.rank || dim >= v.rank)
    detail::fail<ShapeError>("size", w, "axis " + std::to_string(dim) + " of " + fovea::to_string(shape()));
  return v.shape[dim + (dim < 0 ? v.rank : 0)];
}

const void* Tensor::readable(DType t, const Where& w) const try { return made(w).readable(t); } catch (Error& e) {
  detail::locate(e, "data", w);
  throw;
}

void Tensor::copy_out(void* to, DType t, const Where& w) const try {
  copy_to_host(made(w), to, t);
  if (edge_ && (state().mode & kTrace)) detail::note_cut(*this, numel() == 1 ? "item" : "to_vector", w);
} catch (Error& e) {
  detail::locate(e, "to_vector", w);
  throw;
}

size_t Tensor::host_count(int64_t bytes_each, const Where& w) const {
  const int64_t n = numel(w), memory = int64_t(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  if (n > memory / bytes_each) no_host_memory(bytes_each, w);
  return size_t(n);
}

void Tensor::no_host_memory(int64_t bytes_each, const Where& w) const {
  detail::fail<MemoryError>("to_vector", w,
                            fovea::to_string(shape()) + " is " + std::to_string(numel(w)) + " elements of " +
                                std::to_string(bytes_each) + " bytes (expected what this process has memory for)");
}

Tensor detail::over_host_memory(void* data, const Shape& shape, DType t, const Keeps& keeps, void (*release)(void*),
                                void* context, const std::source_location& where) try {
  const int64_t n = numel(shape);
  const std::string what = to_string(shape) + " " + name_of(t);
  if (!keeps.something) throw ValueError("the keeper is empty: nothing keeps the memory of " + what);
  if (!data && n > 0) throw ValueError("the memory of " + what + " is null");
  const auto first = reinterpret_cast<uintptr_t>(data), begin = reinterpret_cast<uintptr_t>(keeps.bytes);
  if (n > 0 && first % uintptr_t(size_of(t)))
    throw ValueError(std::string("the memory is not aligned for ") + name_of(t) + " (expected a multiple of " +
                     std::to_string(size_of(t)) + " as its address)");
  if (n > 0 && keeps.container) {
    const size_t start = first - begin;  // huge where it lies before
    if (start > keeps.count || size_t(n) > (keeps.count - start) / size_t(size_of(t)))
      throw ValueError("the bytes of " + what + " do not lie in the container that keeps them, which has " +
                       std::to_string(keeps.count) + " bytes" +
                       (start < keeps.count ? ", " + std::to_string(start) + " of them before these" : ""));
  }
  const Device d = on_host(default_device()) ? default_device() : fovea::device("cpu");
  const std::string wrong = wrong_truth(Array::adopt(data, shape, {}, t, d, nullptr, nullptr));
  if (!wrong.empty()) throw ValueError(what + ": " + wrong);
  return Tensor(Array::adopt(data, shape, {}, t, d, release, context));
} catch (Error& e) {
  release(context);
  locate(e, "tensor", where);
  throw;
}

double Tensor::item_as_real(const Where& w) const {
  if (numel(w) != 1) not_single(array_, w);
  double v = 0;
  copy_out(&v, f64, w);
  return v;
}

int64_t Tensor::item_as_integer(int64_t low, int64_t high, const Where& w) const {
  if (numel(w) != 1) not_single(array_, w);
  int64_t v = 0;
  double real = 0;
  bool fits = true;
  if (is_floating(dtype())) {
    real = item_as_real(w);
    fits = real >= -0x1p63 && real < 0x1p63;
    v = fits ? int64_t(real) : 0;
  } else {
    copy_out(&v, i64, w);
  }
  if (!fits || v < low || v > high)
    detail::fail<ValueError>("item", w,
                             (fits ? std::to_string(v) : std::to_string(real)) + " is no whole number from " +
                                 std::to_string(low) + " to " + std::to_string(high));
  return v;
}

bool Tensor::item_as_bool(const Where& w) const {
  if (numel(w) != 1) not_single(array_, w);
  bool v = false;
  copy_out(&v, boolean, w);
  return v;
}

std::string Tensor::to_string() const { return defined() ? format_array(array_) : "tensor(undefined)"; }
std::ostream& operator<<(std::ostream& out, const Tensor& t) { return out << t.to_string(); }
std::ostream& operator<<(std::ostream& out, DType t) { return out << name_of(t); }
std::ostream& detail::write(std::ostream& out, const Shape& s) { return out << fovea::to_string(s); }

Tensor Tensor::detach(Where w) const {
  if (edge_ && (state().mode & kTrace)) [[unlikely]]
    detail::note_cut(*this, "detach", w);
  return Tensor(array_);
}

Tensor Tensor::requires_grad_(bool on, Where w) const {
  if (!on) return detach(w);
  if (!is_floating(dtype(w)))
    detail::fail<DTypeError>("requires_grad", w,
                             std::string(name_of(dtype())) + " has no gradient (expected a floating dtype)");
  return Tensor(array_, make_leaf(w));
}

void Tensor::backward(const Tensor& gradient, bool retain_graph, Where w) const try {
  check_differentiable(*this, "backward");
  ThreadState& s = state();
  ModeScope no_grad(s, 0, kGrad);
  Tensor cotangent = cotangent_for(*this, gradient, "backward", w);
  Engine(s, false, retain_graph, w).run({this, 1}, {&cotangent, 1});
} catch (Error& e) {
  detail::locate(e, "backward", w);
  throw;
}

Tensor Tensor::grad(Where w) const {
  LeafNode* leaf = leaf_of(*this);
  if (!leaf)
    detail::fail<GradientError>(
        "grad", w,
        "only leaves keep a gradient. Use grad(outputs, inputs) for others, or requires_grad_() to make a leaf");
  return leaf->gradient ? Tensor(leaf->gradient) : Tensor();
}

void Tensor::clear_grad() const {
  if (LeafNode* leaf = leaf_of(*this)) leaf->gradient = Array();
}

void Tensor::register_hook(std::function<Tensor(const Tensor&)> hook, Where w) const try {
  check_differentiable(*this, "register_hook");
  Node* n = edge_.node();
  if (!n->hooks) n->hooks = new Hooks;
  n->hooks->entries.push_back({edge_.slot(), std::move(hook)});
} catch (Error& e) {
  detail::locate(e, "register_hook", w);
  throw;
}

Tensor Tensor::to(DType t, Where w) const { return t == dtype(w) ? *this : cast(Operand(*this, w), t); }
Tensor Tensor::to(Device d, Where w) const { return d == device(w) ? *this : to_device(Operand(*this, w), d); }

std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         const std::vector<Tensor>& cotangents, const GradOptions& o, std::source_location where) try {
  if (outputs.empty() || inputs.empty()) throw ValueError("grad: no outputs or no inputs");
  if (!cotangents.empty() && cotangents.size() != outputs.size())
    throw ValueError("grad: " + std::to_string(cotangents.size()) + " cotangents for " +
                     std::to_string(outputs.size()) + " outputs");
  ThreadState& s = state();
  std::vector<Tensor> g;
  for (size_t i = 0; i < outputs.size(); i++) {
    check_differentiable(outputs[i], "grad");
    ModeScope recording(s, 0, o.create_graph ? 0u : uint32_t(kGrad));  // a cotangent that is cast keeps its history
    g.push_back(cotangent_for(outputs[i], cotangents.empty() ? Tensor() : cotangents[i], "grad", where));
  }
  for (size_t i = 0; i < inputs.size(); i++)
    if (!inputs[i].requires_grad())
      throw GradientError("grad: input " + std::to_string(i) + " does not require gradients");
  Engine engine(s, o.create_graph, o.retain_graph, where);
  std::vector<Tensor> dx = engine.gradients_of(outputs, g, inputs);
  for (size_t i = 0; i < dx.size(); i++)
    if (!dx[i].defined() && !o.allow_unused)
      throw GradientError("grad: the outputs do not depend on input " + std::to_string(i) +
                          ". Pass allow_unused if that is meant");
  return dx;
} catch (Error& e) {
  detail::locate(e, "grad", where);
  throw;
}

Tensor Operand::number_beside(DType other, Device device) const {
  DType t = other;
  if (number_.kind() == Number::floating && !is_floating(other)) t = f32;
  if (number_.kind() == Number::whole && other == boolean) t = i64;
  Array a = Array::empty(state(), Meta(t, device, {}));
  write_number(a, number_);
  a.body()->weak = true;
  return Tensor(std::move(a));
}

}  // namespace fovea
