// Rows of elements that change places, per level: turned round, or several rows zipped into one; and rows of one
// number.
#pragma once
#include <cstddef>
#include <cstdint>

#include "backends/cpu/isa.h"

namespace fovea::cpu {

// Elements of T's size; T is uint32_t or uint64_t.
template <class T> struct MoveKernels {
  void (*reverse)(int64_t n, const T* x, T* y);           // y[i] = x[-i]
  void (*zip2)(int64_t n, const T* const (&x)[4], T* y);  // y[2 i + k] = x[k][i]
  void (*zip4)(int64_t n, const T* const (&x)[4], T* y);  // y[4 i + k] = x[k][i]
  void (*fill)(int64_t n, T value, T* y);
};
template <class T> const MoveKernels<T>& move_kernels(Isa level);

}  // namespace fovea::cpu
