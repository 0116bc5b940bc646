// What the families of ops ask of their arguments, with one wording for each mistake.
#pragma once
#include <string>

#include "autograd/apply.h"

namespace fovea::detail {

// Adds the public function's name, the caller's line and the module to an error on its way out. Inside a composition
// they are left to the op that is composed.
inline void locate(Error& e, const char* op, std::source_location where) {
  ThreadState& s = state();
  if (s.depth == 0) e.locate(s.op ? s.op : op, s.where ? *s.where : where, s.module ? s.module : "");
}

template <class E> [[noreturn]] void fail(const char* op, std::source_location where, const std::string& text) {
  E e(text);
  locate(e, op, where);
  throw e;
}

// f(), for a function that is made of ops: their errors name it and its caller's line.
template <class F> auto called(const char* op, std::source_location where, const F& f) try {
  CallScope call(op, where);
  return f();
} catch (Error& e) {
  locate(e, op, where);
  throw;
}

// In the dtype that sums and formulas are computed in.
inline Tensor wide(const Tensor& x) { return x.to(acc_dtype(x.dtype())); }

// A tensor where a number or an undefined one would not do (ValueError).
inline const Tensor& tensor_of(const Operand& x, const char* op) {
  if (x.is_number() || !x.tensor().defined()) fail<ValueError>(op, x.where(), "expected a defined tensor");
  return x.tensor();
}

// f of x in the dtype that is asked for.
template <class F> Tensor in_dtype(DType t, const char* op, const Operand& x, const F& f) {
  return called(op, x.where(), [&] { return f(tensor_of(x, op).to(t)).to(t); });
}

// A tensor, or an undefined one for what is absent (ValueError for a number).
inline const Tensor* optional_of(const Operand& x, const char* op) {
  if (x.is_number()) fail<ValueError>(op, x.where(), "expected a tensor or none, got a number");
  return x.pointer();
}

// An elementwise row with one input and attrs, of a tensor or a number.
template <op::Id id> Tensor apply_to_one(const Operand& x, const Attrs<id>& attrs) {
  Tensor number = x.is_number() ? x.number_beside(f32, default_device()) : Tensor();
  return apply<id, 1>({x.is_number() ? &number : x.pointer()}, attrs, x.where());
}

inline std::string describe(const View& v) { return to_string(shape_of(v)) + " " + name_of(v.dtype); }

inline void check_floating(const View& v, const char* name) {
  if (!is_floating(v.dtype))
    throw DTypeError(std::string(name) + " is " + describe(v) + " (expected a floating dtype). Cast it with to(f32)");
}
inline void check_index(const View& v, const char* name) {
  if (v.dtype != i64 && v.dtype != i32)
    throw DTypeError(std::string(name) + " is " + describe(v) + " (expected i64 or i32). Cast it with to(i64)");
}
inline void check_dtype(const View& v, const char* name, DType t) {
  if (v.dtype != t) throw DTypeError(std::string(name) + " is " + describe(v) + " (expected " + name_of(t) + ")");
}
inline void check_shape(const View& v, const char* name, const Shape& s) {
  if (!(shape_of(v) == s))
    throw ShapeError(std::string(name) + " is " + to_string(shape_of(v)) + " (expected " + to_string(s) + ")");
}

}  // namespace fovea::detail
