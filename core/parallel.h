// parallel_for: the only door to threads. Runs on a team of its own or, by build option, on OpenMP's.
#pragma once
#include <cstdint>
#include <type_traits>

namespace fovea {

int thread_count();            // threads that a parallel_for may use (default: CPUs in the affinity mask)
void set_thread_count(int n);  // ValueError below 1; takes effect at the next parallel_for of any thread

namespace detail {
using RangeBody = void (*)(void* context, int64_t begin, int64_t end);
void run_parallel(int64_t begin, int64_t end, int64_t pieces, RangeBody body, void* context);
bool inside_parallel();
}  // namespace detail

// Calls body(b, e) on pieces that cover [begin, end) once, each of at least `grain` indices. Who takes which piece is
// decided at run time, so results must not depend on where the pieces are cut. The first exception thrown in a piece is
// rethrown here.
// Nested calls run inline, and so does a call while another thread's is under way. A forked child gets a team of its
// own.
template <class F> void parallel_for(int64_t begin, int64_t end, int64_t grain, F&& body) {
  int64_t n = end - begin;
  if (n <= 0) return;
  int64_t most = grain > 1 ? n / grain : n;
  if (most <= 1 || detail::inside_parallel() || thread_count() == 1) return body(begin, end);
  using Body = std::remove_reference_t<F>;
  detail::run_parallel(
      begin, end, most, [](void* f, int64_t b, int64_t e) { (*static_cast<Body*>(f))(b, e); }, (void*)&body);
}

}  // namespace fovea
