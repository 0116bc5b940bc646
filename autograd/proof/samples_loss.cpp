// Samples of losses.
#include "autograd/apply.h"
#include "autograd/ops/loss.h"
#include "autograd/proof/sample.h"

namespace fovea::proof {
namespace {

// Inputs g, input, target, weight, statistic.
void run_cross_entropy(const void* attrs, std::vector<Tensor>& x) {
  x[4] = apply(op::cross_entropy, std::vector<Tensor>{x[1], x[2], x[3]}, attrs)[1];
}

using In = const std::vector<Tensor>&;
using Out = Sample::Outputs;

template <class F> Out each_reduction(F loss) {
  return {loss(Reduction::none), loss(Reduction::mean), loss(Reduction::sum)};
}

// Of numbers, their targets, and what both are where they tie.
void distances(Samples& s) {
  Input ties = exactly({5}, {0.5, -1, 0, 2, -0.25}), tied = exactly({5}, {0.5, -1, 0, 0.5, 1.25});
  auto squares = [](In x) { return each_reduction([&](Reduction r) { return mse_loss(x[0], x[1], {r}); }); };
  auto lengths = [](In x) { return each_reduction([&](Reduction r) { return l1_loss(x[0], x[1], {r}); }); };
  auto huber = [](In x) { return each_reduction([&](Reduction r) { return huber_loss(x[0], x[1], {r, 0.75}); }); };
  auto smooth = [](In x) { return each_reduction([&](Reduction r) { return smooth_l1_loss(x[0], x[1], {r, 0.5}); }); };
  const std::pair<const char*, Sample::Function> all[] = {
      {"mse_loss", squares}, {"l1_loss", lengths}, {"huber_loss", huber}, {"smooth_l1_loss", smooth}};
  for (const auto& [name, loss] : all) {
    s.add(name, {apart({3, 4}), apart({3, 4}, 0.03)}, loss).sums(12);
    s.add(name, {apart({2, 1, 3}), apart({2, 1}, 0.03)}, loss).named("broadcast").sums(12);
    s.add(name, {apart({}), apart({}, 0.03)}, loss).named("0-dim");
    s.add(name, {reals({0, 3}), reals({0, 3})}, loss).named("empty");
    Sample& equal = s.add(name, {ties, tied}, loss).named("ties").sums(5);
    if (name == std::string_view("l1_loss")) equal.at_kink("|0| has every slope in [-1, 1]");
    s.add(name, {exactly({4}, {kNan, kInf, -kInf, 1}), exactly({4}, {0, 1, -kInf, kNan})}, loss)
        .named("special")
        .up_to(0, kForwardOnly);
  }
  auto sharp = [](In x) -> Out { return {smooth_l1_loss(x[0], x[1], {.beta = 0})}; };
  s.add("smooth_l1_loss", {apart({3}), apart({3}, 0.03)}, sharp).named("beta 0").sums(3);
}

void pairs(Samples& s) {
  const char *kinds[] = {"squared", "absolute", "huber", "logits"}, *reductions[] = {"none", "mean", "sum"};
  for (PairLoss kind : {PairLoss::squared, PairLoss::absolute, PairLoss::huber, PairLoss::logits})
    for (Reduction r : {Reduction::none, Reduction::mean, Reduction::sum})
      for (const Shape& shape : {Shape{3, 4}, Shape{1}, Shape{0, 3}}) {
        const PairLossAttrs a{kind, r, 0.75, 2};
        const bool odds = kind == PairLoss::logits;
        Input x = odds ? reals(shape, -3, 3) : apart(shape), t = odds ? reals(shape, 0, 1) : apart(shape, 0.03);
        Input g = r == Reduction::none ? reals(shape) : reals({});
        std::string name = std::string(kinds[int(kind)]) + ", " + reductions[int(r)] + " of " + to_string(shape);
        s.add<op::pair_loss>({x, t}, a).named(name).sums(12).conditioned(2);
        s.add<op::pair_loss_backward>({g, x, t}, a).named(name).sums(12).conditioned(2);
      }
  s.add<op::pair_loss>({reals({300, 200}), reals({300, 200})}).named("threads").sums(300 * 200).threaded();
}

Out log_loss(In x) {
  return each_reduction([&](Reduction r) { return nll_loss(x[0], x[1], {.reduction = r}); });
}
template <int present> Out binary(In x) {
  Tensor weight = present & 1 ? x[2] : Tensor(), positive = present & 2 ? x[3] : Tensor();
  return each_reduction([&](Reduction r) {
    return binary_cross_entropy_with_logits(x[0], x[1], {weight, r, positive});
  });
}
template <int form> Out soft(In x) {
  Tensor weight = form ? Tensor({0.5, 1, 2}, {.like = x[0]}) : Tensor();
  return each_reduction([&](Reduction r) {
    return cross_entropy(x[0], x[1], {.weight = weight, .reduction = r, .label_smoothing = form * 0.25});
  });
}

void likelihoods(Samples& s) {
  Input logs = reals({4, 3}, -3, 0);
  for (Reduction r : {Reduction::none, Reduction::mean, Reduction::sum}) {
    const std::string name = r == Reduction::none ? "rows" : r == Reduction::mean ? "mean" : "sum";
    Input some = exactly({4}, {0, 2, -100, 1}, i64), few = exactly({4}, {0, 2, 1, 1}, i64), weight = reals({3}, 0.5, 2);
    s.add<op::nll_loss>({logs, some, none()}, {-100, r}).named(name + ", one ignored").sums(4);
    s.add<op::nll_loss>({logs, few, weight}, {2, r}).named(name + ", weights").sums(4);
    s.add<op::nll_loss>({logs, exactly({4}, {-100}, i64), none()}, {-100, r}).named(name + ", all ignored");
    s.add<op::nll_loss>({reals({0, 3}), ids({0}, 3), none()}, {-100, r}).named(name + " of nothing");
  }
  s.add<op::nll_loss>({reals({1, 1}), integers({1}, 0, 1, i32), none()}).named("single");
  s.add("nll_loss", {reals({2, 3, 2}, -3, 0), integers({2, 2}, 0, 3, i32)}, log_loss).named("places").sums(4);
  s.add("nll_loss", {reals({3}, -3, 0), ids({}, 3)}, log_loss).named("one row");
  const char* name = "binary_cross_entropy_with_logits";
  Input x = reals({3, 4}, -3, 3), t = reals({3, 4}, 0, 1);
  s.add(name, {x, t}, binary<0>).sums(12).conditioned(2);
  s.add(name, {x, t, reals({4}, 0.5, 2)}, binary<1>).named("weight").sums(12).conditioned(2);
  s.add(name, {x, t, none(), reals({4}, 0.5, 2)}, binary<2>).named("pos_weight").sums(12).conditioned(2);
  s.add(name, {x, t, reals({3, 1}, 0.5, 2), reals({}, 0.5, 2)}, binary<3>).named("both").sums(12).conditioned(2);
  s.add(name, {exactly({4}, {0, 0, 0, 0}), exactly({4}, {0, 1, 0.5, 0.25})}, binary<0>).named("at 0").sums(4);
  s.add(name, {exactly({4}, {60, -60, 60, -60}), exactly({4}, {0, 0, 1, 1})}, binary<0>).named("far").sums(4);
  s.add(name, {reals({}), reals({}, 0, 1)}, binary<0>).named("0-dim");
  s.add(name, {reals({2, 0}), reals({2, 0})}, binary<0>).named("empty");
  s.add("cross_entropy", {reals({4, 3}, -3, 3), reals({4, 3}, 0, 1)}, soft<0>).named("of odds").sums(12).conditioned(4);
  s.add("cross_entropy", {reals({2, 3, 2}, -3, 3), reals({2, 3, 2}, 0, 1)}, soft<1>)
      .named("of odds, weights, smoothed")
      .sums(12)
      .conditioned(4);
  s.add("cross_entropy", {reals({3}), reals({3}, 0, 1)}, soft<0>).named("of odds, one row").sums(3).conditioned(4);
  s.add("cross_entropy", {reals({0, 3}), reals({0, 3})}, soft<0>).named("of odds, nothing");
}

}  // namespace

void detail::loss_samples(Samples& s) {
  auto add = [&](int64_t n, int64_t classes, const Input& target, const CrossEntropyAttrs& a, bool weighted,
                 const std::string& name) {
    Input weight = weighted ? reals({classes}, 0.5, 2) : none();
    s.add<op::cross_entropy>({reals({n, classes}, -3, 3), target, weight}, a)
        .named(name)
        .sums(n * classes)
        .conditioned(4);
    Input g = a.reduction == Reduction::none ? reals({n}) : reals({});
    s.add<op::cross_entropy_backward>({g, reals({n, classes}, -3, 3), target, weight, none()}, a)
        .completed(run_cross_entropy)
        .named(name)
        .sums(n * classes)
        .conditioned(4);
  };
  for (bool weighted : {false, true})
    for (Reduction r : {Reduction::none, Reduction::mean, Reduction::sum}) {
      const char* names[] = {"none", "mean", "sum"};
      std::string name = std::string(names[int(r)]) + (weighted ? ", weights" : "");
      add(4, 5, ids({4}, 5), {-100, r, 0}, weighted, name);
      add(4, 3, exactly({4}, {0, -100, 2, 1}, i64), {-100, r, 0.1}, weighted, name + ", ignored, smoothed");
    }
  add(3, 4, exactly({3}, {0, 2, 3}, i64), {2, Reduction::mean, 0}, false, "a class ignored");
  add(2, 3, exactly({2}, {-100}, i64), {}, false, "all ignored");
  add(1, 1, ids({1}, 1), {}, false, "single");
  add(0, 3, ids({0}, 3), {}, false, "nothing");
  add(0, 3, ids({0}, 3), {-100, Reduction::none, 0}, false, "nothing, none");
  add(2, 4, integers({2}, 0, 4, i32), {}, false, "i32");
  s.add<op::cross_entropy>({reals({200, 300}), ids({200}, 300), none()}).named("threads").sums(300).threaded();
  pairs(s);
  distances(s);
  likelihoods(s);
}

}  // namespace fovea::proof
