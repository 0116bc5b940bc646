// Kernels that work row by row (softmax, norms): walks the leading axes of several views together, spread over threads.
#pragma once
#include <algorithm>
#include <cstring>

#include "backends/common/loops.h"
#include "core/parallel.h"

namespace fovea::cpu {

inline constexpr int64_t kRowGrain = 1 << 12;  // elements of rows that are worth a thread

// memcpy, but for ranges that lie differently in their cache lines: those the C library copies by `rep movsb`, which
// some CPUs (Zen 3) do at a tenth of the speed.
inline void copy_row(void* to, const void* from, size_t bytes) {
  typedef char Sixteen __attribute__((vector_size(16)));
  char* y = static_cast<char*>(to);
  const char* x = static_cast<const char*>(from);
  if ((uintptr_t(y) - uintptr_t(x)) % 64 == 0 || bytes < 1024) return void(std::memcpy(y, x, bytes));
  const size_t head = -uintptr_t(y) % 16;
  std::memcpy(y, x, head);
  size_t i = head;
  for (; i + 64 <= bytes; i += 64) {
    Sixteen v[4];
    std::memcpy(v, x + i, 64);
    std::memcpy(y + i, v, 64);
  }
  std::memcpy(y + i, x + i, bytes - i);
}

// The last `tail` axes of v are one dense row.
inline bool rows_dense(const View& v, int tail) {
  int64_t step = 1;
  for (int d = v.rank - 1; d >= v.rank - tail; d--) {
    if (v.shape[d] != 1 && v.strides[d] != step) return false;
    step *= v.shape[d];
  }
  return true;
}
inline int64_t row_size(const View& v, int tail) {
  int64_t n = 1;
  for (int d = v.rank - tail; d < v.rank; d++) n *= v.shape[d];
  return n;
}

// f(at, row) for every index of the first `lead` axes, which all views share: at[k] is where the row of v[k] begins,
// counted from its data, row counts in row-major order. `size`: elements of a row, for the threads.
template <int N, class F> void for_rows(const View* const (&v)[N], int lead, int64_t size, F&& f) {
  const int64_t* strides[N];
  for (int k = 0; k < N; k++) strides[k] = v[k]->strides;
  const Loops<N> loops(lead, v[0]->shape, strides);
  const int64_t inner = loops.inner(), rows = loops.rows();
  auto cut = [&](const int64_t* at, int64_t begin, int64_t end, int64_t first) {
    for (int64_t i = begin; i < end; i++) {
      int64_t here[N];
      for (int k = 0; k < N; k++) here[k] = at[k] + i * loops.step(k);
      f(here, first + i);
    }
  };
  if (rows == 1) {
    const int64_t zero[N] = {};
    parallel_for(0, inner, std::max<int64_t>(kRowGrain / std::max<int64_t>(size, 1), 1),
                 [&](int64_t b, int64_t e) { cut(zero, b, e, 0); });
  } else if (rows > 0) {
    parallel_for(0, rows, std::max<int64_t>(kRowGrain / std::max<int64_t>(size * inner, 1), 1),
                 [&](int64_t b, int64_t e) {
                   int64_t row = b;
                   loops.run(b, e, [&](const int64_t* at, int64_t n) { cut(at, 0, n, row++ * n); });
                 });
  }
}

}  // namespace fovea::cpu
