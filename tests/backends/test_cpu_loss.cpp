// Losses of pairs against f64 formulas: every level, tails, sums in pieces, and the same bits for any number of
// threads.
#include <algorithm>

#include "backends/cpu/kernels.h"
#include "backends/cpu/loss.h"
#include "tests/backends/cpu_helpers.h"

#define FOVEA_LOWERED
#define FOVEA_FAMILY "backends/cpu/loss_kernels.inc"
#include "backends/cpu/levels.inc"

using namespace fovea;
using namespace fovea::cpu_test;
using cpu::LossKernels;

namespace {

constexpr PairLoss kKinds[] = {PairLoss::squared, PairLoss::absolute, PairLoss::huber, PairLoss::logits};
constexpr double kDelta = 0.75, kScale = 2;

double term(PairLoss kind, double x, double t) {
  const double d = x - t, a = std::abs(d);
  if (kind == PairLoss::squared) return d * d;
  if (kind == PairLoss::absolute) return a;
  if (kind == PairLoss::huber) return kScale * (a < kDelta ? d * d / 2 : kDelta * (a - kDelta / 2));
  return std::log1p(std::exp(-std::abs(x))) + std::max(x, 0.0) - x * t;
}
double slope(PairLoss kind, double x, double t) {
  const double d = x - t;
  if (kind == PairLoss::squared) return 2 * d;
  if (kind == PairLoss::absolute) return (d > 0) - (d < 0);
  if (kind == PairLoss::huber) return kScale * std::clamp(d, -kDelta, kDelta);
  return 1 / (1 + std::exp(-x)) - t;
}

void check(const LossKernels& k, PairLoss kind) {
  for (int64_t n : {1, 3, 16, 17, 33, 5003}) {
    std::vector<float> x = numbers<float>(n, 1, 3), t = numbers<float>(n, 2), g = numbers<float>(n, 3);
    if (n > 3) x[2] = t[2];
    Guarded<float> y(n), dx(n), one(n);
    const cpu::LossParameters p{kDelta, kScale};
    k.terms(n, x.data(), t.data(), p, y.data());
    k.slopes(n, g.data(), 1, 0.5f, x.data(), t.data(), p, dx.data());
    k.slopes(n, g.data(), 0, 2, x.data(), t.data(), p, one.data());
    double total = 0, worst = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
      const size_t at = size_t(i);
      const double want = term(kind, x[at], t[at]), by_x = slope(kind, x[at], t[at]);
      total += want, size += std::abs(want);
      for (double e : {y[i] - want, dx[i] - 0.5 * g[at] * by_x, one[i] - 2.0 * g[0] * by_x})
        worst = std::abs(e) <= worst ? worst : std::abs(e);
    }
    INFO("kind ", int(kind), " n ", n);
    CHECK(worst <= 4e-6);
    CHECK(std::abs(k.sum(n, x.data(), t.data(), p) - total) <= 1e-6 * size);
    CHECK(!(y.broken() || dx.broken() || one.broken()));
    x[size_t(n - 1)] = NAN;
    k.terms(n, x.data(), t.data(), p, y.data());
    CHECK(std::isnan(y[n - 1]));
    CHECK(std::isnan(k.sum(n, x.data(), t.data(), p)));
  }
}

}  // namespace

TEST_CASE("losses of pairs by the formulas, at every level") {
  for (PairLoss kind : kKinds) {
    at_every_isa([&](cpu::Isa level) { check(cpu::loss_kernels(level, kind), kind); });
    if (cpu::best_isa() >= cpu::Isa::avx2) check(*cpu::lowered::kLossTable[int(kind)], kind);
  }
}

TEST_CASE("a loss of many pairs, in pieces that threads share out") {
  const int64_t n = 100'003;
  std::vector<float> x = numbers<float>(n, 1, 3), t = numbers<float>(n, 2);
  Strided vx(x.data(), f32, {n}, {1}), vt(t.data(), f32, {n}, {1});
  for (PairLoss kind : kKinds)
    for (Reduction r : {Reduction::mean, Reduction::sum}) {
      const PairLossAttrs a{kind, r, kDelta, kScale};
      double want = 0;
      for (size_t i = 0; i < x.size(); i++) want += term(kind, x[i], t[i]);
      if (r == Reduction::mean) want /= double(n);
      std::vector<std::vector<float>> results;
      for (int threads : {1, 2, 3, 7})
        with_threads(threads, [&] {
          Guarded<float> y(1), dx(n);
          float g = 3;
          Strided vy(y.data(), f32, {}, {}), vg(&g, f32, {}, {}), vd(dx.data(), f32, {n}, {1});
          const View *in[] = {&vx.view, &vt.view}, *out[] = {&vy.view};
          Call call{.in = in, .out = out, .inputs = 2, .outputs = 1};
          Scratch scratch(cpu::pair_loss_scratch(call, &a));
          call.scratch = scratch.data();
          CHECK(cpu::pair_loss(call, a));
          const View *back[] = {&vg.view, &vx.view, &vt.view}, *grad[] = {&vd.view};
          CHECK(cpu::pair_loss_backward({.in = back, .out = grad, .inputs = 3, .outputs = 1}, a));
          CHECK(!(y.broken() || dx.broken() || scratch.broken()));
          CHECK(std::abs(double(y[0]) - want) <= 2e-6 * std::abs(want));
          const double by_x = 3 * slope(kind, x[size_t(n - 1)], t[size_t(n - 1)]);
          CHECK(std::abs(double(dx[n - 1]) - (r == Reduction::mean ? by_x / double(n) : by_x)) <= 4e-6);
          results.push_back({dx.data(), dx.data() + n});
          results.back().push_back(y[0]);
        });
      for (auto& result : results) CHECK(same_bits(result, results[0]));
    }
}
