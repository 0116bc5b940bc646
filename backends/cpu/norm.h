// Layer normalisation of one row (Ba, Kiros and Hinton, 2016). The mean is kept in two parts, so a row whose mean is
// ten thousand times its spread loses nothing; a row whose squares leave the range of f32 is done in f64.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"

namespace fovea::cpu {

template <class T> struct NormKernels {
  // y = (x - mean) rstd weight + bias; weight and bias may be null.
  void (*layer_norm)(int64_t n, const T* x, const T* weight, const T* bias, double eps, T* y, T* mean, T* rstd);
  // With h = (x - mean) rstd and gw = g weight: dx = rstd (gw - mean(gw) - h mean(gw h)), dweight += g h, dbias += g.
  void (*layer_norm_backward)(int64_t n, const T* g, const T* x, const T* weight, T mean, T rstd, T* dx, T* dweight,
                              T* dbias);
  void (*accumulate)(int64_t n, const T* x, T* y);  // y += x
};
template <class T> const NormKernels<T>& norm_kernels(Isa level);

}  // namespace fovea::cpu
