// The matrix product of the CPU backend against sums in higher precision: every level, odd sizes, all strides, guard
// bands, NaN, and the same bits for any number of threads.
#include <algorithm>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/random.h"
#include "autograd/ops/view.h"
#include "backends/cpu/gemm.h"
#include "backends/cpu/onednn.h"
#include "core/mode.h"
#include "tests/backends/cpu_helpers.h"

#define FOVEA_LOWERED
#define FOVEA_FAMILY "backends/cpu/gemm_kernels.inc"
#include "backends/cpu/levels.inc"

using namespace fovea;
using namespace fovea::cpu_test;
using cpu::Gemm;

namespace {

enum class Lie { rows, columns, gaps };  // k or n runs fastest, m or k does, neither

struct Case {
  int64_t m, n, k;
  Lie a = Lie::rows, b = Lie::rows, c = Lie::rows;
  bool bias = false, add = false;
};

std::string describe(const Case& c) {
  return std::to_string(c.m) + "x" + std::to_string(c.n) + "x" + std::to_string(c.k) + " lie " +
         std::to_string(int(c.a)) + std::to_string(int(c.b)) + std::to_string(int(c.c)) + (c.bias ? " bias" : "") +
         (c.add ? " add" : "");
}

void strides(Lie lie, int64_t rows, int64_t columns, int64_t& row, int64_t& column) {
  row = lie == Lie::rows ? columns + 3 : lie == Lie::columns ? 1 : 2 * columns + 5;
  column = lie == Lie::rows ? 1 : lie == Lie::columns ? rows + 1 : 2;
}
int64_t extent(int64_t rows, int64_t columns, int64_t row, int64_t column) {
  return rows && columns ? (rows - 1) * row + (columns - 1) * column + 1 : 0;
}

template <class T> struct Problem {
  Case c;
  Gemm<T> g;
  std::vector<T> a, b, bias, before;

  explicit Problem(const Case& c_) : c(c_) {
    g.m = c.m, g.n = c.n, g.k = c.k, g.add = c.add;
    strides(c.a, c.m, c.k, g.a_row, g.a_col);
    strides(c.b, c.k, c.n, g.b_row, g.b_col);
    strides(c.c, c.m, c.n, g.c_row, g.c_col);
    a = numbers<T>(extent(c.m, c.k, g.a_row, g.a_col), 1);
    b = numbers<T>(extent(c.k, c.n, g.b_row, g.b_col), 2);
    bias = numbers<T>(c.n, 3);
    before = numbers<T>(extent(c.m, c.n, g.c_row, g.c_col), 4);
    g.a = a.data(), g.b = b.data();
    if (c.bias) g.bias = bias.data();
  }

  // Compares with sums in long double; elements between those of C must be as before.
  void check(const T* result) const {
    INFO(describe(c));
    std::vector<char> touched(before.size());
    double worst = 0;
    for (int64_t i = 0; i < c.m; i++)
      for (int64_t j = 0; j < c.n; j++) {
        long double sum = c.bias ? double(bias[size_t(j)]) : 0, size = std::abs(double(sum)) + 1;
        size_t at = size_t(i * g.c_row + j * g.c_col);
        if (c.add) sum += double(before[at]);
        for (int64_t p = 0; p < c.k; p++) {
          long double x =
              (long double)(double(g.a[i * g.a_row + p * g.a_col])) * double(g.b[p * g.b_row + j * g.b_col]);
          sum += x, size += std::abs(x);
        }
        double error = double(std::abs((long double)(double(result[at])) - sum) / size);
        worst = error <= worst ? worst : error;  // a NaN stays
        touched[at] = 1;
      }
    double bound = (std::sqrt(double(c.k)) + 4) * (sizeof(T) == 8 ? 0x1p-53 : 0x1p-24) + (sizeof(T) == 2 ? 0x1p-8 : 0);
    CHECK(worst <= bound);
    for (size_t i = 0; i < before.size(); i++)
      if (!touched[i] && double(result[i]) != double(before[i])) {
        FAIL_CHECK("an element between those of C was written");
        break;
      }
  }
};

template <class T> std::vector<T> run(const Problem<T>& p) {
  Gemm<T> g = p.g;
  cpu_test::Guarded<T> c(int64_t(p.before.size()));
  std::copy(p.before.begin(), p.before.end(), c.data());
  g.c = c.data();
  cpu_test::Scratch scratch(cpu::gemm_scratch(g));
  cpu::gemm(g, scratch.data());
  CHECK(!c.broken());
  CHECK(!scratch.broken());
  return {c.data(), c.data() + p.before.size()};
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (Lie a : {Lie::rows, Lie::columns, Lie::gaps})
    for (Lie b : {Lie::rows, Lie::columns, Lie::gaps})
      for (Lie c : {Lie::rows, Lie::columns, Lie::gaps})
        for (bool add : {false, true}) {
          all.push_back({37, 41, 23, a, b, c, !add, add});
          all.push_back({3, 19, 35, a, b, c, add, add});
          all.push_back({30, 3, 17, a, b, c, false, add});
        }
  for (int64_t m : {1, 2, 5, 11, 12, 13, 24, 25})
    for (int64_t n : {1, 4, 15, 16, 17, 32, 33, 47})
      for (int64_t k : {1, 7, 16, 33}) {
        all.push_back({m, n, k, Lie::rows, Lie::columns, Lie::rows, true});
        all.push_back({m, n, k, Lie::columns, Lie::rows});
      }
  for (int64_t zero = 0; zero < 3; zero++)
    all.push_back({zero == 0 ? 0 : 5, zero == 1 ? 0 : 7, zero == 2 ? 0 : 9, Lie::rows, Lie::rows, Lie::rows, true});
  all.push_back({26, 35, 0, Lie::rows, Lie::columns, Lie::rows, false, true});
  all.push_back({250, 100, 800, Lie::rows, Lie::columns, Lie::rows, true});  // several pieces of k, two row blocks
  all.push_back({65, 40, 1700, Lie::columns, Lie::rows, Lie::rows, false, true});  // several packed blocks of k
  all.push_back({100, 600, 33});
  all.push_back({1, 1, 9001, Lie::rows, Lie::columns, Lie::rows, true, true});  // one number from several pieces of k
  all.push_back({1, 1, 5003, Lie::rows, Lie::columns});
  all.push_back({150, 70, 900, Lie::columns, Lie::rows});  // strips of A copied together, ragged
  all.push_back({131, 200, 65, Lie::columns, Lie::columns, Lie::rows, true, true});
  return all;
}

// A level's kernels without the driver: all rows and up to a panel of columns.
template <class T> void check_kernels(const cpu::GemmKernels<T>& kernels) {
  for (int64_t m : {1, 12, 29})
    for (int64_t n : {1, 7, 8, 17, 31, 32})
      for (int64_t k : {0, 1, 19, 32}) {
        if (n > kernels.columns) continue;
        for (Lie lie : {Lie::rows, Lie::columns, Lie::gaps}) {
          Problem<T> p({m, n, k, lie, lie, lie, lie == Lie::rows, lie != Lie::rows});
          std::vector<T> c = p.before, panel(size_t(k * kernels.columns) + 1);
          int64_t width = kernels.width(n);
          kernels.pack(p.g.b, p.g.b_row, p.g.b_col, k, n, panel.data());
          kernels.strips({m, n, k, p.g.a, p.g.a_row, p.g.a_col, panel.data(), width, c.data(), p.g.c_row, p.g.c_col,
                          p.g.bias, p.g.add});
          p.check(c.data());
        }
        Problem<T> p({m, n, k, Lie::rows, Lie::columns, Lie::gaps, true, true});
        std::vector<T> c = p.before;
        p.g.c = c.data();
        kernels.dots(p.g, 0, n);
        p.check(c.data());
        if (m > 1 || n > 1) continue;
        Problem<T> one({1, 1, 4 * k + k / 2, Lie::rows, Lie::columns});
        T number = kernels.dot(one.c.k, one.g.a, one.g.b);
        one.check(&number);
      }
}

}  // namespace

TEST_CASE_TEMPLATE("a product agrees with sums in higher precision", T, float, double) {
  for (const Case& c : cases()) {
    Problem<T> p(c);
    at_every_isa([&](cpu::Isa) { p.check(run(p).data()); });
  }
}

TEST_CASE("kernels for 512-bit vectors, lowered to AVX2") {
  if (cpu::best_isa() < cpu::Isa::avx2) return;
  check_kernels<float>(cpu::lowered::kGemmTable<float>);
}

TEST_CASE_TEMPLATE("products by oneDNN agree with sums in higher precision", T, float, BFloat16) {
  int taken = 0;
  for (const Case& c : cases()) {
    Problem<T> p(c);
    std::vector<T> result = p.before;
    Gemm<T> g = p.g;
    g.c = result.data();
    const char* name = cpu::onednn::implementation(g);
    cpu_test::Scratch scratch(cpu::onednn::scratch(g));
    CHECK(cpu::onednn::gemm(g, scratch.data()) == (name != nullptr));
    CHECK(!scratch.broken());
    if (!name) {
      CHECK(same_bits(result, p.before));
      continue;
    }
    taken++;
    CHECK(std::string(name).find("ref") == std::string::npos);
    p.check(result.data());
  }
  const bool here =
      std::is_same_v<T, float> || (__builtin_cpu_supports("avx512bf16") && cpu::isa() == cpu::Isa::avx512);
  CHECK((taken > 500) == (here && std::string(cpu::onednn::version()) != ""));
}

TEST_CASE("scratch of products beyond any memory is computed, not trapped") {
  const int64_t sizes[] = {1, 17, 1 << 12, (1 << 20) - 3, 1 << 24, int64_t(1) << 31, int64_t(1) << 40};
  for (int64_t m : sizes)
    for (int64_t n : sizes)
      for (int64_t k : sizes)
        for (bool flat : {false, true}) {  // all rows are one
          Gemm<float> g{m, n, k};
          g.a_row = flat ? 0 : k, g.b_row = flat ? 0 : n, g.c_row = n;
          CHECK(cpu::onednn::scratch(g) >= 0);
          g.b_row = 1, g.b_col = k;
          CHECK(cpu::onednn::scratch(g) >= 0);
        }
}

TEST_CASE("deterministic products have the same bits for any number of threads") {
  Deterministic mode;
  for (auto [m, n, k] : {std::tuple{768, 512, 128}, std::tuple{128, 128, 3000}, std::tuple{40, 2000, 600}}) {
    Tensor a = randn({m, k}), b = randn({k, n}), w = randn({n, k}), at = randn({k, m});
    std::vector<std::vector<float>> results[3];
    for (int threads : {1, 2, 3, 7})
      with_threads(threads, [&] {
        results[0].push_back(matmul(a, b).to_vector<float>());
        results[1].push_back(linear(a, w).to_vector<float>());
        results[2].push_back(matmul(transpose(at, 0, 1), b).to_vector<float>());
      });
    for (auto& kind : results)
      for (auto& r : kind) CHECK(same_bits(r, kind[0]));
  }
}

TEST_CASE("rows that evict each other from the cache are copied") {
  Case c{50, 300, 900};
  Problem<float> p(c);
  p.a = numbers<float>(c.m * 1024, 5);
  p.g.a = p.a.data(), p.g.a_row = 1024;
  at_every_isa([&](cpu::Isa) { p.check(run(p).data()); });
}

TEST_CASE("the same bits for any number of threads") {
  for (const Case& c : {Case{250, 200, 500, Lie::rows, Lie::columns}, Case{250, 200, 500, Lie::columns},
                        Case{1, 3000, 600, Lie::rows, Lie::columns}, Case{1, 1, 100000, Lie::rows, Lie::columns},
                        Case{100, 1000, 128, Lie::columns, Lie::rows}}) {
    Problem<float> p(c);
    at_every_isa([&](cpu::Isa) {
      std::vector<std::vector<float>> results;
      for (int threads : {1, 2, 3, 7}) with_threads(threads, [&] { results.push_back(run(p)); });
      for (auto& r : results) CHECK(same_bits(r, results[0]));
    });
  }
}

TEST_CASE("a column times a row, however they lie") {
  Tensor column = randn({70, 1}), row = randn({1, 90}), columns = randn({3, 2, 1, 70}), rows = randn({3, 2, 90, 1});
  auto equal = [](const Tensor& a, const Tensor& b) { return same_bits(a.to_vector<float>(), b.to_vector<float>()); };
  CHECK(equal(matmul(column, row), column * row));
  Tensor left = transpose(columns, 2, 3), right = transpose(rows, 2, 3);
  CHECK(equal(matmul(left, right), left * right));
  CHECK(matmul(randn({0, 1}), row).numel() == 0);
}

TEST_CASE("NaN and infinity reach exactly the elements that use them") {
  Problem<float> p({20, 50, 30, Lie::rows, Lie::columns});
  p.a[size_t(7 * p.g.a_row + 3)] = NAN;
  p.b[size_t(11 * p.g.b_col + 4)] = INFINITY;
  at_every_isa([&](cpu::Isa) {
    std::vector<float> c = run(p);
    for (int64_t i = 0; i < 20; i++)
      for (int64_t j = 0; j < 50; j++) CHECK(std::isfinite(c[size_t(i * p.g.c_row + j)]) == (i != 7 && j != 11));
  });
}
