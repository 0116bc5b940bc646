// Host-code ops: what they record, keep and refuse.
#include <algorithm>
#include <memory>

#include "autograd/function.h"
#include "tests/autograd/engine_helpers.h"

using namespace fovea;

namespace {

using Numbers = std::vector<double>;

// x^3, forward in plain C++.
std::vector<Tensor> cube(const std::vector<Tensor>& in) {
  std::vector<double> v = in[0].to_vector<double>();
  for (double& x : v) x = x * x * x;
  return {Tensor::of(v, in[0].shape()).to(in[0].dtype())};
}

TEST_CASE("forward in host code, backward by a lambda that captures") {
  NoLeak check;
  double factor = 3;
  Function f{.name = "test_cube",
             .forward = cube,
             .backward = [factor](Backward& b) { b.add(0, b.g() * square(b.x(0)) * factor); },
             .saves = in(0)};
  Tensor x = leaf({1, 2, -3}), y = f({x})[0];
  CHECK(numbers(y) == Numbers{1, 8, -27});
  CHECK(y.requires_grad());
  sum(y * 2).backward();
  CHECK(numbers(x.grad()) == Numbers{6, 24, 54});
}

TEST_CASE("state of one call: captured by forward and backward alike") {
  NoLeak check;
  auto sorted = [](const Tensor& x) {
    auto order = std::make_shared<std::vector<int64_t>>();
    Function f{.name = "test_descending",
               .forward =
                   [order](const std::vector<Tensor>& in) {
                     std::vector<float> v = in[0].to_vector<float>(), out;
                     for (size_t i = 0; i < v.size(); i++) order->push_back(int64_t(i));
                     std::sort(order->begin(), order->end(),
                               [&](int64_t a, int64_t b) { return v[size_t(a)] > v[size_t(b)]; });
                     for (int64_t i : *order) out.push_back(v[size_t(i)]);
                     return std::vector{Tensor::of(out, in[0].shape()), Tensor::of(*order, in[0].shape())};
                   },
               .backward =
                   [order](Backward& b) {
                     std::vector<float> g = b.g().to_vector<float>(), dx(g.size());
                     for (size_t i = 0; i < g.size(); i++) dx[size_t((*order)[i])] = g[i];
                     b.add(0, Tensor::of(dx, b.shape(0)));
                   }};
    return f({x});
  };
  Tensor x = leaf({5, 9, 7});
  std::vector<Tensor> y = sorted(x);
  CHECK(numbers(y[0]) == Numbers{9, 7, 5});
  CHECK(numbers(y[1]) == Numbers{1, 2, 0});
  CHECK(!y[1].requires_grad());  // integers have no gradient
  sum(y[0] * floats({1, 10, 100})).backward();
  CHECK(numbers(x.grad()) == Numbers{100, 1, 10});
}

TEST_CASE("several inputs and outputs; missing cotangents are undefined; needs() tells what is wanted") {
  NoLeak check;
  bool needed[2] = {}, arrived[2] = {};
  Function f{.name = "test_pair",
             .forward =
                 [](const std::vector<Tensor>& in) {
                   return std::vector{in[0] + in[1], in[0] * in[1]};
                 },
             .backward =
                 [&](Backward& b) {
                   for (int i : {0, 1}) needed[i] = b.needs(i), arrived[i] = b.g(i).defined();
                   b.add(0, b.g(1) * b.x(1));
                   b.zero(1);
                 },
             .saves = in(0) | in(1)};
  Tensor x = leaf({2}), c = floats({5});
  f({x, c})[1].backward();
  CHECK(x.grad().item() == 5);
  CHECK((needed[0] && !needed[1]));
  CHECK((!arrived[0] && arrived[1]));
}

Function cube_function(bool twice) {
  return {.name = "test_cube",
          .forward = cube,
          .backward = [](Backward& b) { b.add(0, b.g() * square(b.x(0)) * 3); },
          .saves = in(0),
          .differentiable_twice = twice};
}

TEST_CASE("a second derivative is refused, unless the backward is said to be written on tensors") {
  NoLeak check;
  Tensor x = leaf({2}), y = cube_function(false)({x})[0];
  std::string text = error_of<GradientError>([&] { grad({y}, {x}, {}, {.create_graph = true}); });
  CHECK(has(text, "cannot be differentiated again"));
  CHECK(has(text, "test_function.cpp"));
  Tensor z = cube_function(true)({x})[0];
  Tensor d = grad({z}, {x}, {}, {.create_graph = true})[0];
  CHECK(d.item() == 12);
  CHECK(grad({d}, {x})[0].item() == 12);
}

TEST_CASE("its errors name it and the user's line") {
  NoLeak check;
  Tensor x = leaf({2});
  Function silent = cube_function(false), misshapen = silent, wrong = silent;
  silent.name = "test_silent";
  silent.backward = [](Backward&) {};
  Tensor y = silent({x})[0];
  int line = __LINE__ - 1;
  std::string text = error_of<GradientError>([&] { y.backward(); });
  CHECK(
      has(text, "gave no gradient for input 0 and did not say zero(), of test_silent, recorded at test_function.cpp:" +
                    std::to_string(line)));
  misshapen.name = "test_shape";
  misshapen.backward = [](Backward& b) { b.add(0, floats({1, 2})); };
  CHECK(has(error_of<GradientError>([&] { misshapen({x})[0].backward(); }), "gradient of shape [2] for input 0"));
  wrong.name = "test_wrong";
  wrong.forward = [](const std::vector<Tensor>&) { return std::vector<Tensor>{}; };
  CHECK(has(error_of<ValueError>([&] { wrong({x}); }), "test_wrong: 0 outputs of its forward (expected 1 to 8)"));
  wrong.name = "add";
  wrong.forward = cube;
  CHECK(has(error_of<ValueError>([&] { wrong({x}); }), "add exists already"));
}

TEST_CASE("what it saves is guarded against writes") {
  NoLeak check;
  Tensor x = leaf({2}), y = cube_function(false)({x})[0];
  Array to = x.array();
  *to.mutable_data<float>() = 7;
  CHECK(has(error_of<GradientError>([&] { y.backward(); }), "input 0 was overwritten after it was saved"));
}

TEST_CASE("what it captures dies with the graph, freed or destroyed; without recording it is not kept at all") {
  NoLeak check;
  std::weak_ptr<int> watch;
  auto make = [&](const Tensor& x) {
    auto held = std::make_shared<int>(1);
    watch = held;
    Function f = cube_function(false);
    f.backward = [held](Backward& b) { b.add(0, b.g()); };
    return f({x})[0];
  };
  Tensor x = leaf({2});
  {
    Tensor y = make(x);
    CHECK(!watch.expired());
    y.backward();
    CHECK(watch.expired());  // although y lives
    CHECK(has(error_of<GradientError>([&] { y.backward(); }), "freed"));
  }
  { Tensor y = make(x); }
  CHECK(watch.expired());
  Tensor y = make(floats({2}));
  CHECK(watch.expired());
  CHECK(!y.requires_grad());
  NoGrad guard;
  CHECK(!make(x).requires_grad());
}

}  // namespace
