// Derivatives outside of the graph, against ones worked out by hand; checkpoint() against the same model without.
#include <algorithm>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "autograd/checkpoint.h"
#include "autograd/function.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "autograd/transforms.h"
#include "core/allocator.h"
#include "tests/helpers.h"

using namespace fovea;

namespace {

using V = std::vector<double>;
using Tensors = std::vector<Tensor>;

Tensor reals(const Shape& s) { return randn(s, {.dtype = f64}); }
double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.defined());
  REQUIRE(b.defined());
  REQUIRE(to_string(a.shape()) == to_string(b.shape()));
  return a.numel() ? amax(abs(a.detach() - b.detach())).item() : 0.0;
}
Tensor vector_of(const std::vector<double>& v) { return Tensor::of(v); }

TEST_CASE("products, jacobians and hessians are those worked out by hand") {
  // f(x, y) = (x0 y, x1^2 + y), with y one number.
  auto f = [](const Tensor& x, const Tensor& y) -> Tensors { return {stack({x[0] * y[0], square(x[1]) + y[0]})}; };
  const Tensors at{vector_of({2, 3}), vector_of({5})};
  auto [y, dx] = vjp(f, at, {vector_of({1, 10})});
  CHECK(y[0].to_vector<double>() == V{10, 14});
  CHECK(dx[0].to_vector<double>() == V{5, 60});
  CHECK(dx[1].to_vector<double>() == V{12});
  CHECK(!dx[0].requires_grad());
  auto [z, dy] = jvp(f, at, {vector_of({1, 100}), vector_of({0.5})});
  CHECK(z[0].to_vector<double>() == V{10, 14});
  CHECK(dy[0].to_vector<double>() == V{6, 600.5});
  auto j = jacobian(f, at);
  CHECK(j[0][0].to_vector<double>() == V{5, 0, 0, 6});
  CHECK(j[0][1].to_vector<double>() == V{2, 1});
  CHECK(to_string(j[0][1].shape()) == "[2,1]");
  auto g = [](const Tensor& x) { return sum(x * x * x) * x[0]; };  // d2/dx0 dx1 = 3 x1^2, ...
  CHECK(hessian(g, vector_of({2, 3})).to_vector<double>() == V{48, 27, 27, 36});
  auto [value, hv] = hvp(g, {vector_of({2, 3})}, {vector_of({1, 2})});
  CHECK(value[0].item() == 70);
  CHECK(hv[0].to_vector<double>() == V{102, 99});
  Tensor identity = jacobian([](const Tensor& x) { return x.transpose(0, 1); }, reals({2, 3}));
  CHECK(to_string(identity.shape()) == "[3,2,2,3]");
  CHECK(sum(identity).item() == 6);
  CHECK(to_string(jacobian([](const Tensor& x) { return exp(x); }, zeros({0, 2})).shape()) == "[0,2,0,2]");
  NoGrad guard;  // it is the functions' business to record
  CHECK(hessian([](const Tensor& x) { return sum(square(x)); }, vector_of({1})).item() == 2);
}

TEST_CASE("what does not depend on an input is zero, or an error with strict") {
  auto f = [](const Tensors& x) -> Tensors { return {sum(x[0] * 2), full({2}, 1.5), floor(sum(x[0]))}; };
  const Tensors at{vector_of({1, 2}), vector_of({3})};
  auto [y, dy] = jvp(f, at, {vector_of({1, 1}), vector_of({1})});
  CHECK(dy[0].item() == 4);
  CHECK(dy[1].to_vector<double>() == V{0, 0});
  CHECK(dy[2].item() == 0);
  CHECK(vjp([](const Tensor& a, const Tensor&) { return sum(a); }, at).second[1].to_vector<double>() == V{0});
  CHECK(jacobian(f, at)[1][1].to_vector<double>() == V{0, 0});
  CHECK(has(error_of<GradientError>([&] {
              vjp(f, at, {full({}, 1), vector_of({1, 1}), full({}, 1)}, {.strict = true});
            }),
            "vjp: output 1 of the function depends on no input at test_transforms.cpp:"));
}

TEST_CASE("with create_graph, derivatives can be differentiated again") {
  Tensor x = vector_of({2, 3}).requires_grad_();
  Tensor v = vector_of({1, 0}).requires_grad_();
  auto cube = [](const Tensor& t) { return t * t * t; };
  Tensor slope = jvp(cube, {x}, {v}, {.create_graph = true}).second[0];  // 3 x^2 v
  auto g = grad({sum(slope)}, {x, v});
  CHECK(g[0].to_vector<double>() == V{12, 0});
  CHECK(g[1].to_vector<double>() == V{12, 27});
  Tensor h = hessian([&](const Tensor& t) { return sum(cube(t)); }, x, {.create_graph = true});  // diagonal 6 x
  CHECK(grad({sum(h)}, {x})[0].to_vector<double>() == V{6, 6});
}

TEST_CASE("what transforms refuse names the line, and errors inside the function keep theirs") {
  auto square_of = [](const Tensor& x) { return x * x; };
  Tensor x = vector_of({1, 2});
  auto check = [](const std::string& text, const std::string& part) {
    CHECK(has(text, part));
    CHECK(has(text, "at test_transforms.cpp:"));
  };
  check(error_of<ShapeError>([&] { vjp(square_of, {x}); }), "vjp: the function gave [2] (expected one number");
  check(error_of<ShapeError>([&] { vjp(square_of, {x}, {vector_of({1})}); }), "cotangent 0 is [1] (expected [2]");
  check(error_of<ValueError>([&] { jvp(square_of, {x}, {}); }), "jvp: 0 tangents for 1 inputs");
  check(error_of<ShapeError>([&] { hessian(square_of, x); }), "hessian: the function gave [2]");
  check(error_of<DTypeError>([&] { jacobian(square_of, Tensor::of<int>({1})); }), "jacobian: input 0 is [1] i32");
  check(error_of<ValueError>([&] { hvp(square_of, {x, x}, {x, x}); }), "2 inputs for a function of 1");
  check(error_of<ShapeError>([&] { jacobian(square_of, zeros({1, 1, 1, 1, 1})); }), "jacobian: ");
  check(error_of<ShapeError>([&] {
          jacobian([&](const Tensor& t) { return matmul(t, t.reshape({1, 2})); }, x);
        }),
        "matmul: inner sizes");
  auto wide = [](const Tensor& t) { return expand(t, {int64_t(1) << 62}); };
  check(error_of<MemoryError>([&] { jacobian(wide, ones({1})); }), "[4611686018427387904] f32 takes more than");
  Tensor many = expand(zeros({1}), {int64_t(1) << 32});
  check(error_of<ShapeError>([&] { hessian([](const Tensor& t) { return sum(t); }, many); }),
        "hessian: shape [4294967296,4294967296] has more than 2^62");
  Function host{.name = "host_square_of_transforms",
                .forward = [](const Tensors& t) { return Tensors{t[0] * t[0]}; },
                .backward = [](Backward& b) { b.add(0, b.g() * b.x(0) * 2); },
                .saves = fovea::in(0)};
  CHECK(has(error_of<GradientError>([&] { jvp([&](const Tensor& t) { return host({t})[0]; }, {x}, {x}); }),
            "cannot be differentiated again"));
}

// A layer with parameters, dropout and nested calls, to be run with and without recomputing.
struct Layer {
  Tensor w, b;
  Generator* generator;
  Tensor operator()(const Tensor& x) const {
    return dropout(tanh(linear(x, w, b)), 0.25, {.generator = generator}) * sigmoid(b);
  }
};

TEST_CASE("a checkpoint's values and gradients are those without it, to the bit and to second order") {
  manual_seed(7);
  Generator generator;
  std::vector<Layer> layers;
  Tensors leaves{reals({4, 3})};
  for (int i = 0; i < 4; i++) {
    leaves.push_back(reals({3, 3})), leaves.push_back(reals({3}));
  }
  for (Tensor& t : leaves) t = t.requires_grad_();
  for (int i = 0; i < 4; i++) layers.push_back({leaves[size_t(2 * i + 1)], leaves[size_t(2 * i + 2)], &generator});
  // Two layers in each outer checkpoint, each in one of its own; the input is captured too, and given twice.
  auto model = [&](bool recompute) {
    generator = {5, 0};
    Tensor x = leaves[0], scale = exp(x);  // captured, with a history
    for (size_t i = 0; i < 4; i += 2) {
      auto pair = [&layers, scale, x, i, recompute](const Tensor& h, const Tensor& same) {
        auto second = [&layers, scale, i](const Tensor& t) { return layers[i + 1](t) * scale; };
        Tensor y = layers[i](h + same * 0.5);
        return recompute ? checkpoint(second, y) + x : second(y) + x;
      };
      x = recompute ? checkpoint(pair, {x, x}) : pair(x, x);
    }
    return x;
  };
  Tensor plain = model(false);
  const Generator after = generator;
  Tensor again = model(true);
  CHECK(generator.counter == after.counter);
  CHECK(distance(plain, again) == 0);
  Tensor g = reals(plain.shape());
  Tensors expected = grad({plain}, leaves, {g}, {.create_graph = true});
  Tensors got = grad({again}, leaves, {g}, {.create_graph = true});
  Tensor a = zeros({}, {.dtype = f64}), b = a;
  for (size_t i = 0; i < leaves.size(); i++) {
    CHECK(distance(expected[i], got[i]) < 1e-13);
    a = a + sum(square(expected[i])), b = b + sum(square(got[i]));
  }
  Tensors second = grad({a}, leaves), second_got = grad({b}, leaves);
  for (size_t i = 0; i < leaves.size(); i++) CHECK(distance(second[i], second_got[i]) < 1e-12);
  model(true).backward(g);  // into leaves
  for (size_t i = 0; i < leaves.size(); i++) CHECK(distance(leaves[i].grad(), expected[i]) < 1e-13);
}

TEST_CASE("a checkpoint holds its inputs only, and its peak is lower") {
  const int64_t n = 1 << 14;
  Tensor x = rand({n}).requires_grad_(), w = rand({n}).requires_grad_();
  const BlockCache& mine = state().blocks;  // other threads of other tests have theirs
  int64_t before = 0, in_forward = 0;
  auto arrays = [&](int64_t bytes) { return (bytes - before) / (n * 4); };
  auto segment = [&](const Tensor& t) {
    Tensor h = t;
    for (int i = 0; i < 16; i++) h = tanh(h * w);
    in_forward = std::max(in_forward, arrays(mine.live));
    return h;
  };
  auto measure = [&](bool recompute, int64_t& held) {
    Tensor h = x;
    reset_peak_memory();
    before = mine.live, in_forward = 0;
    for (int i = 0; i < 8; i++) h = recompute ? checkpoint(segment, h) : segment(h);
    held = arrays(mine.live);
    CHECK(in_forward <= (recompute ? 10 : held));
    sum(h).backward();
    x.clear_grad(), w.clear_grad();
    return arrays(mine.peak);
  };
  int64_t held = 0, held_again = 0;
  const int64_t peak = measure(false, held), peak_again = measure(true, held_again);
  CHECK(held >= 8 * 16);
  CHECK(held_again <= 9);
  CHECK(peak_again < peak / 4);
}

TEST_CASE("several outputs, outputs without a gradient, and inputs passed through") {
  Tensor x = reals({3}).requires_grad_(), w = reals({3}).requires_grad_();
  auto f = [&](const Tensors& in) -> Tensors { return {in[0], in[0] * w, argmax(in[0], 0), in[1], w, full({2}, 3)}; };
  Tensors y = checkpoint(f, {x, Tensor()});
  CHECK(y[0].requires_grad());
  CHECK(!y[2].requires_grad());
  CHECK(!y[3].defined());
  CHECK(!y[5].requires_grad());
  Tensors g = grad({sum(y[0] * 2 + y[1] + y[4] * 5)}, {x, w});
  CHECK(distance(g[0], w + 2) < 1e-15);
  CHECK(distance(g[1], x + 5) < 1e-15);
  CHECK(distance(grad({sum(checkpoint(f, {x, Tensor()})[0])}, {x})[0], ones({3}, {.dtype = f64})) == 0);  // w unused
  NoGrad guard;
  CHECK(!checkpoint(f, {x, Tensor()})[1].requires_grad());
  CHECK(!checkpoint([](const Tensor& t) { return t * 2; }, vector_of({1})).requires_grad());
}

TEST_CASE("hooks inside of a checkpoint are called when it runs again") {
  Tensor x = reals({3}).requires_grad_();
  int calls = 0;
  auto halved = [&](const Tensor& g) {
    calls++;
    return g * 0.5;
  };
  Tensor y = checkpoint(
      [&](const Tensor& t) {
        Tensor z = t * 2;
        z.register_hook(halved);
        t.register_hook(halved);
        return z * 3;
      },
      x);
  sum(y).backward();
  CHECK(calls == 2);
  CHECK(distance(x.grad(), full({3}, 1.5, {.dtype = f64})) == 0);
}

TEST_CASE("what goes wrong in a checkpoint is said, with its line") {
  Tensor x = reals({3}).requires_grad_();
  Array weight = reals({3}).array();
  Tensor w = Tensor(weight).requires_grad_();
  auto check = [](const std::string& text, const std::string& part) {
    CHECK(has(text, part));
    CHECK(has(text, "test_transforms.cpp:"));
  };
  Tensor y = sum(checkpoint([&](const Tensor& t) { return t * w; }, x));
  weight.mutable_data<double>()[0] = 1;
  check(error_of<GradientError>([&] { y.backward(); }), "was overwritten after it was saved");
  int calls = 0;
  Tensor fewer = sum(checkpoint([&](const Tensor& t) { return calls++ ? t * 2 : dropout(t, 0.5); }, x));
  check(error_of<GradientError>([&] { fewer.backward(); }), "drew fewer random numbers when it ran again");
  calls = 0;
  Tensor more = sum(checkpoint([&](const Tensor& t) { return calls++ ? dropout(t, 0.5) : t * 2; }, x));
  check(error_of<GradientError>([&] { more.backward(); }), "drew more random numbers when it ran again");
  calls = 0;
  Tensor other = sum(checkpoint([&](const Tensor& t) { return calls++ ? sum(t) : t * 2; }, x));
  check(error_of<GradientError>([&] { other.backward(); }), "output 0 of the function is [] f64 when it runs again");
  check(error_of<GradientError>([&] { checkpoint([&](const Tensor& t) { return grad({sum(t * t)}, {t})[0]; }, x); }),
        "differentiate outside of it");
  check(error_of<ShapeError>([&] { checkpoint([&](const Tensor& t) { return t + zeros({2}); }, x); }), "add: ");
  Tensor kept;
  checkpoint([&](const Tensor& t) { return kept = t * 2; }, x);
  check(error_of<GradientError>([&] { sum(kept).backward(); }), "it lies inside a checkpoint()");
  Tensor twice = sum(checkpoint([](const Tensor& t) { return t * t; }, x));
  twice.backward({}, true);
  twice.backward();
  CHECK(distance(x.grad(), x * 4) < 1e-15);
  check(error_of<GradientError>([&] { twice.backward(); }), "freed by an earlier backward");
}

}  // namespace
