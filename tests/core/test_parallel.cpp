// parallel_for: every index once, exceptions carried out, nested calls inline.
#include <doctest/doctest.h>

#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/parallel.h"

using namespace fovea;

namespace {

struct Threads {  // for the test's length
  explicit Threads(int n) : before(thread_count()) { set_thread_count(n); }
  ~Threads() { set_thread_count(before); }
  int before;
};

TEST_CASE("the pieces cover the range once, none below the grain") {
  for (int threads : {1, 2, 3, 7})
    for (int64_t n : {0, 1, 5, 100, 1001})
      for (int64_t grain : {1, 10, 300}) {
        Threads scope(threads);
        CAPTURE(threads);
        CAPTURE(n);
        CAPTURE(grain);
        std::vector<std::atomic<int>> seen(size_t(n) + 1);
        std::atomic<bool> too_small{false};
        parallel_for(10, 10 + n, grain, [&](int64_t b, int64_t e) {
          if (e - b < grain && e - b < n) too_small = true;
          for (int64_t i = b; i < e; i++) seen[size_t(i - 10)]++;
        });
        bool once = true;
        for (int64_t i = 0; i < n; i++) once &= seen[size_t(i)] == 1;
        CHECK(once);
        CHECK(!too_small);
      }
}

TEST_CASE("more than one thread takes part") {
  Threads scope(3);
  std::mutex mutex;
  std::set<std::thread::id> ids;
  for (int round = 0; round < 2000 && ids.size() < 3; round++)
    parallel_for(0, 3, 1, [&](int64_t, int64_t) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));  // so that whoever is asleep comes in time
      std::lock_guard lock(mutex);
      ids.insert(std::this_thread::get_id());
    });
  CHECK(ids.size() == 3);
}

TEST_CASE("what a thread has not begun is done by others, and nobody waits for a thread that never came") {
  Threads scope(2);
  const std::thread::id me = std::this_thread::get_id();
  for (int round = 0; round < 50; round++) {
    std::atomic<int64_t> mine{0}, all{0};
    std::atomic<bool> held{false};
    parallel_for(0, 1000, 1, [&](int64_t b, int64_t e) {
      if (std::this_thread::get_id() == me) mine += e - b;
      else if (!held.exchange(true))  // until this thread's half and half of the other one's are done
        for (int i = 0; i < 2000 && mine < 625; i++) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      all += e - b;
    });
    CHECK(all == 1000);
    CHECK(mine >= (held ? 625 : 1000));
  }
}

#if !FOVEA_OPENMP_TEAM
[[gnu::noinline]] int64_t faults_of_deep_stack() {  // page faults of this thread while it uses 128 KB of its stack
  rusage before, after;
  getrusage(RUSAGE_THREAD, &before);
  [[maybe_unused]] volatile char stack[128 << 10];
  for (size_t i = 0; i < sizeof stack; i += 512) stack[i] = 1;
  getrusage(RUSAGE_THREAD, &after);
  return after.ru_minflt - before.ru_minflt;
}

TEST_CASE("a worker that slept wakes up on another CPU than its waker's, and may run where it might before") {
  cpu_set_t allowed, of_worker;
  REQUIRE(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  if (CPU_COUNT(&allowed) < 2) return;
  Threads scope(2);
  const std::thread::id me = std::this_thread::get_id();
  int apart = 0;
  constexpr int kRounds = 20;
  for (int round = 0; round < kRounds; round++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    std::atomic<int> here{-1}, there{-1};
    parallel_for(0, 2, 1, [&](int64_t, int64_t) {
      const bool mine = std::this_thread::get_id() == me;
      if (!mine) sched_getaffinity(0, sizeof of_worker, &of_worker);
      (mine ? here : there) = sched_getcpu();
      const auto late = std::chrono::steady_clock::now() + std::chrono::seconds(2);
      while ((here < 0 || there < 0) && std::chrono::steady_clock::now() < late) {
      }
    });
    apart += here != there;
    CHECK(CPU_EQUAL(&allowed, &of_worker));
  }
  CHECK(apart > kRounds / 2);
}

TEST_CASE("a worker's stack is there before its first piece") {
  Threads scope(12);  // more than any other test asks for: new threads
  const std::thread::id me = std::this_thread::get_id();
  std::atomic<int64_t> most{-1};
  for (int round = 0; round < 2000 && most < 0; round++)
    parallel_for(0, 12, 1, [&](int64_t, int64_t) {
      if (std::this_thread::get_id() == me) return std::this_thread::sleep_for(std::chrono::microseconds(500));
      const int64_t faults = faults_of_deep_stack();
      for (int64_t old = most; faults > old && !most.compare_exchange_weak(old, faults);) {
      }
    });
  CHECK(most >= 0);
  CHECK(most < 8);  // of 32 pages; the kernel may count some of its own
}
#endif

TEST_CASE("an exception of any piece is rethrown to the caller, with its type and text") {
  for (int threads : {1, 2, 4}) {
    Threads scope(threads);
    CAPTURE(threads);
    for (int64_t bad : {0, 50, 99}) {
      std::string text;
      try {
        parallel_for(0, 100, 1, [&](int64_t b, int64_t e) {
          if (b <= bad && bad < e) throw IndexError("index " + std::to_string(bad));
        });
      } catch (const IndexError& e) {
        text = e.what();
      }
      CHECK(text == "index " + std::to_string(bad));
    }
    CHECK_THROWS_AS(parallel_for(0, 4, 1, [](int64_t, int64_t) { throw std::runtime_error("all of them"); }),
                    std::runtime_error);
    std::atomic<int64_t> sum{0};  // and the team works on
    parallel_for(0, 100, 1, [&](int64_t b, int64_t e) { sum += e - b; });
    CHECK(sum == 100);
  }
}

TEST_CASE("nested calls run inline, also after a throw") {
  Threads scope(2);
  std::atomic<int> inner_pieces{0};
  parallel_for(0, 2, 1, [&](int64_t, int64_t) {
    parallel_for(0, 100, 1, [&](int64_t b, int64_t e) {
      inner_pieces++;
      CHECK(e - b == 100);
    });
  });
  CHECK(inner_pieces == 2);
  CHECK_THROWS(parallel_for(0, 2, 1, [](int64_t, int64_t) { throw 1; }));
  CHECK(!detail::inside_parallel());
}

TEST_CASE("threads that start regions at the same time all get their sums") {
  Threads scope(3);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int caller = 0; caller < 4; caller++)
    callers.emplace_back([&] {
      for (int round = 0; round < 300; round++) {
        std::atomic<int64_t> sum{0};
        parallel_for(0, 100, 1, [&](int64_t b, int64_t e) {
          for (int64_t i = b; i < e; i++) sum += i;
        });
        if (sum != 4950) wrong++;
      }
    });
  for (auto& c : callers) c.join();
  CHECK(wrong == 0);
}

TEST_CASE("threads that fell asleep are woken, also after regions of fewer") {
  std::atomic<int64_t> sum{0};
  auto add = [&](int threads) {
    Threads scope(threads);
    parallel_for(0, 100, 1, [&](int64_t b, int64_t e) { sum += e - b; });
  };
  for (int threads : {4, 2, 2, 4, 1, 3}) {
    add(threads);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    add(threads);
  }
  CHECK(sum == 1200);
}

#if !FOVEA_OPENMP_TEAM && !defined(__SANITIZE_THREAD__)  // which have no threads in such a child
TEST_CASE("a forked child computes with threads of its own") {
  Threads scope(3);
  parallel_for(0, 3, 1, [](int64_t, int64_t) {});
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(20);  // a child that waits for its parent's threads
    std::atomic<int> sum{0};
    parallel_for(0, 100, 1, [&](int64_t b, int64_t e) { sum += int(e - b); });
    _exit(sum == 100 ? 0 : 1);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}
#endif

TEST_CASE("a thread count below one is refused") {
  int before = thread_count();
  CHECK_THROWS_AS(set_thread_count(0), ValueError);
  CHECK_THROWS_AS(set_thread_count(-3), ValueError);
  CHECK(thread_count() == before);
}

}  // namespace
