// matmul, gather, scatter, sort, random_bits.
#include <algorithm>

#include "backends/common/formulas.h"
#include "backends/ref/elements.h"
#include "backends/ref/kernels.h"
#include "core/random.h"

namespace fovea::ref {
namespace {

constexpr Status kShapes{Status::invalid, "ranks or sizes do not fit"};
constexpr Status kIndexType{Status::invalid, "indices are neither i64 nor i32"};

int64_t index_at(const View& v, int64_t at) {
  return v.dtype == i64 ? v.as<int64_t>()[at] : int64_t(v.as<int32_t>()[at]);
}

// A valid index: one that is out of range is reported with its flat position and clamped. Negative ones are out of
// range.
int64_t checked(Fault* fault, int64_t position, int64_t index, int64_t limit) {
  if (index >= 0 && index < limit) return index;
  if (fault) fault->raise(position, index, limit);
  return index < 0 ? 0 : limit - 1;
}

Status check_indices(const View& index, const View& into) {
  if (index.dtype != i64 && index.dtype != i32) return kIndexType;
  return index.rank != into.rank ? kShapes : Status{};
}

// No index fits into an empty axis: the first one is reported.
bool nowhere(const Call& c, const View& index, int64_t limit) {
  if (limit > 0 || index.numel == 0) return false;
  if (c.fault) c.fault->raise(0, index_at(index, 0), limit);
  return true;
}

}  // namespace

// y[B..., M, N] = a[B..., M, K] b[B..., K, N], any strides. K = 0 gives zeros. Sums run in f64 (i64 for whole numbers)
// and are rounded once.
Status matmul(const Call& c, const NoAttrs&) {
  const View &a = c.x(0), &b = c.x(1), &y = c.y();
  int r = y.rank;
  if (r < 2 || a.rank != r || b.rank != r) return kShapes;
  if (a.dtype != b.dtype || a.dtype != y.dtype) return kMixed;
  int64_t rows = y.shape[r - 2], cols = y.shape[r - 1], depth = a.shape[r - 1];
  int64_t ya = y.strides[r - 2], yb = y.strides[r - 1], ai = a.strides[r - 2], ak = a.strides[r - 1],
          bk = b.strides[r - 2], bj = b.strides[r - 1];
  if (a.shape[r - 2] != rows || b.shape[r - 1] != cols || b.shape[r - 2] != depth) return kShapes;
  return by_class(y.dtype, [&]<class W>() {
    Loops<3> batch(r - 2, y.shape, {y.strides, a.strides, b.strides});
    batch.run([&](const int64_t* at, int64_t n) {
      for (int64_t m = 0; m < n; m++) {
        int64_t out = at[0] + m * batch.step(0), left = at[1] + m * batch.step(1), right = at[2] + m * batch.step(2);
        for (int64_t i = 0; i < rows; i++)
          for (int64_t j = 0; j < cols; j += kBlock) {  // a block of a row of y
            int64_t width = cols - j < kBlock ? cols - j : kBlock;
            W sums[kBlock], row[kBlock];
            for (int64_t q = 0; q < width; q++) sums[q] = W(0);
            for (int64_t k = 0; k < depth; k++) {
              W factor = load_one<W>(a, left + i * ai + k * ak);
              load(b, right + k * bk + j * bj, bj, width, row);
              for (int64_t q = 0; q < width; q++)
                sums[q] = formulas::binary<Binary::add>(sums[q], formulas::binary<Binary::mul>(factor, row[q]));
            }
            store(y, out + i * ya + j * yb, yb, width, sums);
          }
      }
    });
    return Status{};
  });
}

// y[i, j, k] = x[i, index[i, j, k], k] for dim = 1, and so on; y has the shape of index, whose other axes may be
// shorter than those of x.
Status gather(const Call& c, const DimAttrs& a) {
  const View &x = c.x(0), &index = c.x(1), &y = c.y();
  int d = axis(a.dim, x.rank);
  if (d < 0) return kBadAxis;
  if (x.dtype != y.dtype) return kMixed;
  int64_t limit = size_at(x, d), step = stride_at(x, d);
  if (Status s = check_indices(index, x); !s) return s;
  if (nowhere(c, index, limit)) return {};
  Strides from(x, d);
  return by_size(y.dtype, [&]<class T>() {
    Loops<3> loops(index.rank, index.shape, {y.strides, index.strides, from.at});
    int64_t position = 0;
    loops.run([&](const int64_t* at, int64_t n) {
      for (int64_t i = 0; i < n; i++, position++) {
        int64_t k = checked(c.fault, position, index_at(index, at[1] + i * loops.step(1)), limit);
        y.as<T>()[at[0] + i * loops.step(0)] = x.as<T>()[at[2] + i * loops.step(2) + k * step];
      }
    });
    return Status{};
  });
}

// Sums and comparisons happen in a dense copy of y in wide numbers; assignments move elements in place.
int64_t scatter_scratch(const Call& c, const void*) {
  return c.kind == uint8_t(Scatter::assign) ? 0 : c.y().numel * wide_size(c.y().dtype);
}

// y = base (zeros where absent), then y[i, index[i, j, k], k] = src[i, j, k], added, or the larger or smaller of both,
// in the order of index: of several assignments the last stays.
Status scatter(const Call& c, const ScatterAttrs& a) {
  const View &base = c.x(0), &index = c.x(1), &src = c.x(2), &y = c.y();
  int d = axis(a.dim, y.rank);
  if (d < 0) return kBadAxis;
  if (src.dtype != y.dtype || (base.present() && base.dtype != y.dtype)) return kMixed;
  if (c.kind > uint8_t(Scatter::amin)) return {Status::unsupported, "unknown kind of scatter"};
  int64_t limit = size_at(y, d);
  if (Status s = check_indices(index, y); !s) return s;
  if (src.rank != y.rank) return kShapes;
  if (nowhere(c, index, limit)) return {};
  Status s = base.present() ? copy({.in = c.in, .out = c.out, .inputs = 1, .outputs = 1}, {})
                            : fill({.out = c.out, .outputs = 1}, {});
  if (!s) return s;
  // Calls f(where in y (or in a dense copy of it), where in src), one for each index.
  auto each = [&](const int64_t* strides, auto f) {
    int64_t to[kMaxRank] = {};
    for (int k = 0; k < y.rank; k++) to[k] = k == d ? 0 : strides[k];
    int64_t step = y.rank > 0 ? strides[d] : 1, position = 0;
    Loops<3> loops(index.rank, index.shape, {index.strides, src.strides, to});
    loops.run([&](const int64_t* at, int64_t m) {
      for (int64_t i = 0; i < m; i++, position++) {
        int64_t k = checked(c.fault, position, index_at(index, at[0] + i * loops.step(0)), limit);
        f(at[2] + i * loops.step(2) + k * step, at[1] + i * loops.step(1));
      }
    });
  };
  if (c.kind == uint8_t(Scatter::assign))
    return by_size(y.dtype, [&]<class T>() {
      each(y.strides, [&](int64_t to, int64_t from) { y.as<T>()[to] = src.as<T>()[from]; });
      return Status{};
    });
  return by_class(y.dtype, [&]<class W>() {
    W* sums = static_cast<W*>(c.scratch);
    int64_t dense[kMaxRank] = {}, n = 1;
    for (int k = y.rank - 1; k >= 0; k--) dense[k] = n, n *= y.shape[k];
    Loops<2> whole(y.rank, y.shape, {y.strides, dense});
    whole.run([&](const int64_t* at, int64_t m) {
      for (int64_t i = 0; i < m; i++) sums[at[1] + i * whole.step(1)] = load_one<W>(y, at[0] + i * whole.step(0));
    });
    each(dense, [&](int64_t to, int64_t from) {
      W v = load_one<W>(src, from), &sum = sums[to];
      switch (Scatter(c.kind)) {
        case Scatter::amax: sum = formulas::maximum(sum, v); break;
        case Scatter::amin: sum = formulas::minimum(sum, v); break;
        default: sum = formulas::binary<Binary::add>(sum, v);
      }
    });
    whole.run([&](const int64_t* at, int64_t m) {
      for (int64_t i = 0; i < m; i++) store_one(y, at[0] + i * whole.step(0), sums[at[1] + i * whole.step(1)]);
    });
    return Status{};
  });
}

// y (i64): 64 random bits an element; see core/random.h. x = {base word, number of the draw}.
Status random_bits(const Call& c, const NoAttrs&) {
  const View &x = c.x(0), &y = c.y();
  if (x.dtype != i64 || y.dtype != i64) return kMixed;
  if (x.rank != 1 || x.numel != 2) return kShapes;
  uint64_t base = uint64_t(x.as<int64_t>()[0]), number = uint64_t(x.as<int64_t>()[x.strides[0]]), k = 0;
  Loops<1> loops({&y});
  loops.run([&](const int64_t* at, int64_t n) {
    for (int64_t i = 0; i < n; i++)
      y.as<int64_t>()[at[0] + i * loops.step(0)] = int64_t(fovea::random_bits(base, number, k++));
  });
  return {};
}

int64_t sort_scratch(const Call& c, const void* attrs) {
  int d = axis(static_cast<const SortAttrs*>(attrs)->dim, c.x(0).rank);
  const int64_t n = d < 0 ? 0 : size_at(c.x(0), d);
  return std::min(n, int64_t(1) << 56) * (wide_size(c.x(0).dtype) + int64_t(sizeof(int64_t)));
}

// out[0] = x sorted along a.dim, as far as out[0] reaches; out[1] (i64) = where each came from. Stable; NaN comes last
// in both directions.
Status sort(const Call& c, const SortAttrs& a) {
  const View &x = c.x(0), &values = c.y(0), &places = c.y(1);
  int d = axis(a.dim, x.rank);
  if (d < 0) return kBadAxis;
  if (values.dtype != x.dtype || places.dtype != i64) return kMixed;
  int64_t n = size_at(x, d), sx = stride_at(x, d), sv = stride_at(values, d), sp = stride_at(places, d);
  int64_t count = size_at(values, d);
  if (size_at(places, d) != count || count > n) return kShapes;
  Strides xs(x, d), vs(values, d), ps(places, d);
  int64_t shape[kMaxRank];
  for (int k = 0; k < x.rank; k++) shape[k] = k == d && n > 0 ? 1 : x.shape[k];
  return by_class(x.dtype, [&]<class W>() {
    W* row = static_cast<W*>(c.scratch);
    int64_t* order = reinterpret_cast<int64_t*>(row + n);
    auto before = [&](int64_t p, int64_t q) {
      const W &u = row[p], &v = row[q];
      if (u != u || v != v) return (u != u) != (v != v) ? v != v : p < q;
      return u == v ? p < q : a.descending ? u > v : u < v;
    };
    Loops<3> rows(x.rank, shape, {vs.at, ps.at, xs.at});
    rows.run([&](const int64_t* at, int64_t m) {
      for (int64_t i = 0; i < m; i++) {
        load(x, at[2] + i * rows.step(2), sx, n, row);
        for (int64_t k = 0; k < n; k++) order[k] = k;
        std::partial_sort(order, order + count, order + n, before);
        for (int64_t k = 0; k < count; k++) {
          store_one(values, at[0] + i * rows.step(0) + k * sv, row[order[k]]);
          places.as<int64_t>()[at[1] + i * rows.step(1) + k * sp] = order[k];
        }
      }
    });
    return Status{};
  });
}

}  // namespace fovea::ref
