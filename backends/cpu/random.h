// Draws of contiguous elements; their bits are those of core/random.h. `block` is half of the first element's place,
// which is even.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"

namespace fovea::cpu {

inline constexpr int64_t kMostRanked = 128;

struct RandomKernels {
  void (*bits)(int64_t n, uint64_t base, uint64_t number, uint64_t block, int64_t* y);
  // y = x scale where the top 24 of an element's 64 bits, as a number, are at least `from`, else 0.
  void (*dropout)(int64_t n, uint64_t base, uint64_t number, uint64_t block, int32_t from, float scale, const float* x,
                  float* y);
  // y[i] = low half of the item that i of the n (at most kMostRanked) come before, by the 16 bits behind the first
  // `skip`. False where some have these in common: then items are put in their order, and y is of no use.
  bool (*rank)(int64_t n, uint64_t* items, int skip, int64_t* y);
};
const RandomKernels& random_kernels(Isa level);

}  // namespace fovea::cpu
