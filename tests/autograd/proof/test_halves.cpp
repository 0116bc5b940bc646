// bf16 and f16: every value through every elementwise op of one input. What takes more inputs is in test_rivals.cpp.
#include <cmath>
#include <cstring>
#include <string>

#include <doctest/doctest.h>
#include "autograd/apply.h"
#include "autograd/proof/evaluate.h"
#include "core/device.h"

using namespace fovea;
using namespace fovea::proof;

namespace {

constexpr int kValues = 65536;

const uint16_t* bits_of(const Tensor& t) { return static_cast<const uint16_t*>(t.array().view().data); }

// -0 is 0 here, and the place of a number among all of its dtype; infinities are the last.
int place(uint16_t bits) { return bits & 0x8000 ? -int(bits & 0x7fff) : int(bits); }

// How many places apart two results are at most, of those that are not both tiny; -1 where only one is NaN. Counts
// those that differ.
int apart(const uint16_t* a, const uint16_t* b, int largest, int tiny, int& at, int& differing) {
  int most = 0;
  for (int block = 0; block < kValues; block += 256) {
    if (!std::memcmp(a + block, b + block, 512)) continue;
    for (int i = block; i < block + 256; i++) {
      if (a[i] == b[i]) continue;
      const bool nan_a = (a[i] & 0x7fff) > largest, nan_b = (b[i] & 0x7fff) > largest;
      if (nan_a && nan_b) continue;
      if (nan_a != nan_b) return at = i, -1;
      if ((a[i] & 0x7fff) <= tiny && (b[i] & 0x7fff) <= tiny) continue;
      const int d = std::abs(place(a[i]) - place(b[i]));
      differing += d > 0;
      if (d > most) most = d, at = i;
    }
  }
  return most;
}

}  // namespace

TEST_CASE("every bf16 and f16 through every op of one input is the f64 formula, rounded once or to its neighbour") {
  (void)op_def(op::add);
  int swept = 0;
  for (DType t : {bf16, f16}) {
    std::vector<uint16_t> all(kValues);
    for (int i = 0; i < kValues; i++) all[size_t(i)] = uint16_t(i);
    const int infinity = t == bf16 ? 0x7f80 : 0x7c00;
    Tensor x[2];  // on ref, on cpu
    for (int d : {0, 1}) {
      Array a = Array::empty({kValues}, t, device(d ? "cpu" : "ref"));
      std::memcpy(a.view().data, all.data(), 2 * kValues);
      x[d] = Tensor(a);
    }
    const Tensor exact = x[0].to(f64);
    for (const Sample& s : all_samples()) {
      if (s.function || s.op >= op::count || s.inputs.size() != 1 || !has_floating_input(s)) continue;
      const OpRow& r = row(s.op);
      // Of each op one sample per set of attributes: the plain one is always the first.
      if (!r.elementwise || r.form != Form::pure || s.inputs[0].shape.rank != 2 || s.op == op::cast) continue;
      if (s.inputs[0].shape == Shape{1, 1}) continue;
      Tensor expected = apply(s.op, std::vector{exact}, s.attrs.get())[0];
      if (expected.dtype() == f64) expected = expected.to(t);
      for (int d : {0, 1}) {
        // The reference's x (1 + erf(x)) / 2 keeps 2^-25 of 1 in f32: less than a half's place where the result is
        // below 4e-5. The kernel's keeps more, but nothing below 1e-7.
        const int tiny = s.op != op::gelu ? 0 : d ? (t == bf16 ? 0x33d6 : 0) : (t == bf16 ? 0x3828 : 0x02a0);
        Tensor y = apply(s.op, std::vector{x[d]}, s.attrs.get())[0];
        REQUIRE(y.dtype() == expected.dtype());
        swept++;
        if (y.dtype() == boolean) {
          CHECK(!std::memcmp(y.array().view().data, expected.array().view().data, kValues));
          continue;
        }
        int at = 0, differing = 0, most = apart(bits_of(y), bits_of(expected), infinity, tiny, at, differing);
        std::string text = s.name + " " + name_of(t) + (d ? " cpu" : " ref") + ": " + std::to_string(differing) +
                           " off, by at most " + std::to_string(most) + " at " + std::to_string(exact[at].item());
        INFO(text);
        CHECK(most >= 0);
        CHECK(most <= 1);
        CHECK(differing <= kValues / 100);
      }
    }
  }
  CHECK(swept > 150);
}
