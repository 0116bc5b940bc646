// Slot rope (Su et al., 2021) for f32: a table of cosines and sines for every position, then one pass over x. Angles
// are f64; those of positions that follow each other come by turning on, from an exact one every 64.
#include "backends/cpu/rope.h"

#include <algorithm>
#include <cmath>

#include "backends/cpu/kernels.h"
#include "core/parallel.h"

#define FOVEA_FAMILY "backends/cpu/rope_kernels.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {
namespace {

constexpr int64_t kExact = 64;
constexpr double kFar = 1e6;         // from here on, angles are too coarse to be turned on from
constexpr int64_t kGrain = 1 << 13;  // elements that are worth a thread

// A row of the table: cosines of the angles of dims / 2 pairs, then their sines.
struct Table {
  const RopeAttrs& a;
  const View& positions;
  float* rows;

  int64_t position(int64_t i) const {
    return positions.dtype == i32 ? positions.as<int32_t>()[i] : positions.as<int64_t>()[i];
  }
  // Eight pairs side by side, since each turn waits for the one before.
  void fill(int64_t begin, int64_t end) const {
    constexpr int64_t kSide = 8;
    const int64_t pairs = a.dims / 2;
    const double sign = a.inverse ? -1 : 1;
    for (int64_t first = 0; first < pairs; first += kSide) {
      const int64_t n = std::min(kSide, pairs - first);
      double frequency[kSide], step_c[kSide], step_s[kSide], c[kSide], s[kSide];
      for (int64_t k = 0; k < n; k++) {
        frequency[k] = std::exp(double(first + k) * (-2 * std::log(a.base) / double(a.dims)));
        step_c[k] = std::cos(a.scale * frequency[k]), step_s[k] = std::sin(a.scale * frequency[k]);
      }
      for (int64_t i = begin; i < end; i++) {
        const int64_t p = position(i);
        const bool next =
            i > begin && uint64_t(p) == uint64_t(position(i - 1)) + 1 && std::abs(double(p) * a.scale) < kFar;
        float* row = rows + i * a.dims + first;
        for (int64_t k = 0; k < n && next; k++) {
          const double turned = c[k] * step_c[k] - s[k] * step_s[k];
          s[k] = s[k] * step_c[k] + c[k] * step_s[k], c[k] = turned;
        }
        for (int64_t k = 0; k < n && !next; k++) {
          const double angle = double(p) * a.scale * frequency[k];
          c[k] = std::cos(angle), s[k] = std::sin(angle);
        }
        for (int64_t k = 0; k < n; k++) row[k] = float(c[k]), row[pairs + k] = float(sign * s[k]);
      }
    }
  }
};

const RopeKernels& kernels() {
  constexpr const RopeKernels* tables[kIsaLevels] = {&sse2::kRopeTable, &avx2::kRopeTable, &avx512::kRopeTable};
  return *tables[int(isa())];
}

}  // namespace

int64_t rope_scratch(const Call& c, const void* attrs) {
  return c.x(1).numel * static_cast<const RopeAttrs*>(attrs)->dims * int64_t(sizeof(float));
}

Status rope(const Call& c, const RopeAttrs& a) {
  const View &x = c.x(0), &positions = c.x(1), &y = c.y();
  if (y.numel == 0) return {};
  const Table table{a, positions, static_cast<float*>(c.scratch)};
  parallel_for(0, (positions.numel + kExact - 1) / kExact, 1, [&](int64_t b, int64_t e) {
    for (int64_t k = b; k < e; k++) table.fill(k * kExact, std::min(positions.numel, (k + 1) * kExact));
  });
  const int64_t width = x.shape[x.rank - 1], heads = a.heads_inside ? x.shape[x.rank - 2] : 1;
  const int64_t time = x.shape[x.rank - (a.heads_inside ? 3 : 2)];
  // Rows of the table in turn, each for `heads` rows of x; those of a batch's positions as often as it has heads
  // outside.
  const int64_t again = positions.rank == 2 ? y.numel / x.shape[0] / (heads * time * width) : 0;
  const auto turn = a.interleaved ? kernels().neighbours : kernels().halves;
  parallel_for(0, y.numel / (heads * width), std::max<int64_t>(kGrain / (heads * width), 1), [&](int64_t b, int64_t e) {
    for (int64_t i = b, n; i < e; i += n) {
      const int64_t t = i % time, at = t + (again ? i / time / again * time : 0);
      n = std::min(e - i, time - t);
      turn(n, heads, a.dims, width, x.as<float>() + i * heads * width, table.rows + at * a.dims,
           y.as<float>() + i * heads * width);
    }
  });
  return {};
}

}  // namespace fovea::cpu
