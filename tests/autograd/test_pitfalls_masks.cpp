// Mistakes that were made elsewhere, each once, as in test_pitfalls.cpp: masks, draws, tails and what threads keep.
#include <cfloat>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "autograd/apply.h"
#include "autograd/ops/activation.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/moments.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "core/parallel.h"
#include "core/random.h"
#include "tests/autograd/pitfalls.h"
#include "tests/helpers.h"

using namespace fovea;

TEST_CASE(
    "pitfall 2: additive masks of -FLT_MAX, -1e4 and -inf agree where a key is seen, and are never NaN, pt#109517") {
  for (const char* d : kDevices) {
    Tensor q = noise_leaf({1, 2, 3, 4}, 1, d), k = noise_leaf({1, 2, 3, 4}, 2, d), v = noise_leaf({1, 2, 3, 4}, 3, d),
           y[3];
    int i = 0;
    for (double hidden : {double(-FLT_MAX), -1e4, double(-INFINITY)}) {
      std::vector<double> rows{hidden, 0, hidden, 0, hidden, 0, hidden, hidden, hidden};
      Tensor mask = Tensor::of(rows, {3, 3}, {.dtype = f32, .device = device(d)});
      y[i] = scaled_dot_product_attention(q, k, v, {.attn_mask = mask});
      CHECK(is_finite(y[i]));
      for (const Tensor& g : grad({sum(y[i] * y[i])}, {q, k, v})) CHECK(is_finite(g));
      CHECK(gap(narrow(y[i], 2, 0, 2), narrow(y[0], 2, 0, 2)) < 1e-6);
      i++;
    }
  }
}

TEST_CASE("pitfall 3: NaN and inf in a masked key or value change nothing, forward or backward, pt#101967") {
  for (const char* d : kDevices)
    for (double bad : {double(NAN), double(INFINITY)}) {
      Tensor q = noise_leaf({1, 2, 3, 4}, 1, d), k = noise_leaf({1, 2, 5, 4}, 2, d), v = noise_leaf({1, 2, 5, 4}, 3, d);
      Tensor hidden = arange(5, {.device = device(d)}).reshape({1, 1, 5, 1}) >= 3;
      Tensor lengths = Tensor::of(std::vector<int32_t>{3}, {1}, {.device = device(d)});
      Tensor seen = logical_not(hidden).reshape({1, 5});
      auto run = [&](const Tensor& kk, const Tensor& vv, bool by_length) {
        Tensor y = by_length ? attention(q, kk, vv, {.k_lengths = lengths})
                             : scaled_dot_product_attention(q, kk, vv, {.attn_mask = seen});
        std::vector<Tensor> all = grad({sum(y * y)}, {q, kk, vv});
        all.push_back(y.detach());
        return all;
      };
      for (bool by_length : {true, false}) {
        std::vector<Tensor> clean = run(k, v, by_length);
        std::vector<Tensor> dirty = run(where(hidden, bad, k.detach()).requires_grad_(),
                                        where(hidden, bad, v.detach()).requires_grad_(), by_length);
        for (size_t i = 0; i < clean.size(); i++) CHECK(gap(clean[i], dirty[i]) < 1e-6);
      }
    }
}

TEST_CASE("pitfall 4: no queries, keys, heads or batch: zeros or nothing, forward and backward, pt#141219") {
  for (const char* d : kDevices)
    for (int zero = 0; zero < 4; zero++) {
      Shape qs{2, 2, 3, 4}, ks{2, 2, 5, 4};
      if (zero == 0) qs[2] = 0;
      if (zero == 1) ks[2] = 0;
      if (zero == 2) qs[1] = ks[1] = 0;
      if (zero == 3) qs[0] = ks[0] = 0;
      Tensor q = noise_leaf(qs, 1, d), k = noise_leaf(ks, 2, d), v = noise_leaf(ks, 3, d), y = attention(q, k, v);
      CHECK(y.shape() == qs);
      CHECK(!any(y != 0).item<bool>());
      for (const Tensor& g : grad({sum(y * y)}, {q, k, v})) CHECK(!any(g != 0).item<bool>());
    }
}

TEST_CASE(
    "pitfalls 5 and 6: causal ends with the keys in attention, begins with them in scaled_dot_product_attention; a "
    "window counts keys beside the query, pt#103082, pt#108108, fa#517, mlx#2967, hf#29623, vllm#3385") {
  for (const char* d : kDevices)
    for (auto [queries, keys] : {std::pair<int64_t, int64_t>{2, 5}, {5, 2}, {4, 4}}) {
      // Zero scores: a query's output is the mean of the unit vectors that it sees.
      Tensor q = zeros({1, 1, queries, 1}, {.device = device(d)}), k = zeros({1, 1, keys, 1}, {.device = device(d)});
      Tensor v = (arange(keys, {.device = device(d)}).unsqueeze(1) == arange(keys, {.device = device(d)})).to(f32);
      v = v.reshape({1, 1, keys, keys});
      auto table = [&](const Tensor& y, auto sees) {
        std::vector<bool> got = (y > 0).to_vector<bool>(), expected;
        for (int64_t i = 0; i < queries; i++)
          for (int64_t j = 0; j < keys; j++) expected.push_back(sees(i, j));
        INFO(std::string(d), " ", queries, " x ", keys);
        CHECK(got == expected);
      };
      const int64_t ahead = keys - queries;
      table(attention(q, k, v, {.causal = true}), [&](int64_t i, int64_t j) { return j <= i + ahead; });
      table(attention(q, k, v, {.causal = true, .left = 1}),
            [&](int64_t i, int64_t j) { return j <= i + ahead && j >= i + ahead - 1; });
      table(scaled_dot_product_attention(q, k, v, {.is_causal = true}), [](int64_t i, int64_t j) { return j <= i; });
    }
}

namespace {

void same_bits_of_layer_norm(int repeats) {
  struct Restore {
    int before = thread_count();
    ~Restore() { set_thread_count(before); }
  } restore;
  set_thread_count(3);
  Tensor x = noise_leaf({640, 48}, 1, "cpu"), w = noise_leaf({48}, 2, "cpu"), b = noise_leaf({48}, 3, "cpu"),
         g = noise_leaf({640, 48}, 4, "cpu").detach();  // work for all three
  std::vector<Tensor> first;
  for (int i = 0; i < repeats; i++) {
    std::vector<Tensor> dx = grad({layer_norm(x, 48, w, b)}, {x, w, b}, {g});
    if (i == 0) first = dx;
    for (size_t k = 0; k < 3; k++) REQUIRE(equal(dx[k], first[k]));
  }
}

}  // namespace

TEST_CASE("pitfall 11: the gradients of layer_norm have the same bits, on three threads, mlx#3630, mlx#2340") {
  same_bits_of_layer_norm(300);
}
TEST_SUITE("slow") {
  TEST_CASE("pitfall 11: 10000 times") { same_bits_of_layer_norm(10000); }
}

TEST_CASE("pitfall 16: spread and norm of zeros, of constants and of one number have finite gradients, pt#4320") {
  for (const char* d : kDevices)
    for (double value : {0.0, 3.0})
      for (int64_t n : {1, 4}) {
        Tensor x = full({2, n}, value, {.dtype = f32, .device = device(d), .requires_grad = true});
        const Tensor norms[] = {vector_norm(x, 2, 1), vector_norm(x, 1, 1), vector_norm(x, 3, 1)};
        const Tensor spreads[] = {fovea::std(x, 1, {.correction = 0}), var(x, 1, {.correction = 0})};
        INFO(std::string(d), " ", value, " ", n);
        for (const Tensor& y : norms) {  // 0 of the subgradients at zeros
          Tensor g = grad({sum(y)}, {x})[0];
          CHECK(is_finite(g));
          CHECK(is_zero(g) == (value == 0));
        }
        for (const Tensor& y : spreads) CHECK(is_zero(grad({sum(y)}, {x})[0]));
        CHECK(is_finite(grad({sum(normalize(x))}, {x})[0]));
        if (n > 1) CHECK(is_zero(grad({sum(fovea::std(x, 1) + var(x, 1))}, {x})[0]));
      }
}

TEST_CASE("pitfall 21: the tail of GELU by tanh keeps its digits, tt#56517") {
  for (const char* d : kDevices) {
    std::vector<double> v;
    for (double x = -12; x <= -4; x += 1 / 64.0) v.push_back(x);
    std::vector<double> y =
        gelu(Tensor::of(v, {int64_t(v.size())}, {.dtype = f32, .device = device(d)}), {Gelu::tanh}).to_vector<double>();
    for (size_t i = 0; i < v.size(); i++) {
      double u = std::sqrt(2 / M_PI) * (v[i] + 0.044715 * v[i] * v[i] * v[i]), expected = v[i] / (1 + std::exp(-2 * u));
      INFO(std::string(d), " ", v[i], ": ", y[i], ", expected ", expected);
      CHECK(std::abs(y[i] - expected) <= 1e-4 * std::abs(expected) + 1.2e-38);
    }
  }
}

TEST_CASE("pitfall 48: denormals are kept, on every worker too") {
  const int64_t n = 1 << 18;  // enough for all threads
  Tensor x = full({n}, 1e-40, {.dtype = f32}), y = x * 1.0 + 0.0;
  CHECK(amin(y).item() == amax(y).item());
  CHECK(amin(y).item() == double(1e-40f));
}

namespace {

// Draws of places, of which only those with odds may come.
void never_draws_zero(const char* d, int64_t draws) {
  Tensor p = Tensor::of(std::vector<double>{0, 0.3, 0, 0.7, 1e-45, 0}, {6}, {.dtype = f32, .device = device(d)});
  Tensor drawn = multinomial(p, draws, {.replacement = true}), last = categorical(expand(log(p), {draws / 5, 6}));
  for (const Tensor& t : {drawn, last}) CHECK(!any(gather(p == 0, 0, t)).item<bool>());
}

}  // namespace

TEST_CASE("what stands in an ignored row changes no derivative, of the second order neither") {
  for (const char* d : kDevices)
    for (double bad : {double(NAN), double(INFINITY)})
      for (Reduction r : {Reduction::none, Reduction::mean, Reduction::sum})
        for (int form = 0; form < 5; form++) {  // plain, smoothed, weighted, both, nll_loss
          Tensor target = Tensor::of(std::vector<int64_t>{-100, 1}, {2}, {.device = device(d)});
          Tensor weight = form == 2 || form == 3 ? Tensor({1, 2, 3}, {.device = device(d)}) : Tensor();
          auto derivatives = [&](double first) {
            Tensor x = leaf({first, 2, 3, 1, 2, 3}, {2, 3}, f32, d);
            Tensor loss = form == 4 ? nll_loss(x, target, {.reduction = r})
                                    : cross_entropy(x, target, {weight, -100, r, form % 2 * 0.1});
            Tensor c = ones(loss.shape(), {.device = device(d), .requires_grad = true});
            std::vector<Tensor> all = grad({loss}, {x}, {c}, {.create_graph = true});
            Tensor slope = arange(6, {.dtype = f32, .device = device(d)}).reshape({2, 3});
            if (form != 4) all.push_back(grad({all[0]}, {x}, {slope}, {.retain_graph = true})[0]);
            all.push_back(grad({all[0]}, {c}, {slope})[0]);
            return all;
          };
          std::vector<Tensor> clean = derivatives(1), dirty = derivatives(bad);
          INFO(std::string(d), " ", bad, ", reduction ", int(r), ", form ", form);
          for (size_t i = 0; i < clean.size(); i++) CHECK(equal(clean[i], dirty[i]));
        }
}

TEST_CASE("pitfall 19: what has probability 0 is never drawn; NaN is an error, pt#48841, pt#50034") {
  for (const char* d : kDevices) {
    never_draws_zero(d, 100000);
    // Draws that no luck brings: a uniform part of exactly 0, of a running sum, of nearly all.
    Tensor passed = Tensor::of(std::vector<double>{0, 0.25, 0.25, 1, 1}, {1, 5}, {.device = device(d)});
    Tensor part = Tensor::of(std::vector<double>{0, 0.25, 0.25 - 0x1p-55, 1 - 0x1p-53}, {1, 4}, {.device = device(d)});
    CHECK(fovea::apply(op::upper_bound, {{passed, part}})[0].to_vector<int>() == std::vector<int>{1, 3, 1, 3});
    // Odds so small that a part of their sum rounds to all of it.
    Tensor tiny = Tensor::of(std::vector<double>{0, 5e-324, 0}, {3}, {.device = device(d)});
    for (const Tensor& t : {multinomial(tiny, 100, {.replacement = true}), multinomial(expand(tiny, {100, 3}), 1)})
      CHECK(all(t == 1).item<bool>());
    CHECK_THROWS_AS(multinomial(full({5}, NAN, {.device = device(d)}), 1), ValueError);
  }
}
TEST_SUITE("slow") {
  TEST_CASE("pitfall 19: in 10^8 draws, pt#48841") {
    for (int i = 0; i < 20; i++) never_draws_zero("cpu", 5000000);
  }
}

TEST_CASE("lengths and documents beyond queries or keys are refused by attention, in both integer types") {
  for (const char* d : kDevices) {
    Tensor q = noise_leaf({1, 1, 3, 2}, 1, d), k = noise_leaf({1, 1, 4, 2}, 2, d);
    auto list = [&](std::vector<int64_t> v, const Shape& s) { return Tensor::of(v, s, {.device = device(d)}); };
    auto refused = [&](const AttentionOptions& o, const char* text) {
      CHECK(has(error_of<IndexError>([&] { attention(q, k, k, o); }), text));
    };
    refused({.k_lengths = list({5}, {1})}, "attention: k_lengths has 5 at position 0 (expected 0 to 4, of 4 keys)");
    refused({.k_lengths = list({int64_t(1) << 40}, {1})}, "k_lengths has 2147483647 at position 0");
    refused({.q_lengths = list({-1}, {1}).to(i32)}, "q_lengths has -1 at position 0 (expected 0 to 3, of 3 queries)");
    refused({.documents = list({0, 3, 0, 9}, {1, 4})}, "documents has 9 at position 3 (expected 0 to 4, of 4 keys)");
    refused({.documents = list({0, 2, 0, 2, 2, 1, 2, 4}, {2, 4})}, "documents has 1 at position 5 (expected 2 to 3");
    CHECK_NOTHROW(attention(q, k, k, {.documents = list({0, 3, 0, 4}, {1, 4}), .k_lengths = list({4}, {1})}));
  }
}

TEST_CASE("a view of more elements than memory holds is not copied out") {
  Tensor x = expand(ones({1}), {int64_t(1) << 40});
  CHECK(has(error_of<MemoryError>([&] { x.to_vector<float>(); }),
            "to_vector: [1099511627776] is 1099511627776 elements"));
  CHECK_THROWS_AS(x.contiguous(), MemoryError);
}
