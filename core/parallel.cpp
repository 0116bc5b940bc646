// Threads behind parallel_for: one team, woken for every region. A waiting thread spins for a moment, so that the next
// region of a busy step costs a microsecond, and then sleeps, so that a machine with other work keeps its CPUs.
#include "core/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

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

// Where a sleeping worker wakes up: not on the CPU that wakes it, which has its own share to do. Left alone, Linux
// takes an idle CPU of a virtual machine for a busy one and puts the worker behind its waker, for milliseconds. Where
// it may run is narrowed while it sleeps, and is as before when it has woken up.
class Bed {
 public:
  template <class F> void sleep(F&& until_woken) {
    sleeper_ = gettid();
    state_.store(State::asleep, std::memory_order_release);
    until_woken();
    State s = State::asleep;
    if (state_.compare_exchange_strong(s, State::awake, std::memory_order_acquire)) return;
    while ((s = state_.load(std::memory_order_acquire)) == State::claimed) pause();
    if (s == State::moved) sched_setaffinity(0, sizeof allowed_, &allowed_);
    state_.store(State::awake, std::memory_order_relaxed);
  }
  // Before the sleeper is woken; `cpu` is the caller's. Once a sleep: it may have been woken and be late.
  void move_from(int cpu) {
    State s = state_.load(std::memory_order_relaxed);
    if (s != State::asleep || !state_.compare_exchange_strong(s, State::claimed, std::memory_order_acquire)) return;
    bool moved = cpu >= 0 && cpu < CPU_SETSIZE && sched_getaffinity(sleeper_, sizeof allowed_, &allowed_) == 0;
    if (moved) {
      cpu_set_t others = allowed_;
      CPU_CLR(size_t(cpu), &others);
      moved = CPU_COUNT(&others) > 0 && sched_setaffinity(sleeper_, sizeof others, &others) == 0;
    }
    state_.store(moved ? State::moved : State::awake, std::memory_order_release);
  }

 private:
  enum class State { awake, asleep, claimed, moved };
  std::atomic<State> state_{State::awake};
  pid_t sleeper_ = 0;
  cpu_set_t allowed_;  // of the sleeper, before it was moved
};

// A call of parallel_for. Its first exception goes to the caller; the others are dropped, as their cause is usually the
// same.
struct Region {
  detail::RangeBody body;
  void* context;
  int64_t begin, end, pieces;
  int threads;
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
  std::exception_ptr error = nullptr;

  void run(int64_t first, int64_t last) {
    const int64_t n = end - begin;
    inside = true;
    try {
      body(context, begin + n * first / pieces, begin + n * last / pieces);
    } catch (...) {
      if (!failed.test_and_set()) error = std::current_exception();
    }
    inside = false;
  }
};

// Kernels keep up to 100 KB on their stack. A worker may come to its first one at any step, so that memory is asked of
// the system when the thread starts.
constexpr size_t kStack = size_t(1) << 18, kPage = 4096;
[[gnu::noinline]] void touch_stack() {
  [[maybe_unused]] volatile char stack[kStack];
  for (size_t i = 0; i < kStack; i += kPage) stack[i] = 0;
}

// Every thread has a share of a region's pieces and takes from its front; who has none left takes from the back of
// another's. So a thread that is late or slow, since a CPU is shared with other programs, delays the region by one
// piece at most, and neighbouring pieces stay on one CPU.
class Team {
 public:
  static constexpr int kMost = 1 << 8;  // threads of a region

  // False: another thread's region is under way, or there are no more threads.
  bool run(Region& region) {
    std::unique_lock lock(busy_, std::try_to_lock);
    if (!lock.owns_lock() || !grow(region.threads - 1)) return false;
    region_ = &region;
    left_.store(uint32_t(region.pieces), std::memory_order_relaxed);
    const uint32_t round = round_.load(std::memory_order_relaxed) + 1;
    threads_.store(region.threads, std::memory_order_relaxed);
    for (int i = 0; i < region.threads; i++)
      share_[i].word.store(Share{round, uint16_t(region.pieces * i / region.threads),
                                 uint16_t(region.pieces * (i + 1) / region.threads)},
                           std::memory_order_release);
    for (int i = 1, cpu = sched_getcpu(); i < region.threads; i++) share_[i].bed.move_from(cpu);
    round_.store(round);
    round_.notify_all();
    work_on(round, 0, region.threads);
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

 private:
  // Pieces first to last of a round that nobody has taken. A thread that comes when the round is over sees another
  // round's number, or nothing left.
  struct Share {
    uint32_t round;
    uint16_t first, last;
  };
  struct alignas(64) Line {
    std::atomic<Share> word{Share{}};
    Bed bed;  // of the thread whose share it is first
  };

  bool grow(int workers) {
    try {
      for (; workers_ < workers; workers_++)
        std::thread([this, me = workers_ + 1, seen = round_.load()] { serve(me, seen); }).detach();
    } catch (const std::system_error&) {
      return false;
    }
    return true;
  }

  void serve(int me, uint32_t seen) {
    touch_stack();
    for (;;) {
      if (!spin([&] { return round_.load(std::memory_order_acquire) != seen; }))
        share_[me].bed.sleep([&] { round_.wait(seen, std::memory_order_acquire); });
      seen = round_.load(std::memory_order_acquire);
      work_on(seen, me, threads_.load(std::memory_order_relaxed));
    }
  }

  // One's own share, then what others have left.
  void work_on(uint32_t round, int me, int threads) {
    for (int i = 0; i < threads && me < threads; i++)
      while (take(round, share_[(me + i) % threads].word, i == 0)) {
      }
  }

  // Runs half of the pieces of a share that are left, the first ones of one's own. The region is looked at only when
  // some of its pieces are taken and not done: until then its caller waits.
  bool take(uint32_t round, std::atomic<Share>& share, bool mine) {
    Share s = share.load(std::memory_order_acquire);
    uint16_t some;
    Share rest;
    do {
      if (s.round != round || s.first == s.last) return false;
      some = uint16_t((s.last - s.first + 1) / 2);
      rest = mine ? Share{round, uint16_t(s.first + some), s.last} : Share{round, s.first, uint16_t(s.last - some)};
    } while (!share.compare_exchange_weak(s, rest, std::memory_order_acq_rel, std::memory_order_acquire));
    if (mine) region_->run(s.first, rest.first);
    else region_->run(rest.last, s.last);
    if (left_.fetch_sub(some) == some) left_.notify_one();
    return true;
  }

  std::mutex busy_;
  int workers_ = 0;
  Region* region_ = nullptr;
  alignas(64) std::atomic<uint32_t> round_{0};  // how many regions there were
  std::atomic<int> threads_{0};                 // of the last one; a thread that is late may read the next one's
  alignas(64) std::atomic<uint32_t> left_{0};   // pieces that are not done
  Line share_[kMost];
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

void detail::run_parallel(int64_t begin, int64_t end, int64_t pieces, RangeBody body, void* context) {
  const int threads = int(std::min<int64_t>({pieces, thread_count(), Team::kMost}));
  pieces = threads * std::min<int64_t>(pieces / threads, 8);  // so that all shares are equal
  Region region{body, context, begin, end, pieces, threads};
#if FOVEA_OPENMP_TEAM
#pragma omp parallel for num_threads(threads) schedule(dynamic, 1)
  for (int64_t piece = 0; piece < region.pieces; piece++) region.run(piece, piece + 1);
#else
  if (!Team::mine()->run(region)) region.run(0, region.pieces);
#endif
  if (region.error) std::rethrow_exception(region.error);
}

}  // namespace fovea
