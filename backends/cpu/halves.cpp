#include "backends/cpu/halves.h"

#include <algorithm>

#include "backends/common/loops.h"
#include "core/parallel.h"
#include "core/shape.h"

#define FOVEA_FAMILY "backends/cpu/halves_kernels.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {
namespace {

constexpr const HalfKernels* kTables[kIsaLevels] = {&sse2::kHalfTable, &avx2::kHalfTable, &avx512::kHalfTable};
constexpr int64_t kGrain = 1 << 14;  // elements that are worth a thread

// row(i, j, n) for rows of both views together: places i and j, counted from their data. Steps are those of Loops.
template <class Row> void both(const Loops<2>& loops, Row&& row) {
  const int64_t rows = loops.rows(), inner = loops.inner();
  if (rows == 1)
    return parallel_for(0, inner, kGrain,
                        [&](int64_t b, int64_t e) { row(b * loops.step(0), b * loops.step(1), e - b); });
  if (rows > 0)
    parallel_for(0, rows, std::max<int64_t>(kGrain / inner, 1), [&](int64_t b, int64_t e) {
      loops.run(b, e, [&](const int64_t* at, int64_t n) { row(at[0], at[1], n); });
    });
}

template <class S> void widen_view(const View& half, const View& wide) {
  const Loops<2> loops({&wide, &half});
  const S* x = half.as<S>();
  float* y = wide.as<float>();
  const int64_t step = loops.step(1), to = loops.step(0);
  both(loops, [&](int64_t i, int64_t j, int64_t n) {
    if (step == 1 && to == 1) return widen(n, x + j, y + i);
    for (int64_t k = 0; k < n; k++) y[i + k * to] = float(x[j + k * step]);
  });
}

template <class S> void narrow_view(const View& wide, const View& half) {
  const Loops<2> loops({&half, &wide});
  const float* x = wide.as<float>();
  S* y = half.as<S>();
  const int64_t step = loops.step(1), to = loops.step(0);
  both(loops, [&](int64_t i, int64_t j, int64_t n) {
    if (step == 1 && to == 1) return narrow(n, x + j, y + i);
    for (int64_t k = 0; k < n; k++) y[i + k * to] = S(x[j + k * step]);
  });
}

}  // namespace

const HalfKernels& half_kernels(Isa level) { return *kTables[int(level)]; }

Widened::Widened(const Call& c, void* scratch) : from_(c), call_(c) {
  char* base = static_cast<char*>(scratch);
  for (int i = 0; i < c.inputs; i++) in_[i] = take(c.x(i), base);
  for (int k = 0; k < c.outputs; k++) out_[k] = take(c.y(k), base);
  call_.in = in_;
  call_.out = out_;
  call_.scratch = base ? base + bytes_ : nullptr;
}

const View* Widened::take(const View& v, char* scratch) {
  if (!v.present() || !contains(kHalves, v.dtype)) return &v;
  View& w = views_[used_];
  int64_t* strides = strides_[used_++];
  dense_strides(v.shape, v.rank, strides);
  w = v;
  w.data = scratch ? scratch + bytes_ : nullptr;
  w.strides = strides;
  w.dtype = f32;
  w.dense = true;
  bytes_ += (v.numel * int64_t(sizeof(float)) + 63) / 64 * 64;
  return &w;
}

void Widened::load() const {
  auto one = [](const View& half, const View& wide) {
    if (&half != &wide) half.dtype == bf16 ? widen_view<BFloat16>(half, wide) : widen_view<Float16>(half, wide);
  };
  for (int i = 0; i < from_.inputs; i++) one(from_.x(i), *in_[i]);
  for (int k = 0; from_.add && k < from_.outputs; k++) one(from_.y(k), *out_[k]);
}

void Widened::store() const {
  for (int k = 0; k < from_.outputs; k++) {
    const View &half = from_.y(k), &wide = *out_[k];
    if (&half != &wide) half.dtype == bf16 ? narrow_view<BFloat16>(wide, half) : narrow_view<Float16>(wide, half);
  }
}

}  // namespace fovea::cpu
