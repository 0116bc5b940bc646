// Threads behind parallel_for: one team, woken for every region. A waiting thread spins for a moment, so that the next
// region of a busy step costs a microsecond, and then sleeps, so that a machine with other work keeps its CPUs.
#include "core/parallel.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

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

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");
#endif
}

// Spins until done() holds; false where that takes too long. Where two threads of a region share a CPU by the
// scheduler's whim, the one that waits must let the other run, and is moved elsewhere when it is woken.
constexpr int kSpins = 5000;  // some 100 us
template <class F> bool spin(F&& done) {
  for (int i = 0; i < kSpins; i++) {
    if (done()) return true;
    pause();
  }
  return done();
}

// A call of parallel_for, cut in chunks. The first exception goes to the caller; the others are dropped, as their cause
// is usually the same.
struct Region {
  detail::RangeBody body;
  void* context;
  int64_t begin, end, chunks;
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
  std::exception_ptr error = nullptr;

  void run(int64_t chunk) {
    const int64_t n = end - begin;
    inside = true;
    try {
      body(context, begin + n * chunk / chunks, begin + n * (chunk + 1) / chunks);
    } catch (...) {
      if (!failed.test_and_set()) error = std::current_exception();
    }
    inside = false;
  }
};

class Team {
 public:
  // False: another thread's region is under way, or there are no more threads.
  bool run(Region& region) {
    std::unique_lock lock(busy_, std::try_to_lock);
    if (!lock.owns_lock() || !grow(int(region.chunks) - 1)) return false;
    region_ = &region;
    left_.store(uint32_t(region.chunks) - 1, std::memory_order_relaxed);
    round_.store(((round_.load(std::memory_order_relaxed) | kMost) + 1) | uint32_t(region.chunks));
    round_.notify_all();
    region.run(0);
    if (!spin([&] { return left_.load(std::memory_order_acquire) == 0; }))
      while (uint32_t left = left_.load(std::memory_order_acquire)) left_.wait(left, std::memory_order_acquire);
    return true;
  }

  // A child process has none of its parent's threads, so it starts another team. No team is ever freed: its threads
  // wait in it until the process ends.
  static Team*& mine() {
    static Team* team = new Team;
    static const int handler = pthread_atfork(nullptr, nullptr, [] { mine() = new Team; });
    (void)handler;
    return team;
  }
  static constexpr uint32_t kMost = (1 << 12) - 1;  // chunks of a region

 private:
  bool grow(int workers) {
    try {
      for (; workers_ < workers; workers_++)
        std::thread([this, chunk = workers_ + 1, seen = round_.load()] { work(uint32_t(chunk), seen); }).detach();
    } catch (const std::system_error&) {
      return false;
    }
    return true;
  }

  // Whoever has no chunk in a round must not look at the region: nobody waits for him.
  void work(uint32_t chunk, uint32_t seen) {
    for (;;) {
      if (!spin([&] { return round_.load(std::memory_order_acquire) != seen; }))
        round_.wait(seen, std::memory_order_acquire);
      seen = round_.load(std::memory_order_acquire);
      if (chunk >= (seen & kMost)) continue;
      region_->run(chunk);
      if (left_.fetch_sub(1) == 1) left_.notify_one();
    }
  }

  std::mutex busy_;
  int workers_ = 0;
  Region* region_ = nullptr;
  alignas(64) std::atomic<uint32_t> round_{0};  // how many regions there were, and the chunks of the last one
  alignas(64) std::atomic<uint32_t> left_{0};   // workers that have not finished theirs
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
  Region region{body, context, begin, end, std::min<int64_t>(chunks, Team::kMost)};
#if FOVEA_OPENMP_TEAM
#pragma omp parallel for num_threads(int(region.chunks)) schedule(static, 1)
  for (int64_t chunk = 0; chunk < region.chunks; chunk++) region.run(chunk);
#else
  if (!Team::mine()->run(region))
    for (int64_t chunk = 0; chunk < region.chunks; chunk++) region.run(chunk);
#endif
  if (region.error) std::rethrow_exception(region.error);
}

}  // namespace fovea
