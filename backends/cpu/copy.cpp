// Slots iota, copy, fill, tril and triu: rows by memcpy, transposes tile by tile, with threads; fill where it is zeros.
// Of the casts those that models have, dense to dense: between f32 and halves, i64, i32 and booleans. The rest is the
// reference's.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "backends/common/loops.h"
#include "backends/common/visit.h"
#include "backends/cpu/halves.h"
#include "backends/cpu/kernels.h"
#include "backends/cpu/rows.h"
#include "backends/ref/kernels.h"
#include "core/parallel.h"

namespace fovea::cpu {
namespace {

constexpr int64_t kGrain = 1 << 15;  // bytes that are worth a thread
constexpr int64_t kTile = 16;        // of a transpose: a cache line of f32 each way

// The two fastest axes of a copy that steps through one side in another order than through the other.
struct Tiles {
  int64_t rows = 0, columns = 0;  // elements; y runs along columns, x along rows
  int64_t y_row = 0, x_column = 0;
};

template <class T> void copy_tile(const Tiles& t, const T* x, T* y, int64_t row, int64_t column) {
  int64_t r1 = std::min(row + kTile, t.rows), c1 = std::min(column + kTile, t.columns);
  for (int64_t r = row; r < r1; r++)
    for (int64_t c = column; c < c1; c++) y[r * t.y_row + c] = x[r + c * t.x_column];
}

// to[i] = from[-i]
template <class T> void copy_backwards(int64_t n, const T* from, T* to) {
  int64_t i = 0;
  if constexpr (sizeof(T) == 4) {
    typedef uint32_t Four __attribute__((vector_size(16)));
    for (Four v; i + 4 <= n; i += 4) {
      std::memcpy(&v, from - i - 3, sizeof v);
      v = __builtin_shufflevector(v, v, 3, 2, 1, 0);
      std::memcpy(to + i, &v, sizeof v);
    }
  }
  for (; i < n; i++) to[i] = from[-i];
}

template <class T> void copy_same(const View& x, const View& y) {
  const int64_t size = sizeof(T);
  Loops<2> loops({&y, &x});
  const int64_t sy = loops.step(0), sx = loops.step(1), inner = loops.inner(), rows = loops.rows();
  auto row = [&](const int64_t* at, int64_t begin, int64_t end) {
    T* to = y.as<T>() + at[0];
    const T* from = x.as<T>() + at[1];
    if (sy == 1 && sx == 1) copy_row(to + begin, from + begin, size_t((end - begin) * size));
    else if (sy == 1 && sx == -1) copy_backwards(end - begin, from - begin, to + begin);
    else
      for (int64_t i = begin; i < end; i++) to[i * sy] = from[i * sx];
  };
  if (rows == 0) return;
  if (rows == 1) {
    const int64_t zero[2] = {};
    return parallel_for(0, inner, kGrain / size, [&](int64_t b, int64_t e) { row(zero, b, e); });
  }
  parallel_for(0, rows, std::max<int64_t>(kGrain / (inner * size), 1),
               [&](int64_t b, int64_t e) { loops.run(b, e, [&](const int64_t* at, int64_t n) { row(at, 0, n); }); });
}

// True when y is dense, x is not, and some other axis of x has step 1: done tile by tile.
template <class T> bool copy_transposed(const View& x, const View& y) {
  const int last = y.rank - 1;
  if (y.rank < 2 || y.strides[last] != 1 || y.shape[last] < 2) return false;
  int fast = -1;
  for (int d = 0; d < last; d++)
    if (x.strides[d] == 1 && y.shape[d] >= kTile / 2) fast = d;
  if (fast < 0 || x.strides[last] <= 1) return false;
  Tiles t{y.shape[fast], y.shape[last], y.strides[fast], x.strides[last]};
  int64_t shape[kMaxRank], sx[kMaxRank], sy[kMaxRank];
  int rank = 0;
  for (int d = 0; d < last; d++)
    if (d != fast) shape[rank] = y.shape[d], sx[rank] = x.strides[d], sy[rank++] = y.strides[d];
  Loops<2> outer(rank, shape, {sy, sx});
  const int64_t down = (t.rows + kTile - 1) / kTile, bytes = t.rows * t.columns * int64_t(sizeof(T));
  auto some = [&](const int64_t* at, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const T* from = x.as<T>() + at[1] + i * outer.step(1);
      T* to = y.as<T>() + at[0] + i * outer.step(0);
      parallel_for(0, down, std::max<int64_t>(kGrain * down / bytes, 1), [&](int64_t b, int64_t e) {
        for (int64_t r = b * kTile; r < std::min(e * kTile, t.rows); r += kTile)
          for (int64_t c = 0; c < t.columns; c += kTile) copy_tile(t, from, to, r, c);
      });
    }
  };
  // Threads share matrices out, or where these are few, each one.
  const int64_t zero[2] = {}, rows = outer.rows(), inner = outer.inner();
  if (rows * inner < thread_count()) outer.run([&](const int64_t* at, int64_t n) { some(at, 0, n); });
  else if (rows == 1)
    parallel_for(0, inner, std::max<int64_t>(kGrain / bytes, 1), [&](int64_t b, int64_t e) { some(zero, b, e); });
  else
    parallel_for(0, rows, std::max<int64_t>(kGrain / (bytes * inner), 1),
                 [&](int64_t b, int64_t e) { outer.run(b, e, [&](const int64_t* at, int64_t n) { some(at, 0, n); }); });
  return true;
}

template <class To, class From> void cast_row(int64_t n, const From* x, To* y) {
  if constexpr (is_half_v<From>) widen(n, x, y);
  else if constexpr (is_half_v<To>) narrow(n, x, y);
  else
    for (int64_t i = 0; i < n; i++) y[i] = convert<To>(x[i]);
}
// False where the pair is not among them.
template <class A, class B> bool cast_pair(const View& x, const View& y) {
  auto run = [&]<class From, class To>() {
    if (x.dtype != dtype_of<From>() || y.dtype != dtype_of<To>()) return false;
    parallel_for(0, y.numel, kGrain / 8,
                 [&](int64_t b, int64_t e) { cast_row(e - b, x.as<From>() + b, y.as<To>() + b); });
    return true;
  };
  return run.template operator()<A, B>() || run.template operator()<B, A>();
}
bool cast_dense(const View& x, const View& y) {
  return cast_pair<float, BFloat16>(x, y) || cast_pair<float, Float16>(x, y) || cast_pair<float, int64_t>(x, y) ||
         cast_pair<float, int32_t>(x, y) || cast_pair<float, bool>(x, y) || cast_pair<int64_t, int32_t>(x, y) ||
         cast_pair<int64_t, bool>(x, y);
}

}  // namespace

Status copy(const Call& c, const NoAttrs& a) {
  const View &x = c.x(0), &y = c.y();
  if (x.dense && y.dense && x.dtype != y.dtype && cast_dense(x, y)) return {};
  if (x.dtype != y.dtype || y.numel == 0) return ref::copy(c, a);
  return ref::by_size(y.dtype, [&]<class T>() {
    if (x.dense || !copy_transposed<T>(x, y)) copy_same<T>(x, y);
    return Status{};
  });
}

Status fill(const Call& c, const FillAttrs& a) {
  const View& y = c.y();
  bool zero = is_floating(y.dtype) ? a.value == 0 && !std::signbit(a.value) : a.integer == 0;
  if (!zero || !y.dense || is_dual(y.dtype)) return ref::fill(c, a);
  const int64_t bytes = y.numel * size_of(y.dtype);
  parallel_for(0, bytes, kGrain, [&](int64_t b, int64_t e) { std::memset(y.as<char>() + b, 0, size_t(e - b)); });
  return {};
}

Status iota(const Call& c, const IotaAttrs& a) {
  const View& y = c.y();
  if (!y.dense || (y.dtype != f32 && y.dtype != f64 && y.dtype != i32 && y.dtype != i64)) return ref::iota(c, a);
  auto numbers = [&]<class T>() {
    parallel_for(0, y.numel, kGrain / int64_t(sizeof(T)), [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; i++) {
        if constexpr (std::is_integral_v<T>)
          y.as<T>()[i] = T(uint64_t(a.integer_start) + uint64_t(i) * uint64_t(a.integer_step));
        else y.as<T>()[i] = T(a.start + double(i) * a.step);
      }
    });
  };
  if (y.dtype == f32) numbers.operator()<float>();
  else if (y.dtype == f64) numbers.operator()<double>();
  else if (y.dtype == i32) numbers.operator()<int32_t>();
  else numbers.operator()<int64_t>();
  return {};
}

namespace {

// Row r keeps its columns up to r + diagonal, or from there on.
template <bool lower> Status triangle(const Call& c, int64_t diagonal) {
  const View &x = c.x(0), &y = c.y();
  const int64_t rows = y.shape[y.rank - 2], columns = y.shape[y.rank - 1];
  const int64_t k = std::clamp(diagonal, -rows, columns);
  return ref::by_size(y.dtype, [&]<class T>() {
    for_rows<2>({&y, &x}, y.rank - 1, columns, [&](const int64_t* at, int64_t row) {
      T* to = y.as<T>() + at[0];
      const T* from = x.as<T>() + at[1];
      const int64_t edge = std::clamp<int64_t>(row % rows + k + lower, 0, columns);
      const int64_t begin = lower ? 0 : edge, end = lower ? edge : columns;
      std::memset(to, 0, size_t(begin) * sizeof(T));
      copy_row(to + begin, from + begin, size_t(end - begin) * sizeof(T));
      std::memset(to + end, 0, size_t(columns - end) * sizeof(T));
    });
    return Status{};
  });
}

}  // namespace

Status tril(const Call& c, const TriangleAttrs& a) { return triangle<true>(c, a.diagonal); }
Status triu(const Call& c, const TriangleAttrs& a) { return triangle<false>(c, a.diagonal); }

}  // namespace fovea::cpu
