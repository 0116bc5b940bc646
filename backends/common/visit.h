// From run-time dtypes to types: visit(list, dtype, f) calls f.template operator()<T>(), and convert<To>(x) is what a
// cast does.
#pragma once
#include "core/backend.h"
#include "core/dual.h"

namespace fovea {

template <class... T> struct Types {};
using NumberTypes = Types<float, double, BFloat16, Float16, int64_t, int32_t, uint8_t, int8_t, bool>;
using EveryType = Types<float, double, BFloat16, Float16, int64_t, int32_t, uint8_t, int8_t, bool, Dual1, Dual2>;

template <class F, class... T> Status visit(Types<T...>, DType t, F&& f) {
  Status s{Status::unsupported, "no kernel for this dtype"};
  (void)((t == dtype_of<T>() && (s = f.template operator()<T>(), true)) || ...);
  return s;
}

template <class T> inline constexpr bool is_half_v = std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>;
// The type in which one element is computed, and the one in which many are summed here: f64 for every floating type,
// i64 for whole numbers.
template <class T> using Compute = std::conditional_t<is_half_v<T>, float, T>;
template <class T>
using Sum = std::conditional_t<is_dual_v<T>, T, std::conditional_t<std::is_integral_v<T>, int64_t, double>>;

// A cast of one element, as PyTorch's: to whole numbers it truncates, and wraps round in narrow ones; NaN and what i64
// cannot hold become 0 (there the language leaves it open). Halves go by way of f32, rounding once. Numbers lift to
// duals with tangent 0; between duals and to whole numbers the real part decides. From duals to other floating types
// there is no cast: it would lose a gradient in silence.
template <class To, class From> constexpr To convert(const From& x) {
  if constexpr (std::is_same_v<To, From>) return x;
  else if constexpr (is_half_v<From>) return convert<To>(float(x));
  else if constexpr (std::is_same_v<To, bool>) return x != From(0);
  else if constexpr (is_half_v<To> && std::is_same_v<From, float>) return To(x);
  else if constexpr (is_half_v<To> && std::is_integral_v<From>) return To(cut_to_float(int64_t(x)));
  else if constexpr (is_half_v<To>) return To(cut_to_float(double(x)));
  else if constexpr (std::is_integral_v<To> && !std::is_integral_v<From>) {
    double r = real(x);
    return r >= -0x1p63 && r < 0x1p63 ? To(int64_t(r)) : To(0);
  } else return To(x);
}

}  // namespace fovea
