// Hooks: when they are called, what they may replace, and that they die with the graph.
#include <memory>

#include "tests/autograd/engine_helpers.h"

using namespace fovea;

namespace {

using Numbers = std::vector<double>;

TEST_CASE("a hook sees the complete gradient, once") {
  NoLeak check;
  Tensor x = leaf({3}), a = x * 2, y = a * a + a;
  std::vector<double> seen;
  a.register_hook([&](const Tensor& g) {
    seen.push_back(g.item());
    return Tensor();
  });
  y.backward();
  CHECK(seen == Numbers{2 * 6 + 1});
  CHECK(x.grad().item() == 2 * (2 * 6 + 1));
}

TEST_CASE("hooks replace gradients, in the order of registration") {
  NoLeak check;
  Tensor x = leaf({3}), a = x * 2, y = a * 5;
  a.register_hook([](const Tensor& g) { return g + 1; });
  a.register_hook([](const Tensor& g) { return g * 10; });
  y.backward();
  CHECK(x.grad().item() == (5 + 1) * 10 * 2);
}

TEST_CASE("a hook on a leaf sees what arrives in one backward, and grad() as well") {
  NoLeak check;
  Tensor x = leaf({3});
  int calls = 0;
  x.register_hook([&](const Tensor& g) {
    calls++;
    return g * 2;
  });
  (x * x + x).backward();
  CHECK(calls == 1);
  CHECK(x.grad().item() == 2 * 7);
  (x * x).backward();
  CHECK(x.grad().item() == 2 * 7 + 2 * 6);
  CHECK(grad({x * 4}, {x})[0].item() == 8);
  CHECK(calls == 3);
}

TEST_CASE("a gradient of another shape or dtype is refused") {
  NoLeak check;
  Tensor x = leaf({3, 4}), y = sum(x);
  x.register_hook([](const Tensor&) { return floats({1, 2, 3}); });
  std::string text = error_of<GradientError>([&] { y.backward(); });
  CHECK(has(
      text,
      "backward: a hook returned [3] f32 (expected the gradient's [2] f32), of a leaf, recorded at engine_helpers.h:"));
  Tensor z = leaf({3});
  z.register_hook([](const Tensor& g) { return g.to(f64); });
  CHECK(has(error_of<GradientError>([&] { (z * 2).backward(); }), "a hook returned [1] f64"));
}

TEST_CASE("hooks die with their node, backward or not") {
  NoLeak check;
  auto alive = std::make_shared<int>(1);
  std::weak_ptr<int> watch = alive;
  {
    Tensor x = leaf({3}), a = x * 2;
    a.register_hook(
        [held = std::move(alive), x](const Tensor&) { return Tensor(); });  // x does not lead to a: no cycle
    CHECK(!watch.expired());
  }
  CHECK(watch.expired());
}

TEST_CASE("a hook that throws stops the run; what was retained can be run again") {
  NoLeak check;
  Tensor x = leaf({3}), w = leaf({2}), a = x * w, y = a * a + w;
  bool stop = true;
  a.register_hook([&](const Tensor&) -> Tensor {
    if (stop) throw ValueError("no more");
    return {};
  });
  CHECK(has(error_of<ValueError>([&] { y.backward({}, true); }), "no more"));
  stop = false;
  x.clear_grad();
  w.clear_grad();
  y.backward();
  CHECK(x.grad().item() == 2 * 6 * 2);
  CHECK(w.grad().item() == 2 * 6 * 3 + 1);
}

TEST_CASE("backward inside a hook, on another graph over the same leaves") {
  NoLeak check;
  Tensor x = leaf({3}), w = leaf({2}), a = x * w, other = x * x;
  a.register_hook([&](const Tensor&) {
    other.backward();
    return Tensor();
  });
  (a * 5).backward();
  CHECK(x.grad().item() == 2 * 5 + 6);
  CHECK(w.grad().item() == 15);
}

TEST_CASE("backward inside a hook on the graph that is being run is refused, and the outer run can be repeated") {
  NoLeak check;
  Tensor x = leaf({3}), a = x * x, y = a * 5;
  bool again = true;
  std::string text;
  a.register_hook([&](const Tensor&) {
    if (again) text = error_of<GradientError>([&] { a.backward({}, true); });
    return Tensor();
  });
  y.backward({}, true);
  CHECK(has(text, "another backward is running on this graph"));
  CHECK(x.grad().item() == 30);
  again = false;
  a.backward();
  CHECK(x.grad().item() == 36);
}

TEST_CASE("ops that a hook runs are recorded with create_graph only") {
  NoLeak check;
  Tensor x = leaf({3}), a = x * x;
  bool recorded = true;
  a.register_hook([&](const Tensor& g) {
    recorded = (x * g).requires_grad();
    return Tensor();
  });
  a.backward({}, true);
  CHECK(!recorded);
  grad({a}, {x}, {}, {.create_graph = true});
  CHECK(recorded);
}

}  // namespace
