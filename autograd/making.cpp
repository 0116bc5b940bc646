// Written numbers beside a dtype, the dtype of several operands, and tensors made of numbers.
#include <cmath>

#include "autograd/ops/checks.h"
#include "core/dispatch.h"

namespace fovea {

using Where = std::source_location;

namespace {

std::string written(Number n) { return n.kind() == Number::floating ? text_of(n.real()) : std::to_string(n.integer()); }

// Like a tensor without data, one without data.
Array room(const Shape& shape, DType t, const TensorOptions& o) {
  bool shape_only = o.like.defined() && o.like.array().is_shape_only();
  return shape_only ? Array::shape_only(shape, t, o.the_device()) : Array::empty(shape, t, o.the_device());
}

Tensor made(Array a, const TensorOptions& o, const Where& w) {
  Tensor t(std::move(a));
  return o.requires_grad ? t.requires_grad_(true, w) : t;
}

Tensor filled(const char* name, const Shape& shape, Number value, const TensorOptions& o, Where w) try {
  DType own = value.kind() == Number::floating ? f32 : value.kind() == Number::whole ? i64 : boolean;
  check_holds(o.the_dtype(own), value);
  Array a = room(shape, o.the_dtype(own), o);
  if (is_floating(a.dtype())) fill(a, value.real());
  else fill_integer(a, a.dtype() == boolean ? value.real() != 0 : value.integer());
  return made(std::move(a), o, w);
} catch (Error& e) {
  detail::locate(e, name, w);
  throw;
}

int category(DType t) { return t == boolean ? 0 : is_floating(t) ? 2 : 1; }

// Of two groups of operands the first decides, unless the second is of a higher kind.
DType combine(DType high, bool has_high, DType low, bool has_low) {
  if (!has_high) return low;
  if (!has_low || category(high) == 2) return high;
  if (category(low) > category(high)) return category(high) == 0 ? low : promote(high, low);
  return high;
}

TensorOptions beside(const Tensor& x, const TensorOptions& o) { return {o.dtype, o.device, o.requires_grad, x}; }

}  // namespace

double nearest(DType t, double v) {
  if (t == f32) return float(v);
  if (t == bf16) return float(BFloat16(cut_to_float(v)));
  return t == f16 ? double(float(Float16(cut_to_float(v)))) : v;
}

bool holds(DType t, const Number& n) {
  const double v = n.real();
  if (t == boolean || (n.kind() == Number::floating && !std::isfinite(v))) return t == boolean || is_floating(t);
  if (is_floating(t) || is_dual(t)) return std::isfinite(nearest(t, v));
  if (n.kind() == Number::floating && !(v >= -0x1p63 && v < 0x1p63)) return false;
  const int64_t whole = n.integer();
  const int bits = 8 * size_of(t) - (t != u8);
  return t == i64 || (whole >= (t == u8 ? 0 : -(int64_t(1) << bits)) && whole < int64_t(1) << bits);
}

void check_holds(DType t, const Number& n) {
  if (holds(t, n)) return;
  throw ValueError(written(n) + " is no number of " + name_of(t) + ". Clamp it, or choose a wider dtype");
}

DType result_type(const Tensor* const* in, int n) {
  DType group[3] = {f32, f32, f32};
  bool has[3] = {};
  for (int i = 0; i < n; i++) {
    if (!in[i]->defined()) continue;
    int g = in[i]->dim() > 0 ? 0 : in[i]->array().body()->weak ? 2 : 1;
    DType t = in[i]->dtype();
    if (is_dual(t)) return t;  // all floating operands are lifted together
    group[g] = has[g] ? promote(group[g], t) : t;
    has[g] = true;
  }
  DType low = combine(group[1], has[1], group[2], has[2]);
  return combine(group[0], has[0], low, has[1] || has[2]);
}

Tensor Operand::element_beside(DType other, Device device) const {
  if (is_integer(other) && number_.kind() != Number::floating) check_holds(other, number_);
  return number_beside(other, device);
}

Tensor empty(const Shape& shape, const TensorOptions& o, Where w) try {
  return made(room(shape, o.the_dtype(), o), o, w);
} catch (Error& e) {
  detail::locate(e, "empty", w);
  throw;
}

Tensor full(const Shape& shape, Number v, const TensorOptions& o, Where w) { return filled("full", shape, v, o, w); }
Tensor zeros(const Shape& shape, const TensorOptions& o, Where w) { return filled("zeros", shape, 0.0, o, w); }
Tensor ones(const Shape& shape, const TensorOptions& o, Where w) { return filled("ones", shape, 1.0, o, w); }

Tensor empty_like(const Tensor& x, const TensorOptions& o, Where w) { return empty(x.shape(w), beside(x, o), w); }
Tensor zeros_like(const Tensor& x, const TensorOptions& o, Where w) {
  return filled("zeros_like", x.shape(w), 0, beside(x, o), w);
}
Tensor ones_like(const Tensor& x, const TensorOptions& o, Where w) {
  return filled("ones_like", x.shape(w), 1, beside(x, o), w);
}
Tensor full_like(const Tensor& x, Number v, const TensorOptions& o, Where w) {
  return filled("full_like", x.shape(w), v, beside(x, o), w);
}

Tensor arange(Number start, Number end, Number step, const TensorOptions& o, Where w) try {
  bool whole = start.kind() != Number::floating && end.kind() != Number::floating && step.kind() != Number::floating;
  double n = std::ceil((end.real() - start.real()) / step.real());
  if (step.real() == 0 || !(n >= 0) || n > 0x1p62)
    throw ValueError("arange: " + written(start) + " to " + written(end) + " by " + written(step) +
                     " (expected a step towards the end, and at most 2^62 of them)");
  auto length = int64_t(n);
  if (whole) {  // exact beyond 2^53 too
    bool up = step.integer() > 0;
    uint64_t from = uint64_t(start.integer()), to = uint64_t(end.integer()), by = uint64_t(step.integer());
    uint64_t way = up ? to - from : from - to, stride = up ? by : 0 - by;
    length = int64_t(way == 0 ? 0 : (way - 1) / stride + 1);
  }
  Array a = room({length}, o.the_dtype(whole ? i64 : f32), o);
  IotaAttrs attrs{start.real(), step.real(), start.integer(), step.integer()};
  update(state(), op::iota, nullptr, 0, &attrs, &a, 1);
  return made(std::move(a), o, w);
} catch (Error& e) {
  detail::locate(e, "arange", w);
  throw;
}
Tensor arange(Number start, Number end, const TensorOptions& o, Where w) { return arange(start, end, 1, o, w); }
Tensor arange(Number end, const TensorOptions& o, Where w) { return arange(0, end, 1, o, w); }

}  // namespace fovea
