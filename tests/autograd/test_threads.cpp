// Graphs and threads: shared leaves, one run per graph at a time, tensors that die elsewhere.
#include <atomic>
#include <thread>

#include "core/device.h"
#include "tests/autograd/engine_helpers.h"

using namespace fovea;

namespace {

template <class F> void on_threads(int n, F f) {
  std::vector<std::thread> all;
  for (int i = 0; i < n; i++) all.emplace_back([&f, i] { f(i); });
  for (std::thread& t : all) t.join();
}

TEST_CASE("backwards of two graphs from two threads over shared leaves add up") {
  NoLeak check;
  Tensor x = leaf({1, 2, 3}), w = full({3}, 2.0).requires_grad_();
  constexpr int rounds = 2000;
  on_threads(2, [&](int i) {
    for (int k = 0; k < rounds; k++) {
      if (i == 0) sum(x * w).backward();
      else sum(x + w * 3).backward();
    }
  });
  CHECK(numbers(x.grad()) == std::vector<double>{3 * rounds, 3 * rounds, 3 * rounds});
  CHECK(numbers(w.grad()) == std::vector<double>{4 * rounds, 5 * rounds, 6 * rounds});
}

TEST_CASE("of two backwards over one graph one runs and the other is refused, or both run in turn") {
  NoLeak check;
  Tensor x = leaf({2}), y = x;
  for (int i = 0; i < 2000; i++) y = y * 1.0f;
  std::atomic<int> refused{0}, done{0}, waiting{2};
  on_threads(2, [&](int) {
    waiting--;
    while (waiting) std::this_thread::yield();
    std::string text = error_of<GradientError>([&] { y.backward({}, true); });
    if (text.empty()) done++;
    else if (has(text, "another backward is running on this graph")) refused++;
  });
  CHECK(done + refused == 2);
  CHECK(done >= 1);
  CHECK(x.grad().item() == done);
}

TEST_CASE("a run that meets another's graph is refused whole") {
  NoLeak check;
  Tensor x = leaf({2}), w = leaf({3}), a = x * x, y = a * 5, z = w * a;
  std::string text;
  a.register_hook([&](const Tensor&) {
    std::thread([&] { text = error_of<GradientError>([&] { z.backward({}, true); }); }).join();
    return Tensor();
  });
  y.backward({}, true);
  CHECK(has(text, "another backward is running on this graph"));
  CHECK(!w.grad().defined());
  CHECK(x.grad().item() == 20);
  z.backward();
  CHECK(w.grad().item() == 4);
}

TEST_CASE("concurrent forwards without recording over shared tensors") {
  NoLeak check;
  Tensor w = full({16, 16}, 0.25).requires_grad_(), x = full({16, 16}, 2.0);
  std::atomic<int> wrong{0};
  on_threads(3, [&](int) {
    NoGrad guard;
    for (int k = 0; k < 500; k++) {
      Tensor y = sum(relu(x * w + w));
      if (y.item() != 256 * 0.75 || y.requires_grad()) wrong++;
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("modes belong to a thread") {
  NoGrad guard;
  bool recorded = false;
  std::thread([&] { recorded = (leaf({1}) * 2).requires_grad(); }).join();
  CHECK(recorded);
}

TEST_CASE("graphs made on one thread and destroyed on another leave nothing behind") {
  int64_t before = memory_stats().live;
  auto round = [] {
    Tensor x = leaf({1}), y = x;
    for (int i = 0; i < 2000; i++) y = y * 1.5f;
    std::thread([moved = std::move(y), leaf = std::move(x)]() mutable { moved = leaf = Tensor(); }).join();
  };
  for (int i = 0; i < 5; i++) round();
  MemoryStats warm = memory_stats();
  for (int i = 0; i < 50; i++) round();
  CHECK(memory_stats().live == before);
  CHECK(memory_stats().reserved <= warm.reserved + (2 << 20));
}

TEST_CASE("200 short threads that train do not pile up memory") {
  auto work = [] {
    Tensor w = full({32, 32}, 0.5).requires_grad_();
    for (int i = 0; i < 3; i++) sum(w * w + w).backward();
  };
  for (int i = 0; i < 5; i++) std::thread(work).join();
  MemoryStats warm = memory_stats();
  for (int i = 0; i < 200; i++) std::thread(work).join();
  CHECK(memory_stats().live == warm.live);
  CHECK(memory_stats().reserved <= warm.reserved + (2 << 20));
}

TEST_CASE("a training-like loop makes no system call once it is warm") {
  Tensor w = full({64, 64}, 0.01).requires_grad_();
  auto step = [&] {
    Tensor x = full({64, 64}, 1.0), y = x;
    for (int i = 0; i < 4; i++) y = gelu(y * w + w);
    sum(y).backward();
    w.clear_grad();
  };
  for (int i = 0; i < 3; i++) step();
  MemoryStats before = memory_stats();
  for (int i = 0; i < 100; i++) step();
  MemoryStats after = memory_stats();
  CHECK(after.system_calls == before.system_calls);
  CHECK(after.live == before.live);
}

}  // namespace
