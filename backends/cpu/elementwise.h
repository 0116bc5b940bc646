// Elementwise kernels of one row per level: contiguous in and out, operands of two-input kernels may be one repeated
// value (step 0). elementwise.cpp and activation.cpp walk views with them.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"
#include "core/op_list.h"

namespace fovea::cpu {

inline constexpr int kActivations = int(Activation::sigmoid) + 1;
inline constexpr int kUnaries = int(Unary::isfinite) + 1, kBinaries = int(Binary::shift_right) + 1;

struct Parameters {
  float first, second, third;  // of an activation
};

// Null where a level's table has no kernel for a kind: the reference's runs. In and out may be the same row.
template <class T> struct ElementwiseKernels {
  void (*unary[kUnaries])(int64_t n, const T* x, T* y);
  void (*binary[kBinaries])(int64_t n, const T* a, int64_t step_a, const T* b, int64_t step_b, T* y);
  void (*compare[kBinaries])(int64_t n, const T* a, int64_t step_a, const T* b, int64_t step_b, bool* y);
  void (*test[kUnaries])(int64_t n, const T* x, int64_t step, const T* x_again, int64_t, bool* y);  // isnan and its kin
  void (*hypot)(int64_t n, const T* a, int64_t step_a, const T* b, int64_t step_b, T* y);
  void (*logaddexp)(int64_t n, const T* a, int64_t step_a, const T* b, int64_t step_b, T* y);
  // a + c (b - a); a + value b c; min(max(a, b), c).
  void (*lerp)(int64_t n, const T* a, int64_t step_a, const T* b, int64_t step_b, const T* c, int64_t step_c, T* y,
               T value);
  void (*addcmul)(int64_t n, const T* a, int64_t step_a, const T* b, int64_t step_b, const T* c, int64_t step_c, T* y,
                  T value);
  void (*between)(int64_t n, const T* a, int64_t step_a, const T* b, int64_t step_b, const T* c, int64_t step_c, T* y,
                  T value);
  void (*activation[kActivations])(int64_t n, const T* x, T* y, Parameters p);
  void (*activation_backward[kActivations])(int64_t n, const T* g, int64_t step_g, const T* x, int64_t step_x, T* dx,
                                            Parameters p);
  void (*gelu[2])(int64_t n, const T* x, T* y);  // by fovea::Gelu
  void (*gelu_backward[2])(int64_t n, const T* g, int64_t step_g, const T* x, int64_t step_x, T* dx);
  void (*swiglu)(int64_t n, const T* gate, int64_t step_gate, const T* up, int64_t step_up, T* y);
  void (*swiglu_backward)(int64_t n, const T* g, int64_t step_g, const T* gate, int64_t step_gate, const T* up,
                          int64_t step_up, T* dgate, T* dup);
  void (*to_whole)(int64_t n, const T* x, int64_t* y);  // towards zero; 0 for what i64 cannot hold
  void (*select)(int64_t n, const bool* p, const T* a, int64_t step_a, const T* b, int64_t step_b, T* y);
};
template <class T> const ElementwiseKernels<T>& elementwise_kernels(Isa level);

// One element by the C library in f64: for lanes that the vector formulas do not reach.
float by_library(Unary k, float x);            // sin, cos, tan
float by_library(Binary k, float a, float b);  // pow, fmod, remainder, floor_divide

}  // namespace fovea::cpu
