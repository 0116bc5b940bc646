// Slots gather, true_places, embedding and its gradient.
// Sums run in the order of the index, each thread in columns or rows of its own, so the bits do not depend on threads.
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

bool columns_dense(const View& v) { return v.strides[1] == 1 || v.shape[1] <= 1; }

struct Ids {
  const View& ids;
  int64_t rows;
  Fault* fault;
  int64_t operator[](int64_t i) const {
    return ids.dtype == i32 ? Index<int32_t>{ids.as<int32_t>(), rows, fault}(i, i)
                            : Index<int64_t>{ids.as<int64_t>(), rows, fault}(i, i);
  }
};

// to[i] = from[place of index[i] * along + i * step]
template <class T, class I>
void pick(const I& index, int64_t at, int64_t n, int64_t position, const T* from, int64_t step, int64_t along, T* to) {
  if (step == 0 && along == 1) each_place(index, at, n, 1, position, [=](int64_t i, int64_t id) { to[i] = from[id]; });
  else each_place(index, at, n, 1, position, [=](int64_t i, int64_t id) { to[i] = from[i * step + id * along]; });
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
