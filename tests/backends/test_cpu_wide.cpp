// Functions in f64 within 2 ulp of the C library's long double.
#include <cmath>
#include <limits>

#include "autograd/ops/elementwise.h"
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
