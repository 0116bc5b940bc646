// The watch names the first op that makes a NaN or an infinity; a NaN planted in every op: proof/test_nan_planted.cpp.
#include <limits>

#include "autograd/checkpoint.h"
#include "autograd/function.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/softmax.h"
#include "core/nan_watch.h"
#include "nn/linear.h"
#include "nn/optim/adamw.h"
#include "tests/autograd/engine_helpers.h"

using namespace fovea;

namespace {

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN(),
                 kEndless = std::numeric_limits<double>::infinity();

std::string line_of(int n) { return "test_nan_watch.cpp:" + std::to_string(n); }

TEST_CASE("the forward's first NaN or infinity is named with op, place, inputs and line") {
  NanWatch watch;
  Tensor x = Tensor({{1, 2}, {0, 4}});
  std::string text = error_of<NonFiniteError>([&] { log(x) * 0; });
  CHECK(text == "log: -inf at [1,0] of its result, f32 [2,2], from finite inputs at " + line_of(__LINE__ - 1));
  text = error_of<NonFiniteError>([&] { matmul(x, Tensor({{1, 1}, {1, kNotANumber}})); });
  CHECK(text == "matmul: nan at [0,1] of its result, f32 [2,2], from input 1, f32 [2,2] with nan at [1,1] at " +
                    line_of(__LINE__ - 2));
  CHECK(has(error_of<NonFiniteError>([&] { sqrt(-x); }), "sqrt: nan at [0,0]"));
  CHECK(has(error_of<NonFiniteError>([&] { transpose(x.to(f64) * -1e300 * 1e300, 0, 1); }), "mul: -inf at [0,0]"));
  CHECK(
      has(error_of<NonFiniteError>([&] { return (x * 1e30).to(f16); }), "cast: inf at [0,0] of its result, f16 [2,2]"));
}

TEST_CASE("an infinity that was written is no alarm, what is made of it is") {
  NanWatch watch;
  Tensor scores = Tensor({{1, 2}, {3, 4}}), mask = Tensor({{1, 0}, {0, 0}}).to(boolean);
  Tensor masked = where(mask, scores, -kEndless);
  CHECK(has(error_of<NonFiniteError>([&] { softmax(masked - masked, 1); }), "sub: nan at [0,1] of its result"));
  CHECK(full({2}, kEndless).numel() == 2);
  Tensor nothing = attention(scores.reshape({1, 1, 2, 2}), scores.reshape({1, 1, 2, 2}), scores.reshape({1, 1, 2, 2}));
  CHECK(nothing.numel() == 4);
  Tensor quotient = [&] { return Untold(), scores / 0.0; }();
  CHECK(where(mask, 0, quotient).numel() == 4);  // what it came from was told to nobody
  CHECK(watch.found() == std::nullopt);
}

TEST_CASE("a NaN of the backward is named with the rule, the cotangent and the forward's line") {
  Tensor x = floats({4, 0, 1}).requires_grad_();
  Tensor y = sqrt(x);
  const int line = __LINE__ - 1;
  NanWatch watch;
  std::string text = error_of<NonFiniteError>([&] { sum(y).backward(); });
  const std::string lines = "recorded at " + line_of(line) + " at " + line_of(__LINE__ - 1);
  CHECK(text == "backward: inf at [1] of the gradient of input 0, f32 [3], from a finite cotangent, of sqrt, " + lines);
  CHECK(!x.grad().defined());
  text = error_of<NonFiniteError>([&] { sqrt(x * 2).backward(Tensor({1, 1, kNotANumber})); });
  CHECK(has(text, "from a cotangent, f32 [3] with nan at [2], of sqrt"));
}

TEST_CASE("gradients that overflow where they meet, and updates of parameters") {
  Tensor x = Tensor({1}).requires_grad_(), big = Tensor({3e38f});
  NanWatch watch;
  std::string text = error_of<NonFiniteError>([&] { sum(x * big + x * big).backward(); });
  CHECK(text == "add: inf at [0] of its result, f32 [1], from finite inputs at " + line_of(__LINE__ - 1));

  nn::Linear net(nn::Parent(), 2, 1);
  optim::AdamW adam{net, {.lr = 3e38, .decay_all = true}};
  sum(net(Tensor({1, 1}))).backward();
  text = error_of<NonFiniteError>([&] {
    for (int i = 0; i < 3; i++) adam.step();
  });
  CHECK(has(text, "adamw: "));
  CHECK(has(text, "inf at [0,0] of its result, f32 [1,2], from finite inputs at test_nan_watch.cpp:"));
}

TEST_CASE("modules, functions made of ops, host code and checkpoints are named as the user knows them") {
  struct Net : nn::Module<Net> {
    nn::Linear out{this, "out", 2, 1};
    Tensor forward(const Tensor& x) { return log(out(x) * 0); }
  } net;
  NanWatch watch{{.throws = false}};
  Tensor x = Tensor({{1, 2}});
  net(x);
  REQUIRE(watch.found());
  CHECK(watch.found()->to_string() == "log: -inf at [0,0] of its result, f32 [1,1], from finite inputs");
  CHECK((watch.found()->module == "net" && watch.found()->made && !watch.found()->backward));
  CHECK(watch.found()->where.line() == __LINE__ - 8);

  watch.reset();
  Function host{.name = "host",
                .forward = [](const std::vector<Tensor>& in) { return std::vector<Tensor>{in[0] * 1}; },
                .backward = [](Backward& b) { b.add(0, b.g() / 0.0); }};
  Tensor w = floats({1, 2}).requires_grad_();
  sum(host({w})[0]).backward();
  REQUIRE(watch.found());
  CHECK((watch.found()->op == "div" && !watch.found()->backward));  // the user's line inside

  watch.reset();
  Tensor again = checkpoint([](const Tensor& t) { return sqrt(t - t); }, w);
  const int line = __LINE__ - 1;
  sum(again).backward();
  REQUIRE(watch.found());
  CHECK((watch.found()->op == "sqrt" && watch.found()->backward && int(watch.found()->where.line()) == line));
}

TEST_CASE("both a trace and a watch are told, and nothing is left behind") {
  struct Count : TraceSink {
    int ops = 0;
    void op(const TraceEvent&) override { ops++; }
  } outer, inner;
  {
    TraceScope a(state(), outer);
    NanWatch watch{{.throws = false}};
    TraceScope b(state(), inner);
    log(Tensor({0}));
    CHECK(watch.found());
  }
  CHECK((outer.ops > 0 && outer.ops == inner.ops));
  CHECK((state().mode == kGrad && !state().trace && !state().where && state().rules == 0));
}

TEST_CASE("every dtype, order of memory and size is read to its last element") {
  NanWatch watch{{.throws = false}};
  for (DType t : {f64, f32, bf16, f16})
    for (int64_t n : {1, 5, 63, 64, 65, 1000, 300000})
      for (int64_t at : {int64_t(0), n / 2, n - 1}) {
        INFO(std::string(name_of(t)) << " " << n << " at " << at);
        Tensor x = zeros({n}, {.dtype = t}), bad = where(arange(n) == at, kNotANumber, x);
        watch.reset();
        bad + bad;
        REQUIRE(watch.found());
        CHECK(watch.found()->index == Shape{at});
      }
}

}  // namespace
