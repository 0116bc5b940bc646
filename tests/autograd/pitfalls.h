// Shared by the tests of the catalogue of mistakes made elsewhere.
#pragma once
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "core/random.h"

namespace fovea {

inline constexpr const char* kDevices[] = {"ref", "cpu"};

// In -1 to 1.
inline double noise(uint64_t i, uint64_t seed) { return double(random_bits(seed, 0, i) >> 11) * 0x1p-52 - 1; }
inline std::vector<double> noise_of(int64_t n, uint64_t seed) {
  std::vector<double> v;
  for (int64_t i = 0; i < n; i++) v.push_back(noise(uint64_t(i), seed));
  return v;
}
inline Tensor leaf(const std::vector<double>& v, const Shape& s, DType t, const char* d) {
  return Tensor::of(v, s, {.dtype = t, .device = device(d), .requires_grad = true});
}
inline Tensor noise_leaf(const Shape& s, uint64_t seed, const char* d) {
  return leaf(noise_of(numel(s), seed), s, f32, d);
}
inline bool is_zero(const Tensor& t) { return !any(t != 0).item<bool>(); }  // NaN is not zero
// Of one shape and the same numbers; NaN is equal to nothing.
inline bool equal(const Tensor& a, const Tensor& b) { return a.shape() == b.shape() && !any(a != b).item<bool>(); }
inline double gap(const Tensor& a, const Tensor& b) { return amax(abs(a.to(f64) - b.to(f64))).item(); }
inline bool is_finite(const Tensor& t) { return all(isfinite(t)).item<bool>(); }

}  // namespace fovea
