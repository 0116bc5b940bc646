// Threads behind parallel_for: OpenMP, or standard threads (-Dthreads=std) so that the thread sanitizer sees every
// edge.
#include "core/parallel.h"

#include <atomic>
#include <exception>
#include <thread>
#include <vector>
#if FOVEA_OPENMP
#include <omp.h>
#endif
#include <sched.h>

#include "core/error.h"

namespace fovea {
namespace {

int cpus_allowed() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  int n = int(std::thread::hardware_concurrency());
  return n > 0 ? n : 1;
}

std::atomic<int> threads{0};
thread_local bool inside = false;

// The first exception of a team; the others are dropped, as their cause is usually the same.
class FirstException {
 public:
  void capture() {
    if (!claimed_.test_and_set()) first_ = std::current_exception();
  }
  void rethrow() const {
    if (first_) std::rethrow_exception(first_);
  }

 private:
  std::atomic_flag claimed_ = ATOMIC_FLAG_INIT;
  std::exception_ptr first_;
};

}  // namespace

int thread_count() {
  int n = threads.load(std::memory_order_relaxed);
  if (n == 0) threads.store(n = cpus_allowed(), std::memory_order_relaxed);
  return n;
}

void set_thread_count(int n) {
  if (n < 1) throw ValueError("set_thread_count: " + std::to_string(n) + " threads (expected 1 or more)");
  threads.store(n, std::memory_order_relaxed);
}

bool detail::inside_parallel() { return inside; }

void detail::run_parallel(int64_t begin, int64_t end, int64_t chunks, RangeBody body, void* context) {
  FirstException error;
  int64_t n = end - begin;
  auto piece = [&](int64_t i) {
    inside = true;
    try {
      body(context, begin + n * i / chunks, begin + n * (i + 1) / chunks);
    } catch (...) {
      error.capture();
    }
    inside = false;
  };
#if FOVEA_OPENMP
#pragma omp parallel for num_threads(int(chunks)) schedule(static, 1)
  for (int64_t i = 0; i < chunks; i++) piece(i);
#else
  std::vector<std::jthread> team;
  for (int64_t i = 1; i < chunks; i++) team.emplace_back(piece, i);
  piece(0);
  team.clear();
#endif
  error.rethrow();
}

}  // namespace fovea
