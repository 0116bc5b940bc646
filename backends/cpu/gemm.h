// Matrix products of this backend: C (+)= A B + bias with any strides. Called by the slots matmul and linear, and by
// tests. One path for big products (B packed into panels, A read in place), one for few rows (dot products along K).
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"

namespace fovea::cpu {

// C [m, n] = A [m, k] B [k, n] + bias [n]; with `add` the old C is added. Strides in elements.
template <class T> struct Gemm {
  int64_t m = 0, n = 0, k = 0;
  const T* a = nullptr;
  int64_t a_row = 0, a_col = 1;
  const T* b = nullptr;
  int64_t b_row = 0, b_col = 1;
  T* c = nullptr;
  int64_t c_row = 0, c_col = 1;
  const T* bias = nullptr;
  bool add = false;
};

// Bytes of scratch that gemm() needs, for any number of threads.
template <class T> int64_t gemm_scratch(const Gemm<T>& g);
// The same bits for any number of threads: every element is one fixed sum over fixed pieces of k.
template <class T> void gemm(const Gemm<T>& g, void* scratch);

// What a level supplies. A panel is n <= `columns` columns of B with width(n) elements (zeros behind n) per row of k.
template <class T> struct Strip {  // C [m, n] of one panel; b_row is the distance of its rows
  int64_t m, n, k;
  const T* a;
  int64_t a_row, a_col;
  const T* b;
  int64_t b_row;
  T* c;
  int64_t c_row, c_col;
  const T* bias;  // of this panel
  bool add;
};
template <class T> struct GemmKernels {
  int rows, columns;  // of the register tile
  int narrow;         // width of a panel of at most half as many columns
  int64_t width(int64_t n) const { return n > columns / 2 ? columns : narrow; }
  void (*pack)(const T* b, int64_t b_row, int64_t b_col, int64_t k, int64_t n, T* panel);
  void (*strips)(const Strip<T>& s);
  void (*dots)(const Gemm<T>& g, int64_t n_begin, int64_t n_end);  // A and B both dense along k
  T (*dot)(int64_t n, const T* a, const T* b);
};
template <class T> const GemmKernels<T>& gemm_kernels(Isa level);

}  // namespace fovea::cpu
