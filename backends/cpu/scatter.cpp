// Slots scatter_kind (assigning, and adding numbers of 4 and 8 bytes) and scatter_backward.
// An element is written by one thread, in the order of the index, so the bits do not depend on threads.
#include <algorithm>
#include <cstring>

#include "backends/cpu/elementwise.h"
#include "backends/cpu/kernels.h"
#include "backends/cpu/places.h"
#include "backends/cpu/rows.h"
#include "backends/ref/kernels.h"
#include "core/parallel.h"

namespace fovea::cpu {
namespace {

constexpr int64_t kGrain = 1 << 13;  // elements that are worth a thread
constexpr int64_t kStripe = 16;      // columns: a cache line of f32

// to[place of index[i] * along + i * step] = from[i], or += from[i]
template <bool adds, class T, class I>
void put(const I& index, int64_t at, int64_t n, int64_t position, const T* from, T* to, int64_t step, int64_t along) {
  auto set = [](T& element, T x) {
    if constexpr (adds) element += x;
    else element = x;
  };
  if (step == 0 && along == 1)
    each_place(index, at, n, 1, position, [=](int64_t i, int64_t id) { set(to[id], from[i]); });
  else each_place(index, at, n, 1, position, [=](int64_t i, int64_t id) { set(to[i * step + id * along], from[i]); });
}

bool scatters(const Call& c, const ScatterAttrs& a) {
  const View &index = c.x(1), &src = c.x(2), &y = c.y();
  const int d = ref::axis(a.dim, y.rank);
  const bool known = c.kind == uint8_t(Scatter::assign) ||
                     (c.kind == uint8_t(Scatter::add) && (y.dtype == f32 || y.dtype == f64 || y.dtype == i64));
  return known && !is_dual(y.dtype) && src.dtype == y.dtype && d >= 0 && y.numel > 0 && y.rank > 0 &&
         index.rank == y.rank && src.rank == y.rank && (index.dtype == i64 || index.dtype == i32) &&
         (!c.x(0).present() || c.x(0).dtype == y.dtype);
}

// Along an axis with columns behind it, in whole arrays: a stripe of columns at a time, in scratch that stays in a near
// cache. The base is copied there, what the index names is set or added to, and the result is copied out. Short rows
// are asked for ahead, since they lie far apart in memory, where no CPU expects the next one. For indices that are few
// beside the base, a copy at once is better.
constexpr int64_t kStripeBytes = 1 << 17, kStripeMost = 1 << 19;  // the second where rows would be shorter than:
constexpr int64_t kStripeRow = 128, kAhead = 1024;                // bytes

struct Stripes {
  int64_t limit, count, width;   // rows of the result, rows of the source, elements of a row
  int64_t columns, each, tasks;  // of a stripe; stripes of an item of the axes before; of all items
  bool ok;
  Stripes(const Call& c, int d) {
    const View &base = c.x(0), &index = c.x(1), &y = c.y();
    const int64_t size = int64_t(size_of(y.dtype));
    limit = y.shape[d], count = index.shape[d], width = row_size(y, y.rank - 1 - d);
    const int64_t items = y.numel / (limit * width), fair = items * width * size / 16;  // enough of them for threads
    const int64_t row = std::max(std::min(kStripeBytes / limit, fair) / 64 * 64, kStripeRow);
    columns = row / size, each = (width + columns - 1) / columns, tasks = items * each;
    ok = width * size >= kStripeRow && 2 * count >= limit && limit * row <= kStripeMost && y.dense && index.dense &&
         c.x(2).dense && (!base.present() || base.dense);
    for (int k = 0; k < y.rank; k++) ok &= k == d || index.shape[k] == y.shape[k];
  }
  int64_t scratch(int64_t size) const { return ok ? std::min(tasks, kMaxSlots) * limit * columns * size : 0; }
};

template <class T> void ask_for(const T* p, int64_t n) {
  for (int64_t i = 0; i < n; i += 64 / int64_t(sizeof(T))) __builtin_prefetch(p + i);
}

template <class T, bool adds> void scatter_stripes(const Call& c, const Stripes& s) {
  const auto copy_out = row_copy(c.y().numel * int64_t(sizeof(T)));
  const int64_t ahead = kAhead / (s.columns * int64_t(sizeof(T))) * s.width;
  by_index(c.x(1), s.limit, c.fault, [&](auto place) {
    take_tasks(s.tasks, c.x(1).numel < kGrain, [&](int64_t task, int64_t slot) {
      const int64_t j = task % s.each * s.columns, n = std::min(s.columns, s.width - j);
      const int64_t into = task / s.each * s.limit * s.width + j, from = task / s.each * s.count * s.width + j;
      T* stripe = static_cast<T*>(c.scratch) + slot * s.limit * s.columns;
      if (c.x(0).present())
        for (int64_t r = 0; r < s.limit; r++) {
          const T* base = c.x(0).as<T>() + into + r * s.width;
          if (ahead) ask_for(base + ahead, n);
          std::memcpy(stripe + r * s.columns, base, size_t(n) * sizeof(T));
        }
      else std::memset(stripe, 0, size_t(s.limit * s.columns) * sizeof(T));
      for (int64_t r = 0, at = from; r < s.count; r++, at += s.width) {
        if (ahead) ask_for(place.p + at + ahead, n), ask_for(c.x(2).as<T>() + at + ahead, n);
        put<adds>(place, at, n, at, c.x(2).as<T>() + at, stripe, 1, s.columns);
      }
      for (int64_t r = 0; r < s.limit; r++)
        copy_out(c.y().as<T>() + into + r * s.width, stripe + r * s.columns, size_t(n) * sizeof(T));
      stream_fence();
    });
  });
}

// One element in each row of the last axis, as in one_hot: it is set while its row, filled just before, is near.
bool is_single(const Call& c, int d) {
  const View &base = c.x(0), &index = c.x(1), &src = c.x(2), &y = c.y();
  bool ok = d == y.rank - 1 && index.shape[d] == 1 && index.dense && y.dense && (!base.present() || base.dense);
  bool one = true;  // number for all rows
  for (int k = 0; k < d; k++) ok &= index.shape[k] == y.shape[k], one &= src.strides[k] == 0 || src.shape[k] == 1;
  return ok && (one || src.dense);
}

template <class T, bool adds> void scatter_singles(const Call& c) {
  const View &base = c.x(0), &y = c.y();
  const int64_t limit = y.shape[y.rank - 1], step = c.x(2).dense;
  by_index(c.x(1), limit, c.fault, [&](auto place) {
    parallel_for(0, y.numel / limit, std::max<int64_t>(kGrain / limit, 1), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; r++) {
        T* row = y.as<T>() + r * limit;
        if (base.present()) std::memcpy(row, base.as<T>() + r * limit, size_t(limit) * sizeof(T));
        else std::memset(row, 0, size_t(limit) * sizeof(T));
        put<adds>(place, r, 1, r, c.x(2).as<T>() + r * step, row, 0, 1);
      }
    });
  });
}

// Threads share the rows of the last axis where that is the one indexed, else its columns, in pieces as wide as can be:
// no element is written by two, and each in the order of the index.
template <class T, bool adds> void scatter_as(const Call& c, int d, bool copied) {
  const View &index = c.x(1), &src = c.x(2), &y = c.y();
  const int64_t limit = y.shape[d], along = y.strides[d];
  const ref::Strides to(y, d);
  const Loops<3> loops(index.rank, index.shape, {to.at, index.strides, src.strides});
  const int64_t sy = loops.step(0), si = loops.step(1), ss = loops.step(2), inner = loops.inner();
  bool last = true;
  for (int k = d + 1; k < y.rank; k++) last &= index.shape[k] == 1;
  auto move = [&](T* out, const T* from, int64_t n) {  // a row
    if constexpr (!adds) copy_row(out, from, size_t(n) * sizeof(T));
    else if constexpr (std::is_floating_point_v<T>)
      elementwise_kernels<T>(isa()).binary[int(Binary::add)](n, out, 1, from, 1, out);
    else
      for (int64_t i = 0; i < n; i++) out[i] += from[i];
  };
  by_index(index, limit, c.fault, [&](auto place) {
    auto rows = [&](int64_t first, int64_t end, int64_t b, int64_t e) {
      int64_t r = first;
      loops.run(first, end, [&](const int64_t* at, int64_t) {
        const int64_t position = r++ * inner;
        if (!copied) {
          if (c.x(0).present()) std::memcpy(y.as<T>() + at[0], c.x(0).as<T>() + at[0], size_t(limit) * sizeof(T));
          else std::memset(y.as<T>() + at[0], 0, size_t(limit) * sizeof(T));
        }
        T* out = y.as<T>() + at[0] + b * sy;
        const T* from = src.as<T>() + at[2] + b * ss;
        const int64_t at_index = at[1] + b * si;
        if (si == 0 && sy == 1 && ss == 1) return move(out + place(at_index, position) * along, from, e - b);
        if (si == 1 && ss == 1) return put<adds>(place, at_index, e - b, position + b, from, out, sy, along);
        each_place(place, at_index, e - b, si, position + b, [=](int64_t i, int64_t id) {
          T& element = out[i * sy + id * along];
          if constexpr (adds) element += from[i * ss];
          else element = from[i * ss];
        });
      });
    };
    if (last)
      parallel_for(0, loops.rows(), std::max<int64_t>(kGrain / inner, 1),
                   [&](int64_t b, int64_t e) { rows(b, e, 0, inner); });
    else
      parallel_for(0, inner, std::max({kGrain / loops.rows(), kStripe, inner / (2 * thread_count())}),
                   [&](int64_t b, int64_t e) { rows(0, loops.rows(), b, e); });
  });
}

}  // namespace

int64_t scatter_scratch(const Call& c, const void* attrs) {
  const auto& a = *static_cast<const ScatterAttrs*>(attrs);
  return scatters(c, a) ? Stripes(c, ref::axis(a.dim, c.y().rank)).scratch(int64_t(size_of(c.y().dtype)))
                        : ref::scatter_scratch(c, attrs);
}

Status scatter(const Call& c, const ScatterAttrs& a) {
  if (!scatters(c, a)) return ref::scatter(c, a);
  const View &base = c.x(0), &index = c.x(1), &y = c.y();
  const int d = ref::axis(a.dim, y.rank);
  auto by_type = [&](auto f) {
    if (c.kind == uint8_t(Scatter::assign)) by_size(y.dtype, [&]<class T>() { f.template operator()<T, false>(); });
    else if (y.dtype == f32) f.template operator()<float, true>();
    else if (y.dtype == f64) f.template operator()<double, true>();
    else f.template operator()<uint64_t, true>();
    return Status{};
  };
  if (const Stripes stripes(c, d); stripes.ok)
    return by_type([&]<class T, bool adds>() { scatter_stripes<T, adds>(c, stripes); });
  if (is_single(c, d)) return by_type([&]<class T, bool adds>() { scatter_singles<T, adds>(c); });
  // Rows that are written one by one are copied just before.
  bool by_rows = (!base.present() || base.dense) && y.dense && d == y.rank - 1 && index.shape[d] > 1;
  for (int k = 0; k < d; k++) by_rows &= index.shape[k] == y.shape[k];
  Status s;
  if (!by_rows)
    s = base.present() ? copy({.in = c.in, .out = c.out, .inputs = 1, .outputs = 1}, {})
                       : fill({.out = c.out, .outputs = 1}, {});
  if (!s || index.numel == 0) return s;
  return by_type([&]<class T, bool adds>() { scatter_as<T, adds>(c, d, !by_rows); });
}

namespace {

// Arrays of shape [items, limit or count, width] whose index is whole, or one number a row for all items and columns.
struct Walk {
  int64_t limit, count, width, items;
  int64_t item_step, step;  // in the index, from item to item and row to row
  bool ok, by_rows;
  Walk(const View& index, const View& y, int d) {
    limit = y.shape[d], count = index.shape[d], width = row_size(y, y.rank - 1 - d);
    items = y.numel / (limit * width);
    ok = by_rows = y.dense;
    for (int k = 0; k < y.rank; k++) {
      ok &= k == d || index.shape[k] == y.shape[k];
      by_rows &= k == d || index.shape[k] == 1 || index.strides[k] == 0;
    }
    ok &= by_rows || index.dense;
    item_step = by_rows ? 0 : count * width, step = by_rows ? index.strides[d] : width;
  }
};

}  // namespace

bool scatter_backward_accepts(const Call& c, const void* attrs) {
  const View &g = c.x(0), &index = c.x(1);
  const int d = ref::axis(static_cast<const DimAttrs*>(attrs)->dim, g.rank);
  return d >= 0 && g.rank > 0 && g.numel > 0 && !is_dual(g.dtype) && (index.dtype == i64 || index.dtype == i32) &&
         c.y(0).dense && c.y(1).dense && Walk(index, g, d).ok;
}

// The gradients of base and source: from the last to be written to the first, each takes what its place in g has, and
// leaves 0 there.
Status scatter_backward(const Call& c, const DimAttrs& a) {
  const View &g = c.x(0), &index = c.x(1);
  const Walk w(index, g, ref::axis(a.dim, g.rank));
  by_size(g.dtype, [&]<class T>() {
    by_index(index, w.limit, c.fault, [&](auto place) {
      const auto move = row_copy(index.numel * int64_t(sizeof(T)));
      auto take = [&](int64_t item, int64_t begin, int64_t n) {
        T* left = c.y(0).as<T>() + item * w.limit * w.width + begin;
        T* taken = c.y(1).as<T>() + item * w.count * w.width + begin;
        const T* from = g.as<T>() + item * w.limit * w.width + begin;
        const int64_t at = item * w.item_step, last = w.count - 1;
        if (n == w.width) std::memcpy(left, from, size_t(w.limit * n) * sizeof(T));
        else
          for (int64_t r = 0; r < w.limit; r++)
            std::memcpy(left + r * w.width, from + r * w.width, size_t(n) * sizeof(T));
        if (w.width == 1)
          return each_place(place, at + last * w.step, w.count, -w.step, at, [=](int64_t i, int64_t id) {
            taken[last - i] = left[id];
            left[id] = T();
          });
        for (int64_t r = last; r >= 0; r--) {
          T* row = taken + r * w.width;
          if (w.by_rows) {
            T* found = left + place(r * w.step, r) * w.width;
            move(row, found, size_t(n) * sizeof(T));
            std::memset(found, 0, size_t(n) * sizeof(T));
          } else {
            each_place(place, at + r * w.step + begin, n, 1, at + r * w.step + begin, [=](int64_t i, int64_t id) {
              row[i] = left[id * w.width + i];
              left[id * w.width + i] = T();
            });
          }
        }
      };
      // Pieces of columns are as wide as can be.
      const int64_t wide = w.items > 2 * thread_count() ? w.width : std::max(w.width / (2 * thread_count()), kStripe);
      const int64_t pieces = (w.width + wide - 1) / wide, work = (w.limit + w.count) * std::min(wide, w.width);
      parallel_for(0, w.items * pieces, std::max<int64_t>(kGrain / work, 1), [&](int64_t b, int64_t e) {
        for (int64_t t = b; t < e; t++) {
          const int64_t begin = t % pieces * wide;
          take(t / pieces, begin, std::min(wide, w.width - begin));
        }
        stream_fence();
      });
    });
  });
  return {};
}

}  // namespace fovea::cpu
