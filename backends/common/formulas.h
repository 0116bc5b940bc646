// What each kind of the slots unary and binary means for one element: templates over the scalar (float, double,
// integers, bool, duals). Host backends call them from loops; being constexpr they serve device code too. Only the
// closed list of core/dual.h is differentiated there, so what is written here must be well behaved in value *and* in
// slope: nothing cancels in the tails, nothing overflows on the way.
#pragma once
#include <limits>

#include "core/dual.h"
#include "core/op_list.h"

namespace fovea::formulas {

using std::abs, std::atan, std::cos, std::erf, std::exp, std::expm1, std::floor, std::log, std::log1p, std::pow,
    std::sin, std::sqrt;

template <class S> inline constexpr bool is_real = std::is_floating_point_v<S>;
template <class S> inline constexpr bool is_whole = std::is_integral_v<S>;  // bool among them

// x itself at zero keeps its sign; the slope there is 1. For odd functions of which only x > 0 is computed.
template <class S> constexpr S odd(const S& x, const S& at_abs_x) {
  return x > S(0) ? at_abs_x : x < S(0) ? -at_abs_x : x;
}

// Numbers by the C library, within 2 ulp where what duals are given loses 5.
template <class S> constexpr S sinh(const S& x) {
  if constexpr (is_real<S>) return std::sinh(x);
  S a = abs(x);
  if (a > S(20)) {  // exp(a) may overflow where sinh does not
    S h = exp(a * S(0.5));
    return odd(x, h * S(0.5) * h);
  }
  S e = expm1(a);
  return odd(x, (e + e / (e + S(1))) * S(0.5));
}

template <class S> constexpr S cosh(const S& x) {
  if constexpr (is_real<S>) return std::cosh(x);
  S s = sinh(x * S(0.5));
  return S(1) + S(2) * s * s;
}

// Near 0 Lambert's continued fraction x / (1 + z / D), z = x^2, D = 3 + z / (5 + z / (7 + ...)), as x - x z / (D + z);
// 1.5 ulp (the C library's: 2.05).
template <class S> constexpr S tanh(const S& x) {
  S a = abs(x);
  if (a < S(0.625)) {
    S z = a * a, d = S(15);
    for (int k = 13; k >= 3; k -= 2) d = S(k) + z / d;
    return odd(x, a - a * (z / (d + z)));
  }
  S e = exp(S(-2) * a);
  return odd(x, S(1) - S(2) * e / (S(1) + e));
}

// A small e keeps its digits in e - e y, where those of 1 + e are lost to y = e / (1 + e).
template <class S> constexpr S sigmoid(const S& x) {
  if (x >= S(0)) return S(1) / (S(1) + exp(-x));
  S e = exp(x), y = e / (S(1) + e);
  return e < S(0.36) ? e - e * y : y;
}

// PyTorch's gelu: x Phi(x), and the approximation 0.5 x (1 + tanh u) = x sigmoid(2u), which does not cancel in the
// negative tail.
template <class S> constexpr S gelu(const S& x) { return x * S(0.5) * (S(1) + erf(x * S(0.70710678118654752))); }
template <class S> constexpr S gelu_tanh(const S& x) {
  S twice_u = S(1.5957691216057308) * (x + S(0.044715) * x * x * x);  // 2 sqrt(2 / pi)
  return x * sigmoid(twice_u);
}

template <class S> constexpr S tan(const S& x) {
  if constexpr (is_real<S>) return std::tan(x);
  else return sin(x) / cos(x);
}
template <class S> constexpr S asin(const S& x) {
  if constexpr (is_real<S>) return std::asin(x);
  else return atan(x / sqrt((S(1) - x) * (S(1) + x)));
}
template <class S> constexpr S acos(const S& x) {
  if constexpr (is_real<S>) return std::acos(x);
  else return S(2) * atan(sqrt((S(1) - x) / (S(1) + x)));
}

template <class S> constexpr S trunc(const S& x) { return x < S(0) ? -floor(-x) : floor(x); }

// To nearest, ties to even.
template <class S> constexpr S round(const S& x) {
  S a = abs(x), f = floor(a), rest = a - f;
  S r = rest < S(0.5) || (rest == S(0.5) && f == S(2) * floor(f * S(0.5))) ? f : f + S(1);
  return x < S(0) ? -r : x > S(0) ? r : x * S(0);  // which keeps NaN and the sign of 0, and has no slope
}

// The sign of the dividend, as C's.
template <class S> constexpr S fmod(const S& a, const S& b) {
  if constexpr (is_real<S>) return std::fmod(a, b);
  else return a - b * trunc(a / b);
}
// The sign of the divisor, as Python's.
template <class S> constexpr S remainder(const S& a, const S& b) {
  S m = fmod(a, b);
  return m != S(0) && (m < S(0)) != (b < S(0)) ? m + b : m;
}
// floor(a / b), exact where a / b rounds up to a whole number.
template <class S> constexpr S floor_divide(const S& a, const S& b) {
  if (b == S(0)) return a / b;
  S m = fmod(a, b), q = (a - m) / b;
  if (m != S(0) && (m < S(0)) != (b < S(0))) q = q - S(1);
  if (q == S(0)) return (a / b) * S(0);
  S f = floor(q);
  return q - f > S(0.5) ? f + S(1) : f;
}

// On duals by atan of the smaller ratio; the slope at the origin counts as 0.
template <class S> constexpr S atan2(const S& y, const S& x) {
  if constexpr (is_real<S>) {
    return std::atan2(y, x);
  } else {
    bool below = std::signbit(real(y));
    if (x == S(0) && y == S(0)) return S(std::atan2(real(y), real(x)));
    if (abs(y) > abs(x)) return S(below ? -1.5707963267948966 : 1.5707963267948966) - atan(x / y);
    S r = atan(y / x);
    return x < S(0) ? r + S(below ? -3.1415926535897932 : 3.1415926535897932) : r;
  }
}

// The larger one, or NaN if there is one. Duals share the slope at ties, as PyTorch's gradient does.
template <class S> constexpr S maximum(const S& a, const S& b) {
  if constexpr (is_dual_v<S>)
    if (a == b) return (a + b) / 2.0;
  return a != a || a > b ? a : b;
}
template <class S> constexpr S minimum(const S& a, const S& b) {
  if constexpr (is_dual_v<S>)
    if (a == b) return (a + b) / 2.0;
  return a != a || a < b ? a : b;
}

// Whole numbers wrap round; the callers have made sure that no divisor is 0.
namespace whole {
template <class S> constexpr S divide(S a, S b) {
  return b == S(-1) && std::is_signed_v<S> ? S(0 - uint64_t(a)) : S(a / b);
}
template <class S> constexpr S fmod(S a, S b) { return b == S(-1) && std::is_signed_v<S> ? S(0) : S(a % b); }
template <class S> constexpr S remainder(S a, S b) {
  S m = fmod(a, b);
  return m != 0 && (m < 0) != (b < 0) ? S(m + b) : m;
}
template <class S> constexpr S floor_divide(S a, S b) {
  return S(divide(a, b) - (fmod(a, b) != 0 && (a < 0) != (b < 0)));
}
// A negative exponent gives the whole part of the quotient: 0, but for a base of 1 or -1.
template <class S> constexpr S pow(S a, S b) {
  if (b < 0) return a == S(1) ? S(1) : std::is_signed_v<S> && a == S(-1) ? (b % 2 ? S(-1) : S(1)) : S(0);
  uint64_t r = 1, base = uint64_t(a);
  for (uint64_t n = uint64_t(b); n; n >>= 1, base *= base)
    if (n & 1) r *= base;
  return S(r);
}
template <class S> constexpr bool in_width(S shift) { return shift >= 0 && uint64_t(shift) < 8 * sizeof(S); }
template <class S> constexpr S shift_left(S a, S n) { return in_width(n) ? S(uint64_t(a) << uint64_t(n)) : S(0); }
template <class S> constexpr S shift_right(S a, S n) {  // logical
  return in_width(n) ? S(std::make_unsigned_t<S>(a) >> uint64_t(n)) : S(0);
}
}  // namespace whole

constexpr bool gives_bool(Unary k) { return k == Unary::logical_not || k >= Unary::isnan; }
constexpr bool gives_bool(Binary k) { return k >= Binary::eq && k <= Binary::logical_xor; }
constexpr bool divides(Binary k) { return k == Binary::fmod || k == Binary::remainder || k == Binary::floor_divide; }

// Which kinds a dtype has, as PyTorch; integer inputs of floating functions are cast before they come here.
constexpr bool defined(Unary k, DType t) {
  bool any = k == Unary::abs || k == Unary::sign || gives_bool(k);
  bool number = k == Unary::neg || k == Unary::square || (k >= Unary::relu && k <= Unary::trunc);
  if (k == Unary::bitwise_not) return !is_floating(t);
  return any || (t != boolean && number) || is_floating(t);
}
constexpr bool defined(Binary k, DType t) {
  if (k == Binary::add || k == Binary::mul || k == Binary::maximum || k == Binary::minimum || gives_bool(k))
    return true;
  if (k >= Binary::bitwise_and && k <= Binary::bitwise_xor) return !is_floating(t);
  if (k >= Binary::shift_left) return is_integer(t);
  if (k == Binary::div || k == Binary::atan2) return is_floating(t);
  return t != boolean;
}

// clang-format off
template <Unary k, class S>
constexpr auto unary(const S& x) {
  if constexpr (k == Unary::logical_not) return x == S(0);
  else if constexpr (k == Unary::isnan) return x != x;
  else if constexpr (is_whole<S>) {
    if constexpr (k == Unary::isinf) return false;
    else if constexpr (k == Unary::isfinite) return true;
    else if constexpr (k == Unary::neg) return S(0 - uint64_t(x));
    else if constexpr (k == Unary::abs) return x < S(0) ? S(0 - uint64_t(x)) : x;
    else if constexpr (k == Unary::sign) return S((x > S(0)) - (x < S(0)));
    else if constexpr (k == Unary::square) return S(uint64_t(x) * uint64_t(x));
    else if constexpr (k == Unary::relu) return x < S(0) ? S(0) : x;
    else if constexpr (k == Unary::bitwise_not) {
      if constexpr (std::is_same_v<S, bool>) return !x;
      else return S(~x);
    } else return x;  // floor, ceil, round, trunc
  }
  else if constexpr (k == Unary::isinf) return abs(x) == S(std::numeric_limits<double>::infinity());
  else if constexpr (k == Unary::isfinite) return abs(x) < S(std::numeric_limits<double>::infinity());
  else if constexpr (k == Unary::neg) return -x;
  else if constexpr (k == Unary::abs) return abs(x);
  else if constexpr (k == Unary::sign) return S(double(x > S(0)) - double(x < S(0)));
  else if constexpr (k == Unary::exp) return exp(x);
  else if constexpr (k == Unary::expm1) return expm1(x);
  else if constexpr (k == Unary::log) return log(x);
  else if constexpr (k == Unary::log1p) return log1p(x);
  else if constexpr (k == Unary::log2 && is_real<S>) return std::log2(x);  // exact at powers
  else if constexpr (k == Unary::log10 && is_real<S>) return std::log10(x);
  else if constexpr (k == Unary::log2) return log(x) * S(1.4426950408889634);
  else if constexpr (k == Unary::log10) return log(x) * S(0.43429448190325183);
  else if constexpr (k == Unary::sqrt) return sqrt(x);
  else if constexpr (k == Unary::rsqrt) return S(1) / sqrt(x);
  else if constexpr (k == Unary::reciprocal) return S(1) / x;
  else if constexpr (k == Unary::square) return x * x;
  else if constexpr (k == Unary::sin) return sin(x);
  else if constexpr (k == Unary::cos) return cos(x);
  else if constexpr (k == Unary::tan) return tan(x);
  else if constexpr (k == Unary::asin) return asin(x);
  else if constexpr (k == Unary::acos) return acos(x);
  else if constexpr (k == Unary::atan) return atan(x);
  else if constexpr (k == Unary::sinh) return sinh(x);
  else if constexpr (k == Unary::cosh) return cosh(x);
  else if constexpr (k == Unary::tanh) return tanh(x);
  else if constexpr (k == Unary::sigmoid) return sigmoid(x);
  else if constexpr (k == Unary::erf) return erf(x);
  else if constexpr (k == Unary::relu) return x <= S(0) ? S(0) : x;  // NaN stays NaN
  else if constexpr (k == Unary::floor) return floor(x);
  else if constexpr (k == Unary::ceil) return S(-floor(-x));
  else if constexpr (k == Unary::round) return round(x);
  else return trunc(x);
}

template <Binary k, class S>
constexpr auto binary(const S& a, const S& b) {
  if constexpr (k == Binary::eq) return a == b;
  else if constexpr (k == Binary::ne) return a != b;
  else if constexpr (k == Binary::lt) return a < b;
  else if constexpr (k == Binary::le) return a <= b;
  else if constexpr (k == Binary::gt) return a > b;
  else if constexpr (k == Binary::ge) return a >= b;
  else if constexpr (k == Binary::logical_and) return a != S(0) && b != S(0);
  else if constexpr (k == Binary::logical_or) return a != S(0) || b != S(0);
  else if constexpr (k == Binary::logical_xor) return (a != S(0)) != (b != S(0));
  else if constexpr (k == Binary::maximum) return maximum(a, b);
  else if constexpr (k == Binary::minimum) return minimum(a, b);
  else if constexpr (is_whole<S>) {
    if constexpr (k == Binary::add) return S(uint64_t(a) + uint64_t(b));
    else if constexpr (k == Binary::sub) return S(uint64_t(a) - uint64_t(b));
    else if constexpr (k == Binary::mul) return S(uint64_t(a) * uint64_t(b));
    else if constexpr (k == Binary::pow) return whole::pow(a, b);
    else if constexpr (k == Binary::fmod) return whole::fmod(a, b);
    else if constexpr (k == Binary::remainder) return whole::remainder(a, b);
    else if constexpr (k == Binary::floor_divide) return whole::floor_divide(a, b);
    else if constexpr (k == Binary::bitwise_and) return S(a & b);
    else if constexpr (k == Binary::bitwise_or) return S(a | b);
    else if constexpr (k == Binary::bitwise_xor) return S(a ^ b);
    else if constexpr (k == Binary::shift_left) return whole::shift_left(a, b);
    else return whole::shift_right(a, b);
  }
  else if constexpr (k == Binary::add) return a + b;
  else if constexpr (k == Binary::sub) return a - b;
  else if constexpr (k == Binary::mul) return a * b;
  else if constexpr (k == Binary::div) return a / b;
  else if constexpr (k == Binary::pow) return pow(a, b);
  else if constexpr (k == Binary::fmod) return fmod(a, b);
  else if constexpr (k == Binary::remainder) return remainder(a, b);
  else if constexpr (k == Binary::floor_divide) return floor_divide(a, b);
  else return atan2(a, b);
}
// clang-format on

}  // namespace fovea::formulas
