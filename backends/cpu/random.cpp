// Slots random_bits and dropout. Each element's bits are its own, so threads share them as they like, from even places.
#include "backends/cpu/random.h"

#include <algorithm>

#include "backends/cpu/kernels.h"
#include "backends/ref/kernels.h"
#include "core/parallel.h"

#define FOVEA_FAMILY "backends/cpu/random_kernels.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {
namespace {

constexpr int64_t kPiece = 1 << 10;  // elements; even

// f(first element, how many), with the draw's two words at hand.
template <class F> void pieces(int64_t n, const F& f) {
  parallel_for(0, (n + kPiece - 1) / kPiece, 4,
               [&](int64_t b, int64_t e) { f(b * kPiece, std::min(n, e * kPiece) - b * kPiece); });
}

}  // namespace

const RandomKernels& random_kernels(Isa level) {
  constexpr const RandomKernels* tables[kIsaLevels] = {&sse2::kRandomTable, &avx2::kRandomTable, &avx512::kRandomTable};
  return *tables[int(level)];
}

Status random_bits(const Call& c, const NoAttrs& a) {
  const View &x = c.x(0), &y = c.y();
  if (!y.dense || !x.dense || y.dtype != i64 || x.dtype != i64 || x.rank != 1 || x.numel != 2)
    return ref::random_bits(c, a);
  const uint64_t base = uint64_t(x.as<int64_t>()[0]), number = uint64_t(x.as<int64_t>()[1]);
  pieces(y.numel, [&](int64_t first, int64_t n) {
    random_kernels(isa()).bits(n, base, number, uint64_t(first) / 2, y.as<int64_t>() + first);
  });
  return {};
}

Status dropout(const Call& c, const DropoutAttrs& a) {
  const View &x = c.x(0), &draw = c.x(1), &y = c.y();
  const uint64_t base = uint64_t(draw.as<int64_t>()[0]), number = uint64_t(draw.as<int64_t>()[1]);
  const int32_t from = int32_t(std::ceil(std::ldexp(a.p, 24)));
  const float scale = a.p < 1 ? float(1 / (1 - a.p)) : 0.0f;
  pieces(y.numel, [&](int64_t first, int64_t n) {
    random_kernels(isa()).dropout(n, base, number, uint64_t(first) / 2, from, scale, x.as<float>() + first,
                                  y.as<float>() + first);
  });
  return {};
}

}  // namespace fovea::cpu
