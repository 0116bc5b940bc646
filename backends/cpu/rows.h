// Kernels that work row by row (softmax, norms): walks the leading axes of several views together, spread over threads.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "backends/common/loops.h"
#include "core/backend.h"
#include "core/parallel.h"

namespace fovea::cpu {

// Moves elements without looking at them: f.operator()<a type of that many bytes>(). Duals are left to the reference.
template <class F> void by_size(DType t, F&& f) {
  switch (size_of(t)) {
    case 1: return f.template operator()<uint8_t>();
    case 2: return f.template operator()<uint16_t>();
    case 4: return f.template operator()<uint32_t>();
    default: return f.template operator()<uint64_t>();
  }
}

inline constexpr int64_t kRowGrain = 1 << 12;  // elements of rows that are worth a thread

typedef long long Sixteen __attribute__((vector_size(16)));  // bytes

// memcpy, but for ranges that lie differently in their cache lines: those the C library copies by `rep movsb`, which
// some CPUs (Zen 3) do at a tenth of the speed.
inline void copy_row(void* to, const void* from, size_t bytes) {
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

// Past the caches into memory: what is larger than they are is not read before it is overwritten, and leaves them to
// others. A piece of work that has done so ends with stream_fence().
#if defined(__x86_64__)
inline void stream_row(void* to, const void* from, size_t bytes) {
  char* y = static_cast<char*>(to);
  const char* x = static_cast<const char*>(from);
  size_t i = std::min<size_t>(-uintptr_t(y) % 64, bytes);
  std::memcpy(y, x, i);
  for (; i + 64 <= bytes; i += 64)
    for (size_t k = i; k < i + 64; k += 16) {
      Sixteen v;
      std::memcpy(&v, x + k, 16);
      _mm_stream_si128(reinterpret_cast<__m128i*>(y + k), v);
    }
  std::memcpy(y + i, x + i, bytes - i);
}
inline void stream_fence() { _mm_sfence(); }
#else
inline void stream_row(void* to, const void* from, size_t bytes) { copy_row(to, from, bytes); }
inline void stream_fence() {}
#endif
inline auto row_copy(int64_t bytes_of_all) { return bytes_of_all >= int64_t(1) << 24 ? stream_row : copy_row; }

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

constexpr int64_t kMaxSlots = 64;  // workers that have scratch of their own

// f(task, slot) for every task, whoever is free takes the next; slots are below min(tasks, kMaxSlots).
template <class F> void take_tasks(int64_t tasks, bool alone, const F& f) {
  std::atomic<int64_t> next{0};
  auto work = [&](int64_t slot, int64_t) {
    for (int64_t i = next.fetch_add(1, std::memory_order_relaxed); i < tasks;
         i = next.fetch_add(1, std::memory_order_relaxed))
      f(i, slot);
  };
  if (alone) work(0, 1);
  else parallel_for(0, std::min(tasks, kMaxSlots), 1, work);
}

// f(at, begin, end, row): of the row whose first elements lie at[k] from the data of view k, those from `begin` to
// `end`; `row` counts in row-major order. All elements from b to e. The walk is compiled once for all f.
using PieceBody = void (*)(const void* f, const int64_t* at, int64_t begin, int64_t end, int64_t row);
template <int N>
[[gnu::noinline]] void run_pieces(const Loops<N>& loops, int64_t b, int64_t e, const void* f, PieceBody body) {
  const int64_t inner = loops.inner();
  int64_t row = b / inner;
  loops.run(row, (e + inner - 1) / inner, [&](const int64_t* at, int64_t n) {
    body(f, at, std::max<int64_t>(b - row * inner, 0), std::min(e - row * inner, n), row);
    row++;
  });
}
template <int N, class F> void run_elements(const Loops<N>& loops, int64_t b, int64_t e, const F& f) {
  run_pieces(loops, b, e, &f, [](const void* piece, const int64_t* at, int64_t begin, int64_t end, int64_t row) {
    (*static_cast<const F*>(piece))(at, begin, end, row);
  });
}
// Threads share the elements of all rows, `grain` or more each.
template <int N, class F> void share_elements(const Loops<N>& loops, int64_t grain, const F& f) {
  parallel_for(0, loops.rows() * loops.inner(), grain, [&](int64_t b, int64_t e) {
    run_elements(loops, b, e, f);
    stream_fence();
  });
}

// f(at, row) for every index of the first `lead` axes, which all views share: at[k] is where the row of v[k] begins,
// counted from its data, row counts in row-major order. `size`: elements of a row, for the threads.
template <int N, class F> void for_rows(const View* const (&v)[N], int lead, int64_t size, F&& f) {
  const int64_t* strides[N];
  for (int k = 0; k < N; k++) strides[k] = v[k]->strides;
  const Loops<N> loops(lead, v[0]->shape, strides);
  share_elements(loops, std::max<int64_t>(kRowGrain / std::max<int64_t>(size, 1), 1),
                 [&](const int64_t* at, int64_t begin, int64_t end, int64_t row) {
                   for (int64_t i = begin; i < end; i++) {
                     int64_t here[N];
                     for (int k = 0; k < N; k++) here[k] = at[k] + i * loops.step(k);
                     f(here, row * loops.inner() + i);
                   }
                 });
}

}  // namespace fovea::cpu
