// Samples of ops that draw. The draw, seed and number, is an input, so every run sees the same one.
#include "autograd/ops/random.h"
#include "autograd/proof/sample.h"

namespace fovea::proof {
namespace {

using In = const std::vector<Tensor>&;
using Out = Sample::Outputs;

// With a generator of their own. The odds are few bits, so that every dtype draws the same.
void places(Samples& s) {
  constexpr const char* kDraws = "the results are draws";
  Input odds = exactly({3, 4}, {0, 0.25, 0.5, 1}), logits = exactly({3, 4}, {0, -1, 1.5, -kInf});
  auto truths = [](In x) -> Out {
    Generator g{7, 1};
    return {bernoulli(x[0], &g)};
  };
  auto several = [](In x) -> Out {
    Generator g{7, 1};
    return {multinomial(x[0], 2, {.generator = &g}), multinomial(x[0], 5, {.replacement = true, .generator = &g})};
  };
  auto one = [](In x) -> Out {
    Generator g{7, 1};
    return {categorical(x[0], &g)};
  };
  s.add("bernoulli", {odds}, truths).up_to(0, kDraws);
  s.add("bernoulli", {exactly({}, {0.5})}, truths).named("0-dim").up_to(0, kDraws);
  s.add("bernoulli", {reals({0, 2}, 0, 1)}, truths).named("empty").up_to(0, kDraws);
  s.add("multinomial", {odds}, several).up_to(0, kDraws);
  s.add("multinomial", {exactly({3}, {1, 2, 0})}, several).named("one row").up_to(0, kDraws);
  s.add("multinomial", {reals({0, 3}, 0, 1)}, several).named("no rows").up_to(0, kDraws);
  s.add("categorical", {logits}, one).up_to(0, kDraws);
  s.add("categorical", {exactly({2}, {0, 1})}, one).named("one row").up_to(0, kDraws);
  s.add("categorical", {reals({2, 0, 3})}, one).named("no rows").up_to(0, kDraws);
}

}  // namespace

void detail::random_samples(Samples& s) {
  for (double p : {0.5, 0.1, 0.0, 1.0})
    s.add<op::dropout>({reals({4, 5}), exactly({2}, {7, 3}, i64)}, {p}).named("p = " + std::to_string(p).substr(0, 3));
  s.add<op::dropout>({reals({}), exactly({2}, {1, 0}, i64)}, {0.5}).named("0-dim");
  s.add<op::dropout>({reals({1}), exactly({2}, {1, 0}, i64)}, {0.5}).named("single");
  s.add<op::dropout>({reals({3, 0}), exactly({2}, {1, 0}, i64)}, {0.5}).named("empty");
  s.add<op::dropout>({reals({80, 700}), exactly({2}, {1, 5}, i64)}, {0.3}).named("threads").threaded();
  for (int64_t n : {0, 1, 2, 37, 1000}) s.add<op::randperm>({exactly({2}, {7, 3}, i64)}, {n}).named(std::to_string(n));
  s.add<op::randperm>({exactly({2}, {1, 5}, i64)}, {40000}).named("threads").threaded();
  places(s);
}

}  // namespace fovea::proof
