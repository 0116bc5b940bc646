// Elements of any dtype as numbers to compute with: f64 for floating types, i64 for whole numbers, duals themselves.
// Kernels load a block, compute, store the block, so each formula is compiled for four types and not for eleven. Halves
// and f32 are rounded once, when stored; whole numbers wrap there.
#pragma once
#include "backends/common/loops.h"
#include "backends/common/visit.h"

namespace fovea::ref {

inline constexpr int kBlock = 128;

// Calls f.operator()<W>() with the type in which elements of dtype `t` are computed.
template <class F> Status by_class(DType t, F&& f) {
  if (t == DType::dual) return f.template operator()<Dual1>();
  if (t == DType::dual2) return f.template operator()<Dual2>();
  if (is_floating(t)) return f.template operator()<double>();
  return f.template operator()<int64_t>();
}
inline int64_t wide_size(DType t) { return is_dual(t) ? size_of(t) : 8; }

// n elements of v, the first one `at` from its data, `step` apart. They convert as casts do, except that duals are
// stored to no floating type but their own or a higher one: callers refuse that before.
template <class W> void load(const View& v, int64_t at, int64_t step, int64_t n, W* to);
template <class W> void store(const View& v, int64_t at, int64_t step, int64_t n, const W* from);

template <class W> W load_one(const View& v, int64_t at) {
  W x;
  load(v, at, 1, 1, &x);
  return x;
}
template <class W> void store_one(const View& v, int64_t at, const W& x) { store(v, at, 1, 1, &x); }

// Cuts rows into blocks: f(offsets of the block's first elements, how many).
template <int N, class F> void in_blocks(const Loops<N>& loops, F&& f) {
  loops.run([&](const int64_t* at, int64_t n) {
    for (int64_t i = 0; i < n; i += kBlock) {
      int64_t here[N];
      for (int k = 0; k < N; k++) here[k] = at[k] + i * loops.step(k);
      f(here, n - i < kBlock ? n - i : kBlock);
    }
  });
}

}  // namespace fovea::ref
