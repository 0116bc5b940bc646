// Halves by kernels of f32: every conversion, at every level, against core/half.h; a call that is widened, with
// strides, sums into what is there, and inputs of other dtypes.
#include "backends/cpu/halves.h"

#include "backends/cpu/kernels.h"
#include "core/shape.h"
#include "tests/backends/cpu_helpers.h"

#define FOVEA_LOWERED
#define FOVEA_FAMILY "backends/cpu/halves_kernels.inc"
#include "backends/cpu/levels.inc"

using namespace fovea;
using namespace fovea::cpu_test;

namespace {

uint32_t bits(float f) { return std::bit_cast<uint32_t>(f); }
bool same(float a, float b) { return a != a ? b != b : bits(a) == bits(b); }

// Rows of every length up to two vectors and a rest, from every 16 bits there are.
template <class S, class Widen, class Narrow> void convert_all(Widen widen, Narrow narrow) {
  std::vector<S> all(1 << 16);
  for (size_t i = 0; i < all.size(); i++) all[i].bits = uint16_t(i);
  Guarded<float> wide(int64_t(all.size()));
  Guarded<S> back(int64_t(all.size()));
  int64_t wrong = 0;
  widen(int64_t(all.size()), all.data(), wide.data());
  for (int64_t i = 0; i < int64_t(all.size()); i++) wrong += !same(wide[i], float(all[size_t(i)]));
  CHECK(wrong == 0);
  narrow(int64_t(all.size()), wide.data(), back.data());
  for (int64_t i = 0; i < int64_t(all.size()); i++) wrong += !same(float(back[i]), float(all[size_t(i)]));
  CHECK(wrong == 0);
  // Between two halves, half way and a bit beside it; what overflows, and what vanishes.
  std::vector<float> hard;
  for (uint32_t i = 0; i < 1 << 16; i++)
    for (uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0x0fffu, 0x1000u, 0x1001u, 0x2fffu, 0x3000u})
      hard.push_back(std::bit_cast<float>(i << 16 | low));
  std::vector<S> got(hard.size());
  narrow(int64_t(hard.size()), hard.data(), got.data());
  for (size_t i = 0; i < hard.size(); i++) wrong += !same(float(got[i]), float(S(hard[i])));
  CHECK(wrong == 0);
  for (int64_t n = 0; n < 40; n++) {
    Guarded<float> to(n);
    Guarded<S> half(n);
    widen(n, all.data() + 0x3f00, to.data());
    narrow(n, to.data(), half.data());
    for (int64_t i = 0; i < n; i++) wrong += !same(float(half[i]), float(all[size_t(0x3f00 + i)]));
    CHECK((wrong == 0 && !to.broken() && !half.broken()));
  }
}

}  // namespace

TEST_CASE("conversions of halves have the bits of core/half.h") {
  auto all = [](const cpu::HalfKernels& k) {
    convert_all<BFloat16>(k.widen_bf16, k.narrow_bf16);
    convert_all<Float16>(k.widen_f16, k.narrow_f16);
  };
  at_every_isa([&](cpu::Isa level) { all(cpu::half_kernels(level)); });
  if (cpu::best_isa() >= cpu::Isa::avx2) all(cpu::lowered::kHalfTable);
}

TEST_CASE("a widened product is the product of what the halves are, rounded once") {
  const int64_t M = 5, N = 7, K = 33;
  std::vector<BFloat16> a, b, y(size_t(M * N)), before;
  for (float x : numbers<float>(M * K, 1)) a.push_back(x);
  for (float x : numbers<float>(N * K, 2)) b.push_back(x);
  for (float x : numbers<float>(M * N, 3)) before.push_back(x);
  for (bool add : {false, true}) {
    y = before;
    Strided va(a.data(), bf16, {M, K}, {1, M}), vb(b.data(), bf16, {K, N}, {1, K}), vy(y.data(), bf16, {M, N}, {N, 1});
    const View *in[] = {&va.view, &vb.view}, *out[] = {&vy.view};
    Call c{.in = in, .out = out, .inputs = 2, .outputs = 1, .add = add};
    std::vector<char> scratch(size_t(cpu::scratch_in_f32<cpu::matmul_scratch>(c, nullptr)) + 64);
    c.scratch = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64;
    CHECK((cpu::in_f32<cpu::matmul, NoAttrs>(c, {})));
    for (int64_t i = 0; i < M; i++)
      for (int64_t j = 0; j < N; j++) {
        double sum = add ? double(float(before[size_t(i * N + j)])) : 0;
        for (int64_t k = 0; k < K; k++)
          sum += double(float(a[size_t(i + k * M)])) * double(float(b[size_t(k + j * K)]));
        double got = double(float(y[size_t(i * N + j)]));
        CHECK(std::abs(got - sum) <= 0x1p-8 * std::abs(sum) + 1e-5);
      }
  }
}

TEST_CASE("a batch of bf16 products is right, with the same bits for any number of threads") {
  const int64_t count = 17, M = 128, N = 120, K = 72;  // above a million multiply-adds each
  std::vector<BFloat16> a, b;
  for (float x : numbers<float>(count * M * K, 1)) a.push_back(x);
  for (float x : numbers<float>(count * K * N, 2)) b.push_back(x);
  std::vector<std::vector<uint16_t>> results;
  for (int threads : {1, 2, 3, 7})
    with_threads(threads, [&] {
      Guarded<BFloat16> y(count * M * N, BFloat16(3));
      Strided va(a.data(), bf16, {count, M, K}, {M * K, 1, M}), vb(b.data(), bf16, {count, K, N}, {K * N, N, 1}),
          vy(y.data(), bf16, {count, M, N}, {M * N, N, 1});
      const View *in[] = {&va.view, &vb.view}, *out[] = {&vy.view};
      Call c{.in = in, .out = out, .inputs = 2, .outputs = 1};
      Scratch scratch(cpu::matmul_scratch(c, nullptr));
      c.scratch = scratch.data();
      CHECK(cpu::matmul(c, {}));
      CHECK((!scratch.broken() && !y.broken()));
      int wrong = 0;
      results.emplace_back();
      for (int64_t i = 0; i < count * M * N; i++) {
        results.back().push_back(y[i].bits);
        if (i % 37) continue;
        const int64_t item = i / (M * N), row = i / N % M, column = i % N;
        double sum = 0;
        for (int64_t k = 0; k < K; k++)
          sum += double(float(a[size_t(item * M * K + k * M + row)])) *
                 double(float(b[size_t(item * K * N + k * N + column)]));
        wrong += !(std::abs(double(float(y[i])) - sum) <= 0x1p-8 * std::abs(sum) + 1e-4);
      }
      CHECK(wrong == 0);
      CHECK(results.back() == results.front());
    });
}

namespace {
struct Folded {
  std::vector<int64_t> shape, x, y;  // the steps of y are 0 where x is folded
  Shape dims;
};
const std::vector<Folded> kFolded = {
    {{5, 7000}, {7000, 1}, {1, 0}, {1}}, {{70000}, {1}, {0}, {0}},
    {{300, 700}, {700, 1}, {0, 1}, {0}}, {{6, 8, 100}, {800, 100, 1}, {100, 0, 1}, {1}},
    {{2500, 33}, {33, 1}, {0, 1}, {0}},  {{40, 50}, {-50, 2}, {1, 0}, {1}}};

template <class S> void fold_all(const Folded& f, Reduce kind) {
  std::vector<S> x;
  for (float v : numbers<float>(210000, 5)) x.push_back(S(kind == Reduce::prod ? 1 + v / 1000 : v));
  x[3] = kind == Reduce::amin ? S(NAN) : x[3];
  std::vector<int64_t> kept, strides;
  for (size_t d = 0; d < f.shape.size(); d++)
    if (f.y[d] != 0) kept.push_back(f.shape[d]), strides.push_back(f.y[d]);
  int64_t outputs = 1;
  for (int64_t n : kept) outputs *= n;
  const int64_t base = f.x[0] < 0 ? 3000 : 0;
  Strided vx(x.data() + base, dtype_of<S>(), f.shape, f.x), to(nullptr, dtype_of<S>(), f.shape, f.y);
  std::vector<double> want(800, kind == Reduce::prod ? 1 : kind == Reduce::amin ? INFINITY : 0);
  auto from = offsets(vx), at = offsets(to);
  for (size_t i = 0; i < from.size(); i++) {
    double &w = want[size_t(at[i])], v = double(float(x[size_t(base + from[i])]));
    if (kind == Reduce::prod) w *= v;
    else if (kind == Reduce::amin) w = v != v || v < w ? v : w;
    else w += kind == Reduce::mean ? v * double(outputs) / double(from.size()) : v;
  }
  std::vector<std::vector<uint16_t>> results;
  for (int threads : {1, 2, 3, 7})
    with_threads(threads, [&] {
      Guarded<S> y(800, S(3));
      Strided vy(y.data(), dtype_of<S>(), kept, strides);
      const View *in[] = {&vx.view}, *out[] = {&vy.view};
      Call c{.in = in, .out = out, .inputs = 1, .outputs = 1, .kind = uint8_t(kind)};
      const ReduceAttrs attrs{f.dims, false};
      Scratch scratch(cpu::reduce_scratch(c, &attrs));
      c.scratch = scratch.data();
      CHECK(cpu::reduce(c, attrs));
      CHECK((!scratch.broken() && !y.broken()));
      int wrong = 0;
      results.emplace_back();
      for (int64_t i = 0; i < vy.view.numel; i++) {
        results.back().push_back(y[i].bits);
        const double got = double(float(y[i])), w = want[size_t(i)];
        wrong += !(w != w ? got != got : std::abs(got - w) <= 0x1p-8 * std::abs(w) + 1e-3);
      }
      CHECK(wrong == 0);
      CHECK(results.back() == results.front());
    });
}
}  // namespace

TEST_CASE("reductions of halves are right along rows and columns, with the same bits for any number of threads") {
  at_every_isa([](cpu::Isa) {
    for (const Folded& f : kFolded)
      for (Reduce kind : {Reduce::sum, Reduce::mean, Reduce::amin, Reduce::prod}) {
        INFO("kind ", int(kind), " rank ", f.shape.size(), " first ", f.shape[0]);
        fold_all<BFloat16>(f, kind);
        fold_all<Float16>(f, kind);
      }
  });
}

TEST_CASE("softmax of halves is that of f32, rounded, for any number of threads") {
  const int64_t rows = 61, n = 257, apart = 300;
  std::vector<BFloat16> x;
  for (float v : numbers<float>(rows * apart, 3, 6)) x.push_back(v);
  std::vector<float> wide(x.begin(), x.end()), want(size_t(rows * n));
  const DimAttrs last{-1};
  using Slot = Status (*)(const Call&, const DimAttrs&);
  for (auto [slot, inputs] : {std::pair<Slot, int>{cpu::softmax, 1},
                              {cpu::log_softmax, 1},
                              {cpu::softmax_backward, 2},
                              {cpu::log_softmax_backward, 2}})
    for (int threads : {1, 2, 3, 7})
      with_threads(threads, [&, slot = slot, inputs = inputs] {
        Guarded<BFloat16> y(rows * n, BFloat16(3));
        Strided vx(x.data(), bf16, {rows, n}, {apart, 1}), vy(y.data(), bf16, {rows, n}, {n, 1});
        Strided wx(wide.data(), f32, {rows, n}, {apart, 1}), wy(want.data(), f32, {rows, n}, {n, 1});
        const View *in[] = {&vx.view, &vx.view}, *out[] = {&vy.view}, *f32_in[] = {&wx.view, &wx.view},
                   *f32_out[] = {&wy.view};
        Call c{.in = in, .out = out, .inputs = inputs, .outputs = 1};
        Scratch scratch(cpu::softmax_scratch(c, &last));
        c.scratch = scratch.data();
        CHECK(slot(c, last));
        CHECK(slot({.in = f32_in, .out = f32_out, .inputs = inputs, .outputs = 1}, last));
        int64_t wrong = 0;
        for (int64_t i = 0; i < rows * n; i++) wrong += y[i].bits != BFloat16(want[size_t(i)]).bits;
        CHECK(wrong == 0);
        CHECK((!scratch.broken() && !y.broken()));
      });
}
