// Functions in f64 within 2 ulp of the C library's long double, and sorting of what is 64 bits wide.
#include <algorithm>
#include <cmath>
#include <limits>

#include "autograd/ops/elementwise.h"
#include "backends/cpu/kernels.h"
#include "tests/backends/cpu_helpers.h"

using namespace fovea;
using namespace fovea::cpu_test;

namespace {

double ulps(double got, long double want) {
  if (std::isnan(want)) return std::isnan(got) ? 0.0 : double(INFINITY);
  if (std::isinf(double(want)) || std::isinf(got)) return got == double(want) ? 0.0 : double(INFINITY);
  const int e = std::max(want == 0 ? -1022 : std::ilogb(want), -1022);
  return double(std::abs((long double)(got)-want) / std::ldexp(1.0L, e - 52));
}

}  // namespace

TEST_CASE("f64 functions are within 2 ulp, and NaN where they should be") {
  using F = long double (*)(long double);
  struct Wide {
    const char* name;
    Tensor (*mine)(const Operand&);
    F f;
  };
  const Wide all[] = {{"exp", exp, std::exp},
                      {"log", log, std::log},
                      {"tanh", tanh, std::tanh},
                      {"erf", erf, std::erf},
                      {"sin", sin, std::sin},
                      {"cos", cos, std::cos},
                      {"tan", tan, std::tan},
                      {"asin", asin, std::asin},
                      {"acos", acos, std::acos},
                      {"atan", atan, std::atan},
                      {"sinh", sinh, std::sinh},
                      {"cosh", cosh, std::cosh},
                      {"expm1", expm1, std::expm1},
                      {"log1p", log1p, std::log1p},
                      {"log2", log2, std::log2},
                      {"log10", log10, std::log10},
                      {"sigmoid", sigmoid, [](long double v) {
                         const long double e = std::exp(-std::abs(v));
                         return (v < 0 ? e : 1) / (1 + e);
                       }}};
  std::vector<double> x = {-0.24787044650628345, 0.625, 0.0, -0.0, INFINITY, -INFINITY, NAN, 5e-324, 709.7, -745.0};
  for (uint64_t i = 0; i < 20000; i++) {
    x.push_back(4 * number(i, 5));
    x.push_back(std::exp(30 * number(i, 6)) * (number(i, 7) < 0 ? -1 : 1));
  }
  const Tensor given = Tensor::of(x);
  for (const Wide& f : all) {
    std::vector<double> y = f.mine(given).to_vector<double>();
    double worst = 0, at = 0;
    for (size_t i = 0; i < x.size(); i++)
      if (double e = ulps(y[i], f.f((long double)(x[i]))); !(e <= worst)) worst = e, at = x[i];
    INFO(std::string(f.name), " worst at ", at);
    CHECK(worst <= 2);
  }
  std::vector<double> base, exponent;
  for (uint64_t i = 0; i < 20000; i++) {
    base.push_back(std::exp(9 * number(i, 1)));
    exponent.push_back(i % 3 ? 30 * number(i, 3) : std::round(9 * number(i, 3)));
  }
  std::vector<double> y = pow(Tensor::of(base), Tensor::of(exponent)).to_vector<double>();
  double worst = 0;
  for (size_t i = 0; i < y.size(); i++)
    if (double e = ulps(y[i], std::pow((long double)(base[i]), (long double)(exponent[i]))); !(e <= worst)) worst = e;
  CHECK(worst <= 2);
}

// One long row: keys of all 64 bits, keys whose leading bits are alike, few keys, and keys in order.
TEST_CASE("long rows are sorted by whole keys, equal ones stay in order, by any number of threads") {
  for (int64_t n : {1, 2, 30, 200, 600, 20000, 150000})
    for (int kind = 0; kind < 4; kind++)
      for (bool floating : {false, true}) {
        std::vector<int64_t> x(static_cast<size_t>(n)), expected(x.size());
        for (uint64_t i = 0; i < x.size(); i++) {
          const uint64_t bits = (i + 1) * 0x9e3779b97f4a7c15 ^ i << 40;
          const uint64_t of_kind[] = {bits, 0x4000ull << 48 | i % 3 << 44 | bits >> 53, bits % 7, i};
          x[i] = int64_t(of_kind[kind]);
          if (floating) {  // exact, so the order is that of the numbers
            const double v = kind == 1 ? 1 + double(bits >> 60) + double(bits >> 54) * 0x1p-48 : double(x[i]);
            std::memcpy(&x[i], &v, 8);
          }
          expected[i] = int64_t(i);
        }
        auto before = [&](int64_t p, int64_t q) {
          double u, v;
          std::memcpy(&u, &x[size_t(p)], 8), std::memcpy(&v, &x[size_t(q)], 8);
          return floating ? u < v : x[size_t(p)] < x[size_t(q)];
        };
        std::stable_sort(expected.begin(), expected.end(), before);
        const DType t = floating ? f64 : i64;
        for (int threads = 1; threads <= 3; threads++)
          with_threads(threads, [&] {
            INFO("n ", n, " kind ", kind, " ", name_of(t), " threads ", threads);
            std::vector<int64_t> values(x.size()), places(x.size()), sorted(x.size());
            Strided in(x.data(), t, {n}, {1}), v(values.data(), t, {n}, {1}), p(places.data(), i64, {n}, {1});
            const View *inputs[] = {&in.view}, *outputs[] = {&v.view, &p.view};
            Call c{.in = inputs, .out = outputs, .inputs = 1, .outputs = 2};
            const SortAttrs a;
            Scratch scratch(cpu::sort_scratch(c, &a));
            c.scratch = scratch.data();
            CHECK(cpu::sort(c, a));
            CHECK(!scratch.broken());
            CHECK(places == expected);
            for (size_t i = 0; i < x.size(); i++) sorted[i] = x[size_t(expected[i])];
            CHECK(values == sorted);
          });
      }
}
