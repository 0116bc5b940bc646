// Slot adamw: all parameters in one pass, cut into pieces of equal size whatever the arrays' lengths.
#include "backends/cpu/optimizer.h"

#include <algorithm>
#include <cmath>

#include "backends/cpu/halves.h"
#include "backends/cpu/isa.h"
#include "backends/cpu/kernels.h"
#include "backends/ref/kernels.h"
#include "core/parallel.h"

#define FOVEA_FAMILY "backends/cpu/optimizer_kernels.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {
namespace {

constexpr int64_t kGrain = 1 << 13;  // elements that are worth a thread

double scalar(const View& v) { return *v.as<double>(); }
bool is_scalar(const View& v) { return v.numel == 1 && v.dtype == f64; }

template <class T>
constexpr AdamWKernel<T> kTable[kIsaLevels] = {sse2::adamw_row<T>, avx2::adamw_row<T>, avx512::adamw_row<T>};
// f64 serves checks, not training: one level of it is enough code.
template <>
constexpr AdamWKernel<double> kTable<double>[kIsaLevels] = {sse2::adamw_row<double>, sse2::adamw_row<double>,
                                                            sse2::adamw_row<double>};

// Gradients and parameters kept as S, in chunks where that is not T.
template <class T, class S> void update(int64_t n, const AdamWStep<T>& s, const S* g, S* p, T* m, T* v) {
  if constexpr (std::is_same_v<T, S>) {
    kTable<T>[int(isa())](n, s, g, p, m, v);
  } else {
    constexpr int64_t kChunk = 512;
    T slope[kChunk], value[kChunk];
    for (int64_t i = 0; i < n; i += kChunk) {
      const int64_t count = std::min(kChunk, n - i);
      widen(count, g + i, slope);
      widen(count, p + i, value);
      kTable<T>[int(isa())](count, s, slope, value, m + i, v + i);
      narrow(count, value, p + i);
    }
  }
}

template <class T, class S> void run(const Call& c, const AdamWAttrs& a, int n) {
  const double lr = scalar(c.x(0)), step = scalar(c.x(1));
  AdamWStep<T> s{T(scalar(c.x(2))),
                 T(1),
                 T(a.beta1),
                 T(1 - a.beta1),
                 T(a.beta2),
                 T(1 - a.beta2),
                 T(lr / (1 - std::pow(a.beta1, step))),
                 T(1 / std::sqrt(1 - std::pow(a.beta2, step))),
                 T(a.eps)};
  const T decay = T(1 - lr * a.weight_decay);
  int64_t total = 0;
  for (int i = 0; i < n; i++) total += c.y(i).numel;
  parallel_for(0, total, kGrain, [&](int64_t begin, int64_t end) {
    int64_t first = 0;  // the place of array i in the row of all
    AdamWStep<T> mine = s;
    for (int i = 0; i < n && first < end; first += c.y(i).numel, i++) {
      int64_t b = std::max(begin - first, int64_t(0)), e = std::min(end - first, c.y(i).numel);
      if (b >= e) continue;
      mine.decay = i < a.decay_count ? decay : T(1);
      update<T, S>(e - b, mine, c.x(3 + i).as<S>() + b, c.y(i).as<S>() + b, c.y(n + i).as<T>() + b,
                   c.y(2 * n + i).as<T>() + b);
    }
  });
}

}  // namespace

// Inputs learning rate, step number, gradient scale (f64), n gradients; outputs n parameters, n first and n second
// moments.
Status adamw(const Call& c, const AdamWAttrs& a) {
  const int n = c.inputs - 3;
  bool simple = n > 0 && c.outputs == 3 * n && is_scalar(c.x(0)) && is_scalar(c.x(1)) && is_scalar(c.x(2));
  if (!simple) return ref::adamw(c, a);
  const DType kept = c.x(3).dtype, moments = kept == f64 ? f64 : f32;
  for (int i = 0; simple && i < n; i++) {
    for (const View* v : {&c.x(3 + i), &c.y(i), &c.y(n + i), &c.y(2 * n + i)})
      simple &= v->dense && v->numel == c.y(i).numel;
    simple &= c.x(3 + i).dtype == kept && c.y(i).dtype == kept && c.y(n + i).dtype == moments &&
              c.y(2 * n + i).dtype == moments;
  }
  if (!simple) return ref::adamw(c, a);
  if (kept == f32) run<float, float>(c, a, n);
  else if (kept == f64) run<double, double>(c, a, n);
  else if (kept == bf16) run<float, BFloat16>(c, a, n);
  else run<float, Float16>(c, a, n);
  return {};
}

}  // namespace fovea::cpu
