// Slots max_pool1d and its gradient: threads share the rows.
#include <algorithm>
#include <cstring>
#include <limits>

#include "backends/cpu/kernels.h"
#include "backends/cpu/reduce.h"
#include "core/parallel.h"

namespace fovea::cpu {
namespace {

constexpr int64_t kGrain = 1 << 13;  // numbers that are worth a thread

PoolWindows windows_of(const MaxPoolAttrs& a) { return {a.kernel_size, a.stride, a.padding, a.dilation}; }

// f(row) for the rows of x.
template <class F> void each_row(const View& x, const F& f) {
  const int64_t size = x.shape[x.rank - 1];
  parallel_for(0, x.numel / size, std::max<int64_t>(kGrain / size, 1), [&](int64_t b, int64_t e) {
    for (int64_t row = b; row < e; row++) f(row);
  });
}

// Adds g to where the largest of each window is: the first of equal ones, the last NaN.
void add_to_best(int64_t size, int64_t windows, const PoolWindows& w, const float* g, const float* x, float* dx) {
  for (int64_t i = 0; i < windows; i++) {
    int64_t at = i * w.stride - w.padding, skipped = at < 0 ? (-at + w.dilation - 1) / w.dilation : 0;
    at += skipped * w.dilation;
    const int64_t end = std::min(size, at + (w.kernel - skipped) * w.dilation);
    if (at >= end) continue;  // all of it is padding
    int64_t place = at;       // moved without a branch, which could not be foreseen
    for (at += w.dilation; at < end; at += w.dilation) place = (x[at] > x[place]) | (x[at] != x[at]) ? at : place;
    dx[place] += g[i];
  }
}

}  // namespace

bool max_pool1d_accepts(const Call& c, const void*) { return c.y().numel > 0 && c.y().dense; }
Status max_pool1d(const Call& c, const MaxPoolAttrs& a) {
  const View &x = c.x(0), &y = c.y();
  const int64_t size = x.shape[x.rank - 1], windows = y.shape[y.rank - 1];
  const auto pool = row_kernels(isa()).max_pool;
  each_row(x, [&](int64_t row) {
    pool(size, windows, windows_of(a), x.as<float>() + row * size, y.as<float>() + row * windows);
  });
  return {};
}

// Inputs g, x.
Status max_pool1d_backward(const Call& c, const MaxPoolAttrs& a) {
  const View &g = c.x(0), &x = c.x(1), &y = c.y();
  const int64_t size = x.shape[x.rank - 1], windows = g.shape[g.rank - 1];
  each_row(x, [&](int64_t row) {
    float* dx = y.as<float>() + row * size;
    std::memset(dx, 0, size_t(size) * sizeof(float));
    add_to_best(size, windows, windows_of(a), g.as<float>() + row * windows, x.as<float>() + row * size, dx);
  });
  return {};
}

}  // namespace fovea::cpu
