// Slots gather, scatter_kind (assigning, and adding numbers of 4 and 8 bytes), true_places, embedding and its gradient.
// Sums run in the order of the index, each thread in columns or rows of its own, so the bits do not depend on threads.
#include <algorithm>
#include <cstring>

#include "backends/cpu/elementwise.h"
#include "backends/cpu/kernels.h"
#include "backends/cpu/rows.h"
#include "backends/ref/kernels.h"
#include "core/parallel.h"

namespace fovea::cpu {
namespace {

constexpr int64_t kGrain = 1 << 13;  // elements that are worth a thread
constexpr int64_t kStripe = 16;      // columns: a cache line of f32

bool columns_dense(const View& v) { return v.strides[1] == 1 || v.shape[1] <= 1; }

// An index that is out of range is reported and clamped. -1 where there is nothing at all.
[[gnu::noinline]] int64_t clamped(int64_t id, int64_t limit, Fault* fault, int64_t position) {
  if (fault) fault->raise(position, id, limit);
  return id < 0 && limit > 0 ? 0 : limit - 1;
}
template <class I> struct Index {
  const I* p;
  int64_t limit;
  Fault* fault;
  int64_t operator()(int64_t at, int64_t position) const {
    const int64_t id = p[at];
    return uint64_t(id) < uint64_t(limit) ? id : clamped(id, limit, fault, position);
  }
};
// f(the index as one of its type).
template <class F> void by_index(const View& v, int64_t limit, Fault* fault, F&& f) {
  if (v.dtype == i32) f(Index<int32_t>{v.as<int32_t>(), limit, fault});
  else f(Index<int64_t>{v.as<int64_t>(), limit, fault});
}
struct Ids {
  const View& ids;
  int64_t rows;
  Fault* fault;
  int64_t operator[](int64_t i) const {
    return ids.dtype == i32 ? Index<int32_t>{ids.as<int32_t>(), rows, fault}(i, i)
                            : Index<int64_t>{ids.as<int64_t>(), rows, fault}(i, i);
  }
};

// f(i, place of index[at + i]) for i below n.
template <class I, class F>
void each_place(const I& index, int64_t at, int64_t n, int64_t step, int64_t position, F f) {
  const auto* p = index.p + at;
  const uint64_t limit = uint64_t(index.limit);
  for (int64_t i = 0; i < n; i++) {
    uint64_t id = uint64_t(int64_t(p[i * step]));
    if (id >= limit) [[unlikely]]
      id = uint64_t(clamped(int64_t(id), index.limit, index.fault, position + i));
    f(i, int64_t(id));
  }
}

// to[i] = from[place of index[i] * along + i * step]
template <class T, class I>
void pick(const I& index, int64_t at, int64_t n, int64_t position, const T* from, int64_t step, int64_t along, T* to) {
  if (step == 0 && along == 1) each_place(index, at, n, 1, position, [=](int64_t i, int64_t id) { to[i] = from[id]; });
  else each_place(index, at, n, 1, position, [=](int64_t i, int64_t id) { to[i] = from[i * step + id * along]; });
}
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

template <class T> void gather_rows(const Call& c) {
  const View &weight = c.x(1), &y = c.y();
  const Ids ids{c.x(0), weight.shape[0], c.fault};
  const int64_t width = weight.shape[1], step = weight.strides[0];
  const T* from = weight.as<T>();
  parallel_for(0, c.x(0).numel, std::max<int64_t>(kGrain / std::max<int64_t>(width, 1), 1), [&](int64_t b, int64_t e) {
    if (width == 1 && ids.rows > 0)
      return by_index(ids.ids, ids.rows, c.fault,
                      [&](auto index) { pick(index, b, e - b, b, from, 0, step, y.as<T>() + b); });
    for (int64_t i = b; i < e; i++)
      if (int64_t id = ids[i]; id >= 0) copy_row(y.as<T>() + i * width, from + id * step, size_t(width) * sizeof(T));
  });
}

// Threads share the columns, or where these are few, the rows of the result. A column's pieces are as wide as can be,
// since the lines beside one that is added to come into the cache with it.
template <class T> void add_rows(const Call& c, const EmbeddingBackwardAttrs& a) {
  const View &g = c.x(0), &y = c.y();
  const int64_t rows = a.num_embeddings, width = g.shape[g.rank - 1], count = c.x(1).numel;
  const Ids ids{c.x(1), rows, c.fault};
  auto add = elementwise_kernels<T>(isa()).binary[int(Binary::add)];
  fill({.out = c.out, .outputs = 1}, {});
  const int64_t stripes = (width + kStripe - 1) / kStripe, threads = thread_count();
  auto add_some = [&](int64_t row, int64_t end, int64_t column, int64_t n) {
    for (int64_t i = 0; i < count; i++) {
      const int64_t id = ids[i];
      if (id < row || id >= end || id == a.padding_idx) continue;
      T* to = y.as<T>() + id * width + column;
      const T* from = g.as<T>() + i * width + column;
      if (n == 1) *to += *from;
      else add(n, to, 1, from, 1, to);
    }
  };
  if (stripes < 2 * threads) {
    const int64_t grain = std::max((rows + threads - 1) / threads, kGrain / (width + count / (rows + 1) + 1));
    return parallel_for(0, rows, grain, [&](int64_t b, int64_t e) { add_some(b, e, 0, width); });
  }
  const int64_t grain = std::max(stripes / threads, kGrain / std::max<int64_t>(count * kStripe, 1));
  parallel_for(0, stripes, grain, [&](int64_t b, int64_t e) {
    add_some(0, rows, b * kStripe, std::min(e * kStripe, width) - b * kStripe);
  });
}

}  // namespace

// y[i, j, k] = x[i, index[i, j, k], k]. Where one index holds for a row of neighbours, the row is moved.
Status gather(const Call& c, const DimAttrs& a) {
  const View &x = c.x(0), &index = c.x(1), &y = c.y();
  const int d = ref::axis(a.dim, x.rank);
  const int64_t limit = d < 0 ? 0 : ref::size_at(x, d), along = ref::stride_at(x, std::max(d, 0));
  if (limit == 0 || is_dual(y.dtype) || index.rank != x.rank || y.dtype != x.dtype ||
      (index.dtype != i64 && index.dtype != i32))
    return ref::gather(c, a);
  const ref::Strides from(x, d);
  const Loops<3> loops(index.rank, index.shape, {y.strides, index.strides, from.at});
  const int64_t sy = loops.step(0), si = loops.step(1), sx = loops.step(2);
  by_size(y.dtype, [&]<class T>() {
    by_index(index, limit, c.fault, [&](auto place) {
      share_elements(loops, kGrain, [&](const int64_t* at, int64_t begin, int64_t end, int64_t row) {
        const int64_t n = end - begin, position = row * loops.inner() + begin, at_index = at[1] + begin * si;
        T* to = y.as<T>() + at[0] + begin * sy;
        const T* at_x = x.as<T>() + at[2] + begin * sx;
        if (si == 0 && sy == 1 && sx == 1)
          copy_row(to, at_x + place(at_index, position) * along, size_t(n) * sizeof(T));
        else if (si == 1 && sy == 1) pick(place, at_index, n, position, at_x, sx, along, to);
        else
          each_place(place, at_index, n, si, position,
                     [=](int64_t i, int64_t id) { to[i * sy] = at_x[i * sx + id * along]; });
      });
    });
  });
  return {};
}

namespace {

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

constexpr int64_t kTruths = 1 << 14;  // elements of a mask that are one task

int64_t count_truths(const uint8_t* x, int64_t n) {
  int64_t count = 0, i = 0;
  for (uint64_t eight; i + 8 <= n; i += 8)
    std::memcpy(&eight, x + i, 8), count += int64_t(eight * 0x0101010101010101u >> 56);
  for (; i < n; i++) count += x[i];
  return count;
}

}  // namespace

bool true_places_accepts(const Call& c, const void*) {
  return c.x(0).dense && c.x(0).rank > 0 && c.y().dense && c.x(0).dtype == boolean;
}
int64_t true_places_scratch(const Call& c, const void*) {
  return (c.x(0).numel / kTruths + 2) * int64_t(sizeof(int64_t));
}

// Truths are counted, then each task knows where its own begin. A place is written whether it counts or not, and
// overwritten by the next where it does not: no branch to guess.
Status true_places(const Call& c, const CountAttrs& a) {
  const View& x = c.x(0);
  const uint8_t* mask = x.as<uint8_t>();
  int64_t *y = c.y().as<int64_t>(), *begin = static_cast<int64_t*>(c.scratch);
  const int64_t tasks = (x.numel + kTruths - 1) / kTruths, width = x.shape[x.rank - 1];
  const int rank = x.rank;
  parallel_for(0, tasks, 1, [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; t++)
      begin[t + 1] = count_truths(mask + t * kTruths, std::min(kTruths, x.numel - t * kTruths));
  });
  begin[0] = 0;
  for (int64_t t = 0; t < tasks; t++) begin[t + 1] += begin[t];
  parallel_for(0, tasks, 1, [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; t++) {
      int64_t at[kMaxRank], rest = t * kTruths;
      for (int d = rank - 1; d >= 0; d--) at[d] = rest % x.shape[d], rest /= x.shape[d];
      const uint8_t* m = mask + t * kTruths;
      int64_t left = std::min(kTruths, x.numel - t * kTruths), k = std::min(begin[t], a.count);
      const int64_t end = std::min(begin[t + 1], a.count);
      while (left > 0 && k < end) {
        const int64_t n = std::min(width - at[rank - 1], left), first = at[rank - 1];
        for (int64_t i = 0; i < n && k < end; i++) {
          int64_t* to = y + k * rank;
          for (int d = 0; d < rank - 1; d++) to[d] = at[d];
          to[rank - 1] = first + i;
          k += m[i];
        }
        m += n, left -= n, at[rank - 1] = 0;
        for (int d = rank - 2; d >= 0 && ++at[d] == x.shape[d]; d--) at[d] = 0;
      }
    }
  });
  for (int64_t k = std::min(begin[tasks], a.count) * rank; k < a.count * rank; k++) y[k] = 0;
  return {};
}

bool embedding_accepts(const Call& c, const void*) {
  return c.x(0).dense && c.y().dense && columns_dense(c.x(1)) && (c.x(0).dtype == i64 || c.x(0).dtype == i32);
}
Status embedding(const Call& c, const EmbeddingAttrs&) {
  if (size_of(c.x(1).dtype) == 2) gather_rows<uint16_t>(c);
  else if (c.x(1).dtype == f32) gather_rows<float>(c);
  else gather_rows<double>(c);
  return {};
}

bool embedding_backward_accepts(const Call& c, const void*) {
  return c.x(0).dense && c.x(1).dense && c.y().dense && (c.x(1).dtype == i64 || c.x(1).dtype == i32);
}
Status embedding_backward(const Call& c, const EmbeddingBackwardAttrs& a) {
  if (c.x(0).dtype == f32) add_rows<float>(c, a);
  else add_rows<double>(c, a);
  return {};
}

}  // namespace fovea::cpu
