// The gradient of a product, f32: g times the product of the others for every element.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"

namespace fovea::cpu {

inline constexpr int64_t kProdColumns = 64;

struct ProdKernels {
  void (*row)(int64_t n, const float* g, const float* x, float* dx);  // one g
  // n rows `stride` apart of at most kProdColumns columns, a g for each.
  void (*down)(int64_t n, int64_t columns, int64_t stride, const float* g, const float* x, float* dx);
};
const ProdKernels& prod_kernels(Isa level);

}  // namespace fovea::cpu
