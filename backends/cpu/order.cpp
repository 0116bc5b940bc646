// Slots scan, arg_reduce and sort of f32 (halves by way of it), some of f64 and i64, and upper_bound, on dense arrays
// seen as [outer, n, inner] with the axis in the middle; what is not dense is the reference's. Rows are
// sorted by the digits of their bits: stable by itself.
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
uint64_t sort_key(double x, bool descending) {
  if (x != x) return ~uint64_t(0);
  uint64_t b;
  x += 0.0;
  std::memcpy(&b, &x, 8);
  b = b >> 63 ? ~b : b | uint64_t(1) << 63;
  return descending ? ~b : b;
}
uint64_t sort_key(int64_t x, bool descending) {
  const uint64_t b = uint64_t(x) ^ uint64_t(1) << 63;
  return descending ? ~b : b;
}

constexpr int kDigit = 8;                        // bits that are sorted by at once
constexpr int kPieces = 8;                       // of a long row, counted side by side
constexpr int64_t kFew = 24;                     // items that are put in order one by one
constexpr int64_t kLeast = 96, kMost = 1 << 13;  // items that are sorted by the last digit first

void insert_items(uint64_t* begin, uint64_t* end) {
  for (uint64_t* i = begin + 1; i < end; i++) {
    const uint64_t item = *i;
    uint64_t* to = i;
    for (; to > begin && item < to[-1]; to--) *to = to[-1];
    *to = item;
  }
}

// Sorts items that a cache holds by `digits` digits, the last one first. The result lies in `to`.
template <int digits> void sort_by_last(uint64_t* from, uint64_t* to, int64_t n, int low) {
  uint32_t counts[digits][1 << kDigit] = {};
  uint64_t* const result = to;
  auto digit = [low](uint64_t item, int d) { return item >> (low + kDigit * d) & ((1 << kDigit) - 1); };
  for (int64_t i = 0; i < n; i++)
    for (int d = 0; d < digits; d++) counts[d][digit(from[i], d)]++;
  for (int d = 0; d < digits; d++) {
    uint32_t *count = counts[d], begin = 0;
    if (count[digit(from[0], d)] == uint32_t(n)) continue;  // all in one bucket
    for (int k = 0; k < 1 << kDigit; k++) begin += std::exchange(count[k], begin);
    for (int64_t i = 0; i < n; i++) to[count[digit(from[i], d)]++] = from[i];
    std::swap(from, to);
  }
  if (from != result) std::copy(from, from + n, result);
}

int pieces_of(int64_t n) { return int(std::clamp<int64_t>(n / kGrain, 1, std::min(thread_count(), kPieces))); }

// Sorts items whose bits from `high` on are equal and whose order below bit `low` is right already: into buckets by
// their first digit, and so on in each bucket. The result lies in `to`; `from` is overwritten.
void sort_items(uint64_t* from, uint64_t* to, int64_t n, int high, int low) {
  if (n <= kFew || high <= low) {
    std::copy(from, from + n, to);
    return insert_items(to, to + n);
  }
  if (n >= kLeast && n <= kMost) {
    if (high - low <= 2 * kDigit) return sort_by_last<2>(from, to, n, low);
    if (high - low <= 4 * kDigit) return sort_by_last<4>(from, to, n, low);
    const bool small = n < 512;
    const int rest = high - (small ? 2 : 3) * kDigit;  // few of random items are alike above
    (small ? sort_by_last<2> : sort_by_last<3>)(from, to, n, rest);
    for (int64_t i = 0, end; i < n; i = end) {
      for (end = i + 1; end < n && to[end] >> rest == to[i] >> rest;) end++;
      if (end - i == 1) continue;
      std::copy(to + i, to + end, from + i);
      sort_items(from + i, to + i, end - i, rest, low);
    }
    return;
  }
  const int shift = std::max(high - std::min<int>(std::bit_width(uint64_t(n)), kDigit), low);
  const int buckets = 1 << (high - shift), pieces = pieces_of(n);
  uint32_t counts[kPieces][1 << kDigit];
  auto each_piece = [&](auto f) {
    parallel_for(0, pieces, 1, [&](int64_t b, int64_t e) {
      for (int64_t p = b; p < e; p++)
        for (int64_t i = n * p / pieces, end = n * (p + 1) / pieces; i < end; i++)
          f(counts[p][from[i] >> shift & uint64_t(buckets - 1)], from[i]);
    });
  };
  for (int p = 0; p < pieces; p++) std::fill(counts[p], counts[p] + buckets, 0);
  each_piece([](uint32_t& count, uint64_t) { count++; });
  uint32_t begin = 0;
  for (int k = 0; k < buckets; k++)
    for (int p = 0; p < pieces; p++) begin += std::exchange(counts[p][k], begin);
  each_piece([&](uint32_t& place, uint64_t item) { to[place++] = item; });
  const uint32_t* ends = counts[pieces - 1];
  parallel_for(0, buckets, std::max<int64_t>(buckets * kGrain / n, 1), [&](int64_t b, int64_t e) {
    int64_t done = b ? ends[b - 1] : 0, at = done;
    for (int64_t k = b; k < e; at = ends[k++]) {
      const int64_t size = ends[k] - at;
      if (size <= kFew) continue;
      insert_items(to + done, to + at);
      std::copy(to + at, to + at + size, from + at);
      sort_items(from + at, to + at, size, shift, low);
      done = at + size;
    }
    insert_items(to + done, to + at);
  });
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
  const DType t = c.x(0).dtype;
  return axes.ok && (t == f32 || t == f64 || t == i64) && c.y(0).dtype == t && c.y(1).dtype == i64 &&
         axes.n < int64_t(1) << 32;
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

// An item is the leading bits of a key, then the place it came from.
template <class T> struct Items {
  const T* x;
  bool descending;
  int place_bits;
  bool whole = false;  // keys are in the items, less `low`
  uint64_t low = 0;
  int64_t place(uint64_t item) const { return int64_t(item & ((uint64_t(1) << place_bits) - 1)); }
  T value(uint64_t item) const {
    if constexpr (std::is_same_v<T, int64_t>)
      if (whole) return int64_t(sort_key(int64_t((item >> place_bits) + low), descending));
    return x[place(item)];
  }
  uint64_t key(int64_t i) const { return sort_key(x[i], descending); }
  bool operator()(uint64_t a, uint64_t b) const {
    if (a >> place_bits != b >> place_bits) return a < b;
    const uint64_t p = key(place(a)), q = key(place(b));
    return p != q ? p < q : a < b;
  }

  // The first k of n in order; `items` and `spare` have room for n.
  const uint64_t* sort(int64_t n, int64_t k, uint64_t* items, uint64_t* spare) {
    const int pieces = pieces_of(n);
    uint64_t lows[kPieces], highs[kPieces];
    auto each_piece = [&](auto f) {
      parallel_for(0, pieces, 1, [&](int64_t b, int64_t e) {
        for (int64_t p = b; p < e; p++) f(p, n * p / pieces, n * (p + 1) / pieces);
      });
    };
    uint64_t high = ~uint32_t(0);
    if (sizeof(T) > 4 || n > kMost) {
      each_piece([&](int64_t p, int64_t b, int64_t e) {
        uint64_t least = key(b), most = least;
        for (int64_t i = b; i < e; i++) least = std::min(least, key(i)), most = std::max(most, key(i));
        lows[p] = least, highs[p] = most;
      });
      low = *std::min_element(lows, lows + pieces), high = *std::max_element(highs, highs + pieces);
    }
    place_bits = std::bit_width(uint64_t(n - 1));
    const int bits = std::bit_width(high - low), cut = std::max(bits + place_bits - 64, 0);
    whole = cut == 0;
    each_piece([&](int64_t, int64_t b, int64_t e) {
      for (int64_t i = b; i < e; i++) items[i] = (key(i) - low) >> cut << place_bits | uint64_t(i);
    });
    if (k * 16 <= n) {
      std::nth_element(items, items + k - 1, items + n, *this);
      std::sort(items, items + k, *this);
      return items;
    }
    sort_items(items, spare, n, bits - cut + place_bits, place_bits);
    for (int64_t b = 0, e; cut && b < n; b = e) {  // what was cut off decides between neighbours
      for (e = b + 1; e < n && spare[e] >> place_bits == spare[b] >> place_bits;) e++;
      if (e - b > 1) std::sort(spare + b, spare + e, *this);
    }
    return spare;
  }
};

template <class T> void sort_rows(const Call& c, const SortAttrs& a, const Axes& axes) {
  const int64_t tasks = sort_tasks(axes), rows = axes.outer * axes.inner, step = axes.inner, n = axes.n;
  const int64_t count = c.y(0).numel / rows;  // places that are asked for
  parallel_for(0, count ? tasks : 0, 1, [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; t++) {
      uint64_t *items = static_cast<uint64_t*>(c.scratch) + 3 * (n + 1) * t, *spare = items + n + 1;
      T* row = reinterpret_cast<T*>(spare + n + 1);
      for (int64_t r = rows * t / tasks; r < rows * (t + 1) / tasks; r++) {
        const T* x = c.x(0).as<T>() + r / step * n * step + r % step;
        const int64_t to = r / step * count * step + r % step;
        if (step > 1) {
          for (int64_t i = 0; i < n; i++) row[i] = x[i * step];
          x = row;
        }
        Items<T> order{x, a.descending, 32};
        const uint64_t* sorted = nullptr;
        if constexpr (std::is_same_v<T, float>)
          if (count * 16 <= n) sorted = first_items(x, n, count, a.descending, items, spare);
        if (!sorted) sorted = order.sort(n, count, items, spare);
        parallel_for(0, count, kGrain, [&](int64_t first, int64_t last) {
          for (int64_t i = first; i < last; i++) {
            c.y(1).as<int64_t>()[to + i * step] = order.place(sorted[i]);
            c.y(0).as<T>()[to + i * step] = order.value(sorted[i]);
          }
        });
      }
    }
  });
}

}  // namespace

// For each task items and as many to spare, and room for a row whose elements do not lie side by side.
int64_t sort_scratch(const Call& c, const void* attrs) {
  const SortAttrs& a = *static_cast<const SortAttrs*>(attrs);
  Axes axes(c.x(0), a.dim, {});
  if (!sorts(c, a)) return ref::sort_scratch(c, attrs);
  return sort_tasks(axes) * 3 * (axes.n + 1) * int64_t(sizeof(uint64_t));
}

Status sort(const Call& c, const SortAttrs& a) {
  if (!sorts(c, a)) return ref::sort(c, a);
  const Axes axes(c.x(0), a.dim, {});
  const DType t = c.x(0).dtype;
  (t == f32 ? sort_rows<float> : t == f64 ? sort_rows<double> : sort_rows<int64_t>)(c, a, axes);
  return {};
}

}  // namespace fovea::cpu
