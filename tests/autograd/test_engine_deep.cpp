// Graphs of millions of nodes on a small stack: sorting, running and releasing never recurse (pytorch#5534, mlx#797).
#include <pthread.h>

#include <exception>

#include "tests/autograd/engine_helpers.h"

using namespace fovea;

namespace {

// Runs f on a thread with a stack of 256 KiB and passes its exception on.
template <class F> void on_small_stack(F f) {
  struct Work {
    F& f;
    std::exception_ptr error;
  } work{f, nullptr};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  REQUIRE(pthread_attr_setstacksize(&attributes, 256 << 10) == 0);
  pthread_t thread;
  auto body = [](void* p) -> void* {
    auto* w = static_cast<Work*>(p);
    try {
      w->f();
    } catch (...) {
      w->error = std::current_exception();
    }
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, body, &work) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  if (work.error) std::rethrow_exception(work.error);
}

void chain(int64_t nodes, bool views, bool differentiate) {
  int64_t before = memory_stats().live;
  double gradient = 0;
  on_small_stack([&] {
    Tensor x = leaf({2}), y = x;
    for (int64_t i = 0; i < nodes; i++) y = views ? view(y, {1}) : -y;
    if (!differentiate) return;
    y.backward();
    gradient = x.grad().item();
  });
  if (differentiate) CHECK(gradient == (views || nodes % 2 == 0 ? 1 : -1));
  CHECK(memory_stats().live == before);
}

// A wide graph: every level uses the one before twice, so that each node waits for two gradients.
void ladder(int64_t levels) {
  on_small_stack([&] {
    Tensor x = leaf({1}), y = x;
    for (int64_t i = 0; i < levels; i++) y = y * 0.5f + y * 0.5f;
    y.backward();
    CHECK(x.grad().item() == 1);
  });
}

TEST_CASE("a chain of 1M nodes: built, differentiated, destroyed") { chain(1000000, false, true); }
TEST_CASE("a chain of 300k nodes destroyed without backward") { chain(300000, false, false); }
TEST_CASE("a chain of 300k views") {
  chain(300000, true, true);
  chain(300000, true, false);
}
TEST_CASE("a ladder of 50k levels") { ladder(50000); }

TEST_CASE("a throw in the middle of a deep graph leaves nothing behind") {
  NoLeak check;
  on_small_stack([] {
    Tensor x = leaf({2}), y = x;
    for (int i = 0; i < 100000; i++) {
      y = -y;
      if (i == 50000) y.register_hook([](const Tensor&) -> Tensor { throw ValueError("stop"); });
    }
    CHECK(has(error_of<ValueError>([&] { y.backward({}, true); }), "stop"));
    CHECK(!x.grad().defined());
  });
}

TEST_SUITE("slow") {
  TEST_CASE("pitfall 40: a chain of 5M nodes, on a stack of 256 KiB, pt#5534, pt#109948, pt#155322, mlx#982") {
    chain(5000000, false, true);
    chain(5000000, false, false);
  }
  TEST_CASE("a chain of 5M views") { chain(5000000, true, true); }
  TEST_CASE("a ladder of 1M levels") { ladder(1000000); }
}

}  // namespace
