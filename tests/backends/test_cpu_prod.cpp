// Gradients of products against the products of the others, one by one: rows and columns, zeros, NaN, products that
// leave f32 and f64, every level, and the same bits for any number of threads.
#include <algorithm>

#include "backends/cpu/kernels.h"
#include "backends/cpu/prod.h"
#include "tests/backends/cpu_helpers.h"

#define FOVEA_LOWERED
#define FOVEA_FAMILY "backends/cpu/prod_kernels.inc"
#include "backends/cpu/levels.inc"

using namespace fovea;
using namespace fovea::cpu_test;

namespace {

// Numbers near `size`, both signs; column 1 has a zero, column 2 two, column 3 a NaN.
std::vector<float> factors(int64_t n, int64_t columns, int64_t stride, double size) {
  std::vector<float> x = numbers<float>(n * stride, 1);
  for (float& v : x) v = float(size * (1 + v / 4) * (v * 8 - std::floor(v * 8) < 0.5 ? -1 : 1));
  if (n < 4) return x;
  if (columns > 1) x[size_t(stride + 1)] = 0;
  if (columns > 2) x[size_t(stride + 2)] = x[size_t(3 * stride + 2)] = 0;
  if (columns > 3) x[size_t(2 * stride + 3)] = NAN;
  return x;
}

void check(const cpu::ProdKernels& k) {
  for (int64_t n : {1, 2, 5, 33, 700})
    for (int64_t columns : {1, 4, 7, 33, 64})
      for (double size : {1.0, 0.3, 1e-3, 4.0}) {
        if (size > 1 && n > 100 && columns > 1) continue;  // 0 times infinity, as in the formula
        const int64_t stride = columns == 1 ? 1 : columns + 3;
        std::vector<float> x = factors(n, columns, stride, size), g = numbers<float>(columns, 2);
        Guarded<float> dx(n * stride);
        if (columns == 1) k.row(n, g.data(), x.data(), dx.data());
        else k.down(n, columns, stride, g.data(), x.data(), dx.data());
        int wrong = 0;
        for (int64_t j = 0; j < columns; j++)
          for (int64_t i = 0; i < n; i++) {
            long double want = g[size_t(j)];
            for (int64_t o = 0; o < n; o++)
              if (o != i) want *= x[size_t(o * stride + j)];
            const float got = dx[i * stride + j];
            if (std::isnan(double(want))) wrong += !std::isnan(got);
            else if (std::abs(want) > 3e38L) wrong += !std::isinf(got);
            else if (std::abs(want) > 1e-30L) wrong += !(std::abs(got - want) <= 1e-5L * std::abs(want));
            else wrong += !(std::abs(got) <= 1e-29f);
          }
        INFO("n ", n, " columns ", columns, " size ", size);
        CHECK(wrong == 0);
        CHECK(!dx.broken());
      }
}

}  // namespace

TEST_CASE("gradients of products, at every level") {
  at_every_isa([&](cpu::Isa level) { check(cpu::prod_kernels(level)); });
  if (cpu::best_isa() >= cpu::Isa::avx2) check(cpu::lowered::kProdTable);
}

TEST_CASE("the gradient of a product over any neighbouring axes, by threads") {
  const std::vector<int64_t> shape{6, 50, 4, 90}, strides{18000, 360, 90, 1};
  std::vector<float> x = factors(6 * 50, 360, 360, 1);
  Strided vx(x.data(), f32, shape, strides);
  for (const Shape& dim : {Shape{0}, Shape{1, 2}, Shape{-1}, Shape{2, 3}, Shape{}}) {
    const ReduceAttrs a{dim, false};
    std::vector<int64_t> kept, dense;
    for (int d = 0; d < 4; d++)
      if (dim.rank && !std::count(dim.begin(), dim.end(), d) && !std::count(dim.begin(), dim.end(), d - 4))
        kept.push_back(shape[size_t(d)]);
    int64_t outputs = 1;
    for (size_t d = kept.size(); d-- > 0; outputs *= kept[d]) dense.insert(dense.begin(), outputs);
    std::vector<float> g = numbers<float>(outputs, 3);
    Strided vg(g.data(), f32, kept, dense);
    std::vector<std::vector<float>> results;
    for (int threads : {1, 2, 7})
      with_threads(threads, [&] {
        Guarded<float> dx(vx.view.numel);
        Strided vd(dx.data(), f32, shape, strides);
        const View *in[] = {&vg.view, &vx.view}, *out[] = {&vd.view};
        const Call call{.in = in, .out = out, .inputs = 2, .outputs = 1};
        CHECK(cpu::prod_backward_accepts(call, &a));
        CHECK(cpu::prod_backward(call, a));
        CHECK(!dx.broken());
        results.push_back({dx.data(), dx.data() + vx.view.numel});
      });
    for (auto& r : results) CHECK(same_bits(r, results[0]));
  }
  const ReduceAttrs apart{Shape{0, 2}, false};
  const View *in[] = {&vx.view, &vx.view}, *out[] = {&vx.view};
  CHECK(!cpu::prod_backward_accepts({.in = in, .out = out, .inputs = 2, .outputs = 1}, &apart));
}
