// AdamW of the CPU backend against the reference's: lists of arrays of odd lengths, decay of the first ones, every
// level, and the same bits for any number of threads.
#include "backends/cpu/kernels.h"
#include "backends/cpu/optimizer.h"
#include "backends/ref/kernels.h"
#include "tests/backends/cpu_helpers.h"

#define FOVEA_LOWERED
#define FOVEA_FAMILY "backends/cpu/optimizer_kernels.inc"
#include "backends/cpu/levels.inc"

using namespace fovea;
using namespace fovea::cpu_test;

namespace {

struct State {
  std::vector<std::vector<float>> p, m, v;
};

// Three steps over arrays of these lengths.
template <class Kernel> State train(const std::vector<int64_t>& lengths, Kernel kernel) {
  const int n = int(lengths.size());
  State s;
  std::vector<std::vector<float>> g;
  for (int64_t k : lengths) {
    s.p.push_back(numbers<float>(k, uint64_t(k)));
    s.m.emplace_back(size_t(k)), s.v.emplace_back(size_t(k));
    g.push_back(numbers<float>(k, uint64_t(k) + 1, 1e-2));
  }
  AdamWAttrs a{0.9, 0.95, 1e-8, 0.1, 2};
  for (int step = 1; step <= 3; step++) {
    double lr = 6e-4, count = step, scale = 0.5;
    std::vector<std::unique_ptr<Strided>> views;
    auto view = [&](std::vector<float>& x) {
      views.push_back(
          std::make_unique<Strided>(x.data(), f32, std::vector<int64_t>{int64_t(x.size())}, std::vector<int64_t>{1}));
      return static_cast<const View*>(&views.back()->view);
    };
    Strided l(&lr, f64, {}, {}), c(&count, f64, {}, {}), f(&scale, f64, {}, {});
    std::vector<const View*> in = {&l.view, &c.view, &f.view}, out;
    for (auto& x : g) in.push_back(view(x));
    for (auto* list : {&s.p, &s.m, &s.v})
      for (auto& x : *list) out.push_back(view(x));
    CHECK(kernel(Call{.in = in.data(), .out = out.data(), .inputs = n + 3, .outputs = 3 * n}, a));
  }
  return s;
}

}  // namespace

TEST_CASE("AdamW agrees with the reference's and does not depend on threads") {
  const std::vector<int64_t> lengths = {128 * 384, 384, 1, 0, 17, 65 * 128, 50000, 15};
  State want = train(lengths, ref::adamw);
  at_every_isa([&](cpu::Isa) {
    State first;
    for (int threads : {1, 2, 3, 7})
      with_threads(threads, [&] {
        State got = train(lengths, cpu::adamw);
        if (threads == 1) first = got;
        for (size_t i = 0; i < lengths.size(); i++) {
          CHECK(
              (same_bits(got.p[i], first.p[i]) && same_bits(got.m[i], first.m[i]) && same_bits(got.v[i], first.v[i])));
          int wrong = 0;
          for (size_t k = 0; k < got.p[i].size(); k++) {
            wrong += !(std::abs(got.p[i][k] - want.p[i][k]) <= 2e-7 * (std::abs(want.p[i][k]) + 1));
            wrong += !(std::abs(got.m[i][k] - want.m[i][k]) <= 1e-6 * std::abs(want.m[i][k]) + 1e-12);
            wrong += !(std::abs(got.v[i][k] - want.v[i][k]) <= 1e-6 * want.v[i][k] + 1e-14);
          }
          INFO("array ", i);
          CHECK(wrong == 0);
        }
      });
  });
}

TEST_CASE("AdamW's kernel for 512-bit vectors, lowered to AVX2") {
  if (cpu::best_isa() < cpu::Isa::avx2) return;
  for (int64_t n : {1, 15, 16, 33, 100}) {
    std::vector<float> g = numbers<float>(n, 1), p = numbers<float>(n, 2), m = numbers<float>(n, 3),
                       v(size_t(n), 0.25f);
    std::vector<float> p0 = p, m0 = m;
    cpu::lowered::adamw_row<float>(n, {2, 0.5f, 0.9f, 0.1f, 0.5f, 0.5f, 0.01f, 2, 1e-8f}, g.data(), p.data(), m.data(),
                                   v.data());
    for (size_t i = 0; i < size_t(n); i++) {
      double x = 2.0 * g[i], first = 0.9 * m0[i] + 0.1 * x, second = 0.125 + 0.5 * x * x;
      CHECK(std::abs(m[i] - first) <= 1e-6);
      CHECK(std::abs(v[i] - second) <= 1e-6);
      CHECK(std::abs(p[i] - (0.5 * p0[i] - 0.01 * first / (2 * std::sqrt(second) + 1e-8))) <= 1e-6);
    }
  }
}
