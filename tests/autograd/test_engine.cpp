// What backward() and grad() promise: sums, freeing, retaining, higher orders, and what is left after a throw.
#include "autograd/op_def.h"
#include "autograd/ops/view.h"
#include "core/random.h"
#include "tests/autograd/engine_helpers.h"

using namespace fovea;

namespace {

using Numbers = std::vector<double>;

TEST_CASE("a tensor used twice gets the sum, as does one given twice to an op") {
  NoLeak check;
  Tensor x = leaf({3}), a = x * x, b = a + a * x;  // x^2 + x^3
  b.backward();
  CHECK(x.grad().item() == 6 + 27);
}

TEST_CASE("two backwards accumulate in leaves; clear_grad starts anew") {
  NoLeak check;
  Tensor x = leaf({2, 5});
  sum(square(x)).backward();
  CHECK(numbers(x.grad()) == Numbers{4, 10});
  Tensor kept = x.grad();
  sum(x * 3).backward();
  CHECK(numbers(x.grad()) == Numbers{7, 13});
  CHECK(numbers(kept) == Numbers{4, 10});  // what the user holds is not added to
  x.clear_grad();
  CHECK(!x.grad().defined());
}

TEST_CASE("gradients of leaves are arrays of their own: dense and shared with nobody") {
  NoLeak check;
  Tensor x = leaf({1, 2}), y = leaf({3, 4}), seed = floats({1, 1});
  (x + y).backward(seed);  // add hands one array to both
  auto alone = [](const Tensor& t) { return t.array().dense() && t.array().storage()->refs.load() == 1; };
  Tensor gx = x.grad(), gy = y.grad();
  CHECK(gx.array().storage() != gy.array().storage());
  CHECK(gx.array().storage() != seed.array().storage());
  CHECK(alone(gx));
  CHECK(alone(gy));
  Tensor z = leaf({1, 2, 3});
  sum(z).backward();  // its gradient is one number seen three times
  CHECK(alone(z.grad()));
  CHECK(numbers(z.grad()) == Numbers{1, 1, 1});
}

TEST_CASE("a graph is freed by its backward, and says so with op and line") {
  NoLeak check;
  Tensor x = leaf({2}), y = exp(x) * x;
  int line = __LINE__ - 1;
  y.backward();
  std::string text = error_of<GradientError>([&] { y.backward(); });
  CHECK(has(text, "freed by an earlier backward"));
  CHECK(has(text, "retain_graph"));
  CHECK(has(text, "of mul, recorded at test_engine.cpp:" + std::to_string(line)));
}

TEST_CASE("retain_graph keeps it, and a second run gives the same") {
  NoLeak check;
  Tensor x = leaf({2}), y = exp(x) * x;
  y.backward({}, true);
  double first = x.grad().item();
  x.clear_grad();
  y.backward({}, true);
  CHECK(x.grad().item() == first);
  y.backward();
  CHECK(x.grad().item() == 2 * first);
}

TEST_CASE("a freed part is found before any leaf is touched") {
  NoLeak check;
  Tensor x = leaf({2}), w = leaf({5}), shared = x * x;
  Tensor first = shared * 3, second = w * 7 + shared;
  first.backward();
  x.clear_grad();
  CHECK(has(error_of<GradientError>([&] { second.backward(); }), "freed"));
  CHECK(!w.grad().defined());
  CHECK(!x.grad().defined());
  CHECK(has(error_of<GradientError>([&] { second.backward(); }), "freed"));  // not "another backward is running"
}

TEST_CASE("what needs no gradient, or more than one number, is refused") {
  Tensor x = leaf({1, 2}), plain = floats({1, 2});
  CHECK(has(error_of<GradientError>([&] { plain.backward(); }), "nothing to differentiate"));
  CHECK(has(error_of<GradientError>([&] { (x * 2).backward(); }), "has 2 elements (expected 1)"));
  CHECK(has(error_of<ShapeError>([&] { (x * 2).backward(floats({1, 2, 3})); }), "cotangent [3] for output [2]"));
  {
    NoGrad guard;
    CHECK(!(x * 2).requires_grad());
  }
  CHECK(!x.detach().requires_grad());
  CHECK(!(x > 0).requires_grad());
}

TEST_CASE("a cotangent of another dtype keeps its history with create_graph") {
  Tensor x = leaf({3, 4}), c = Tensor({1, 2}, {.dtype = f64}).requires_grad_();
  Tensor dx = grad({x * x}, {x}, {c}, {.create_graph = true})[0];
  CHECK(numbers(grad({sum(dx)}, {c})[0]) == std::vector<double>{6, 8});
  CHECK(!grad({x * x}, {x}, {c})[0].requires_grad());
}

TEST_CASE("third derivative of x^4 by grad() with create_graph") {
  NoLeak check;
  Tensor x = full({}, 1.5, {.dtype = f64}).requires_grad_(), y = square(square(x));
  Tensor d1 = grad({y}, {x}, {}, {.create_graph = true})[0];
  Tensor d2 = grad({d1}, {x}, {}, {.create_graph = true})[0];
  Tensor d3 = grad({d2}, {x}, {}, {.create_graph = true})[0];
  CHECK(d1.item() == doctest::Approx(4 * 3.375).epsilon(1e-14));
  CHECK(d2.item() == doctest::Approx(12 * 2.25).epsilon(1e-14));
  CHECK(d3.item() == doctest::Approx(24 * 1.5).epsilon(1e-14));
  CHECK(grad({d3}, {x})[0].item() == doctest::Approx(24).epsilon(1e-14));
  CHECK(!x.grad().defined());
}

TEST_CASE("second order through a derived rule enters the graph at hand only where it should") {
  NoLeak check;
  Tensor x = full({}, 0.7, {.dtype = f64}).requires_grad_();
  auto slope = [](const Tensor& at) { return grad({gelu(at * at)}, {at}, {}, {.create_graph = true})[0]; };
  Tensor d2 = grad({slope(x)}, {x}, {}, {.create_graph = true})[0];
  double h = 1e-5;
  auto slope_at = [&](double v) { return slope(full({}, v, {.dtype = f64}).requires_grad_()).item(); };
  CHECK(d2.item() == doctest::Approx((slope_at(0.7 + h) - slope_at(0.7 - h)) / (2 * h)).epsilon(1e-8));
  Tensor d3 = grad({d2}, {x})[0];
  auto second_at = [&](double v) {
    Tensor at = full({}, v, {.dtype = f64}).requires_grad_();
    return grad({slope(at)}, {at})[0].item();
  };
  CHECK(d3.item() == doctest::Approx((second_at(0.7 + h) - second_at(0.7 - h)) / (2 * h)).epsilon(1e-7));
}

TEST_CASE("backward stores plain arrays, so a gradient does not keep its graph") {
  NoLeak check;
  Tensor x = leaf({2});
  (x * x).backward();
  CHECK(!x.grad().requires_grad());
}

TEST_CASE("grad() of inner tensors, of several outputs, and of what is not reached") {
  NoLeak check;
  Tensor x = leaf({2}), other = leaf({1}), inner = x * 3, y = square(inner), z = inner + x;
  std::vector<Tensor> g = grad({y, z}, {inner, x}, {}, {.retain_graph = true});
  CHECK(g[0].item() == 2 * 6 + 1);
  CHECK(g[1].item() == 3 * (2 * 6 + 1) + 1);
  CHECK(!x.grad().defined());
  CHECK(has(error_of<GradientError>([&] { grad({y}, {other}, {}, {.retain_graph = true}); }),
            "do not depend on input 0"));
  CHECK(!grad({y}, {other}, {}, {.allow_unused = true})[0].defined());
}

TEST_CASE("a root listed twice, and a root behind another") {
  NoLeak check;
  Tensor x = leaf({2}), a = x * x, b = a * 3;
  CHECK(grad({b, a, b}, {x})[0].item() == (3 + 1 + 3) * 4);
}

// An op whose rule throws until it is told not to.
bool rule_throws = false;
int throwing_op() {
  static int id = define_op({.name = "test_throwing",
                             .infer = [](Infer& c) { c.like(0, c.x(0)); },
                             .compose = [](Compose& c) { c.out[0] = c.x(0) * 1; },
                             .gradient = Gradient::backward,
                             .backward =
                                 [](Backward& b) {
                                   if (rule_throws) throw ValueError("the rule's own error");
                                   b.add(0, b.g());
                                 }});
  return id;
}

TEST_CASE("a throw in a rule names the user's line, and leaves the graph usable") {
  NoLeak check;
  Tensor x = leaf({2}), w = leaf({3});
  Tensor middle = fovea::apply(throwing_op(), std::vector<Tensor>{x * x})[0];
  int line = __LINE__ - 1;
  Tensor y = middle * w + middle;
  rule_throws = true;
  std::string text = error_of<ValueError>([&] { y.backward({}, true); });
  CHECK(has(text, "the rule's own error"));
  CHECK(has(text, "test_engine.cpp:" + std::to_string(line)));
  rule_throws = false;
  x.clear_grad();
  w.clear_grad();
  y.backward();
  CHECK(w.grad().item() == 4);      // nothing was left in the slots
  CHECK(x.grad().item() == 4 * 4);  // (w + 1) 2x
}

TEST_CASE("a rule that forgets an input is told so") {
  static int forgets = define_op({.name = "test_forgets",
                                  .infer = [](Infer& c) { c.like(0, c.x(0)); },
                                  .compose = [](Compose& c) { c.out[0] = c.x(0) * 1; },
                                  .gradient = Gradient::backward,
                                  .backward = [](Backward&) {}});
  static int unsaved = define_op({.name = "test_reads_unsaved",
                                  .infer = [](Infer& c) { c.like(0, c.x(0)); },
                                  .compose = [](Compose& c) { c.out[0] = c.x(0) * 1; },
                                  .gradient = Gradient::backward,
                                  .backward = [](Backward& b) { b.add(0, b.g() * b.x(0)); }});
  static int misshapen = define_op({.name = "test_misshapen",
                                    .infer = [](Infer& c) { c.like(0, c.x(0)); },
                                    .compose = [](Compose& c) { c.out[0] = c.x(0) * 1; },
                                    .gradient = Gradient::backward,
                                    .backward =
                                        [](Backward& b) {
                                          b.add(0, floats({1, 2, 3}));
                                        }});
  NoLeak check;
  Tensor x = leaf({2});
  auto run = [&](int id) {
    return error_of<GradientError>([&] { fovea::apply(id, std::vector<Tensor>{x})[0].backward(); });
  };
  CHECK(has(run(forgets),
            "gave no gradient for input 0 and did not say zero(), of test_forgets, recorded at test_engine.cpp"));
  CHECK(has(run(unsaved), "reads input 0, which the row does not keep, of test_reads_unsaved"));
  CHECK(has(run(misshapen), "gradient of shape [3] for input 0 (expected [1])"));
  CHECK(!x.grad().defined());
}

TEST_CASE("dtypes: gradients come back in the dtype of the leaf") {
  NoLeak check;
  Tensor x = leaf({2}), y = x.to(f64) * 3.0;
  y.backward();
  CHECK(x.grad().dtype() == f32);
  CHECK(x.grad().item() == 3);
}

TEST_CASE("broadcasting is summed back, whatever the ranks") {
  NoLeak check;
  Tensor column = full({2, 1}, 3.0).requires_grad_(), row = leaf({1, 2, 3}), number = full({}, 2.0).requires_grad_();
  sum(column * row + number).backward();
  CHECK(numbers(column.grad()) == Numbers{6, 6});
  CHECK(column.grad().shape() == Shape{2, 1});
  CHECK(numbers(row.grad()) == Numbers{6, 6, 6});
  CHECK(number.grad().item() == 6);
}

}  // namespace

// More tensors than the engine lays together at once, each cut at random: slices that meet, overlap, leave gaps, step
// and run backwards, along both axes.
TEST_CASE("slices of leaves, of inner tensors and of targets give the sum of their parts") {
  constexpr int64_t kRows = 7, kColumns = 5;
  uint64_t drawn = 0;
  auto upto = [&](int64_t n) { return int64_t(random_bits(3, 1, drawn++) % uint64_t(n + 1)); };
  for (int round = 0; round < 40; round++) {
    std::vector<Tensor> leaves, cut;
    std::vector<std::vector<double>> expected;
    for (int k = 0; k < 6; k++) {
      leaves.push_back(ones({kRows, kColumns}, {.dtype = f64}).requires_grad_());
      cut.push_back(k % 2 ? leaves.back() : leaves.back() * 1.0);
      expected.emplace_back(size_t(kRows * kColumns), 0.0);
    }
    Tensor loss = zeros({}, {.dtype = f64});
    for (int i = 0, n = int(upto(20)) + 1; i < n; i++) {
      const size_t k = size_t(upto(5));
      const int d = int(upto(1));
      const int64_t size = d ? kColumns : kRows, step = 1 + upto(1) * upto(2), way = upto(2) ? step : -step;
      const int64_t first = upto(size), last = first + upto(size - first);  // in either direction
      const double weight = i + 1;
      std::optional<int64_t> stop = way > 0 ? std::optional(last) : std::nullopt;
      if (way < 0 && first > 0) stop = first - 1;
      loss = loss + sum(slice(cut[k], d, {.start = way > 0 ? first : last, .stop = stop, .step = way})) * weight;
      const Tensor seen = slice(reshape(arange(kRows * kColumns), {kRows, kColumns}), d,
                                {.start = way > 0 ? first : last, .stop = stop, .step = way});
      for (double at : seen.to_vector<double>()) expected[k][size_t(at)] += weight;
    }
    if (round % 2) loss.backward();
    std::vector<Tensor> g = round % 2 ? std::vector<Tensor>() : grad({loss}, leaves, {}, {.allow_unused = true});
    for (size_t k = 0; k < 6; k++) {
      const Tensor mine = round % 2 ? leaves[k].grad() : g[k];
      CHECK((mine.defined() ? mine.to_vector<double>() : std::vector<double>(kRows * kColumns)) == expected[k]);
    }
  }
}
