// Dual numbers: a value and its derivative along one direction, carried through ordinary arithmetic (Clifford, 1873).
// Nested once they give second derivatives. The reference kernels instantiated with them are the exact oracle of every
// gradient check, so the derivatives below are the only ones written by hand: + - * / sqrt exp expm1 log log1p sin cos
// atan erf pow floor |x|. Every other formula is a template over these (backends/common/formulas.h). Comparisons look
// at the real part.
#pragma once
#include <cmath>
#include <type_traits>

#include "core/dtype.h"

namespace fovea {

constexpr bool is_zero(double a) { return a == 0; }
constexpr double real(double a) { return a; }

template <class T> struct Dual {
  T value{}, tangent{};

  Dual() = default;
  template <class U>
  requires std::is_arithmetic_v<U>
  constexpr Dual(U number) : value(double(number)) {}
  constexpr Dual(const T& v) requires(!std::is_arithmetic_v<T>) : value(v) {}
  constexpr Dual(const T& v, const T& t) : value(v), tangent(t) {}

  friend constexpr Dual operator+(const Dual& a) { return a; }
  friend constexpr Dual operator-(const Dual& a) { return {-a.value, -a.tangent}; }
  friend constexpr Dual operator+(const Dual& a, const Dual& b) { return {a.value + b.value, a.tangent + b.tangent}; }
  friend constexpr Dual operator-(const Dual& a, const Dual& b) { return {a.value - b.value, a.tangent - b.tangent}; }
  friend constexpr Dual operator*(const Dual& a, const Dual& b) {
    return {a.value * b.value, a.tangent * b.value + a.value * b.tangent};
  }
  friend constexpr Dual operator/(const Dual& a, const Dual& b) {
    T q = a.value / b.value;
    return {q, (a.tangent - q * b.tangent) / b.value};
  }
  // By a constant: no inf * 0 where the value is infinite.
  friend constexpr Dual operator/(const Dual& a, double b) { return {a.value / b, a.tangent / b}; }

  friend constexpr bool operator==(const Dual& a, const Dual& b) { return a.value == b.value; }
  friend constexpr bool operator!=(const Dual& a, const Dual& b) { return a.value != b.value; }
  friend constexpr bool operator<(const Dual& a, const Dual& b) { return a.value < b.value; }
  friend constexpr bool operator<=(const Dual& a, const Dual& b) { return a.value <= b.value; }
  friend constexpr bool operator>(const Dual& a, const Dual& b) { return a.value > b.value; }
  friend constexpr bool operator>=(const Dual& a, const Dual& b) { return a.value >= b.value; }

  friend Dual sqrt(const Dual& a) {
    using std::sqrt;
    T r = sqrt(a.value);
    return {r, a.tangent / (T(2) * r)};
  }
  friend Dual exp(const Dual& a) {
    using std::exp;
    T e = exp(a.value);
    return {e, e * a.tangent};
  }
  friend Dual expm1(const Dual& a) {
    using std::exp, std::expm1;
    return {expm1(a.value), exp(a.value) * a.tangent};
  }
  friend Dual log(const Dual& a) {
    using std::log;
    return {log(a.value), a.tangent / a.value};
  }
  friend Dual log1p(const Dual& a) {
    using std::log1p;
    return {log1p(a.value), a.tangent / (T(1) + a.value)};
  }
  friend Dual sin(const Dual& a) {
    using std::cos, std::sin;
    return {sin(a.value), cos(a.value) * a.tangent};
  }
  friend Dual cos(const Dual& a) {
    using std::cos, std::sin;
    return {cos(a.value), -sin(a.value) * a.tangent};
  }
  friend Dual atan(const Dual& a) {
    using std::atan;
    return {atan(a.value), a.tangent / (T(1) + a.value * a.value)};
  }
  friend Dual erf(const Dual& a) {
    using std::erf, std::exp;
    return {erf(a.value), T(1.1283791670955126) * exp(-(a.value * a.value)) * a.tangent};  // 2 / sqrt(pi)
  }
  // Terms that are zero by structure are left out: a constant exponent needs no log of a negative base, x^0 no 0^-1.
  friend Dual pow(const Dual& a, const Dual& b) {
    using std::log, std::pow;
    T p = pow(a.value, b.value), t{};
    if (!is_zero(b.value) && !is_zero(a.tangent)) t = b.value * pow(a.value, b.value - T(1)) * a.tangent;
    if (!is_zero(b.tangent) && !(a.value == T(0) && b.value >= T(0))) t = t + p * log(a.value) * b.tangent;
    return {p, t};
  }
  friend Dual floor(const Dual& a) {
    using std::floor;
    return {floor(a.value), T{}};
  }
  friend Dual abs(const Dual& a) {
    using std::abs;
    return {abs(a.value), a.value > T(0) ? a.tangent : a.value < T(0) ? -a.tangent : a.tangent * T(0)};
  }
  friend constexpr bool is_zero(const Dual& a) { return is_zero(a.value) && is_zero(a.tangent); }
  friend constexpr double real(const Dual& a) { return real(a.value); }
};

using Dual1 = Dual<double>;  // DType::dual
using Dual2 = Dual<Dual1>;   // DType::dual2: {{f, f'}, {f', f''}} when both directions are the same
static_assert(sizeof(Dual1) == 16 && sizeof(Dual2) == 32 && std::is_trivially_copyable_v<Dual2>);
template <> constexpr DType dtype_of<Dual1>() { return DType::dual; }
template <> constexpr DType dtype_of<Dual2>() { return DType::dual2; }

template <class T> inline constexpr bool is_dual_v = false;
template <class T> inline constexpr bool is_dual_v<Dual<T>> = true;

}  // namespace fovea
