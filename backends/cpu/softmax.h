// Kernels of one row of logits, or of some columns: softmax, log-softmax, their gradients, and cross-entropy of rows.
// softmax.cpp spreads them over threads.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"

namespace fovea::cpu {

// The gradient of one row's cross-entropy: dx_c = a p_c + b w_c - [c = target] hit, p_c = exp(x_c - lse). Without
// weights w_c = 1. lse is `lse + rest`, which is exact where lse is large beside its spacing.
template <class T> struct ClassSlope {
  T lse, rest, a, b, hit;
  int64_t target;
};

inline constexpr int64_t kSoftmaxColumns = 64;

template <class T> struct SoftmaxKernels {
  void (*softmax)(int64_t n, const T* x, T* y);
  void (*log_softmax)(int64_t n, const T* x, T* y);
  void (*softmax_backward)(int64_t n, const T* g, const T* y, T* dx);
  void (*log_softmax_backward)(int64_t n, const T* g, const T* y, T* dx);
  // The same down the columns of a matrix, n rows `stride` apart of at most kSoftmaxColumns columns.
  void (*softmax_down)(int64_t n, int64_t columns, int64_t stride, const T* x, T* y);
  void (*log_softmax_down)(int64_t n, int64_t columns, int64_t stride, const T* x, T* y);
  void (*softmax_backward_down)(int64_t n, int64_t columns, int64_t stride, const T* g, const T* y, T* dx);
  void (*log_softmax_backward_down)(int64_t n, int64_t columns, int64_t stride, const T* g, const T* y, T* dx);
  double (*log_sum_exp)(int64_t n, const T* x);                 // -inf for a row of nothing but -inf
  double (*spread)(int64_t n, const T* x, const T* w, T from);  // the sum of w_c (from - x_c); w null: of from - x_c
  void (*class_slope)(int64_t n, const T* x, const T* w, const ClassSlope<T>& s, T* dx);  // x may be dx
};
template <class T> const SoftmaxKernels<T>& softmax_kernels(Isa level);

}  // namespace fovea::cpu
