#include "backends/cpu/halves.h"

#include <algorithm>
#include <cstring>

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

// Numbers kept as S as numbers kept as D: one of them is a half, the other f32.
template <class S, class D> void convert(const View& from, const View& to) {
  const Loops<2> loops({&to, &from});
  const S* x = from.as<S>();
  D* y = to.as<D>();
  const int64_t sy = loops.step(0), sx = loops.step(1);
  both(loops, [&](int64_t i, int64_t j, int64_t n) {
    if (sx == 1 && sy == 1) {
      if constexpr (std::is_same_v<D, float>) return widen(n, x + j, y + i);
      else return narrow(n, x + j, y + i);
    }
    for (int64_t k = 0; k < n; k++) y[i + k * sy] = D(x[j + k * sx]);
  });
}

// y = f(x), bits by bits, eight at a time.
template <class F> void each_bits(int64_t n, const uint16_t* x, uint16_t* y, F f) {
  typedef uint16_t Eight __attribute__((vector_size(16)));
  int64_t i = 0;
  for (Eight v; i + 8 <= n; i += 8) {
    std::memcpy(&v, x + i, sizeof v);
    v = f(v);
    std::memcpy(y + i, &v, sizeof v);
  }
  for (; i < n; i++) y[i] = uint16_t(f(x[i]));
}

}  // namespace

void negate_halves(int64_t n, const uint16_t* x, uint16_t* y) {
  each_bits(n, x, y, [](auto v) { return v ^ 0x8000; });
}
void clear_signs(int64_t n, const uint16_t* x, uint16_t* y) {
  each_bits(n, x, y, [](auto v) { return v & 0x7fff; });
}

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
  w.data = scratch ? scratch + bytes_ : v.data;  // only asked about: present, as what it stands for
  w.strides = strides;
  w.dtype = f32;
  w.dense = true;
  bytes_ += (v.numel * int64_t(sizeof(float)) + 63) / 64 * 64;
  return &w;
}

void Widened::load() const {
  auto one = [](const View& half, const View& wide) {
    if (&half != &wide) half.dtype == bf16 ? convert<BFloat16, float>(half, wide) : convert<Float16, float>(half, wide);
  };
  for (int i = 0; i < from_.inputs; i++) one(from_.x(i), *in_[i]);
  for (int k = 0; from_.add && k < from_.outputs; k++) one(from_.y(k), *out_[k]);
}

void Widened::store() const {
  for (int k = 0; k < from_.outputs; k++) {
    const View &half = from_.y(k), &wide = *out_[k];
    if (&half != &wide) half.dtype == bf16 ? convert<float, BFloat16>(wide, half) : convert<float, Float16>(wide, half);
  }
}

}  // namespace fovea::cpu
