// Slots gather, scatter_kind (adding f32), embedding and embedding_backward. A gradient is summed in the order of the
// ids, each thread its own columns, so the bits do not depend on threads and no row is written twice at once.
#include <algorithm>
#include <cstring>

#include "backends/common/loops.h"
#include "backends/cpu/elementwise.h"
#include "backends/cpu/kernels.h"
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

template <class T> void gather_rows(const Call& c) {
  const View &weight = c.x(1), &y = c.y();
  const Ids ids{c.x(0), weight.shape[0], c.fault};
  const int64_t width = weight.shape[1], step = weight.strides[0];
  parallel_for(0, c.x(0).numel, std::max<int64_t>(kGrain / std::max<int64_t>(width, 1), 1), [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; i++)
      if (int64_t id = ids[i]; id >= 0)
        std::memcpy(y.as<T>() + i * width, weight.as<T>() + id * step, size_t(width) * sizeof(T));
  });
}

template <class T> void add_rows(const Call& c, const EmbeddingBackwardAttrs& a) {
  const View &g = c.x(0), &y = c.y();
  const int64_t rows = a.num_embeddings, width = g.shape[g.rank - 1], count = c.x(1).numel;
  const Ids ids{c.x(1), rows, c.fault};
  auto add = elementwise_kernels<T>(isa()).binary[int(Binary::add)];
  const int64_t stripes = (width + kStripe - 1) / kStripe;
  const int64_t grain = kGrain / std::max<int64_t>((rows + count) * kStripe, 1);
  parallel_for(0, stripes, std::max<int64_t>(grain, 1), [&](int64_t b, int64_t e) {
    const int64_t first = b * kStripe, n = std::min(e * kStripe, width) - first;
    for (int64_t r = 0; r < rows; r++) std::memset(y.as<T>() + r * width + first, 0, size_t(n) * sizeof(T));
    for (int64_t i = 0; i < count; i++) {
      int64_t id = ids[i];
      if (id < 0 || id == a.padding_idx) continue;
      T* to = y.as<T>() + id * width + first;
      add(n, to, 1, g.as<T>() + i * width + first, 1, to);
    }
  });
}

}  // namespace

// y[i, j, k] = x[i, index[i, j, k], k]. Where one index holds for a row of neighbours, the row is moved.
Status gather(const Call& c, const DimAttrs& a) {
  const View &x = c.x(0), &index = c.x(1), &y = c.y();
  const int d = ref::axis(a.dim, x.rank);
  const int64_t limit = d < 0 ? 0 : ref::size_at(x, d), along = ref::stride_at(x, std::max(d, 0));
  if (limit == 0 || index.rank != x.rank || y.dtype != x.dtype || (index.dtype != i64 && index.dtype != i32))
    return ref::gather(c, a);
  const ref::Strides from(x, d);
  const Loops<3> loops(index.rank, index.shape, {y.strides, index.strides, from.at});
  const int64_t sy = loops.step(0), si = loops.step(1), sx = loops.step(2), inner = loops.inner();
  auto rows = [&](auto row) {
    if (loops.rows() == 1) {
      const int64_t zero[3] = {};
      parallel_for(0, inner, kGrain, [&](int64_t b, int64_t e) { row(zero, b, e - b, b); });
    } else if (loops.rows() > 0) {
      parallel_for(0, loops.rows(), std::max<int64_t>(kGrain / inner, 1), [&](int64_t b, int64_t e) {
        int64_t r = b;
        loops.run(b, e, [&](const int64_t* at, int64_t n) { row(at, 0, n, r++ * inner); });
      });
    }
  };
  return ref::by_size(y.dtype, [&]<class T>() {
    by_index(index, limit, c.fault, [&](auto place) {
      rows([&](const int64_t* at, int64_t first, int64_t n, int64_t position) {
        T* to = y.as<T>() + at[0] + first * sy;
        const T* at_x = x.as<T>() + at[2] + first * sx;
        const int64_t at_index = at[1] + first * si;
        if (si == 0 && sy == 1 && sx == 1)
          std::memcpy(to, at_x + place(at_index, position) * along, size_t(n) * sizeof(T));
        else
          for (int64_t i = 0; i < n; i++) to[i * sy] = at_x[i * sx + place(at_index + i * si, position + i) * along];
      });
    });
    return Status{};
  });
}

namespace {

bool adds_f32(const Call& c, const ScatterAttrs& a) {
  const View &index = c.x(1), &src = c.x(2), &y = c.y();
  const int d = ref::axis(a.dim, y.rank);
  return c.kind == uint8_t(Scatter::add) && y.dtype == f32 && src.dtype == f32 && d >= 0 && y.numel > 0 && y.rank > 0 &&
         index.rank == y.rank && src.rank == y.rank && (index.dtype == i64 || index.dtype == i32) &&
         (!c.x(0).present() || c.x(0).dtype == f32);
}

}  // namespace

int64_t scatter_scratch(const Call& c, const void* attrs) {
  return adds_f32(c, *static_cast<const ScatterAttrs*>(attrs)) ? 0 : ref::scatter_scratch(c, attrs);
}

// Threads share the rows of the last axis where that is the one indexed, else its columns: no element is added to by
// two, and each in the order of the index.
Status scatter(const Call& c, const ScatterAttrs& a) {
  if (!adds_f32(c, a)) return ref::scatter(c, a);
  const View &base = c.x(0), &index = c.x(1), &src = c.x(2), &y = c.y();
  Status s = base.present() ? copy({.in = c.in, .out = c.out, .inputs = 1, .outputs = 1}, {})
                            : fill({.out = c.out, .outputs = 1}, {});
  if (!s || index.numel == 0) return s;
  const int d = ref::axis(a.dim, y.rank);
  const int64_t limit = y.shape[d], along = y.strides[d];
  const ref::Strides to(y, d);
  const Loops<3> loops(index.rank, index.shape, {to.at, index.strides, src.strides});
  const int64_t sy = loops.step(0), si = loops.step(1), ss = loops.step(2), inner = loops.inner();
  auto add = elementwise_kernels<float>(isa()).binary[int(Binary::add)];
  bool last = true;
  for (int k = d + 1; k < y.rank; k++) last &= index.shape[k] == 1;
  by_index(index, limit, c.fault, [&](auto place) {
    auto rows = [&](int64_t first, int64_t end, int64_t b, int64_t e) {
      int64_t r = first;
      loops.run(first, end, [&](const int64_t* at, int64_t) {
        const int64_t position = r++ * inner;
        float* out = y.as<float>() + at[0];
        const float* from = src.as<float>() + at[2];
        if (si == 0 && sy == 1 && ss == 1) {
          out += place(at[1], position) * along + b;
          return add(e - b, out, 1, from + b, 1, out);
        }
        for (int64_t i = b; i < e; i++) out[i * sy + place(at[1] + i * si, position + i) * along] += from[i * ss];
      });
    };
    if (last)
      parallel_for(0, loops.rows(), std::max<int64_t>(kGrain / inner, 1),
                   [&](int64_t b, int64_t e) { rows(b, e, 0, inner); });
    else
      parallel_for(0, inner, std::max<int64_t>(kGrain / loops.rows(), kStripe),
                   [&](int64_t b, int64_t e) { rows(0, loops.rows(), b, e); });
  });
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
