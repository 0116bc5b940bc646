// Losses of numbers and their targets, term by term, and sums of them without an array of terms. f32.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"
#include "core/op_attrs.h"

namespace fovea::cpu {

struct LossParameters {
  float delta, scale;  // of PairLoss::huber
};
// Dense rows of numbers x and targets t.
struct LossKernels {
  void (*terms)(int64_t n, const float* x, const float* t, LossParameters p, float* y);
  double (*sum)(int64_t n, const float* x, const float* t, LossParameters p);
  // dx = g factor times the slope of the term; step_g 0: one g for all.
  void (*slopes)(int64_t n, const float* g, int64_t step_g, float factor, const float* x, const float* t,
                 LossParameters p, float* dx);
};
const LossKernels& loss_kernels(Isa level, PairLoss kind);

}  // namespace fovea::cpu
