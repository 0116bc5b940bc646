// One step of AdamW (Loshchilov and Hutter, 2019) over a contiguous range.
#pragma once
#include <cstdint>

namespace fovea::cpu {

// g = g scale; p = p decay; m = beta1 m + one_minus_beta1 g; v = beta2 v + one_minus_beta2 g^2;
// p = p - rate m / (sqrt(v) correction + eps).
template <class T> struct AdamWStep {
  T scale, decay, beta1, one_minus_beta1, beta2, one_minus_beta2, rate, correction, eps;
};
template <class T> using AdamWKernel = void (*)(int64_t n, const AdamWStep<T>& s, const T* g, T* p, T* m, T* v);

}  // namespace fovea::cpu
