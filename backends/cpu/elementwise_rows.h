// How elementwise slots walk their views: most calls are one contiguous row; what is strided, and halves, go through
// small buffers on the stack, so that every kind needs one kernel only, of contiguous rows and repeated numbers.
#pragma once
#include <algorithm>

#include "backends/common/loops.h"
#include "backends/cpu/halves.h"
#include "core/parallel.h"

namespace fovea::cpu {

inline constexpr int64_t kCheap = 1 << 14,
                         kDear = 1 << 12;  // elements that are worth a thread: memory bound, exp and its kin
inline constexpr int64_t kChunk = 1024;    // elements of the buffers for strided rows and halves

// A row of one operand, kept as S: its first element, as the kernels of T want it. Strided rows, and halves, are copied
// to `buffer`, n <= kChunk.
template <class T, class S = T> struct Operand {
  const T* p;
  int64_t step;
  Operand(const S* at, int64_t stride, int64_t n, T* buffer) : p(buffer), step(stride) {
    if constexpr (std::is_same_v<T, S>) {
      if (stride == 0 || stride == 1 || n == 1) {
        p = at;
        return;
      }
    } else if (stride == 1) {
      widen(n, at, buffer);
      return;
    } else if (stride == 0) {
      buffer[0] = T(*at);
      return;
    }
    for (int64_t i = 0; i < n; i++) buffer[i] = T(at[i * stride]);
    step = 1;
  }
};

// Walks y and its operands; row(offsets, n) is called for contiguous rows of y, or on chunks of at most kChunk elements
// where some stride is neither 0 nor 1 (`chunked`). Compiled once for the rows of all kernels.
using RowBody = void (*)(const void* row, const int64_t* at, int64_t n);
template <int N>
[[gnu::noinline]] void walk_rows(const Loops<N>& loops, int64_t grain, bool chunked, const void* row, RowBody body) {
  const int64_t rows = loops.rows(), inner = loops.inner();
  auto cut = [&](const int64_t* at, int64_t begin, int64_t end) {
    int64_t piece = chunked ? kChunk : end - begin;
    for (int64_t i = begin; i < end; i += piece) {
      int64_t from[N];
      for (int k = 0; k < N; k++) from[k] = at[k] + i * loops.step(k);
      body(row, from, std::min(piece, end - i));
    }
  };
  if (rows == 1) {
    const int64_t zero[N] = {};
    parallel_for(0, inner, grain, [&](int64_t b, int64_t e) { cut(zero, b, e); });
  } else if (rows > 0) {
    parallel_for(0, rows, std::max<int64_t>(grain / inner, 1),
                 [&](int64_t b, int64_t e) { loops.run(b, e, [&](const int64_t* at, int64_t n) { cut(at, 0, n); }); });
  }
}
template <int N, class Row> void walk(const Loops<N>& loops, int64_t grain, bool chunked, const Row& row) {
  walk_rows(loops, grain, chunked, &row,
            [](const void* r, const int64_t* at, int64_t n) { (*static_cast<const Row*>(r))(at, n); });
}

template <class R, class T> void put_row(R* y, int64_t stride, const T* from, int64_t n) {
  if constexpr (!std::is_same_v<R, T>)
    if (stride == 1) return narrow(n, from, y);
  for (int64_t i = 0; i < n; i++) y[i * stride] = R(from[i]);
}

// Kernels of T over numbers kept as S.
template <class T, class S, class Kernel> void run1(const View& x, const View& y, int64_t grain, Kernel kernel) {
  constexpr bool same = std::is_same_v<T, S>;
  if constexpr (same)
    if (x.dense && y.dense && y.numel <= grain) return kernel(y.numel, x.as<T>(), y.as<T>());
  Loops<2> loops({&y, &x});
  const int64_t sy = loops.step(0), sx = loops.step(1);
  walk(loops, grain, !same || sx != 1 || sy != 1, [&](const int64_t* at, int64_t n) {
    alignas(64) T in[kChunk], out[kChunk];
    S* to = y.as<S>() + at[0];
    Operand<T, S> a(x.as<S>() + at[1], sx, n, in);
    if (sx == 0) std::fill(in, in + n, *a.p), a.p = in;
    if constexpr (same)
      if (sy == 1) return kernel(n, a.p, to);
    kernel(n, a.p, out);
    put_row(to, sy, out, n);
  });
}

// Kernels of two inputs whose result is an R, kept as Q.
template <class T, class S, class R, class Q, class Kernel>
void run2(const View& a, const View& b, const View& y, int64_t grain, Kernel kernel) {
  constexpr bool same = std::is_same_v<T, S>;
  if constexpr (same)
    if (a.dense && b.dense && y.dense && y.numel <= grain)
      return kernel(y.numel, a.as<T>(), 1, b.as<T>(), 1, y.as<R>());
  Loops<3> loops({&y, &a, &b});
  const int64_t sy = loops.step(0), sa = loops.step(1), sb = loops.step(2);
  walk(loops, grain, !same || sy != 1 || uint64_t(sa) > 1 || uint64_t(sb) > 1, [&](const int64_t* at, int64_t n) {
    alignas(64) T left[kChunk], right[kChunk];
    alignas(64) R out[kChunk];
    Q* to = y.as<Q>() + at[0];
    Operand<T, S> p(a.as<S>() + at[1], sa, n, left), q(b.as<S>() + at[2], sb, n, right);
    if constexpr (std::is_same_v<R, Q>)
      if (sy == 1) return kernel(n, p.p, p.step, q.p, q.step, to);
    kernel(n, p.p, p.step, q.p, q.step, out);
    put_row(to, sy, out, n);
  });
}

// Kernels of three inputs.
template <class T, class S, class Kernel>
void run3(const View& a, const View& b, const View& c, const View& y, int64_t grain, Kernel kernel) {
  Loops<4> loops({&y, &a, &b, &c});
  const int64_t sy = loops.step(0), sa = loops.step(1), sb = loops.step(2), sc = loops.step(3);
  const bool strided = sy != 1 || uint64_t(sa) > 1 || uint64_t(sb) > 1 || uint64_t(sc) > 1;
  walk(loops, grain, !std::is_same_v<T, S> || strided, [&](const int64_t* at, int64_t n) {
    alignas(64) T first[kChunk], second[kChunk], third[kChunk], out[kChunk];
    S* to = y.as<S>() + at[0];
    Operand<T, S> p(a.as<S>() + at[1], sa, n, first), q(b.as<S>() + at[2], sb, n, second),
        r(c.as<S>() + at[3], sc, n, third);
    if constexpr (std::is_same_v<T, S>)
      if (sy == 1) return kernel(n, p.p, p.step, q.p, q.step, r.p, r.step, to);
    kernel(n, p.p, p.step, q.p, q.step, r.p, r.step, out);
    put_row(to, sy, out, n);
  });
}

// f<what is computed in, what is kept>.
template <class F> Status by_type(DType t, F&& f) {
  if (t == f32) return f.template operator()<float, float>(), Status{};
  if (t == f64) return f.template operator()<double, double>(), Status{};
  if (t == bf16) return f.template operator()<float, BFloat16>(), Status{};
  if (t == f16) return f.template operator()<float, Float16>(), Status{};
  return {Status::unsupported, "no kernel for this dtype"};
}
// f<float, what is kept>.
template <class F> Status f32_or_half(DType t, F&& f) {
  if (t == f32) f.template operator()<float>();
  else if (t == bf16) f.template operator()<BFloat16>();
  else f.template operator()<Float16>();
  return {};
}

}  // namespace fovea::cpu
