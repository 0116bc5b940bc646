// Slots iota, copy, cat, fill, tril and triu: rows by memcpy, transposes tile by tile, with threads.
// Of the casts those that models have, dense to dense: between f32 and halves, whole numbers, booleans and f64. The
// rest is the reference's.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "backends/common/loops.h"
#include "backends/common/visit.h"
#include "backends/cpu/elementwise.h"
#include "backends/cpu/halves.h"
#include "backends/cpu/kernels.h"
#include "backends/cpu/move.h"
#include "backends/cpu/rows.h"
#include "backends/ref/kernels.h"
#include "core/parallel.h"

#define FOVEA_FAMILY "backends/cpu/move_kernels.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {

template <class T> const MoveKernels<T>& move_kernels(Isa level) {
  constexpr const MoveKernels<T>* tables[kIsaLevels] = {&sse2::kMoveTable<T>, &avx2::kMoveTable<T>,
                                                        &avx512::kMoveTable<T>};
  return *tables[int(level)];
}
template const MoveKernels<uint32_t>& move_kernels<uint32_t>(Isa);
template const MoveKernels<uint64_t>& move_kernels<uint64_t>(Isa);

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

template <class T> inline constexpr bool kMoved = sizeof(T) == 4 || sizeof(T) == 8;  // there are kernels

// By vectors; past the caches where all of it is larger than they are.
template <class T> void fill_row(T* to, int64_t n, const T& value, bool streamed) {
  if constexpr (kMoved<T>)
    if (!streamed) return move_kernels<T>(isa()).fill(n, value, to);
  constexpr int64_t kBlock = 4096 / int64_t(sizeof(T));
  T block[kBlock];
  for (int64_t i = 0; i < std::min(n, kBlock); i++) block[i] = value;
  for (int64_t i = 0; i < n; i += kBlock)
    (streamed ? stream_row : copy_row)(to + i, block, size_t(std::min(n - i, kBlock)) * sizeof(T));
}

void copy_dense(const View& x, const View& y) {
  const int64_t bytes = y.numel * int64_t(size_of(y.dtype));
  const auto copy = row_copy(bytes);
  parallel_for(0, bytes, kGrain, [&](int64_t b, int64_t e) {
    copy(y.as<char>() + b, x.as<char>() + b, size_t(e - b));
    stream_fence();
  });
}

template <class T> void copy_same(const View& x, const View& y) {
  const Loops<2> loops({&y, &x});
  const int64_t sy = loops.step(0), sx = loops.step(1);
  const auto copy = row_copy(y.numel * int64_t(sizeof(T)));
  share_elements(loops, kGrain / int64_t(sizeof(T)), [&](const int64_t* at, int64_t begin, int64_t end, int64_t) {
    T* to = y.as<T>() + at[0] + begin * sy;
    const T* from = x.as<T>() + at[1] + begin * sx;
    const int64_t n = end - begin;
    if (sy == 1 && sx == 1) return copy(to, from, size_t(n) * sizeof(T));
    if constexpr (kMoved<T>)
      if (sy == 1 && sx == -1) return move_kernels<T>(isa()).reverse(n, from, to);
    for (int64_t i = 0; i < n; i++) to[i * sy] = from[i * sx];
  });
}

// Two or four columns of a dense y are rows of x that are zipped.
template <class T> bool zips(const Tiles& t) {
  return kMoved<T> && (t.columns == 2 || t.columns == 4) && t.y_row == t.columns;
}
template <class T> void zip(const Tiles& t, const T* x, T* y, int64_t begin, int64_t end) {
  if constexpr (kMoved<T>) {
    const T* rows[4];
    for (int64_t k = 0; k < t.columns; k++) rows[k] = x + begin + k * t.x_column;
    const auto& kernels = move_kernels<T>(isa());
    (t.columns == 2 ? kernels.zip2 : kernels.zip4)(end - begin, rows, y + begin * t.columns);
  }
}

// x and y without axes of size 1, the others by the strides of y: the order of a copy is free.
struct Ordered {
  View x, y;
  int64_t shape[kMaxRank], sx[kMaxRank], sy[kMaxRank];

  Ordered(const View& from, const View& to) : x(from), y(to) {
    int rank = 0;
    for (int d = 0; d < to.rank; d++) {
      if (to.shape[d] == 1) continue;
      int at = rank++;
      for (; at > 0 && std::abs(sy[at - 1]) < std::abs(to.strides[d]); at--)
        shape[at] = shape[at - 1], sx[at] = sx[at - 1], sy[at] = sy[at - 1];
      shape[at] = to.shape[d], sx[at] = from.strides[d], sy[at] = to.strides[d];
    }
    x.rank = y.rank = int8_t(rank), x.shape = y.shape = shape, x.strides = sx, y.strides = sy;
  }
  Ordered(const Ordered&) = delete;
};

// True when y runs along its last axis and x along another: done tile by tile.
template <class T> bool copy_transposed(const Ordered& o) {
  const View &x = o.x, &y = o.y;
  const int last = y.rank - 1;
  int fast = -1;
  if (y.rank < 2 || y.strides[last] != 1) return false;
  for (int d = 0; d < last; d++)
    if (x.strides[d] == 1 && y.shape[d] >= kTile / 2) fast = d;
  if (fast < 0) return false;
  const Tiles t{y.shape[fast], y.shape[last], y.strides[fast], x.strides[last]};
  const bool zipped = zips<T>(t);
  if (!zipped && t.x_column <= 1) return false;
  int64_t shape[kMaxRank], sx[kMaxRank], sy[kMaxRank];
  int rank = 0;
  for (int d = 0; d < last; d++)
    if (d != fast) shape[rank] = y.shape[d], sx[rank] = x.strides[d], sy[rank++] = y.strides[d];
  const Loops<2> outer(rank, shape, {sy, sx});
  // Threads share the bands of tiles of all matrices.
  const int64_t down = (t.rows + kTile - 1) / kTile, matrices = outer.inner();
  const int64_t bytes = kTile * t.columns * int64_t(sizeof(T));
  parallel_for(0, outer.rows() * matrices * down, std::max<int64_t>(kGrain / bytes, 1), [&](int64_t b, int64_t e) {
    int64_t i = b / (matrices * down) * matrices;  // the first matrix of a row of them
    outer.run(i / matrices, (e + matrices * down - 1) / (matrices * down), [&](const int64_t* at, int64_t) {
      for (int64_t m = std::max(b / down - i, int64_t(0)); m < matrices && (i + m) * down < e; m++) {
        const T* from = x.as<T>() + at[1] + m * outer.step(1);
        T* to = y.as<T>() + at[0] + m * outer.step(0);
        const int64_t begin = std::max(b - (i + m) * down, int64_t(0)) * kTile;
        const int64_t end = std::min(std::min(e - (i + m) * down, down) * kTile, t.rows);
        if (zipped) zip(t, from, to, begin, end);
        else
          for (int64_t r = begin; r < end; r += kTile)
            for (int64_t c = 0; c < t.columns; c += kTile) copy_tile(t, from, to, r, c);
      }
      i += matrices;
    });
  });
  return true;
}

template <class To, class From> void cast_row(int64_t n, const From* x, To* y) {
  if constexpr (is_half_v<From>) widen(n, x, y);
  else if constexpr (is_half_v<To>) narrow(n, x, y);
  else if constexpr (std::is_same_v<From, float> && std::is_same_v<To, int64_t>)
    elementwise_kernels<float>(isa()).to_whole(n, x, y);
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
         cast_pair<int64_t, bool>(x, y) || cast_pair<double, float>(x, y) || cast_pair<double, int64_t>(x, y) ||
         cast_pair<double, int32_t>(x, y) || cast_pair<double, uint8_t>(x, y) || cast_pair<float, uint8_t>(x, y) ||
         cast_pair<int64_t, uint8_t>(x, y);
}

}  // namespace

Status copy(const Call& c, const NoAttrs& a) {
  const View &x = c.x(0), &y = c.y();
  if (x.dense && y.dense && x.dtype != y.dtype && cast_dense(x, y)) return {};
  if (x.dense && y.dense && x.dtype == y.dtype) return copy_dense(x, y), Status{};
  if (x.dtype != y.dtype || is_dual(y.dtype) || y.numel == 0) return ref::copy(c, a);
  by_size(y.dtype, [&]<class T>() {
    const Ordered o(x, y);
    if (!copy_transposed<T>(o)) copy_same<T>(o.x, o.y);
  });
  return {};
}

// One element is the reference's.
Status fill(const Call& c, const FillAttrs& a) {
  const View& y = c.y();
  if (is_dual(y.dtype)) return ref::fill(c, a);
  Status s;
  by_size(y.dtype, [&]<class T>() {
    T value{};
    const View one{.data = &value, .numel = 1, .rank = 0, .dtype = y.dtype}, *out = &one;
    if (s = ref::fill({.out = &out, .outputs = 1}, a); !s) return;
    const Loops<1> loops({&y});
    const bool streamed = y.numel * int64_t(sizeof(T)) >= int64_t(1) << 25;
    share_elements(loops, kGrain / int64_t(sizeof(T)), [&](const int64_t* at, int64_t begin, int64_t end, int64_t) {
      T* to = y.as<T>() + at[0];
      if (loops.step(0) == 1) fill_row(to + begin, end - begin, value, streamed);
      else
        for (int64_t i = begin; i < end; i++) to[i * loops.step(0)] = value;
    });
  });
  return s;
}

// Each row of y is one row of each input, one behind the other.
bool cat_accepts(const Call& c, const void*) {
  bool dense = c.y().dense && c.y().dtype == c.x(0).dtype && !is_dual(c.y().dtype);
  for (int i = 0; i < c.inputs; i++) dense = dense && c.x(i).dense;
  return dense;
}
Status cat(const Call& c, const DimAttrs& a) {
  const View& y = c.y();
  if (y.numel == 0) return {};
  int64_t tail = 1;  // elements behind the axis
  for (int d = int(a.dim) + 1; d < y.rank; d++) tail *= y.shape[d];
  const int64_t width = y.shape[a.dim] * tail;
  by_size(y.dtype, [&]<class T>() {
    const auto copy = row_copy(y.numel * int64_t(sizeof(T)));
    const Tiles t{.rows = y.numel / width, .columns = width, .y_row = width};
    bool zipped = zips<T>(t) && c.inputs == width;
    for (int i = 0; i < c.inputs; i++) zipped = zipped && c.x(i).numel * width == y.numel;
    parallel_for(0, y.numel / (zipped ? width : 1), kGrain / int64_t(sizeof(T)), [&](int64_t b, int64_t e) {
      if constexpr (kMoved<T>)
        if (zipped) {
          const T* rows[4];
          for (int i = 0; i < c.inputs; i++) rows[i] = c.x(i).as<T>() + b;
          return (width == 2 ? move_kernels<T>(isa()).zip2 : move_kernels<T>(isa()).zip4)(e - b, rows,
                                                                                          y.as<T>() + b * width);
        }
      int64_t at = b / width * width;
      for (int64_t row = b / width; at < e; row++)
        for (int i = 0; i < c.inputs && at < e; i++) {
          const int64_t n = c.x(i).shape[a.dim] * tail, begin = std::max(b - at, int64_t(0)), end = std::min(n, e - at);
          if (begin < end)
            copy(y.as<T>() + at + begin, c.x(i).as<T>() + row * n + begin, size_t(end - begin) * sizeof(T));
          at += n;
        }
      stream_fence();
    });
  });
  return {};
}

Status iota(const Call& c, const IotaAttrs& a) {
  const View& y = c.y();
  if (!(y.dense || y.rank == 1) || (y.dtype != f32 && y.dtype != f64 && y.dtype != i32 && y.dtype != i64))
    return ref::iota(c, a);
  const int64_t step = y.rank == 1 ? y.strides[0] : 1;
  auto numbers = [&]<class T>() {
    parallel_for(0, y.numel, kGrain / int64_t(sizeof(T)), [&](int64_t b, int64_t e) {
      T* to = y.as<T>() + b * step;
      uint64_t whole = uint64_t(a.integer_start) + uint64_t(b) * uint64_t(a.integer_step);
      for (int64_t i = b; i < e; i++, to += step, whole += uint64_t(a.integer_step))
        *to = std::is_integral_v<T> ? T(whole) : T(a.start + double(i) * a.step);
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
  const int64_t rows = y.shape[y.rank - 2], columns = y.shape[y.rank - 1], bytes = size_of(y.dtype);
  const int64_t k = std::clamp(diagonal, -rows, columns);
  for_rows<2>({&y, &x}, y.rank - 1, columns, [&](const int64_t* at, int64_t row) {
    char* to = y.as<char>() + at[0] * bytes;
    const char* from = x.as<char>() + at[1] * bytes;
    const int64_t edge = std::clamp<int64_t>(row % rows + k + lower, 0, columns) * bytes, width = columns * bytes;
    const int64_t begin = lower ? 0 : edge, end = lower ? edge : width;
    std::memset(to, 0, size_t(begin));
    copy_row(to + begin, from + begin, size_t(end - begin));
    std::memset(to + end, 0, size_t(width - end));
  });
  return {};
}

}  // namespace

Status tril(const Call& c, const TriangleAttrs& a) { return triangle<true>(c, a.diagonal); }
Status triu(const Call& c, const TriangleAttrs& a) { return triangle<false>(c, a.diagonal); }

}  // namespace fovea::cpu
