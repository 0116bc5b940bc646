// bf16 and f16: every value through every elementwise op of one input, and sums, norms and losses beside what the same
// formula gives when each of its steps is rounded to the dtype.
#include <cmath>
#include <cstring>
#include <string>

#include <doctest/doctest.h>
#include "autograd/apply.h"
#include "autograd/ops/activation.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/convolution.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/moments.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/recurrent.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/view.h"
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

namespace {

// Sums by halves, each rounded.
Tensor halves(const Tensor& given) {
  Tensor x = given;
  while (x.size(-1) > 1) {
    const int64_t n = x.size(-1) / 2, rest = x.size(-1) % 2;
    Tensor y = narrow(x, -1, 0, n) + narrow(x, -1, n, n);
    x = rest ? cat({y, narrow(x, -1, 2 * n, 1)}, -1) : y;
  }
  return x;
}
Tensor average(const Tensor& x) { return halves(x) / double(x.size(-1)); }
Tensor shifted(const Tensor& x) { return x - amax(x, {-1}, {.keepdim = true}).detach(); }

// As sum_k a[i, k] b[j, k].
Tensor products(const Tensor& a, const Tensor& b) { return halves(unsqueeze(a, 1) * unsqueeze(b, 0)).squeeze(-1); }
Tensor naive_softmax(const Tensor& x) {
  Tensor e = exp(shifted(x));
  return e / halves(e);
}
Tensor naive_norm(const Tensor& x) {
  Tensor m = x - average(x);
  return m * rsqrt(average(m * m) + 1e-5);
}
Tensor naive_var(const Tensor& x) {
  Tensor m = x - average(x);
  return halves(m * m) / double(x.size(-1) - 1);
}
Tensor naive_cumsum(const Tensor& x) {
  std::vector<Tensor> y{narrow(x, 1, 0, 1)};
  for (int64_t i = 1; i < x.size(1); i++) y.push_back(y.back() + narrow(x, 1, i, 1));
  return cat(y, 1);
}
// Weights that every dtype holds.
Tensor weights(const Tensor& x, const Shape& s) { return probe_like(zeros(s, {.like = x}), Probe::sixteenths, 5); }
Tensor heads(const Tensor& x) { return x.reshape({1, 1, 16, -1}); }
Tensor mean_of(const Tensor& x) { return average(x.reshape({1, -1})).reshape(Shape{}); }
// Gates r, z, n of a state [16, 2].
Tensor naive_gru(const Tensor& x) {
  const int64_t n = x.size(1);
  Tensor h = narrow(x, 1, 0, 2), i = products(x, weights(x, {6, n})), s = products(h, weights(x, {6, 2}));
  auto gate = [](const Tensor& t, int64_t k) { return narrow(t, 1, 2 * k, 2); };
  Tensor r = sigmoid(gate(i, 0) + gate(s, 0)), z = sigmoid(gate(i, 1) + gate(s, 1));
  Tensor fresh = tanh(gate(i, 2) + r * gate(s, 2));
  return (1 - z) * fresh + z * h;
}

struct Rival {
  const char* name;
  Tensor (*mine)(const Tensor& x);   // [rows, n]
  Tensor (*naive)(const Tensor& x);  // every step in x's dtype
};
const Rival kRivals[] = {
    {"sum", [](const Tensor& x) { return sum(x, -1, {.keepdim = true}); }, halves},
    {"mean", [](const Tensor& x) { return mean(x, -1, {.keepdim = true}); }, average},
    {"softmax", [](const Tensor& x) { return softmax(x, -1); }, naive_softmax},
    {"log_softmax", [](const Tensor& x) { return log_softmax(x, -1); },
     [](const Tensor& x) { return shifted(x) - log(halves(exp(shifted(x)))); }},
    {"logsumexp", [](const Tensor& x) { return logsumexp(x, {-1}, {.keepdim = true}); },
     [](const Tensor& x) { return log(halves(exp(shifted(x)))) + amax(x, {-1}, {.keepdim = true}); }},
    {"layer_norm", [](const Tensor& x) { return layer_norm(x, x.size(-1)); }, naive_norm},
    {"rms_norm", [](const Tensor& x) { return rms_norm(x, x.size(-1), Tensor(), {1e-5}); },
     [](const Tensor& x) { return x * rsqrt(average(x * x) + 1e-5); }},
    {"cross_entropy", [](const Tensor& x) { return cross_entropy(x, argmin(x, -1), {.reduction = Reduction::none}); },
     [](const Tensor& x) { return log(halves(exp(shifted(x)))).squeeze(-1) - amin(shifted(x), {-1}); }},
    {"matmul", [](const Tensor& x) { return matmul(x, transpose(x, 0, 1)); },
     [](const Tensor& x) { return products(x, x); }},
    {"linear",
     [](const Tensor& x) {
       return linear(x, weights(x, {3, x.size(1)}), weights(x, {3}));
     },
     [](const Tensor& x) {
       return products(x, weights(x, {3, x.size(1)})) + weights(x, {3});
     }},
    {"attention", [](const Tensor& x) { return attention(heads(x), heads(x), heads(x)).reshape(x.shape()); },
     [](const Tensor& x) {
       Tensor p = naive_softmax(products(x, x) * (1 / std::sqrt(double(x.size(1)))));
       return products(p, transpose(x, 0, 1));
     }},
    {"var", [](const Tensor& x) { return var(x, -1, {.keepdim = true}); }, naive_var},
    {"std", [](const Tensor& x) { return fovea::std(x, -1, {.keepdim = true}); },
     [](const Tensor& x) { return sqrt(naive_var(x)); }},
    {"vector_norm", [](const Tensor& x) { return vector_norm(x, 2, -1, {.keepdim = true}); },
     [](const Tensor& x) { return sqrt(halves(x * x)); }},
    {"cumsum", [](const Tensor& x) { return cumsum(x, 1); }, naive_cumsum},
    {"logcumsumexp", [](const Tensor& x) { return logcumsumexp(x, 1); },
     [](const Tensor& x) { return log(naive_cumsum(exp(shifted(x)))) + amax(x, {-1}, {.keepdim = true}).detach(); }},
    {"group_norm",
     [](const Tensor& x) {
       return group_norm(x.reshape({2, 8, -1}), 2).reshape(x.shape());
     },
     [](const Tensor& x) {
       return naive_norm(x.reshape({4, -1})).reshape(x.shape());
     }},
    {"softmax down", [](const Tensor& x) { return softmax(x, 0); },
     [](const Tensor& x) { return transpose(naive_softmax(transpose(x, 0, 1)), 0, 1); }},
    {"huber_loss", [](const Tensor& x) { return huber_loss(x, zeros_like(x.detach())); },
     [](const Tensor& x) {
       Tensor d = abs(x), near = minimum(d, 1);
       return mean_of(near * (d - near * 0.5));
     }},
    {"l1_loss", [](const Tensor& x) { return l1_loss(x, zeros_like(x.detach())); },
     [](const Tensor& x) { return mean_of(abs(x)); }},
    {"binary_cross_entropy_with_logits",
     [](const Tensor& x) { return binary_cross_entropy_with_logits(x, ones_like(x.detach()) * 0.25); },
     [](const Tensor& x) { return mean_of(x * 0.75 + log1p(exp(-x))); }},
    {"kl_div", [](const Tensor& x) { return kl_div(x, ones_like(x.detach()) * 0.5); },
     [](const Tensor& x) { return mean_of((-x + log(ones_like(x.detach()) * 0.5)) * 0.5); }},
    {"conv1d",
     [](const Tensor& x) {
       return conv1d(x.reshape({1, 16, -1}), weights(x, {2, 16, 3})).reshape({2, -1});
     },
     [](const Tensor& x) {
       Tensor windows = permute(unfold(x, 1, 3, 1), {1, 0, 2});
       return products(weights(x, {2, 48}), windows.reshape({windows.size(0), 48}));
     }},
    {"gru_cell",
     [](const Tensor& x) {
       return gru_cell(x, narrow(x, 1, 0, 2), weights(x, {6, x.size(1)}), weights(x, {6, 2}), Tensor(), Tensor());
     },
     naive_gru},
    {"mse_loss", [](const Tensor& x) { return mse_loss(x, zeros_like(x.detach())); },
     [](const Tensor& x) {
       return average((x * x).reshape({1, -1})).reshape(Shape{});
     }},
};

}  // namespace

TEST_CASE("bf16 and f16: sums, norms and losses, and their gradients, are as near as with every step in the dtype") {
  for (const char* d : {"ref", "cpu"})
    for (DType t : {bf16, f16})
      for (int64_t n : {3, 64, 257})
        for (const Rival& r : kRivals) {
          std::vector<double> v;
          for (int64_t i = 0; i < 16 * n; i++) v.push_back(2 * noise(uint64_t(i), 7));
          Tensor x = Tensor::of(v, {16, n}, {.dtype = t, .device = device(d)}), exact_x = x.to(f64).requires_grad_();
          auto both = [&](Tensor (*f)(const Tensor&), Tensor leaf) {
            Tensor y = f(leaf);
            Tensor w = probe_like(y, Probe::sixteenths, 3);
            return std::pair{y.detach().to(f64), grad({y}, {leaf}, {w})[0].to(f64)};
          };
          auto exact = both(r.mine, exact_x), mine = both(r.mine, x.requires_grad_()),
               naive = both(r.naive, x.requires_grad_());
          auto error = [](const Tensor& a, const Tensor& b) { return amax(abs(a - b)).item(); };
          const double eps = t == bf16 ? 0x1p-8 : 0x1p-11;  // half a place
          std::pair<const Tensor*, const Tensor*> mine_[] = {{&mine.first, &naive.first},
                                                             {&mine.second, &naive.second}};
          const Tensor* exact_[] = {&exact.first, &exact.second};
          for (int k : {0, 1}) {
            const double e = error(*mine_[k].first, *exact_[k]), rival = error(*mine_[k].second, *exact_[k]);
            INFO(std::string(r.name), k ? " gradient " : " ", std::string(d), " ", std::string(name_of(t)), " of ", n,
                 ": ", e, ", naive ", rival);
            CHECK(e <= 1.001 * std::max(2 * rival, eps * amax(abs(*exact_[k])).item()));
          }
        }
}
