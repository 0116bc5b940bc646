// Mistakes that were made elsewhere, each once: a test per row of the catalogue, with the issue that tells of it.
#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "autograd/ops/attention.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/moments.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/view.h"
#include "tests/autograd/pitfalls.h"

using namespace fovea;

TEST_CASE("pitfall 9: LayerNorm where the mean is far larger than the spread, pt#51102, burn#5607, onnxruntime#31973") {
  for (const char* d : kDevices)
    for (double mean_of_all : {1e2, 1e3, 1e4, 1e5, 1e6, 1e7})
      for (double spread : {1.0, 1e-3}) {
        const int64_t n = 67;
        std::vector<double> v;
        for (double z : noise_of(n, 3)) v.push_back(double(float(mean_of_all + spread * z)));  // what f32 holds
        double m = 0, var = 0, eps = 1e-5;
        for (double x : v) m += x / double(n);
        for (double x : v) var += (x - m) * (x - m) / double(n);
        std::vector<float> y = layer_norm(leaf(v, {1, n}, f32, d), {n}).to_vector<float>();
        double worst = 0;
        for (int64_t i = 0; i < n; i++)
          worst = std::max(worst, std::abs(y[size_t(i)] - (v[size_t(i)] - m) / std::sqrt(var + eps)));
        INFO(std::string(d), ", mean ", mean_of_all, ", spread ", spread, ": ", worst);
        // The mean, a sum in f32, is known to half a place of mean_of_all.
        CHECK(worst <= 4e-6 + 2 * mean_of_all * 0x1p-24 / std::sqrt(var + eps));
        CHECK(worst <= 0.3);
      }
}

TEST_CASE("pitfall 9: var along any axis where the mean is far larger than the spread, pt#51102") {
  const int64_t n = 64;
  for (const char* d : kDevices)
    for (double offset : {1e3, 1e4, 1e5}) {
      std::vector<double> v;
      for (double z : noise_of(n, 5)) v.push_back(double(float(offset + 0.1 * z)));
      double m = 0, exact = 0;
      for (double x : v) m += x / double(n);
      for (double x : v) exact += (x - m) * (x - m) / double(n - 1);
      Tensor row = leaf(v, {1, n}, f32, d), column = expand(row.detach().reshape({n, 1}), {n, 3});
      INFO(std::string(d), " ", offset);
      CHECK(var(row, 1).item() == doctest::Approx(exact).epsilon(1e-5));
      CHECK(var(column, 0)[1].item() == doctest::Approx(exact).epsilon(1e-5));
      CHECK(var(column.contiguous(), 0)[1].item() == doctest::Approx(exact).epsilon(1e-5));
      std::vector<float> g = grad({sum(var(row, 1))}, {row})[0].to_vector<float>();
      for (size_t i = 0; i < size_t(n); i++)
        CHECK(std::abs(g[i] - 2 * (v[i] - m) / double(n - 1)) <= 1e-5 * std::sqrt(exact));
    }
}

TEST_CASE(
    "pitfall 10: all norms of tiny, huge, constant and mixed numbers, forward and backward, pt#162489, pt#178123") {
  const std::pair<const char*, Tensor (*)(const Tensor&)> norms[] = {
      {"layer_norm", [](const Tensor& x) { return layer_norm(x, 18); }},
      {"rms_norm", [](const Tensor& x) { return rms_norm(x, 18, Tensor(), {1e-5}); }},
      {"group_norm",
       [](const Tensor& x) {
         return group_norm(x.reshape({20, 3, 6}), 1);
       }},
      {"vector_norm", [](const Tensor& x) { return vector_norm(x, 2, 1); }},
      {"vector_norm, 1", [](const Tensor& x) { return vector_norm(x, 1, 1); }},
      {"vector_norm, 3", [](const Tensor& x) { return vector_norm(x, 3, 1); }},
      {"vector_norm, inf", [](const Tensor& x) { return vector_norm(x, INFINITY, 1); }},
      {"vector_norm, down", [](const Tensor& x) { return vector_norm(x, 2, 0); }},
      {"normalize", [](const Tensor& x) { return normalize(x); }},
      {"std", [](const Tensor& x) { return fovea::std(x, 1); }},
      {"std, down", [](const Tensor& x) { return fovea::std(x, 0); }},
  };
  for (const char* d : kDevices)
    for (double scale : {1e-30, 1e-19, 1e-10, 1.0, 1e10, 1e19, 1e30})
      for (auto& [name, norm] : norms) {
        std::vector<double> v = noise_of(20 * 18, 5);  // twenty rows of five kinds
        for (size_t i = 0; i < v.size(); i++) {
          const size_t kind = i / 18 % 5;
          if (kind == 1) v[i] = i % 18 == 7 ? 1 : v[i] * 1e-8;  // one among far smaller ones
          if (kind == 2) v[i] = 1;                              // all the same
          if (kind == 3 && i % 3) v[i] = 0;
          if (kind == 4) v[i] = i % 2 ? 1 : -1;
          v[i] = double(float(v[i] * scale));
        }
        Tensor x = leaf(v, {20, 18}, f32, d), exact_x = leaf(v, {20, 18}, f64, "ref");
        Tensor y = norm(x), exact = norm(exact_x), g = noise_leaf(y.shape(), 6, d).detach();
        Tensor dx = grad({y}, {x}, {g})[0], exact_dx = grad({exact}, {exact_x}, {g.to(device("ref")).to(f64)})[0];
        auto close = [&](const char* what, const Tensor& a, const Tensor& b) {
          INFO(std::string(d), " ", std::string(name), " ", std::string(what), ", scale ", scale, ": ", a.to_string(),
               b.to_string());
          const double most = std::min(amax(abs(b)).item(), 3e38);
          CHECK(is_finite(a));
          CHECK(gap(a.to(device("ref")), b) <= 1e-5 * most + 1e-37);
        };
        close("value", y, exact);
        close("gradient", dx, exact_dx);
      }
}

TEST_CASE("pitfall 12: all targets ignored give loss 0 and gradient 0, pt#70348, pt#75181, pt#116349") {
  for (const char* d : kDevices)
    for (double smoothing : {0.0, 0.1}) {
      Tensor x = leaf(noise_of(12, 1), {3, 4}, f32, d);
      Tensor target = full({3}, -100, {.device = device(d)});
      Tensor loss = cross_entropy(x, target, {.label_smoothing = smoothing});
      CHECK(loss.item() == 0);
      loss.backward();
      CHECK(is_zero(x.grad()));
    }
}

TEST_CASE(
    "pitfall 13: ignored rows count nowhere, with label smoothing and weights too, pt#73205, pt#69339, pt#91383") {
  for (const char* d : kDevices)
    for (Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none})
      for (double smoothing : {0.0, 0.3})
        for (bool weighted : {false, true}) {
          Device at = device(d);
          std::vector<double> v = noise_of(24, 2);
          Tensor x = leaf(v, {6, 4}, f64, d);
          Tensor kept_x = leaf({v.begin() + 4, v.begin() + 16}, {3, 4}, f64, d);
          Tensor target = Tensor::of(std::vector<int64_t>{-100, 1, 3, 0, -100, -100}, {6}, {.device = at});
          Tensor kept_target = Tensor::of(std::vector<int64_t>{1, 3, 0}, {3}, {.device = at});
          CrossEntropyOptions o{.reduction = reduction, .label_smoothing = smoothing};
          if (weighted) o.weight = Tensor::of(std::vector<double>{0.5, 1, 2, 3}, {4}, {.device = at});
          INFO(std::string(d), ", reduction ", int(reduction), ", smoothing ", smoothing, ", weights ", weighted);
          Tensor all = cross_entropy(x, target, o), kept = cross_entropy(kept_x, kept_target, o);
          if (reduction == Reduction::none) {
            CHECK(all[0].item() == 0);
            CHECK(all[5].item() == 0);
          }
          CHECK(sum(all).item() == doctest::Approx(sum(kept).item()).epsilon(1e-12));
          sum(all).backward();
          sum(kept).backward();
          CHECK(is_zero(x.grad()[0]));
          CHECK(is_zero(x.grad()[Slice{4}]));
          Tensor gap = amax(abs(x.grad()[Slice{1, 4}] - kept_x.grad()));
          CHECK(gap.item() < 1e-12);
        }
}

TEST_CASE("pitfall 14: every invalid target is an error, every valid ignore_index is not, pt#12670, pt#15508") {
  for (const char* d : kDevices)
    for (Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none})
      for (int64_t bad : {int64_t(-1), int64_t(-4), int64_t(4), int64_t(255), int64_t(1) << 40, INT64_MIN, INT64_MAX}) {
        INFO(std::string(d), ", target ", bad);
        Tensor x = leaf(noise_of(8, 1), {2, 4}, f32, d);
        Tensor target = Tensor::of(std::vector<int64_t>{1, bad}, {2}, {.device = device(d)});
        CHECK_THROWS_AS(cross_entropy(x, target, {.reduction = reduction}), IndexError);
        CHECK_NOTHROW(cross_entropy(x, target, {.ignore_index = bad, .reduction = reduction}));
        CHECK_THROWS_AS(nll_loss(x, target, {.reduction = reduction}), IndexError);
        CHECK_NOTHROW(nll_loss(x, target, {.ignore_index = bad, .reduction = reduction}));
        CHECK_NOTHROW(exp(x));  // the fault does not stay behind
      }
}

TEST_CASE(
    "pitfall 15: the branch that where() does not take gets gradient 0; its argument is chosen too, pt#68425, "
    "pt#52248, pt#16317") {
  for (const char* d : kDevices) {
    Tensor x = leaf({-1, 0, 4}, {3}, f32, d);
    Tensor bad = leaf({NAN, INFINITY, 1}, {3}, f32, d);
    sum(where(x > 0, x, bad)).backward();
    CHECK(x.grad().to_vector<float>() == std::vector<float>{0, 0, 1});
    CHECK(bad.grad().to_vector<float>() == std::vector<float>{1, 1, 0});
    // sqrt, log and a quotient under a mask: where inside as well as outside.
    using Call = Tensor (*)(const Tensor&);
    for (Call call :
         {Call([](const Tensor& s) { return sqrt(s); }), Call([](const Tensor& s) { return log(s); }),
          Call([](const Tensor& s) { return 1 / s; }), Call([](const Tensor& s) { return pow(s, -0.5); })}) {
      Tensor y = leaf({-1, 0, 4}, {3}, f32, d), ok = y > 0;
      sum(where(ok, call(where(ok, y, 1)), 0)).backward();
      std::vector<float> g = y.grad().to_vector<float>();
      CHECK(g[0] == 0);
      CHECK(g[1] == 0);
      CHECK((std::isfinite(g[2]) && g[2] != 0));
    }
  }
}

TEST_CASE(
    "pitfall 17: logsumexp of -inf only is -inf, with gradient 0, pt#31829, jax#6811, jax#23842, tinygrad#17853") {
  for (const char* d : kDevices)
    for (int64_t n : {1, 3, 8, 21}) {
      std::vector<double> v(size_t(3 * n), -INFINITY);
      v[size_t(n)] = 2;  // the second row sees one number
      Tensor x = leaf(v, {3, n}, f32, d), y = logsumexp(x, {1});
      CHECK(y.to_vector<float>() == std::vector<float>{-INFINITY, 2, -INFINITY});
      sum(y).backward();
      std::vector<float> expected(size_t(3 * n), 0.f);
      expected[size_t(n)] = 1;
      CHECK(x.grad().to_vector<float>() == expected);
      Tensor up = leaf({INFINITY, 1}, {2}, f32, d);
      CHECK(logsumexp(up, {0}).item() == INFINITY);
    }
}

TEST_CASE(
    "pitfall 20: GELU is finite for every bf16 (as f64 too), f16 and 2^20 f32, forward and backward, executorch#22323, "
    "pt#186278, "
    "fairseq#2235") {
  for (const char* d : kDevices)
    for (DType t : {bf16, f16, f32, f64})
      for (Gelu form : {Gelu::none, Gelu::tanh}) {
        std::vector<double> v;
        for (uint32_t b = 0; b < 65536; b++) {
          BFloat16 p;
          Float16 q;
          p.bits = q.bits = uint16_t(b);
          double x = t == f16 ? double(float(q)) : double(float(p));
          if (std::isfinite(x)) v.push_back(x);
        }
        for (uint32_t b = 0; t == f32 && b < 1u << 20; b++) {  // 2^20 floats, all exponents and signs
          const float x = std::bit_cast<float>(b * 4096 + 1234);
          if (std::isfinite(x)) v.push_back(double(x));
        }
        INFO(std::string(d), " ", std::string(name_of(t)), " form ", int(form));
        Tensor x = leaf(v, {int64_t(v.size())}, t, d), y = gelu(x, {form});
        sum(y.to(f32)).backward();
        CHECK(is_finite(y));
        CHECK(is_finite(x.grad()));
        CHECK(!any(y < -0.2).item<bool>());
      }
}

TEST_CASE("pitfall 22: a padding row gets no gradient, at any length, pt#26302, pt#28716") {
  for (const char* d : kDevices)
    for (int64_t n : {1, 767, 768, 769, 100000}) {
      Tensor w = leaf(noise_of(8, 4), {4, 2}, f32, d);
      Tensor ids = (arange(n, {.device = device(d)}) % 4).contiguous();
      sum(embedding(ids, w, {.padding_idx = 2})).backward();
      std::vector<float> g = w.grad().to_vector<float>();
      INFO(std::string(d), " length ", n);
      for (int64_t row = 0; row < 4; row++) CHECK(g[size_t(2 * row)] == (row == 2 ? 0 : float((n + 3 - row) / 4)));
    }
}

TEST_CASE("pitfall 23: a bf16 embedding gradient does not stop growing at 256 duplicates, tt#53386, mxnet#17703") {
  for (const char* d : kDevices)
    for (DType t : {bf16, f16, f32}) {
      int64_t n = t == f16 ? 50000 : 100000;
      Tensor w = leaf(std::vector<double>(6, 0), {3, 2}, t, d);
      sum(embedding(full({n}, 1, {.device = device(d)}), w).to(f32)).backward();
      float expected = t == bf16 ? float(BFloat16(float(n))) : t == f16 ? float(Float16(float(n))) : float(n);
      INFO(std::string(d), " ", std::string(name_of(t)));
      CHECK(w.grad().to_vector<float>() == std::vector<float>{0, 0, expected, expected, 0, 0});
    }
}

TEST_CASE(
    "pitfall 1: a row of attention that sees nothing gives 0 and gradient 0, pt#103749, pt#103963, pt#41508, "
    "burn#4697") {
  for (const char* d : kDevices) {
    auto three = [&](uint64_t seed) { return leaf(noise_of(2 * 2 * 5 * 4, seed), {2, 2, 5, 4}, f32, d); };
    {
      Tensor q = three(1), k = three(2), v = three(3);
      Tensor lengths = Tensor::of(std::vector<int32_t>{0, 5}, {2}, {.device = device(d)});
      Tensor y = attention(q, k, v, {.k_lengths = lengths});
      CHECK(is_zero(y[0]));
      CHECK(!is_zero(y[1]));
      sum(y * y).backward();
      for (const Tensor& t : {q, k, v}) {
        CHECK(is_zero(t.grad()[0]));
        CHECK(is_finite(t.grad()));
      }
      CHECK(!is_zero(v.grad()[1]));
    }
    for (double hidden : {0.0, double(-INFINITY)}) {  // a boolean mask, an additive one
      Tensor q = three(1), k = three(2), v = three(3);
      Tensor mask =
          hidden == 0 ? ones({5, 5}, {.dtype = boolean, .device = device(d)}) : zeros({5, 5}, {.device = device(d)});
      mask = where((arange(5, {.device = device(d)}) == 1).unsqueeze(1), mask.to(f32) * 0 + hidden, mask.to(f32))
                 .to(mask.dtype());
      Tensor y = scaled_dot_product_attention(q, k, v, {.attn_mask = mask});
      CHECK(is_zero(y.select(2, 1)));
      CHECK(is_finite(y));
      sum(y * y).backward();
      CHECK(is_zero(q.grad().select(2, 1)));
      for (const Tensor& t : {q, k, v}) CHECK(is_finite(t.grad()));
    }
  }
}

TEST_CASE("pitfall 49: gradients of products with zeros, and of extrema with ties") {
  for (const char* d : kDevices) {
    Tensor x = leaf({2, 3, 4, 2, 0, 4, 0, 3, 0}, {3, 3}, f32, d);
    sum(prod(x, {1})).backward();
    CHECK(x.grad().to_vector<float>() == std::vector<float>{12, 8, 6, 0, 8, 0, 0, 0, 0});
    Tensor c = leaf({2, 3, 4, 2, 0, 4, 0, 3, 0}, {3, 3}, f32, d);
    sum(cumprod(c, 1)).backward();
    CHECK(c.grad().to_vector<float>() == std::vector<float>{16, 10, 6, 1, 10, 0, 4, 0, 0});
    Tensor t = leaf({1, 3, 3, 3}, {4}, f32, d);
    amax(t).backward();
    CHECK(t.grad().to_vector<float>() == std::vector<float>{0, 1 / 3.f, 1 / 3.f, 1 / 3.f});
    Tensor m = leaf({2, -1, -1}, {3}, f32, d);
    amin(m).backward();
    CHECK(m.grad().to_vector<float>() == std::vector<float>{0, 0.5f, 0.5f});
    Tensor first = leaf({1, 3, 3, 3}, {4}, f32, d);
    max(first, 0).first.backward();
    CHECK(first.grad().to_vector<float>() == std::vector<float>{0, 1, 0, 0});
  }
}

TEST_CASE(
    "pitfall 39: a broadcast gradient is summed, for all ranks and sizes of 1 on both sides, pt#1787, burn#181, "
    "nd4j#2424") {
  // Up to rank 4: every pattern of {1, full} on each side, and every pair of ranks.
  const int64_t sizes[4] = {2, 2, 3, 2};
  for (int ra = 0; ra <= 4; ra++)
    for (int rb = 0; rb <= 4; rb++)
      for (int ones_a = 0; ones_a < 1 << ra; ones_a++)
        for (int ones_b = 0; ones_b < 1 << rb; ones_b++) {
          Shape sa, sb;
          for (int i = 0; i < ra; i++) sa.push_back(ones_a >> i & 1 ? 1 : sizes[4 - ra + i]);
          for (int i = 0; i < rb; i++) sb.push_back(ones_b >> i & 1 ? 1 : sizes[4 - rb + i]);
          Shape s = broadcast(sa, sb);
          Tensor a = leaf(noise_of(numel(sa), 1), sa, f64, "cpu"), b = leaf(noise_of(numel(sb), 2), sb, f64, "cpu");
          sum(a * b).backward();
          INFO(to_string(sa), " with ", to_string(sb));
          REQUIRE(a.grad().shape() == sa);
          REQUIRE(b.grad().shape() == sb);
          Tensor ga = sum_to(expand(b.detach(), s), sa), gb = sum_to(expand(a.detach(), s), sb);
          REQUIRE(amax(abs(a.grad() - ga)).item() < 1e-14);
          REQUIRE(amax(abs(b.grad() - gb)).item() < 1e-14);
        }
}
