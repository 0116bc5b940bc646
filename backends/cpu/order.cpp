// Slots scan, arg_reduce and sort of f32 (halves by way of it), some of f64 and i64, and upper_bound, on dense arrays
// seen as [outer, n, inner] with the axis in the middle; what is not dense is the reference's. f32 is sorted by radix
// on the bits: stable by itself.
#include <algorithm>
#include <bit>
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
  // f(first element, how many neighbours, where they are without the axis) for every range along the axis; neighbours
  // lie side by side, at most `most` of them.
  template <class F> void ranges(int64_t most, const F& f) const {
    const int64_t blocks = (inner + most - 1) / most, width = (inner + blocks - 1) / blocks;
    parallel_for(0, outer * blocks, std::max<int64_t>(kGrain / (n * width), 1), [&](int64_t b, int64_t e) {
      for (int64_t t = b; t < e; t++) {
        const int64_t j = t % blocks * width;
        if (j < inner) f(t / blocks * n * inner + j, std::min(width, inner - j), t / blocks * inner + j);
      }
    });
  }
};

// Each sum waits for the one before, so several rows go side by side.
template <class T, bool product, int rows> void scan_rows(const T* x, T* y, int64_t n) {
  double acc[rows];
  for (double& a : acc) a = product;
  for (int64_t i = 0; i < n; i++) {
#pragma GCC unroll 8
    for (int k = 0; k < rows; k++) {
      const double v = double(x[k * n + i]);
      acc[k] = product ? acc[k] * v : acc[k] + v;
      y[k * n + i] = T(acc[k]);
    }
  }
}
template <class T, bool product> void scan_range(const Axes& a, const T* x, T* y, int64_t width) {
  double acc[kColumns];
  std::fill(acc, acc + width, double(product));
  for (int64_t i = 0; i < a.n; i++, x += a.inner, y += a.inner)
    for (int64_t k = 0; k < width; k++) {
      acc[k] = product ? acc[k] * double(x[k]) : acc[k] + double(x[k]);
      y[k] = T(acc[k]);
    }
}
template <class T, bool product> void scan_all(const Axes& a, const T* x, T* y) {
  constexpr int kRows = 8;
  if (a.inner > 1)
    return a.ranges(kColumns, [&](int64_t at, int64_t n, int64_t) { scan_range<T, product>(a, x + at, y + at, n); });
  parallel_for(0, (a.outer + kRows - 1) / kRows, std::max<int64_t>(kGrain / (kRows * a.n), 1),
               [&](int64_t b, int64_t e) {
                 int64_t r = b * kRows;
                 const int64_t end = std::min(e * kRows, a.outer);
                 for (; r + kRows <= end; r += kRows) scan_rows<T, product, kRows>(x + r * a.n, y + r * a.n, a.n);
                 for (; r < end; r++) scan_rows<T, product, 1>(x + r * a.n, y + r * a.n, a.n);
               });
}

// The first of equals, the first NaN before all: the value by vectors, then its place.
int64_t best_place(const ReduceKernels<float>& kernels, bool largest, const float* x, int64_t n) {
  const float best = float(kernels.row[int(largest ? Fold::largest : Fold::smallest)](n, x));
  int64_t i = 0;
  if (best != best)
    while (x[i] == x[i]) i++;
  else
    while (x[i] != best) i++;
  return i;
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
  if (!axes.ok || y.dtype != x.dtype || c.kind > uint8_t(Scan::prod)) return ref::scan(c, a);
  auto run = [&]<class T>() {
    (c.kind == uint8_t(Scan::prod) ? scan_all<T, true> : scan_all<T, false>)(axes, x.as<T>(), y.as<T>());
    return Status{};
  };
  return x.dtype == f32 ? run.template operator()<float>() : run.template operator()<double>();
}

Status arg_reduce(const Call& c, const DimKeepAttrs& a) {
  const View &x = c.x(0), &y = c.y();
  Axes axes(x, a.dim, {&y});
  if (!axes.ok || y.dtype != i64 || axes.n > INT32_MAX) return ref::arg_reduce(c, a);
  const auto& kernels = reduce_kernels<float>(isa());
  const bool largest = c.kind == uint8_t(ArgReduce::max);
  axes.ranges(kDownColumns, [&](int64_t at, int64_t width, int64_t to) {
    const float* from = x.as<float>() + at;
    int64_t* place = y.as<int64_t>() + to;
    if (axes.inner == 1) *place = best_place(kernels, largest, from, axes.n);
    else kernels.places[!largest](axes.n, width, from, axes.inner, place);
  });
  return {};
}

bool upper_bound_accepts(const Call& c, const void*) { return c.y().dense && c.x(1).dtype == c.x(0).dtype; }

// A row that is not sorted after all, or has a NaN, is counted through.
Status upper_bound(const Call& c, const NoAttrs&) {
  const View &x = c.x(0), &v = c.x(1), &y = c.y();
  const int64_t n = x.shape[1], count = v.shape[1];
  auto run = [&]<class T>() {
    parallel_for(0, x.shape[0], std::max<int64_t>(kGrain / (n + 1), 1), [&](int64_t b, int64_t e) {
      for (int64_t r = b; r < e; r++) {
        const T *row = x.as<T>() + r * n, *end = row + n, *value = v.as<T>() + r * count;
        bool sorted = n == 0 || row[0] == row[0];
        for (int64_t i = 1; i < n; i++) sorted &= row[i] >= row[i - 1];
        for (int64_t j = 0; j < count; j++) {
          int64_t& place = y.as<int64_t>()[r * count + j];
          if (value[j] != value[j]) place = 0;
          else if (sorted) place = std::upper_bound(row, end, value[j]) - row;
          else place = std::count_if(row, end, [&](T p) { return p <= value[j]; });
        }
      }
    });
    return Status{};
  };
  return x.dtype == f32 ? run.template operator()<float>() : run.template operator()<double>();
}

namespace {

// Of f64 and i64 keys are as wide as items were, so places lie beside them.
struct Wide {
  uint64_t key;
  int64_t place;
  bool operator<(const Wide& o) const { return key != o.key ? key < o.key : place < o.place; }
};
uint64_t wide_key(double x, bool descending) {
  if (x != x) return ~uint64_t(0);
  uint64_t b;
  x += 0.0;
  std::memcpy(&b, &x, 8);
  b = b >> 63 ? ~b : b | uint64_t(1) << 63;
  return descending ? ~b : b;
}
uint64_t wide_key(int64_t x, bool descending) {
  const uint64_t b = uint64_t(x) ^ uint64_t(1) << 63;
  return descending ? ~b : b;
}

constexpr int kBucketBits = 16;

// Most buckets have one or two.
void sort_bucket(Wide* begin, Wide* end) {
  if (end - begin > 16) return std::sort(begin, end);
  for (Wide* i = begin + 1; i < end; i++) {
    const Wide item = *i;
    Wide* to = i;
    for (; to > begin && item < to[-1]; to--) *to = to[-1];
    *to = item;
  }
}

// Once through buckets by the keys' first digits, then each bucket by comparing.
Wide* sort_wide(Wide* items, Wide* spare, uint32_t* counts, int64_t n) {
  if (n < 256) {
    std::sort(items, items + n);
    return items;
  }
  uint64_t low = items[0].key, high = low;
  for (int64_t i = 1; i < n; i++) low = std::min(low, items[i].key), high = std::max(high, items[i].key);
  const int bits = std::min<int>(std::bit_width(uint64_t(n)), kBucketBits);
  const int shift = std::max<int>(std::bit_width(high - low) - bits, 0);
  const int64_t buckets = int64_t((high - low) >> shift) + 1;
  std::fill(counts, counts + buckets, 0);
  for (int64_t i = 0; i < n; i++) counts[(items[i].key - low) >> shift]++;
  uint32_t begin = 0;
  for (int64_t k = 0; k < buckets; k++) begin += std::exchange(counts[k], begin);
  for (int64_t i = 0; i < n; i++) spare[counts[(items[i].key - low) >> shift]++] = items[i];
  for (int64_t k = 0, at = 0; k < buckets; at = counts[k++]) sort_bucket(spare + at, spare + counts[k]);
  return spare;
}

bool sorts_wide(const Call& c, const SortAttrs& a) {
  Axes axes(c.x(0), a.dim, {&c.y(0), &c.y(1)});
  const DType t = c.x(0).dtype;
  return axes.ok && (t == f64 || t == i64) && c.y(0).dtype == t && c.y(1).dtype == i64 && axes.n < int64_t(1) << 32;
}
int64_t wide_bytes(int64_t n) { return 2 * n * int64_t(sizeof(Wide)) + (int64_t(4) << kBucketBits) + 64; }

template <class T> void sort_wide_rows(const Call& c, const SortAttrs& a, const Axes& axes) {
  const int64_t tasks = sort_tasks(axes), rows = axes.outer * axes.inner, step = axes.inner, n = axes.n;
  const int64_t count = c.y(0).numel / rows;
  parallel_for(0, count ? tasks : 0, 1, [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; t++) {
      auto* items = reinterpret_cast<Wide*>(static_cast<char*>(c.scratch) + t * wide_bytes(n));
      Wide* spare = items + n;
      for (int64_t r = rows * t / tasks; r < rows * (t + 1) / tasks; r++) {
        const T* x = c.x(0).as<T>() + r / step * n * step + r % step;
        const int64_t to = r / step * count * step + r % step;
        for (int64_t i = 0; i < n; i++) items[i] = {wide_key(x[i * step], a.descending), i};
        const Wide* sorted = items;
        if (count * 16 <= n) {
          std::nth_element(items, items + count - 1, items + n);
          std::sort(items, items + count);
        } else {
          sorted = sort_wide(items, spare, reinterpret_cast<uint32_t*>(spare + n), n);
        }
        for (int64_t i = 0; i < count; i++) {
          c.y(1).as<int64_t>()[to + i * step] = sorted[i].place;
          c.y(0).as<T>()[to + i * step] = x[sorted[i].place * step];
        }
      }
    }
  });
}

}  // namespace

// For each task items and as many to spare, and room for a row whose elements do not lie side by side.
int64_t sort_scratch(const Call& c, const void* attrs) {
  const SortAttrs& a = *static_cast<const SortAttrs*>(attrs);
  Axes axes(c.x(0), a.dim, {});
  if (sorts_wide(c, a)) return sort_tasks(axes) * wide_bytes(axes.n);
  if (!sorts(c, a)) return ref::sort_scratch(c, attrs);
  return sort_tasks(axes) * 3 * (axes.n + 1) * int64_t(sizeof(uint64_t));
}

Status sort(const Call& c, const SortAttrs& a) {
  const Axes axes(c.x(0), a.dim, {});
  if (sorts_wide(c, a))
    return (c.x(0).dtype == f64 ? sort_wide_rows<double> : sort_wide_rows<int64_t>)(c, a, axes), Status{};
  if (!sorts(c, a)) return ref::sort(c, a);
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
