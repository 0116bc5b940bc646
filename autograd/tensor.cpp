#include "autograd/tensor.h"

#include <cmath>

#include "autograd/engine.h"
#include "autograd/hooks.h"
#include "autograd/ops/elementwise.h"
#include "core/dispatch.h"
#include "core/print.h"

namespace fovea {
namespace {

void check_differentiable(const Tensor& t, const char* what) {
  if (!t.defined()) throw GradientError(std::string(what) + ": an undefined tensor");
  if (!t.requires_grad())
    throw GradientError(std::string(what) + ": nothing to differentiate: " + to_string(t.shape()) +
                        " was not computed from a tensor that requires gradients (or inside NoGrad)");
}

// Fills `a`, where it is one number on the host without a kernel.
void write_number(Array& a, double v) {
  const View& to = a.view();
  const bool here = to.numel == 1 && on_host(to.device) && to.data;
  if (here && to.dtype == f32) *to.as<float>() = float(v);
  else if (here && to.dtype == f64) *to.as<double>() = v;
  else fill(a, v);
}

Tensor cotangent_for(const Tensor& out, const Tensor& given, const char* what) {
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
  return given.dtype() == out.dtype() ? given : given.to(out.dtype());
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
  Array copy = cast_copy(view, o.the_dtype());
  Tensor t(to_device(copy, d));
  return o.requires_grad ? t.requires_grad_() : t;
}

Tensor tensor_from_owner(void* data, DType t, const Shape& shape, std::shared_ptr<void> owner) {
  auto* kept = new std::shared_ptr<void>(std::move(owner));
  return Tensor(Array::adopt(
      data, shape, {}, t, default_device(), [](void* p) { delete static_cast<std::shared_ptr<void>*>(p); }, kept));
}

Tensor::Tensor(std::initializer_list<float> values)
    : Tensor(tensor_from_host(values.begin(), f32, Shape{int64_t(values.size())}, TensorOptions{})) {}

double Tensor::item_as_double() const {
  if (numel() != 1)
    throw ValueError("item: tensor " + fovea::to_string(shape()) + " has " + std::to_string(numel()) +
                     " elements (expected 1)");
  double v = 0;
  copy_to_host(array_, &v, f64);
  return v;
}

int64_t Tensor::item_as_integer() const {
  if (numel() != 1)
    throw ValueError("item: tensor " + fovea::to_string(shape()) + " has " + std::to_string(numel()) +
                     " elements (expected 1)");
  int64_t v = 0;
  copy_to_host(array_, &v, i64);
  return v;
}

std::string Tensor::to_string() const { return defined() ? format_array(array_) : "tensor(undefined)"; }

Tensor Tensor::requires_grad_(bool on, std::source_location where) const {
  if (!on) return detach();
  if (!is_floating(dtype()))
    throw DTypeError(std::string("requires_grad: ") + name_of(dtype()) +
                     " has no gradient (expected a floating dtype)");
  return Tensor(array_, make_leaf(where));
}

void Tensor::backward(const Tensor& gradient, bool retain_graph) const {
  check_differentiable(*this, "backward");
  ThreadState& s = state();
  ModeScope no_grad(s, 0, kGrad);
  Tensor cotangent = cotangent_for(*this, gradient, "backward");
  Engine(s, false, retain_graph).run({this, 1}, {&cotangent, 1});
}

Tensor Tensor::grad() const {
  LeafNode* leaf = leaf_of(*this);
  if (!leaf)
    throw GradientError(
        "grad: only leaves keep a gradient. Use grad(outputs, inputs) for others, or requires_grad_() to make a leaf");
  return leaf->gradient ? Tensor(leaf->gradient) : Tensor();
}

void Tensor::clear_grad() const {
  if (LeafNode* leaf = leaf_of(*this)) leaf->gradient = Array();
}

void Tensor::register_hook(std::function<Tensor(const Tensor&)> hook) const {
  check_differentiable(*this, "register_hook");
  Node* n = edge_.node();
  if (!n->hooks) n->hooks = new Hooks;
  n->hooks->entries.push_back({edge_.slot(), std::move(hook)});
}

Tensor Tensor::to(DType t, std::source_location where) const {
  return t == dtype() ? *this : cast(Operand(*this, where), t);
}

Tensor Tensor::to(Device d, std::source_location) const {
  if (d == device()) return *this;
  Tensor moved(to_device(array_, d));
  return requires_grad() ? moved.requires_grad_() : moved;
}

std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         const std::vector<Tensor>& cotangents, const GradOptions& o) {
  if (outputs.empty() || inputs.empty()) throw ValueError("grad: no outputs or no inputs");
  if (!cotangents.empty() && cotangents.size() != outputs.size())
    throw ValueError("grad: " + std::to_string(cotangents.size()) + " cotangents for " +
                     std::to_string(outputs.size()) + " outputs");
  std::vector<Tensor> g;
  for (size_t i = 0; i < outputs.size(); i++) {
    check_differentiable(outputs[i], "grad");
    NoGrad guard;
    g.push_back(cotangent_for(outputs[i], cotangents.empty() ? Tensor() : cotangents[i], "grad"));
  }
  for (size_t i = 0; i < inputs.size(); i++)
    if (!inputs[i].requires_grad())
      throw GradientError("grad: input " + std::to_string(i) + " does not require gradients");
  Engine engine(state(), o.create_graph, o.retain_graph);
  std::vector<Tensor> dx = engine.gradients_of(outputs, g, inputs);
  for (size_t i = 0; i < dx.size(); i++)
    if (!dx[i].defined() && !o.allow_unused)
      throw GradientError("grad: the outputs do not depend on input " + std::to_string(i) +
                          ". Pass allow_unused if that is meant");
  return dx;
}

Tensor Operand::number_beside(DType other, Device device) const {
  DType t = other;
  if (kind_ == floating && !is_floating(other)) t = f32;
  if (kind_ == integer && other == fovea::boolean) t = i64;
  Array a = Array::empty(state(), Meta(t, device, {}));
  if (is_floating(t)) write_number(a, kind_ == floating ? real_ : double(integer_));
  else fill_integer(a, integer_);
  a.body()->weak = true;
  return Tensor(std::move(a));
}

Tensor empty(const Shape& shape, const TensorOptions& o) {
  Tensor t(Array::empty(shape, o.the_dtype(), o.the_device()));
  return o.requires_grad ? t.requires_grad_() : t;
}

Tensor full(const Shape& shape, double value, const TensorOptions& o) {
  Array a = Array::empty(shape, o.the_dtype(), o.the_device());
  fill(a, value);
  return o.requires_grad ? Tensor(a).requires_grad_() : Tensor(a);
}
Tensor zeros(const Shape& shape, const TensorOptions& o) { return full(shape, 0, o); }
Tensor ones(const Shape& shape, const TensorOptions& o) { return full(shape, 1, o); }
Tensor zeros_like(const Tensor& x) { return full(x.shape(), 0, {.like = x}); }
Tensor ones_like(const Tensor& x) { return full(x.shape(), 1, {.like = x}); }

Tensor arange(double start, double end, double step, const TensorOptions& o) {
  if (step == 0 || (end - start) * step < 0)
    throw ValueError("arange: " + std::to_string(start) + " to " + std::to_string(end) + " by " + std::to_string(step));
  Array a = Array::empty(Shape{int64_t(std::ceil((end - start) / step))}, o.the_dtype(), o.the_device());
  IotaAttrs attrs{start, step, int64_t(start), int64_t(step)};
  update(state(), op::iota, nullptr, 0, &attrs, &a, 1);
  return o.requires_grad ? Tensor(a).requires_grad_() : Tensor(a);
}
Tensor arange(double end, const TensorOptions& o) { return arange(0, end, 1, o); }

}  // namespace fovea
