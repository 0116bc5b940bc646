// Rows of x turned by rows of a table of angles, per level.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"

namespace fovea::cpu {

// A row of the table has cosines of dims / 2 angles, and behind them their sines.
struct RopeKernels {
  // The rows x of `count` positions, `heads` each and `width` wide; the first `dims` channels turn, the others stay.
  void (*halves)(int64_t count, int64_t heads, int64_t dims, int64_t width, const float* x, const float* table,
                 float* y);  // partners are dims / 2 apart
  void (*neighbours)(int64_t count, int64_t heads, int64_t dims, int64_t width, const float* x, const float* table,
                     float* y);
};

}  // namespace fovea::cpu
