// Kernels of one row of logits, or of some columns: softmax, log-softmax, their gradients, and cross-entropy of rows.
// softmax.cpp spreads them over threads.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"

namespace fovea::cpu {

// The largest number of a row (0 for nothing but -inf, NaN where there is one), and the sum of exp(x - largest). Their
// log-sum-exp as one number would lose the sum where the largest is far from 0.
struct ExpSum {
  double largest, sum;
};
// The gradient of one row's cross-entropy: dx_c = a exp(x_c - largest) + b w_c - [c = target] hit. Without weights
// w_c = 1.
template <class T> struct ClassSlope {
  T largest, a, b, hit;
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
  ExpSum (*exp_sum)(int64_t n, const T* x);
  double (*spread)(int64_t n, const T* x, const T* w, T from);  // the sum of w_c (from - x_c); w null: of from - x_c
  void (*class_slope)(int64_t n, const T* x, const T* w, const ClassSlope<T>& s, T* dx);  // x may be dx
};
template <class T> const SoftmaxKernels<T>& softmax_kernels(Isa level);

}  // namespace fovea::cpu
