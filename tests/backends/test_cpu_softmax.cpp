// Softmax, log-softmax, cross-entropy and their gradients against f64 formulas: odd sizes, strides, NaN and infinity,
// every level, ignored rows, smoothing, weights, bad targets, and the same bits for any number of threads.
#include <algorithm>

#include "backends/cpu/kernels.h"
#include "backends/cpu/softmax.h"
#include "tests/backends/cpu_helpers.h"

#define FOVEA_LOWERED
#define FOVEA_FAMILY "backends/cpu/softmax_kernels.inc"
#include "backends/cpu/levels.inc"

using namespace fovea;
using namespace fovea::cpu_test;

namespace {

// Rows of probabilities in f64.
std::vector<double> softmax_of(const float* x, int64_t n) {
  double m = -INFINITY, total = 0;
  bool nan = false;
  for (int64_t i = 0; i < n; i++) m = std::max<double>(m, x[i]), nan |= std::isnan(x[i]);
  std::vector<double> p(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; i++) total += p[size_t(i)] = nan ? NAN : std::exp(x[i] - m);
  for (double& v : p) v /= total;
  return p;
}

bool close(double got, double want, double bound, double least = 1e-9) {
  if (std::isnan(want)) return std::isnan(got);
  return got == want || std::abs(got - want) <= bound * std::abs(want) + least;
}

void check_rows(const cpu::SoftmaxKernels<float>& k) {
  for (int64_t n : {1, 2, 7, 16, 17, 31, 32, 65, 1000, 5003})
    for (int special = 0; special < 4; special++) {
      std::vector<float> x = numbers<float>(n, 1, 10), g = numbers<float>(n, 2);
      if (special == 1) x[size_t(n / 2)] = NAN;
      if (special == 2) x[size_t(n / 2)] = INFINITY;
      if (special == 3) x[size_t(n / 2)] = -INFINITY, x[0] = 200;
      std::vector<double> p = softmax_of(x.data(), n);
      Guarded<float> y(n), l(n), dx(n), dl(n);
      k.softmax(n, x.data(), y.data());
      k.log_softmax(n, x.data(), l.data());
      k.softmax_backward(n, g.data(), y.data(), dx.data());
      k.log_softmax_backward(n, g.data(), l.data(), dl.data());
      double dot = 0, total = 0, sum = 0;
      for (int64_t i = 0; i < n; i++)
        dot += g[size_t(i)] * p[size_t(i)], total += g[size_t(i)], sum += std::exp(double(x[size_t(i)]) - 200);
      int wrong = 0;
      for (int64_t i = 0; i < n; i++) {
        double q = p[size_t(i)], s = double(g[size_t(i)]);
        wrong += !close(y[i], q, 2e-6) + !close(l[i], std::log(q), 2e-6, 1e-6);
        wrong += !close(dx[i], q * (s - dot), 1e-5, 1e-6) + !close(dl[i], s - q * total, 1e-5, 1e-6);
      }
      const cpu::ExpSum s = k.exp_sum(n, x.data());
      if (special != 2) wrong += !close(s.largest + std::log(s.sum), special == 1 ? NAN : 200 + std::log(sum), 1e-6);
      INFO("n ", n, " special ", special);
      CHECK(wrong == 0);
      CHECK(!(y.broken() || l.broken() || dx.broken() || dl.broken()));
    }
  float none[3] = {-INFINITY, -INFINITY, -INFINITY};
  CHECK((k.exp_sum(3, none).largest == 0 && k.exp_sum(3, none).sum == 0));
}

// Every column of [n, columns] as a row of its own.
void check_columns(const cpu::SoftmaxKernels<float>& k) {
  for (int64_t n : {1, 5, 1500})
    for (int64_t columns : {1, 3, 16, 37, 64}) {
      const int64_t stride = columns + 5, all = n * stride;
      std::vector<float> x = numbers<float>(all, 1, 10), g = numbers<float>(all, 2);
      if (n > 4) x[size_t(2 * stride)] = NAN, x[size_t(stride + columns / 2)] = -INFINITY;
      Guarded<float> y(all), l(all), dx(all), dl(all),
          by_row[4]{Guarded<float>(n), Guarded<float>(n), Guarded<float>(n), Guarded<float>(n)};
      k.softmax_down(n, columns, stride, x.data(), y.data());
      k.log_softmax_down(n, columns, stride, x.data(), l.data());
      k.softmax_backward_down(n, columns, stride, g.data(), y.data(), dx.data());
      k.log_softmax_backward_down(n, columns, stride, g.data(), l.data(), dl.data());
      int wrong = 0;
      for (int64_t j = 0; j < stride; j++) {
        std::vector<float> column, slope;
        for (int64_t i = 0; i < n; i++)
          column.push_back(x[size_t(i * stride + j)]), slope.push_back(g[size_t(i * stride + j)]);
        k.softmax(n, column.data(), by_row[0].data()), k.log_softmax(n, column.data(), by_row[1].data());
        k.softmax_backward(n, slope.data(), by_row[0].data(), by_row[2].data());
        k.log_softmax_backward(n, slope.data(), by_row[1].data(), by_row[3].data());
        int which = 0;
        for (Guarded<float>* got : {&y, &l, &dx, &dl}) {
          for (int64_t i = 0; i < n; i++) {
            const float v = (*got)[i * stride + j];
            wrong +=
                j < columns ? !close(v, by_row[which][i], 1e-5, 1e-6) : v != -12345;  // between rows nothing is written
          }
          which++;
        }
      }
      INFO("n ", n, " columns ", columns);
      CHECK(wrong == 0);
      CHECK(!(y.broken() || l.broken() || dx.broken() || dl.broken()));
    }
}

struct Loss {
  std::vector<float> loss, dx;
  Fault fault;
};
struct LossCase {
  int64_t rows, classes;
  Reduction reduction;
  double smoothing;
  bool weighted;
  DType index = i64;
};

Loss run(const LossCase& c, const std::vector<float>& x, const std::vector<int64_t>& target,
         const std::vector<float>& w) {
  std::vector<int32_t> narrow(target.begin(), target.end());
  int64_t losses = c.reduction == Reduction::none ? c.rows : 1;
  Guarded<float> loss(losses), dx(c.rows * c.classes);
  Guarded<double> kept(2 * c.rows);
  std::vector<float> g = numbers<float>(losses, 9);
  auto outer = c.reduction == Reduction::none ? std::vector<int64_t>{c.rows} : std::vector<int64_t>{};
  auto step = c.reduction == Reduction::none ? std::vector<int64_t>{1} : std::vector<int64_t>{};
  Strided vx(const_cast<float*>(x.data()), f32, {c.rows, c.classes}, {c.classes + 2, 1});
  Strided vt(c.index == i64 ? static_cast<void*>(const_cast<int64_t*>(target.data())) : narrow.data(), c.index,
             {c.rows}, {1});
  Strided vw(const_cast<float*>(w.data()), f32, {c.classes}, {1}), vg(g.data(), f32, outer, step);
  Strided vl(loss.data(), f32, outer, step), vs(kept.data(), f64, {c.rows, 2}, {2, 1});
  Strided vd(dx.data(), f32, {c.rows, c.classes}, {c.classes, 1});
  View absent;
  CrossEntropyAttrs a{-100, c.reduction, c.smoothing};
  Loss out;
  const View* weight = c.weighted ? &vw.view : &absent;
  const View *in[] = {&vx.view, &vt.view, weight}, *to[] = {&vl.view, &vs.view};
  Call forward{.in = in, .out = to, .inputs = 3, .outputs = 2, .fault = &out.fault};
  Scratch scratch(cpu::cross_entropy_scratch(forward, &a));
  forward.scratch = scratch.data();
  CHECK(cpu::cross_entropy(forward, a));
  const View *back[] = {&vg.view, &vx.view, &vt.view, weight, &vs.view}, *grad[] = {&vd.view};
  CHECK(cpu::cross_entropy_backward({.in = back, .out = grad, .inputs = 5, .outputs = 1, .fault = &out.fault}, a));
  CHECK(!(loss.broken() || kept.broken() || dx.broken() || scratch.broken()));
  out.loss.assign(loss.data(), loss.data() + losses);
  out.dx.assign(dx.data(), dx.data() + c.rows * c.classes);
  return out;
}

}  // namespace

TEST_CASE("rows of softmax and log-softmax, forward and backward") {
  at_every_isa([&](cpu::Isa level) { check_rows(cpu::softmax_kernels<float>(level)); });
  at_every_isa([&](cpu::Isa level) { check_columns(cpu::softmax_kernels<float>(level)); });
}
TEST_CASE("softmax along an axis in the middle, by threads") {
  const int64_t shape[] = {3, 40, 170};
  std::vector<float> x = numbers<float>(3 * 40 * 170, 1, 5);
  Strided vx(x.data(), f32, {3, 40, 170}, {6800, 170, 1});
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 7})
    with_threads(threads, [&] {
      Guarded<float> y(3 * 40 * 170);
      Strided vy(y.data(), f32, {3, 40, 170}, {6800, 170, 1});
      const View *in[] = {&vx.view}, *out[] = {&vy.view};
      const Call call{.in = in, .out = out, .inputs = 1, .outputs = 1};
      const DimAttrs a{-2};
      CHECK(cpu::softmax_accepts(call, &a));
      CHECK(cpu::softmax(call, a));
      CHECK(!y.broken());
      results.push_back({y.data(), y.data() + 3 * 40 * 170});
    });
  for (auto& r : results) CHECK(same_bits(r, results[0]));
  for (int64_t i : {0, 2})
    for (int64_t j : {0, 63, 64, 169}) {
      double total = 0;
      for (int64_t k = 0; k < shape[1]; k++) total += results[0][size_t((i * 40 + k) * 170 + j)];
      CHECK(std::abs(total - 1) < 1e-5);
    }
}
TEST_CASE("softmax kernels for 512-bit vectors, lowered to AVX2") {
  if (cpu::best_isa() >= cpu::Isa::avx2)
    check_rows(cpu::lowered::kSoftmaxTable<float>), check_columns(cpu::lowered::kSoftmaxTable<float>);
}

TEST_CASE("softmax through the seam, leading axes in any order") {
  std::vector<float> x = numbers<float>(1000, 3, 4);
  at_every_isa([&](cpu::Isa) {
    Guarded<float> out(1000);
    Strided vx(x.data(), f32, {4, 5, 9}, {13, 52, 1}), vy(out.data(), f32, {4, 5, 9}, {45, 9, 1});
    const View *in[] = {&vx.view}, *to[] = {&vy.view};
    DimAttrs a{2};
    Call c{.in = in, .out = to, .inputs = 1, .outputs = 1};
    CHECK(cpu::last_axis(c, &a));
    CHECK(cpu::softmax(c, a));
    int wrong = 0;
    for (int64_t i = 0; i < 4; i++)
      for (int64_t j = 0; j < 5; j++) {
        std::vector<double> p = softmax_of(&x[size_t(i * 13 + j * 52)], 9);
        for (int64_t k = 0; k < 9; k++) wrong += !close(out[i * 45 + j * 9 + k], p[size_t(k)], 2e-6);
      }
    CHECK(wrong == 0);
    CHECK(!out.broken());
    a.dim = 1;
    CHECK(!cpu::last_axis(c, &a));
  });
}

TEST_CASE("cross-entropy and its gradient with every option") {
  for (int64_t classes : {1, 5, 65, 1003})
    for (Reduction r : {Reduction::none, Reduction::mean, Reduction::sum})
      for (double e : {0.0, 0.1})
        for (bool weighted : {false, true}) {
          LossCase c{37, classes, r, e, weighted, weighted ? i32 : i64};
          std::vector<float> x = numbers<float>(c.rows * (classes + 2), 4, 8), w = numbers<float>(classes, 5);
          for (float& v : w) v = std::abs(v) + 0.1f;
          std::vector<int64_t> target(size_t(c.rows));
          for (int64_t i = 0; i < c.rows; i++) target[size_t(i)] = i % 5 == 3 ? -100 : (i * 7) % classes;
          for (int64_t k = 0; k < classes; k++) x[size_t(3 * (classes + 2) + k)] = NAN;  // an ignored row
          for (int64_t k = 0; k < classes; k++)
            x[size_t(4 * (classes + 2) + k)] += 1e5f;  // a log-sum-exp would have few digits
          std::vector<float> g = numbers<float>(r == Reduction::none ? c.rows : 1, 9);
          // In f64.
          double divisor = 0, total = 0, sum = 0;
          auto weight = [&](int64_t k) { return weighted ? double(w[size_t(k)]) : 1; };
          for (int64_t k = 0; k < classes; k++) total += weight(k);
          for (int64_t t : target) divisor += t < 0 ? 0 : weight(t);
          if (r != Reduction::mean) divisor = 1;
          std::vector<double> losses(size_t(c.rows)), dx(size_t(c.rows * classes));
          for (int64_t i = 0; i < c.rows; i++) {
            int64_t t = target[size_t(i)];
            if (t < 0) continue;
            const float* row = &x[size_t(i * (classes + 2))];
            std::vector<double> p = softmax_of(row, classes);
            double scale = g[r == Reduction::none ? size_t(i) : 0] / divisor;
            for (int64_t k = 0; k < classes; k++) {
              losses[size_t(i)] +=
                  -std::log(p[size_t(k)]) * ((k == t) * (1 - e) * weight(t) + e / double(classes) * weight(k));
              dx[size_t(i * classes + k)] = scale * ((1 - e) * weight(t) * (p[size_t(k)] - (k == t)) +
                                                     e / double(classes) * (p[size_t(k)] * total - weight(k)));
            }
            sum += losses[size_t(i)];
          }
          if (r != Reduction::none) losses = {sum / divisor};
          at_every_isa([&](cpu::Isa) {
            Loss got = run(c, x, target, w);
            int wrong = got.fault.raised;
            for (size_t i = 0; i < losses.size(); i++) wrong += !close(got.loss[i], losses[i], 2e-6, 2e-6);
            for (size_t i = 0; i < dx.size(); i++) wrong += !(std::abs(got.dx[i] - dx[i]) <= 2e-6);
            INFO("classes ", classes, " reduction ", int(r), " smoothing ", e, " weighted ", weighted);
            CHECK(wrong == 0);
          });
        }
}

TEST_CASE("all targets ignored: loss 0 and gradient 0; a target out of range is reported with its place") {
  LossCase c{6, 10, Reduction::mean, 0.1, false};
  std::vector<float> x = numbers<float>(100, 6);
  Loss none = run(c, x, std::vector<int64_t>(6, -100), {});
  CHECK(none.loss[0] == 0);
  CHECK(std::all_of(none.dx.begin(), none.dx.end(), [](float v) { return v == 0; }));
  for (int64_t bad : {-4, 10, 1 << 20}) {
    Loss got = run(c, x, {0, 1, 2, 3, bad, 5}, {});
    CHECK(got.fault.raised);
    CHECK(got.fault.position == 4);
    CHECK(got.fault.value == bad);
    CHECK(got.fault.limit == 10);
  }
}

TEST_CASE("cross-entropy has the same bits for any number of threads") {
  LossCase c{800, 300, Reduction::mean, 0.1, true};
  std::vector<float> x = numbers<float>(c.rows * (c.classes + 2), 4, 8), w = numbers<float>(c.classes, 5);
  std::vector<int64_t> target(800);
  for (int64_t i = 0; i < c.rows; i++) target[size_t(i)] = i % 300;
  std::vector<Loss> all;
  for (int threads : {1, 2, 3, 7}) with_threads(threads, [&] { all.push_back(run(c, x, target, w)); });
  for (Loss& l : all) CHECK((same_bits(l.loss, all[0].loss) && same_bits(l.dx, all[0].dx)));
}
