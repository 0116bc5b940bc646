// Layer and RMS normalisation of one row (Ba, Kiros and Hinton, 2016; Zhang and Sennrich, 2019); a group of channels is
// a row whose weights are one for each channel (Wu and He, 2018). The mean is kept in two parts, so a row whose mean is
// ten thousand times its spread loses nothing; a row whose squares leave the range of f32 is done in f64.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"
#include "core/half.h"

namespace fovea::cpu {

template <class T> struct NormKernels {
  // y = (x - mean) rstd weight + bias; weight and bias may be null.
  void (*layer_norm)(int64_t n, const T* x, const T* weight, const T* bias, double eps, T* y, T* mean, T* rstd);
  // With h = (x - mean) rstd and gw = g weight: dx = rstd (gw - mean(gw) - h mean(gw h)), dweight += g h, dbias += g.
  void (*layer_norm_backward)(int64_t n, const T* g, const T* x, const T* weight, T mean, T rstd, T* dx, T* dweight,
                              T* dbias);
  // y = x rstd weight; dx = rstd (gw - h mean(gw h)) with h = x rstd, dweight += g h.
  void (*rms_norm)(int64_t n, const T* x, const T* weight, double eps, T* y, T* rstd);
  void (*rms_norm_backward)(int64_t n, const T* g, const T* x, const T* weight, T rstd, T* dx, T* dweight);
  double (*vector_norm)(int64_t n, const T* x, double ord);              // of order 1, 2 or infinity
  double (*vector_norm_bf16)(int64_t n, const BFloat16* x, double ord);  // in the table of f32
  // 1 / the deviation, and the mean in two parts.
  T (*statistics)(int64_t n, const T* x, double eps, T* high, T* low);
  // y = (x - high - low) rstd weight + bias; the sums of g, g h and h with h = (x - mean) rstd; and with h less by
  // `shift` dx = rstd (g weight - m - h slope).
  void (*channel)(int64_t n, const T* x, T high, T low, T rstd, T weight, T bias, T* y);
  void (*channel_sums)(int64_t n, const T* g, const T* x, T mean, T rstd, double* sums);
  void (*channel_backward)(int64_t n, const T* g, const T* x, T weight, T mean, T rstd, T shift, T m, T slope, T* dx);
  void (*accumulate)(int64_t n, const T* x, T* y);  // y += x
};
template <class T> const NormKernels<T>& norm_kernels(Isa level);

}  // namespace fovea::cpu
