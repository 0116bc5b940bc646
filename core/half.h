// bf16 and f16 as storage: two bytes, converted to float for arithmetic. Rounding is to nearest, ties to even.
// Integer code only, so that constant evaluation, old CPUs and plug-ins share it; kernels widen with vector code of
// their own.
#pragma once
#include <bit>
#include <cstdint>

namespace fovea {

// A number as a float whose last bit is set where something was cut off ("round to odd"): rounding that float to a half
// then gives what rounding the number itself would.
constexpr float cut_to_float(double x) {
  float f = float(x);
  if (double(f) == x || x != x) return f;
  uint32_t bits = std::bit_cast<uint32_t>(f);
  if ((bits & 0x7fffffff) == 0x7f800000) return f;
  if ((x < 0 ? -double(f) : double(f)) > (x < 0 ? -x : x)) bits--;  // towards zero
  return std::bit_cast<float>(bits | 1);
}
constexpr float cut_to_float(int64_t x) {
  uint64_t a = x < 0 ? 0 - uint64_t(x) : uint64_t(x);
  if (a >> 53) a = (a & ~uint64_t(0xfff)) | ((a & 0xfff) != 0) << 11;  // few enough bits for a double
  return cut_to_float(x < 0 ? -double(a) : double(a));
}

struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  constexpr BFloat16(float f) {
    uint32_t u = std::bit_cast<uint32_t>(f);
    bits = (u & 0x7fffffff) > 0x7f800000 ? uint16_t(u >> 16 | 0x40)  // NaN stays NaN: set a quiet bit
                                         : uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16);
  }
  constexpr operator float() const { return std::bit_cast<float>(uint32_t(bits) << 16); }
};

struct Float16 {
  uint16_t bits = 0;
  Float16() = default;
  constexpr Float16(float f) {
    uint32_t u = std::bit_cast<uint32_t>(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    if (a > 0x7f800000) bits = uint16_t(sign | 0x7e00);        // NaN
    else if (a >= 0x477ff000) bits = uint16_t(sign | 0x7c00);  // 65520 and above round to infinity
    else if (a >= 0x38800000) bits = uint16_t(sign | ((a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13));
    else if (a < 0x33000000) bits = uint16_t(sign);  // below half of the least denormal
    else {                                           // denormal: shift the mantissa, round to even
      uint32_t m = (a & 0x7fffff) | 0x800000, shift = 126 - (a >> 23), half = 1u << (shift - 1);
      uint32_t q = m >> shift, rest = m & ((1u << shift) - 1);
      bits = uint16_t(sign | (q + (rest > half || (rest == half && (q & 1)))));
    }
  }
  constexpr operator float() const {
    uint32_t sign = uint32_t(bits & 0x8000) << 16, e = bits >> 10 & 31, m = bits & 0x3ff;
    if (e == 31) return std::bit_cast<float>(sign | 0x7f800000 | m << 13);
    if (e) return std::bit_cast<float>(sign | (e + 112) << 23 | m << 13);
    float f = float(m) * 0x1p-24f;
    return sign ? -f : f;
  }
};

}  // namespace fovea
