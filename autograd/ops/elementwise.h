// Elementwise ops. Operands broadcast as in NumPy and promote as in PyTorch; integers give f32 where the function is
// not exact on them.
#pragma once
#include "autograd/apply.h"

namespace fovea {

// One line per op: shapes in = shape out.
inline Tensor neg(const Operand& x) { return apply_unary(op::neg, x); }
inline Tensor abs(const Operand& x) { return apply_unary(op::abs, x); }    // gradient at 0: 0
inline Tensor sign(const Operand& x) { return apply_unary(op::sign, x); }  // gradient 0
inline Tensor exp(const Operand& x) { return apply_unary(op::exp, x); }
inline Tensor expm1(const Operand& x) { return apply_unary(op::expm1, x); }
inline Tensor log(const Operand& x) { return apply_unary(op::log, x); }
inline Tensor log1p(const Operand& x) { return apply_unary(op::log1p, x); }
inline Tensor sqrt(const Operand& x) { return apply_unary(op::sqrt, x); }
inline Tensor rsqrt(const Operand& x) { return apply_unary(op::rsqrt, x); }
inline Tensor reciprocal(const Operand& x) { return apply_unary(op::reciprocal, x); }
inline Tensor square(const Operand& x) { return apply_unary(op::square, x); }
inline Tensor sin(const Operand& x) { return apply_unary(op::sin, x); }
inline Tensor cos(const Operand& x) { return apply_unary(op::cos, x); }
inline Tensor tanh(const Operand& x) { return apply_unary(op::tanh, x); }
inline Tensor sigmoid(const Operand& x) { return apply_unary(op::sigmoid, x); }
inline Tensor erf(const Operand& x) { return apply_unary(op::erf, x); }
inline Tensor relu(const Operand& x) { return apply_unary(op::relu, x); }  // gradient at 0: 0
inline Tensor log2(const Operand& x) { return apply_unary(op::log2, x); }
inline Tensor log10(const Operand& x) { return apply_unary(op::log10, x); }
inline Tensor tan(const Operand& x) { return apply_unary(op::tan, x); }
inline Tensor asin(const Operand& x) { return apply_unary(op::asin, x); }
inline Tensor acos(const Operand& x) { return apply_unary(op::acos, x); }
inline Tensor atan(const Operand& x) { return apply_unary(op::atan, x); }
inline Tensor sinh(const Operand& x) { return apply_unary(op::sinh, x); }
inline Tensor cosh(const Operand& x) { return apply_unary(op::cosh, x); }
inline Tensor floor(const Operand& x) { return apply_unary(op::floor, x); }  // of these four the gradient is 0
inline Tensor ceil(const Operand& x) { return apply_unary(op::ceil, x); }
inline Tensor round(const Operand& x) { return apply_unary(op::round, x); }  // ties to even
inline Tensor trunc(const Operand& x) { return apply_unary(op::trunc, x); }
inline Tensor logical_not(const Operand& x) { return apply_unary(op::logical_not, x); }
inline Tensor isnan(const Operand& x) { return apply_unary(op::isnan, x); }
inline Tensor isinf(const Operand& x) { return apply_unary(op::isinf, x); }
inline Tensor isfinite(const Operand& x) { return apply_unary(op::isfinite, x); }
inline Tensor bitwise_not(const Operand& x) { return apply_unary(op::bitwise_not, x); }  // integers, booleans

inline Tensor add(const Operand& a, const Operand& b) { return apply_binary(op::add, a, b); }
inline Tensor sub(const Operand& a, const Operand& b) { return apply_binary(op::sub, a, b); }
inline Tensor mul(const Operand& a, const Operand& b) { return apply_binary(op::mul, a, b); }
inline Tensor div(const Operand& a, const Operand& b) { return apply_binary(op::div, a, b); }
inline Tensor pow(const Operand& a, const Operand& b) { return apply_binary(op::pow, a, b); }
inline Tensor maximum(const Operand& a, const Operand& b) {
  return apply_binary(op::maximum, a, b);
}  // ties: half to each
inline Tensor minimum(const Operand& a, const Operand& b) { return apply_binary(op::minimum, a, b); }
inline Tensor eq(const Operand& a, const Operand& b) { return apply_binary(op::eq, a, b); }
inline Tensor ne(const Operand& a, const Operand& b) { return apply_binary(op::ne, a, b); }
inline Tensor lt(const Operand& a, const Operand& b) { return apply_binary(op::lt, a, b); }
inline Tensor le(const Operand& a, const Operand& b) { return apply_binary(op::le, a, b); }
inline Tensor gt(const Operand& a, const Operand& b) { return apply_binary(op::gt, a, b); }
inline Tensor ge(const Operand& a, const Operand& b) { return apply_binary(op::ge, a, b); }
inline Tensor logical_and(const Operand& a, const Operand& b) { return apply_binary(op::logical_and, a, b); }
inline Tensor logical_or(const Operand& a, const Operand& b) { return apply_binary(op::logical_or, a, b); }
// The whole part of a / b rounded down, and what is left: a - b floor_divide(a, b), with b's sign (Python's // and %).
inline Tensor floor_divide(const Operand& a, const Operand& b) { return apply_binary(op::floor_divide, a, b); }
// a / b without what is behind the point.
inline Tensor trunc_divide(const Operand& a, const Operand& b) { return apply_binary(op::trunc_divide, a, b); }
inline Tensor remainder(const Operand& a, const Operand& b) { return apply_binary(op::remainder, a, b); }
inline Tensor fmod(const Operand& a, const Operand& b) {
  return apply_binary(op::fmod, a, b);
}  // with a's sign, as C's
// The angle of the point (x, y), in (-pi, pi]; at the origin the gradient is 0.
inline Tensor atan2(const Operand& y, const Operand& x) { return apply_binary(op::atan2, y, x); }
inline Tensor hypot(const Operand& a, const Operand& b) { return apply_binary(op::hypot, a, b); }  // without overflow
// log(e^a + e^b), without overflow.
inline Tensor logaddexp(const Operand& a, const Operand& b) { return apply_binary(op::logaddexp, a, b); }
inline Tensor logical_xor(const Operand& a, const Operand& b) { return apply_binary(op::logical_xor, a, b); }
// Of integers and booleans.
inline Tensor bitwise_and(const Operand& a, const Operand& b) { return apply_binary(op::bitwise_and, a, b); }
inline Tensor bitwise_or(const Operand& a, const Operand& b) { return apply_binary(op::bitwise_or, a, b); }
inline Tensor bitwise_xor(const Operand& a, const Operand& b) { return apply_binary(op::bitwise_xor, a, b); }
inline Tensor shift_right(const Operand& a, const Operand& b) {
  return apply_binary(op::shift_right, a, b);
}  // logical, integers

inline Tensor operator+(const Operand& a, const Operand& b) { return apply_binary(op::add, a, b); }
inline Tensor operator-(const Operand& a, const Operand& b) { return apply_binary(op::sub, a, b); }
inline Tensor operator*(const Operand& a, const Operand& b) { return apply_binary(op::mul, a, b); }
inline Tensor operator/(const Operand& a, const Operand& b) { return apply_binary(op::div, a, b); }
inline Tensor operator%(const Operand& a, const Operand& b) { return apply_binary(op::remainder, a, b); }
// Comparisons are element by element, these two too.
inline Tensor operator==(const Operand& a, const Operand& b) { return apply_binary(op::eq, a, b); }
inline Tensor operator!=(const Operand& a, const Operand& b) { return apply_binary(op::ne, a, b); }
inline Tensor operator<(const Operand& a, const Operand& b) { return apply_binary(op::lt, a, b); }
inline Tensor operator<=(const Operand& a, const Operand& b) { return apply_binary(op::le, a, b); }
inline Tensor operator>(const Operand& a, const Operand& b) { return apply_binary(op::gt, a, b); }
inline Tensor operator>=(const Operand& a, const Operand& b) { return apply_binary(op::ge, a, b); }
// Of truths and integers, bit by bit.
inline Tensor operator&(const Operand& a, const Operand& b) { return apply_binary(op::bitwise_and, a, b); }
inline Tensor operator|(const Operand& a, const Operand& b) { return apply_binary(op::bitwise_or, a, b); }
inline Tensor operator^(const Operand& a, const Operand& b) { return apply_binary(op::bitwise_xor, a, b); }
inline Tensor operator~(const Operand& a) { return apply_unary(op::bitwise_not, a); }
inline Tensor operator!(const Tensor& a) { return apply_unary(op::logical_not, a); }
inline Tensor operator-(const Operand& a) { return apply_unary(op::neg, a); }
// x += y means x = x + y: the name moves on, the old tensor stays as it was.
inline Tensor& operator+=(Tensor& a, const Operand& b) { return a = apply_binary(op::add, a, b); }
inline Tensor& operator-=(Tensor& a, const Operand& b) { return a = apply_binary(op::sub, a, b); }
inline Tensor& operator*=(Tensor& a, const Operand& b) { return a = apply_binary(op::mul, a, b); }
inline Tensor& operator/=(Tensor& a, const Operand& b) { return a = apply_binary(op::div, a, b); }

// a / b as it is, or floor_divide, or trunc_divide, which keep integers.
enum class Rounding : uint8_t { none, trunc, floor };
constexpr Rounding last_of(Rounding) { return Rounding::floor; }
struct DivOptions {
  Rounding rounding_mode = Rounding::none;
};
Tensor div(const Operand& a, const Operand& b, DivOptions o);
// To that many places behind the point, or before it where `decimals` is negative; ties to even.
struct RoundOptions {
  int64_t decimals = 0;
};
Tensor round(const Operand& x, RoundOptions o);

// condition ? a : b, element by element, of truths (DTypeError for numbers but u8); the branch not taken gets gradient
// 0, whatever its value. Behind it that 0 may still meet an infinite slope and become NaN, so choose the argument too:
// where(x > 0, sqrt(where(x > 0, x, 1)), 0).
Tensor where(const Operand& condition, const Operand& a, const Operand& b);
// a + weight (b - a), exact at both ends. The three broadcast.
Tensor lerp(const Operand& a, const Operand& b, const Operand& weight);
// x + value a b.
Tensor addcmul(const Operand& x, const Operand& a, const Operand& b, Number value = 1);
// Numbers beyond the bounds become them; NaN stays NaN, and a bound that is NaN makes all of them NaN, of gradient 0.
// At a bound the gradient is 0. ValueError without any bound.
Tensor clamp(const Operand& x, std::optional<Number> min, std::optional<Number> max = {});
// The bounds broadcast against x; an undefined one is none. Where x is a bound, each has half the gradient.
Tensor clamp(const Operand& x, const Tensor& min, const Tensor& max = {});
// NaN and the infinities as numbers; without one, the infinities are the dtype's largest finite numbers.
Tensor nan_to_num(const Operand& x, double nan = 0, std::optional<double> posinf = {},
                  std::optional<double> neginf = {});
// The same numbers as another dtype. Floating to integer truncates; gradients are cast back.
Tensor cast(const Operand& x, DType dtype);
// The same numbers on another device; gradients are copied back.
Tensor to_device(const Operand& x, Device device);
// x itself when it is dense, else a dense copy.
Tensor contiguous(const Operand& x);
// A dense copy, always.
Tensor clone(const Operand& x);

// Gaussian error linear unit: x Phi(x), or its tanh form (Hendrycks and Gimpel, 2016).
struct GeluOptions {
  Gelu approximate = Gelu::none;
};
Tensor gelu(const Operand& x, GeluOptions o = {});

}  // namespace fovea
