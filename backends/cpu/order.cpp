// Slots scan, arg_reduce and sort of f32 (halves by way of it), on dense arrays seen as [outer, n, inner] with the axis
// in the middle; what is not dense is the reference's. Sorting is by radix on the bits: stable by itself.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "backends/cpu/isa.h"
#include "backends/cpu/kernels.h"
#include "backends/cpu/reduce.h"
#include "backends/ref/kernels.h"
#include "core/parallel.h"

namespace fovea::cpu {
namespace {

constexpr int64_t kGrain = 1 << 14;  // elements that are worth a thread
constexpr int64_t kColumns = 64;     // neighbours that are walked together where the axis is not the last

struct Axes {
  int64_t outer = 1, n = 1, inner = 1;
  bool ok;
  Axes(const View& x, int64_t dim, std::initializer_list<const View*> others) : ok(x.dense && x.numel > 0) {
    for (const View* v : others) ok &= v->dense;
    int d = ref::axis(dim, x.rank);
    ok &= d >= 0;
    for (int k = 0; k < x.rank; k++) (k < d ? outer : k == d ? n : inner) *= x.shape[k];
  }
  // f(first element, how many neighbours) for every range along the axis; neighbours lie side by side.
  template <class F> void ranges(const F& f) const {
    const int64_t blocks = (inner + kColumns - 1) / kColumns;
    const int64_t size = n * std::min(inner, kColumns);
    parallel_for(0, outer * blocks, std::max<int64_t>(kGrain / size, 1), [&](int64_t b, int64_t e) {
      for (int64_t t = b; t < e; t++) {
        int64_t j = t % blocks * kColumns;
        f(t / blocks * n * inner + j, std::min(kColumns, inner - j), t / blocks * inner + j);
      }
    });
  }
};

// Each sum waits for the one before, so four rows go side by side.
template <bool product> void scan_rows(const float* x, float* y, int64_t rows, int64_t n) {
  double acc[4] = {product, product, product, product};
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = 0; k < rows; k++) {
      double v = x[k * n + i];
      acc[k] = product ? acc[k] * v : acc[k] + v;
      y[k * n + i] = float(acc[k]);
    }
}
template <bool product> void scan_range(const Axes& a, const float* x, float* y, int64_t width) {
  double acc[kColumns];
  std::fill(acc, acc + width, double(product));
  for (int64_t i = 0; i < a.n; i++, x += a.inner, y += a.inner)
    for (int64_t k = 0; k < width; k++) {
      acc[k] = product ? acc[k] * double(x[k]) : acc[k] + double(x[k]);
      y[k] = float(acc[k]);
    }
}

// The first of equals, the first NaN before all.
template <bool largest> void best_range(const Axes& a, const float* x, int64_t* y, int64_t width) {
  if (a.inner == 1) {  // the value by vectors, then its place
    float best = float(reduce_kernels<float>(isa()).row[int(largest ? Fold::largest : Fold::smallest)](a.n, x));
    int64_t i = 0;
    if (best != best)
      while (x[i] == x[i]) i++;
    else
      while (x[i] != best) i++;
    *y = i;
    return;
  }
  float best[kColumns];
  int64_t place[kColumns] = {};
  std::copy(x, x + width, best);
  for (int64_t i = 1; i < a.n; i++) {
    x += a.inner;
    for (int64_t k = 0; k < width; k++) {
      bool better = (largest ? x[k] > best[k] : x[k] < best[k]) || (x[k] != x[k] && best[k] == best[k]);
      if (better) best[k] = x[k], place[k] = i;
    }
  }
  std::copy(place, place + width, y);
}

// Bits that order as the numbers do, NaN last and 0 and -0 equal.
uint32_t sort_key(float x, bool descending) {
  if (x != x) return 0xffffffffu;
  uint32_t b;
  x += 0.0f;
  std::memcpy(&b, &x, 4);
  b = b >> 31 ? ~b : b | 0x80000000u;
  return descending ? ~b : b;
}

// Sorts numbers whose upper half is a key and whose lower half is where it came from; the result may lie in either.
uint64_t* sort_items(uint64_t* items, uint64_t* spare, int64_t n) {
  if (n < 128) {
    std::sort(items, items + n);
    return items;
  }
  uint32_t count[4][256] = {};
  for (int64_t i = 0; i < n; i++)
    for (int digit = 0; digit < 4; digit++) count[digit][items[i] >> (32 + 8 * digit) & 255]++;
  for (int digit = 0; digit < 4; digit++) {
    uint32_t *c = count[digit], begin = 0;
    if (c[items[0] >> (32 + 8 * digit) & 255] == uint32_t(n)) continue;  // all in one bucket
    for (int k = 0; k < 256; k++) begin += std::exchange(c[k], begin);
    for (int64_t i = 0; i < n; i++) spare[c[items[i] >> (32 + 8 * digit) & 255]++] = items[i];
    std::swap(items, spare);
  }
  return items;
}

// The first k of n items in order; `items` has room for n, `spare` too. A block whose best comes behind the k-th of all
// blocks' bests has nothing to give, so few are looked at twice.
uint64_t* first_items(const float* x, int64_t n, int64_t k, bool descending, uint64_t* items, uint64_t* spare) {
  const auto best = reduce_kernels<float>(isa()).row[int(descending ? Fold::largest : Fold::smallest)];
  const int64_t block = std::clamp<int64_t>(n / (4 * k), 16, 64), blocks = n / block;
  auto* bests = reinterpret_cast<uint32_t*>(spare);  // and behind them a copy to choose from
  for (int64_t b = 0; b < blocks; b++) {
    const float* from = x + b * block;
    const float f = float(best(block, from));
    bests[b] = sort_key(f, descending);
    if (f != f)
      for (int64_t i = 0; i < block; i++) bests[b] = std::min(bests[b], sort_key(from[i], descending));
  }
  std::copy(bests, bests + blocks, bests + blocks);
  std::nth_element(bests + blocks, bests + blocks + k - 1, bests + 2 * blocks);
  const uint32_t last = bests[blocks + k - 1];
  int64_t found = 0;
  auto take = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const uint32_t key = sort_key(x[i], descending);
      items[found] = uint64_t(key) << 32 | uint64_t(i);
      found += key <= last;
    }
  };
  for (int64_t b = 0; b < blocks; b++)
    if (bests[b] <= last) take(b * block, (b + 1) * block);
  take(blocks * block, n);
  std::nth_element(items, items + k - 1, items + found);
  std::sort(items, items + k);
  return items;
}

bool sorts(const Call& c, const SortAttrs& a) {
  Axes axes(c.x(0), a.dim, {&c.y(0), &c.y(1)});
  return axes.ok && c.y(0).dtype == f32 && c.y(1).dtype == i64 && axes.n < int64_t(1) << 32;
}
int64_t sort_tasks(const Axes& a) { return std::min<int64_t>(a.outer * a.inner, thread_count()); }

}  // namespace

Status scan(const Call& c, const DimAttrs& a) {
  const View &x = c.x(0), &y = c.y();
  Axes axes(x, a.dim, {&y});
  if (!axes.ok || y.dtype != f32 || c.kind > uint8_t(Scan::prod)) return ref::scan(c, a);
  if (axes.inner == 1) {
    auto rows = c.kind == uint8_t(Scan::prod) ? scan_rows<true> : scan_rows<false>;
    parallel_for(0, (axes.outer + 3) / 4, std::max<int64_t>(kGrain / (4 * axes.n), 1), [&](int64_t b, int64_t e) {
      for (int64_t r = 4 * b; r < std::min(4 * e, axes.outer); r += 4)
        rows(x.as<float>() + r * axes.n, y.as<float>() + r * axes.n, std::min<int64_t>(4, axes.outer - r), axes.n);
    });
    return {};
  }
  auto range = c.kind == uint8_t(Scan::prod) ? scan_range<true> : scan_range<false>;
  axes.ranges([&](int64_t at, int64_t width, int64_t) { range(axes, x.as<float>() + at, y.as<float>() + at, width); });
  return {};
}

Status arg_reduce(const Call& c, const DimKeepAttrs& a) {
  const View &x = c.x(0), &y = c.y();
  Axes axes(x, a.dim, {&y});
  if (!axes.ok || y.dtype != i64) return ref::arg_reduce(c, a);
  auto range = c.kind == uint8_t(ArgReduce::max) ? best_range<true> : best_range<false>;
  axes.ranges(
      [&](int64_t at, int64_t width, int64_t to) { range(axes, x.as<float>() + at, y.as<int64_t>() + to, width); });
  return {};
}

// For each task items and as many to spare, and room for a row whose elements do not lie side by side.
int64_t sort_scratch(const Call& c, const void* attrs) {
  const SortAttrs& a = *static_cast<const SortAttrs*>(attrs);
  if (!sorts(c, a)) return ref::sort_scratch(c, attrs);
  Axes axes(c.x(0), a.dim, {});
  return sort_tasks(axes) * 3 * (axes.n + 1) * int64_t(sizeof(uint64_t));
}

Status sort(const Call& c, const SortAttrs& a) {
  if (!sorts(c, a)) return ref::sort(c, a);
  const Axes axes(c.x(0), a.dim, {});
  const int64_t tasks = sort_tasks(axes), rows = axes.outer * axes.inner, step = axes.inner, n = axes.n;
  const int64_t count = c.y(0).numel / rows;  // places that are asked for
  const bool few = count * 16 <= n;
  if (count == 0) return {};
  parallel_for(0, tasks, 1, [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; t++) {
      uint64_t *items = static_cast<uint64_t*>(c.scratch) + 3 * (n + 1) * t, *spare = items + n + 1;
      float* row = reinterpret_cast<float*>(spare + n + 1);
      for (int64_t r = rows * t / tasks; r < rows * (t + 1) / tasks; r++) {
        const float* x = c.x(0).as<float>() + r / step * n * step + r % step;
        const int64_t to = r / step * count * step + r % step;
        if (step > 1) {
          for (int64_t i = 0; i < n; i++) row[i] = x[i * step];
          x = row;
        }
        const uint64_t* sorted;
        if (few) {
          sorted = first_items(x, n, count, a.descending, items, spare);
        } else {
          for (int64_t i = 0; i < n; i++) items[i] = uint64_t(sort_key(x[i], a.descending)) << 32 | uint64_t(i);
          sorted = sort_items(items, spare, n);
        }
        for (int64_t i = 0; i < count; i++) {
          const int64_t place = int64_t(sorted[i] & 0xffffffffu);
          c.y(1).as<int64_t>()[to + i * step] = place;
          c.y(0).as<float>()[to + i * step] = x[place];
        }
      }
    }
  });
  return {};
}

}  // namespace fovea::cpu
