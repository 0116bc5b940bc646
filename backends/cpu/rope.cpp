// Slot rope (Su et al., 2021) for f32: a table of cosines and sines for every position, then one pass over x. Angles
// are f64; those of positions that follow each other come by turning on, from an exact one every 64.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backends/cpu/kernels.h"
#include "core/parallel.h"

namespace fovea::cpu {
namespace {

constexpr int64_t kExact = 64;
constexpr double kFar = 1e6;         // from here on, angles are too coarse to be turned on from
constexpr int64_t kGrain = 1 << 13;  // elements that are worth a thread

typedef float Four __attribute__((vector_size(16)));
inline Four load(const float* p) {
  Four v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, Four v) { std::memcpy(p, &v, sizeof v); }

// A row of the table: a factor for each of the first `dims` channels, and one for its partner.
struct Table {
  const RopeAttrs& a;
  const View& positions;
  float* rows;

  int64_t position(int64_t i) const {
    return positions.dtype == i32 ? positions.as<int32_t>()[i] : positions.as<int64_t>()[i];
  }
  void put(int64_t i, int64_t pair, double cosine, double sine) const {
    float *own = rows + i * 2 * a.dims, *other = own + a.dims;
    const int64_t first = a.interleaved ? 2 * pair : pair, second = a.interleaved ? first + 1 : pair + a.dims / 2;
    own[first] = own[second] = float(cosine);
    other[first] = float(-sine), other[second] = float(sine);
  }
  void fill(int64_t begin, int64_t end) const {
    for (int64_t pair = 0; pair < a.dims / 2; pair++) {
      const double frequency = std::exp(double(pair) * (-2 * std::log(a.base) / double(a.dims)));
      const double sign = a.inverse ? -1 : 1, step_c = std::cos(a.scale * frequency),
                   step_s = std::sin(a.scale * frequency);
      double c = 1, s = 0;
      for (int64_t i = begin; i < end; i++) {
        const int64_t p = position(i);
        if (i > begin && uint64_t(p) == uint64_t(position(i - 1)) + 1 && std::abs(double(p) * a.scale) < kFar) {
          const double turned = c * step_c - s * step_s;
          s = s * step_c + c * step_s, c = turned;
        } else {
          const double angle = double(p) * a.scale * frequency;
          c = std::cos(angle), s = std::sin(angle);
        }
        put(i, pair, c, sign * s);
      }
    }
  }
};

inline void turn_halves(int64_t pairs, const float* x, const float* own, const float* other, float* y) {
  int64_t i = 0;
  for (; i + 4 <= pairs; i += 4) {
    const Four a = load(x + i), b = load(x + pairs + i), c = load(own + i), s = load(other + pairs + i);
    store(y + i, a * c - b * s);
    store(y + pairs + i, b * c + a * s);
  }
  for (; i < pairs; i++) {
    const float a = x[i], b = x[pairs + i], c = own[i], s = other[pairs + i];
    y[i] = a * c - b * s, y[pairs + i] = b * c + a * s;
  }
}
inline void turn_neighbours(int64_t dims, const float* x, const float* own, const float* other, float* y) {
  int64_t i = 0;
  for (; i + 4 <= dims; i += 4) {
    const Four v = load(x + i);
    store(y + i, v * load(own + i) + __builtin_shufflevector(v, v, 1, 0, 3, 2) * load(other + i));
  }
  for (; i < dims; i++) y[i] = x[i] * own[i] + x[i ^ 1] * other[i];
}

}  // namespace

int64_t rope_scratch(const Call& c, const void* attrs) {
  return c.x(1).numel * 2 * static_cast<const RopeAttrs*>(attrs)->dims * int64_t(sizeof(float));
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
  parallel_for(0, y.numel / (heads * width), std::max<int64_t>(kGrain / (heads * width), 1), [&](int64_t b, int64_t e) {
    int64_t t = b % time, outer = b / time;
    for (int64_t i = b; i < e; i++) {
      const int64_t at = t + (again ? outer / again * time : 0);
      const float *own = table.rows + at * 2 * a.dims, *other = own + a.dims;
      for (int64_t row = i * heads; row < (i + 1) * heads; row++) {
        const float* from = x.as<float>() + row * width;
        float* to = y.as<float>() + row * width;
        if (a.interleaved) turn_neighbours(a.dims, from, own, other, to);
        else turn_halves(a.dims / 2, from, own, other, to);
        if (a.dims < width) std::memcpy(to + a.dims, from + a.dims, size_t(width - a.dims) * sizeof(float));
      }
      if (++t == time) t = 0, outer++;
    }
  });
  return {};
}

}  // namespace fovea::cpu
