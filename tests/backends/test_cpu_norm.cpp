// LayerNorm and embedding of the CPU backend against f64 loops: means far from zero, scales to the ends of f32, every
// level, and the same bits for any number of threads.
#include <algorithm>

#include "backends/cpu/kernels.h"
#include "backends/cpu/norm.h"
#include "tests/backends/cpu_helpers.h"

#define FOVEA_LOWERED
#define FOVEA_FAMILY "backends/cpu/norm_kernels.inc"
#include "backends/cpu/levels.inc"

using namespace fovea;
using namespace fovea::cpu_test;

namespace {

constexpr double kEps = 1e-5;

struct Exact {
  double mean, rstd;
  std::vector<double> y, dx;
};
Exact exact(int64_t n, const float* x, const float* g, const float* w, const float* b) {
  Exact r{0, 0, std::vector<double>(size_t(n)), std::vector<double>(size_t(n))};
  double var = 0, mean_gw = 0, mean_gwh = 0;
  for (int64_t i = 0; i < n; i++) r.mean += x[i] / double(n);
  for (int64_t i = 0; i < n; i++) var += (x[i] - r.mean) * (x[i] - r.mean) / double(n);
  r.rstd = 1 / std::sqrt(var + kEps);
  for (int64_t i = 0; i < n; i++) {
    double h = (x[i] - r.mean) * r.rstd, gw = double(g[i]) * (w ? w[i] : 1);
    r.y[size_t(i)] = h * (w ? w[i] : 1) + (b ? b[i] : 0);
    mean_gw += gw / double(n), mean_gwh += gw * h / double(n);
  }
  for (int64_t i = 0; i < n; i++) {
    double h = (x[i] - r.mean) * r.rstd, gw = double(g[i]) * (w ? w[i] : 1);
    r.dx[size_t(i)] = r.rstd * (gw - mean_gw - h * mean_gwh);
  }
  return r;
}

void check_rows(const cpu::NormKernels<float>& k) {
  struct Scale {
    double mean, spread;
  };
  const std::vector<Scale> scales = {{0, 1},    {100, 1},   {1e4, 1},     {1e4, 1e-3}, {1e7, 1}, {-2000, 1e-3},
                                     {0, 1e30}, {0, 1e-30}, {3e30, 1e30}, {0, 0},      {5, 0},   {0, 3e18}};
  for (int64_t n : {1, 3, 8, 16, 17, 63, 128, 1000, 2100})
    for (const Scale& s : scales)
      for (bool affine : {false, true}) {
        std::vector<float> x = numbers<float>(n, 1), g = numbers<float>(n, 2), w = numbers<float>(n, 3),
                           b = numbers<float>(n, 4);
        for (float& v : x) v = float(s.mean + s.spread * v);
        Guarded<float> y(n), dx(n), dw(n, 0), db(n, 0);
        float mean = 0, rstd = 0;
        const float *weight = affine ? w.data() : nullptr, *bias = affine ? b.data() : nullptr;
        k.layer_norm(n, x.data(), weight, bias, kEps, y.data(), &mean, &rstd);
        k.layer_norm_backward(n, g.data(), x.data(), weight, mean, rstd, dx.data(), dw.data(), db.data());
        Exact want = exact(n, x.data(), g.data(), weight, bias);
        double worst_y = 0, worst_dx = 0, worst_w = 0, size_dx = 0;
        for (int64_t i = 0; i < n; i++) size_dx = std::max(size_dx, want.rstd);
        auto worse = [](double& w, double e) { w = e <= w ? w : e; };
        for (int64_t i = 0; i < n; i++) {
          double h = (x[size_t(i)] - want.mean) * want.rstd;
          worse(worst_y, std::abs(y[i] - want.y[size_t(i)]) / (std::abs(want.y[size_t(i)]) + 1));
          worse(worst_dx, std::abs(dx[i] - want.dx[size_t(i)]) / size_dx);
          worse(worst_w, std::abs(dw[i] - g[size_t(i)] * h) / (std::abs(h) + 1) + std::abs(db[i] - g[size_t(i)]));
        }
        INFO("n ", n, " mean ", s.mean, " spread ", s.spread, " affine ", affine);
        CHECK(std::abs(mean - want.mean) <= 1e-6 * std::abs(want.mean) + 1e-6 * s.spread);
        CHECK(std::abs(rstd - want.rstd) <= 1e-6 * want.rstd);
        CHECK(worst_y <= 2e-6);
        CHECK(worst_dx <= 4e-6);
        CHECK(worst_w <= 2e-6);
        CHECK(!(y.broken() || dx.broken() || dw.broken() || db.broken()));
      }
  std::vector<float> x = numbers<float>(40, 1), y(40);
  x[33] = NAN;
  float mean, rstd;
  k.layer_norm(40, x.data(), nullptr, nullptr, kEps, y.data(), &mean, &rstd);
  CHECK(std::all_of(y.begin(), y.end(), [](float v) { return std::isnan(v); }));
}

struct Grads {
  std::vector<float> y, dx, dw, db;
};
// x [rows, n] through the seam, forward and backward.
Grads run(int64_t rows, int64_t n, std::vector<float>& x, std::vector<float>& g, std::vector<float>& w) {
  Guarded<float> y(rows * n), mean(rows), rstd(rows), dx(rows * n), dw(n), db(n);
  Strided vx(x.data(), f32, {rows, n}, {n, 1}), vg(g.data(), f32, {rows, n}, {n, 1}), vw(w.data(), f32, {n}, {1});
  Strided vy(y.data(), f32, {rows, n}, {n, 1}), vm(mean.data(), f32, {rows}, {1}), vr(rstd.data(), f32, {rows}, {1});
  Strided vdx(dx.data(), f32, {rows, n}, {n, 1}), vdw(dw.data(), f32, {n}, {1}), vdb(db.data(), f32, {n}, {1});
  View absent;
  LayerNormAttrs a{1, kEps};
  const View *in[] = {&vx.view, &vw.view, &absent}, *to[] = {&vy.view, &vm.view, &vr.view};
  Call forward{.in = in, .out = to, .inputs = 3, .outputs = 3};
  CHECK(cpu::layer_norm_accepts(forward, &a));
  CHECK(cpu::layer_norm(forward, a));
  const View *back[] = {&vg.view, &vx.view, &vw.view, &vm.view, &vr.view}, *grads[] = {&vdx.view, &vdw.view, &vdb.view};
  Call backward{.in = back, .out = grads, .inputs = 5, .outputs = 3};
  CHECK(cpu::all_dense(backward, &a));
  Scratch scratch(cpu::layer_norm_backward_scratch(backward, &a));
  backward.scratch = scratch.data();
  CHECK(cpu::layer_norm_backward(backward, a));
  CHECK(
      !(y.broken() || mean.broken() || rstd.broken() || dx.broken() || dw.broken() || db.broken() || scratch.broken()));
  return {{y.data(), y.data() + rows * n},
          {dx.data(), dx.data() + rows * n},
          {dw.data(), dw.data() + n},
          {db.data(), db.data() + n}};
}

}  // namespace

TEST_CASE("rows of LayerNorm at any mean and scale, forward and backward") {
  at_every_isa([&](cpu::Isa level) { check_rows(cpu::norm_kernels<float>(level)); });
}
TEST_CASE("LayerNorm kernels for 512-bit vectors, lowered to AVX2") {
  if (cpu::best_isa() >= cpu::Isa::avx2) check_rows(cpu::lowered::kNormTable<float>);
}

TEST_CASE("LayerNorm of a batch: gradients of weight and bias, bits that do not depend on threads") {
  for (int64_t rows : {0, 1, 5, 33, 768, 3000})
    for (int64_t n : {1, 40, 129}) {
      std::vector<float> x = numbers<float>(rows * n, 1), g = numbers<float>(rows * n, 2), w = numbers<float>(n, 3);
      at_every_isa([&](cpu::Isa) {
        Grads first;
        for (int threads : {1, 2, 3, 7})
          with_threads(threads, [&] {
            Grads r = run(rows, n, x, g, w);
            if (threads == 1) first = r;
            CHECK((same_bits(r.y, first.y) && same_bits(r.dx, first.dx) && same_bits(r.dw, first.dw) &&
                   same_bits(r.db, first.db)));
          });
        std::vector<double> dw(static_cast<size_t>(n)), db(static_cast<size_t>(n));
        int wrong = 0;
        for (int64_t i = 0; i < rows; i++) {
          Exact e = exact(n, &x[size_t(i * n)], &g[size_t(i * n)], w.data(), nullptr);
          for (int64_t j = 0; j < n; j++) {
            size_t k = size_t(i * n + j);
            dw[size_t(j)] += g[k] * (x[k] - e.mean) * e.rstd, db[size_t(j)] += g[k];
            wrong += !(std::abs(first.y[k] - e.y[size_t(j)]) <= 1e-5) +
                     !(std::abs(first.dx[k] - e.dx[size_t(j)]) <= 1e-5 * e.rstd);
          }
        }
        for (size_t j = 0; j < size_t(n); j++)
          wrong += !(std::abs(first.dw[j] - dw[j]) <= 1e-4) + !(std::abs(first.db[j] - db[j]) <= 1e-4);
        INFO("rows ", rows, " n ", n);
        CHECK(wrong == 0);
      });
    }
}

TEST_CASE("embedding: rows by id, gradients summed in order, bad ids reported") {
  for (DType index : {i64, i32})
    for (int64_t width : {1, 16, 37, 128})
      for (int64_t count : {0, 1, 767, 1025}) {
        const int64_t rows = 11;
        std::vector<float> weight = numbers<float>(rows * (width + 3), 1), g = numbers<float>(count * width, 2);
        std::vector<int64_t> ids(static_cast<size_t>(count));
        for (int64_t i = 0; i < count; i++) ids[size_t(i)] = (i * i + 3) % rows;
        std::vector<int32_t> narrow(ids.begin(), ids.end());
        Strided vi(index == i64 ? static_cast<void*>(ids.data()) : narrow.data(), index, {count}, {1});
        Strided vw(weight.data(), f32, {rows, width}, {width + 3, 1}), vg(g.data(), f32, {count, width}, {width, 1});
        std::vector<std::vector<float>> results;
        at_every_isa([&](cpu::Isa) {
          for (int threads : {1, 3, 7})
            with_threads(threads, [&] {
              Guarded<float> y(count * width), dw(rows * width);
              Strided vy(y.data(), f32, {count, width}, {width, 1}), vdw(dw.data(), f32, {rows, width}, {width, 1});
              const View *in[] = {&vi.view, &vw.view}, *to[] = {&vy.view}, *back[] = {&vg.view, &vi.view},
                         *grad[] = {&vdw.view};
              CHECK(cpu::embedding({.in = in, .out = to, .inputs = 2, .outputs = 1}, {}));
              CHECK(cpu::embedding_backward({.in = back, .out = grad, .inputs = 2, .outputs = 1}, {rows, 4}));
              int wrong = y.broken() + dw.broken();
              for (int64_t i = 0; i < count; i++)
                for (int64_t j = 0; j < width; j++)
                  wrong += y[i * width + j] != weight[size_t(ids[size_t(i)] * (width + 3) + j)];
              std::vector<float> sum(size_t(rows * width));
              for (int64_t i = 0; i < count; i++)
                for (int64_t j = 0; j < width && ids[size_t(i)] != 4; j++)
                  sum[size_t(ids[size_t(i)] * width + j)] += g[size_t(i * width + j)];
              wrong += !same_bits(std::vector<float>(dw.data(), dw.data() + rows * width), sum);
              CHECK(wrong == 0);
            });
        });
      }
  std::vector<float> weight(20), y(6);
  std::vector<int64_t> ids = {1, -1, 10};
  Strided vi(ids.data(), i64, {3}, {1}), vw(weight.data(), f32, {10, 2}, {2, 1}), vy(y.data(), f32, {3, 2}, {2, 1});
  const View *in[] = {&vi.view, &vw.view}, *to[] = {&vy.view};
  Fault fault;
  CHECK(cpu::embedding({.in = in, .out = to, .inputs = 2, .outputs = 1, .fault = &fault}, {}));
  CHECK((fault.raised && fault.position == 1 && fault.value == -1 && fault.limit == 10));
}

TEST_CASE("one id a hundred thousand times counts exactly") {
  std::vector<float> g(100000, 1.0f), dw(3);
  std::vector<int64_t> ids(100000, 2);
  Strided vg(g.data(), f32, {100000, 1}, {1, 1}), vi(ids.data(), i64, {100000}, {1}),
      vdw(dw.data(), f32, {3, 1}, {1, 1});
  const View *in[] = {&vg.view, &vi.view}, *to[] = {&vdw.view};
  CHECK(cpu::embedding_backward({.in = in, .out = to, .inputs = 2, .outputs = 1}, {3, -1}));
  CHECK((dw[0] == 0 && dw[1] == 0 && dw[2] == 100000));
}

TEST_CASE("deviations of huge, tiny and far numbers, of few long rows and many short ones") {
  for (auto [rows, n] : {std::pair<int64_t, int64_t>{3, 100'001}, {200, 7}, {64, 40'000}})
    for (auto [unit, far] : {std::pair<float, float>{1, 0}, {1, 1e4f}, {3e38f, 0}, {1e-37f, 0}, {0, 5}}) {
      std::vector<float> x = numbers<float>(rows * n, 1);  // in [-1, 1]
      for (float& v : x) v = v * unit + far;
      x[size_t(n)] = INFINITY;
      Strided vx(x.data(), f32, {rows, n}, {n, 1});
      const VarAttrs a{Shape{-1}, 1, false};
      std::vector<std::vector<float>> results;
      at_every_isa([&](cpu::Isa level) {
        for (int threads : {1, 2, 7})
          with_threads(threads, [&] {
            Guarded<float> deviation(rows), center(rows);
            Strided vd(deviation.data(), f32, {rows}, {1}), vc(center.data(), f32, {rows}, {1});
            const View *in[] = {&vx.view}, *out[] = {&vd.view, &vc.view};
            Call call{.in = in, .out = out, .inputs = 1, .outputs = 2};
            CHECK(cpu::moments_accept(call, &a));
            Scratch scratch(cpu::moments_scratch(call, &a));
            call.scratch = scratch.data();
            CHECK(cpu::std_mean(call, a));
            CHECK(!(deviation.broken() || center.broken() || scratch.broken()));
            if (level == cpu::best_isa()) results.push_back({deviation.data(), deviation.data() + rows});
            int wrong = 0;
            for (int64_t row = 0; row < rows; row++) {
              double mean = 0, squares = 0;
              for (int64_t i = 0; i < n; i++) mean += double(x[size_t(row * n + i)]) / double(n);
              for (int64_t i = 0; i < n; i++) squares += std::pow(double(x[size_t(row * n + i)]) - mean, 2);
              const double want = std::sqrt(squares / double(n - 1));
              if (row == 1) wrong += !(std::isnan(deviation[row]) && center[row] == INFINITY);
              else wrong += !(std::abs(deviation[row] - want) <= 2e-7 * want + 1e-10 * std::abs(mean));
              if (row != 1) wrong += !(std::abs(center[row] - mean) <= 1e-7 * (want + std::abs(mean)));
            }
            CHECK(wrong == 0);
          });
      });
      for (auto& r : results) CHECK(same_bits(r, results[0]));
    }
}

TEST_CASE("norms of few long rows, in pieces that threads share out") {
  const int64_t n = 50'001;
  const double infinity = INFINITY;
  for (double ord : {1.0, 2.0, infinity})
    for (float unit : {1.0f, 1e30f, 1e-30f})
      for (bool nan : {false, true}) {
        std::vector<float> x = numbers<float>(3 * n, 1, unit);
        if (nan) x[size_t(n + 40'000)] = NAN;
        Strided vx(x.data(), f32, {3, n}, {n, 1});
        const VectorNormAttrs a{ord, Shape{-1}, false};
        std::vector<std::vector<float>> results;
        at_every_isa([&](cpu::Isa level) {
          for (int threads : {1, 2, 7})
            with_threads(threads, [&] {
              Guarded<float> y(3);
              Strided vy(y.data(), f32, {3}, {1});
              const View *in[] = {&vx.view}, *out[] = {&vy.view};
              Call call{.in = in, .out = out, .inputs = 1, .outputs = 1};
              CHECK(cpu::vector_norm_accepts(call, &a));
              Scratch scratch(cpu::vector_norm_scratch(call, &a));
              call.scratch = scratch.data();
              CHECK(cpu::vector_norm(call, a));
              CHECK(!(y.broken() || scratch.broken()));
              if (level == cpu::best_isa()) results.push_back({y.data(), y.data() + 3});
              for (int64_t row = 0; row < 3; row++) {
                double want = 0;
                for (int64_t i = 0; i < n; i++) {
                  const double v = std::abs(double(x[size_t(row * n + i)]));
                  want = ord > 2 ? std::max(want, v) : want + (ord == 1 ? v : v * v);
                }
                if (ord == 2) want = std::sqrt(want);
                if (nan && row == 1) CHECK(std::isnan(y[row]));
                else CHECK(std::abs(double(y[row]) - want) <= 2e-7 * want);
              }
            });
        });
        for (auto& r : results) CHECK(same_bits(r, results[0]));
      }
}

TEST_CASE("norms of halves are those of the same numbers in f32, rounded once") {
  auto check = [&]<class S>(DType t, double ord, int64_t rows, int64_t n) {
    std::vector<float> x = numbers<float>(rows * n, 1);
    std::vector<S> kept(x.begin(), x.end());
    x.assign(kept.begin(), kept.end());
    const VectorNormAttrs a{ord, Shape{-1}, false};
    auto run = [&](void* from, DType of, void* to) {
      Strided vx(from, of, {rows, n}, {n, 1}), vy(to, of, {rows}, {1});
      const View *in[] = {&vx.view}, *out[] = {&vy.view};
      Call call{.in = in, .out = out, .inputs = 1, .outputs = 1};
      CHECK(cpu::vector_norm_accepts(call, &a));
      Scratch scratch(cpu::vector_norm_scratch(call, &a));
      call.scratch = scratch.data();
      CHECK(cpu::vector_norm(call, a));
      CHECK(!scratch.broken());
    };
    at_every_isa([&](cpu::Isa) {
      std::vector<float> want(static_cast<size_t>(rows));
      std::vector<S> got(static_cast<size_t>(rows));
      run(x.data(), f32, want.data()), run(kept.data(), t, got.data());
      int wrong = 0;
      for (size_t i = 0; i < got.size(); i++) wrong += !(std::abs(float(got[i]) - want[i]) <= want[i] * 0x1.01p-8f);
      CHECK(wrong == 0);
    });
  };
  for (double ord : {1.0, 2.0, double(INFINITY)})
    for (auto [rows, n] : {std::pair<int64_t, int64_t>{40, 773}, {3, 20'001}, {1, 5}}) {
      check.operator()<BFloat16>(bf16, ord, rows, n);
      if (ord != 1) check.operator()<Float16>(f16, ord, rows, n);
    }
}
