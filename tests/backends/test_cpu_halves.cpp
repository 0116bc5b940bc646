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
