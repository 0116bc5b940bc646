// Reductions per level: along a contiguous row, and down the columns of a matrix. Rows and columns are summed in f32 in
// blocks, blocks in f64, so that a sum of many numbers is as good as the reference's.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"

namespace fovea::cpu {

enum class Fold : uint8_t { sum, largest, smallest, product };
inline constexpr int kFolds = 4;

inline constexpr int64_t kDownColumns = 512, kDownRows = 256;

// A NaN among the numbers is the largest and the smallest.
template <class T> struct ReduceKernels {
  double (*row[kFolds])(int64_t n, const T* x);
  // to[j] = all x[i * stride + j] of `rows` folded, n columns; at most kDownColumns of kDownRows.
  void (*down[kFolds])(int64_t rows, int64_t n, const T* x, int64_t stride, T* to);
  // The row of each column's largest or smallest, of fewer than 2^31.
  void (*places[2])(int64_t rows, int64_t n, const T* x, int64_t stride, int64_t* place);
};
template <class T> const ReduceKernels<T>& reduce_kernels(Isa level);

}  // namespace fovea::cpu
