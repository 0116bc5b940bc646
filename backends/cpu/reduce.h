// Reductions per level: along a contiguous row, and down the columns of a matrix. Rows and columns are summed in f32 in
// blocks, blocks in f64, so that a sum of many numbers is as good as the reference's.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"
#include "core/half.h"

namespace fovea::cpu {

enum class Fold : uint8_t { sum, largest, smallest, product };
inline constexpr int kFolds = 4;

inline constexpr int64_t kDownColumns = 512, kDownRows = 256, kShort = 16;

// A NaN among the numbers is the largest and the smallest.
// Sums of bf16 in f32, as those of ReduceKernels.
struct Bf16Sums {
  double (*row)(int64_t n, const BFloat16* x);
  void (*down)(int64_t rows, int64_t n, const BFloat16* x, int64_t stride, float* to);
};
template <class T> struct ReduceKernels {
  double (*row[kFolds])(int64_t n, const T* x);
  // to[i] = all x[i * k + j] with j below k folded: rows of few numbers, at most kShort.
  void (*short_rows[kFolds])(int64_t rows, int64_t k, const T* x, T* to);
  // to[j] = all x[i * stride + j] of `rows` folded, n columns; at most kDownColumns of kDownRows.
  void (*down[kFolds])(int64_t rows, int64_t n, const T* x, int64_t stride, T* to);
  Bf16Sums bf16;  // in the table of f32
  // The row of each column's largest or smallest, of fewer than 2^31.
  void (*places[2])(int64_t rows, int64_t n, const T* x, int64_t stride, int64_t* place);
};
template <class T> const ReduceKernels<T>& reduce_kernels(Isa level);

struct PoolWindows {
  int64_t kernel, stride, padding, dilation;
};

// Of rows of f32.
struct RowKernels {
  // to[0], to[1]: the sums of x - shift and of its square, in f64. With a shift that is one of the numbers the square
  // of their mean, which is then taken off, is no larger than n times what remains, so one pass keeps its digits.
  void (*deviation_sums)(int64_t n, const float* x, double shift, double* to);
  // y[i] = the largest of x[i stride - padding + k dilation] with k below kernel, places outside of [0, size) left out;
  // -infinity where all are.
  void (*max_pool)(int64_t size, int64_t windows, const PoolWindows& w, const float* x, float* y);
};
const RowKernels& row_kernels(Isa level);

}  // namespace fovea::cpu
