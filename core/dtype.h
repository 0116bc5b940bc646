// Element types. Header-only and free of everything else, so that a plug-in of kernels can include it alone.
#pragma once
#include <cstdint>
#include <type_traits>

#include "core/half.h"

namespace fovea {

// Every enum that options hold has a last_of beside it; what is not up to it is refused (check_listed in core/error.h).
enum class DType : uint8_t { f32, f64, bf16, f16, i64, i32, u8, i8, boolean, dual, dual2 };
constexpr DType last_of(DType) { return DType::dual2; }
inline constexpr int kDTypes = 11;  // dual and dual2 are internal (`ref` only): exact derivatives, see dual.h

inline constexpr DType f32 = DType::f32, f64 = DType::f64, bf16 = DType::bf16, f16 = DType::f16, i64 = DType::i64,
                       i32 = DType::i32, u8 = DType::u8, i8 = DType::i8, boolean = DType::boolean;

namespace detail {
inline constexpr int8_t kSizes[kDTypes] = {4, 8, 2, 2, 8, 4, 1, 1, 1, 16, 32};
}
constexpr int size_of(DType t) { return detail::kSizes[int(t)]; }
constexpr const char* name_of(DType t) {
  constexpr const char* names[kDTypes] = {"f32", "f64", "bf16", "f16",  "i64",  "i32",
                                          "u8",  "i8",  "bool", "dual", "dual2"};
  return t <= last_of(t) ? names[int(t)] : "unknown";
}
constexpr bool is_dual(DType t) { return t >= DType::dual; }
constexpr bool is_floating(DType t) { return t <= DType::f16 || is_dual(t); }
constexpr bool is_integer(DType t) { return t >= DType::i64 && t <= DType::i8; }

// A set of dtypes as a bit mask.
using DTypeSet = uint32_t;
constexpr DTypeSet only(DType t) { return 1u << int(t); }
template <class... T> constexpr DTypeSet dtypes(T... t) { return (only(t) | ...); }
inline constexpr DTypeSet kFloating = dtypes(f32, f64, bf16, f16), kIntegers = dtypes(i64, i32, u8, i8),
                          kDuals = dtypes(DType::dual, DType::dual2), kAllDTypes = (1u << kDTypes) - 1;
constexpr bool contains(DTypeSet set, DType t) { return set >> int(t) & 1; }

// The dtype in which sums and products of `t` are accumulated: f32 below f32, itself otherwise; i64 for integers.
constexpr DType acc_dtype(DType t) {
  if (t == bf16 || t == f16) return f32;
  return is_floating(t) ? t : i64;
}

// The common dtype of two tensors of one rank class, as PyTorch's promote_types.
constexpr DType promote(DType a, DType b) {
  if (a == b) return a;
  if (is_dual(a) || is_dual(b)) return a > b ? a : b;  // all floating inputs are lifted together
  if (is_floating(a) && is_floating(b)) {
    if (a == f64 || b == f64) return f64;
    return f32;  // f32 with a half, or bf16 with f16
  }
  if (is_floating(a)) return a;
  if (is_floating(b)) return b;
  if (a == boolean) return b;
  if (b == boolean) return a;
  if (a == i64 || b == i64) return i64;
  if (a == i32 || b == i32) return i32;
  return i32;  // u8 with i8: PyTorch says int16, which we lack (tools/notes/departures.md)
}

template <class T> constexpr DType dtype_of() = delete;
template <> constexpr DType dtype_of<float>() { return f32; }
template <> constexpr DType dtype_of<double>() { return f64; }
template <> constexpr DType dtype_of<BFloat16>() { return bf16; }
template <> constexpr DType dtype_of<Float16>() { return f16; }
template <> constexpr DType dtype_of<int64_t>() { return i64; }
template <> constexpr DType dtype_of<long long>() { return i64; }
template <> constexpr DType dtype_of<int32_t>() { return i32; }
template <> constexpr DType dtype_of<uint8_t>() { return u8; }
template <> constexpr DType dtype_of<int8_t>() { return i8; }
template <> constexpr DType dtype_of<bool>() { return boolean; }

}  // namespace fovea
