// Mistakes that were made elsewhere, each once, as in test_pitfalls.cpp: layouts, second derivatives and threads.
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "autograd/apply.h"
#include "autograd/ops/activation.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/convolution.h"
#include "autograd/ops/index.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/view.h"
#include "autograd/transforms.h"
#include "core/dispatch.h"
#include "core/parallel.h"
#include "tests/autograd/pitfalls.h"

using namespace fovea;

namespace {

Tensor copy(const Tensor& x) { return Tensor(dense_copy(x.array())); }

using OfTensors = std::function<Tensor(const std::vector<Tensor>&)>;

}  // namespace

TEST_CASE("pitfall 7: a window is dropped on no path: it changes what is seen, as its dense mask does, hf#35924") {
  const int64_t n = 70, left = 9;
  for (const char* d : kDevices)
    for (DType t : {f32, f64, bf16, f16})
      for (bool heads_inside : {false, true}) {
        auto made = [&](uint64_t seed) {
          const Shape s = heads_inside ? Shape{1, n, 2, 8} : Shape{1, 2, n, 8};
          return leaf(noise_of(numel(s), seed), s, t, d);
        };
        Tensor q = made(1), k = made(2), v = made(3), i = arange(n, {.device = device(d)});
        Tensor windowed = attention(q, k, v, {.causal = true, .left = left, .heads_inside = heads_inside});
        Tensor whole = attention(q, k, v, {.causal = true, .heads_inside = heads_inside});
        auto heads = [&](const Tensor& x) { return heads_inside ? transpose(x, 1, 2) : x; };
        Tensor back = i.unsqueeze(1) - i, sees = logical_and(back >= 0, back <= left);
        Tensor dense = scaled_dot_product_attention(heads(q), heads(k), heads(v), {.attn_mask = sees});
        INFO(std::string(d), " ", std::string(name_of(t)), std::string(heads_inside ? " heads inside" : ""));
        const double eps = t == bf16 ? 0x1p-7 : t == f16 ? 0x1p-10 : 1e-6;
        CHECK(gap(heads(windowed), dense) <= eps);
        // Queries that reach back to the first key see the same; all later ones do not.
        Tensor moved = amax(abs(heads(windowed).to(f64) - heads(whole).to(f64)), {0, 1, 3});
        CHECK(is_zero(narrow(moved, 0, 0, left + 1)));
        CHECK(!any(narrow(moved, 0, left + 1, n - left - 1) == 0).item<bool>());
      }
}

TEST_CASE(
    "pitfall 37: weights and inputs that are transposed, stepped, reversed, shifted or repeated give what their copies "
    "give, pt#1246, mlx#4267") {
  struct Row {
    const char* name;
    Shape x, w;
    OfTensors f;
  };
  const Row rows[] = {
      {"conv1d", {2, 3, 9}, {4, 3, 3}, [](auto& t) { return conv1d(t[0], t[1]); }},
      {"conv2d", {2, 3, 5, 6}, {4, 3, 3, 2}, [](auto& t) { return conv2d(t[0], t[1]); }},
      {"linear", {5, 7}, {6, 7}, [](auto& t) { return linear(t[0], t[1]); }},
      {"matmul", {5, 7}, {7, 6}, [](auto& t) { return matmul(t[0], t[1]); }},
      {"layer_norm", {5, 7}, {7}, [](auto& t) { return layer_norm(t[0], 7, t[1], t[1]); }},
      {"embedding",
       {2, 3},
       {9, 4},
       [](auto& t) { return embedding(arange(9, {.device = t[1].device()}), t[1]) + sum(t[0]); }},
      {"cumsum", {5, 7}, {7}, [](auto& t) { return cumsum(t[0], 0) + cumsum(t[1], 0); }},
      {"softmax", {5, 7}, {7}, [](auto& t) { return softmax(t[0], 0) + softmax(t[1], 0); }},
  };
  struct Layout {
    const char* name;
    Tensor (*of)(const Shape& s, uint64_t seed, const char* d);
  };
  const Layout layouts[] = {
      {"transposed",
       [](const Shape& s, uint64_t seed, const char* d) {
         Shape turned;
         for (int k = s.rank - 1; k >= 0; k--) turned.push_back(s[k]);
         std::vector<int64_t> axes;
         for (int k = s.rank - 1; k >= 0; k--) axes.push_back(k);
         return permute(noise_leaf(turned, seed, d).detach(), axes);
       }},
      {"every second, backwards",
       [](const Shape& s, uint64_t seed, const char* d) {
         Shape wide = s;
         wide[s.rank - 1] *= 2;
         return slice(noise_leaf(wide, seed, d).detach(), -1, {INT64_MAX, INT64_MIN, -2});
       }},
      {"shifted",
       [](const Shape& s, uint64_t seed, const char* d) {
         Shape wide = s;
         wide[0] += 3;
         return narrow(noise_leaf(wide, seed, d).detach(), 0, 2, s[0]);
       }},
      {"one row for all",
       [](const Shape& s, uint64_t seed, const char* d) {
         Shape one = s;
         one[0] = 1;
         return expand(noise_leaf(one, seed, d).detach(), s);
       }},
  };
  for (const char* d : kDevices)
    for (const Row& r : rows)
      for (const Layout& l : layouts) {
        Tensor x = l.of(r.x, 1, d), w = l.of(r.w, 2, d);
        std::vector<Tensor> views{x.detach().requires_grad_(), w.detach().requires_grad_()};
        std::vector<Tensor> copies{copy(x).requires_grad_(), copy(w).requires_grad_()};
        Tensor a = r.f(views), b = r.f(copies);
        INFO(std::string(d), " ", std::string(r.name), " ", std::string(l.name));
        CHECK(gap(a, b) <= 1e-6);
        Tensor g = noise_leaf(a.shape(), 3, d).detach();
        std::vector<Tensor> da = grad({a}, views, {g}), db = grad({b}, copies, {g});
        for (size_t k = 0; k < 2; k++) CHECK(gap(da[k], db[k]) <= 4e-6);
      }
}

TEST_CASE(
    "pitfall 38: second derivatives through what an op has saved (its result, statistics) are those of the formula, "
    "pt#58509, pt#76185, pt#104040") {
  struct Row {
    const char* name;
    OfTensors f;
  };
  const Row rows[] = {
      {"exp", [](auto& t) { return exp(t[0]); }},
      {"tanh", [](auto& t) { return tanh(t[0]); }},
      {"sigmoid", [](auto& t) { return sigmoid(t[0]); }},
      {"rsqrt", [](auto& t) { return rsqrt(square(t[0]) + 1); }},
      {"div", [](auto& t) { return t[1] / (square(t[0]) + 1); }},
      {"softmax", [](auto& t) { return softmax(t[0], -1); }},
      {"log_softmax", [](auto& t) { return log_softmax(t[0], -1); }},
      {"logsumexp", [](auto& t) { return logsumexp(t[0], {-1}); }},
      {"layer_norm", [](auto& t) { return layer_norm(t[0], 6, t[1]); }},
      {"rms_norm", [](auto& t) { return rms_norm(t[0], 6, t[1]); }},
      {"gelu", [](auto& t) { return gelu(t[0]); }},
      {"cross_entropy", [](auto& t) { return cross_entropy(t[0], arange(4, {.device = t[0].device()})); }},
      {"attention",
       [](auto& t) {
         Tensor q = t[0].reshape({1, 1, 4, 6});
         return attention(q, q * 0.5, q * q, {.causal = true});
       }},
  };
  Tensor x = noise_leaf({4, 6}, 1, "cpu").detach(), w = noise_leaf({6}, 2, "cpu").detach() + 1.5,
         v = noise_leaf({4, 6}, 3, "cpu").detach();
  for (const Row& r : rows) {
    // Of cubes, so that the cotangents depend on x too.
    auto product = [&](const char* d, DType t) {
      Tensor weight = w.to(device(d)).to(t);
      auto f = [&](const std::vector<Tensor>& in) {
        Tensor y = r.f({in[0], weight});
        return std::vector<Tensor>{sum(y * square(y))};
      };
      return hvp(f, {x.to(device(d)).to(t)}, {v.to(device(d)).to(t)}).second[0].to(device("cpu"));
    };
    Tensor exact = product("ref", f64);
    // Six points of the gradient along v, in f64: an opinion that shares no backward of a backward.
    auto slope = [&](double h) {
      Tensor at = (x.to(f64) + v.to(f64) * h).to(device("ref")).requires_grad_();
      Tensor y = r.f({at, w.to(f64).to(device("ref"))});
      return grad({sum(y * square(y))}, {at})[0].to(device("cpu"));
    };
    const double h = 1e-2;
    Tensor six =
        ((slope(h) - slope(-h)) * 45 - (slope(2 * h) - slope(-2 * h)) * 9 + slope(3 * h) - slope(-3 * h)) / (60 * h);
    const double size = amax(abs(exact)).item();
    INFO(std::string(r.name));
    CHECK(gap(exact, six) <= 1e-8 * (1 + size));
    CHECK(gap(product("cpu", f32), exact) <= 1e-4 * (1 + size));
    CHECK(gap(product("cpu", f64), exact) <= 1e-12 * (1 + size));
  }
}

TEST_CASE("second derivatives at ties and at 0, where the function is smooth") {
  struct Row {
    const char* name;
    Tensor (*f)(const Tensor& x);
    std::vector<double> at, hessian;
  };
  const Row rows[] = {
      {"huber_loss", [](const Tensor& x) { return huber_loss(x, zeros_like(x), {Reduction::sum}); }, {0}, {1}},
      {"smooth_l1_loss",
       [](const Tensor& x) {
         return smooth_l1_loss(x, zeros_like(x), {Reduction::sum, 2});
       },
       {0},
       {0.5}},
      {"logaddexp", [](const Tensor& x) { return logaddexp(x, ones_like(x)); }, {1}, {0.25}},
      {"logaddexp, the other", [](const Tensor& x) { return logaddexp(ones_like(x), x); }, {1}, {0.25}},
      {"logcumsumexp", [](const Tensor& x) { return logcumsumexp(x, 0)[1]; }, {0, 0}, {0.25, -0.25, -0.25, 0.25}},
      {"logsumexp", [](const Tensor& x) { return logsumexp(x, {0}); }, {3, 3}, {0.25, -0.25, -0.25, 0.25}},
      {"softplus", [](const Tensor& x) { return softplus(x); }, {0}, {0.25}},
      {"logsigmoid", [](const Tensor& x) { return logsigmoid(x); }, {0}, {-0.25}},
      {"silu", [](const Tensor& x) { return silu(x); }, {0}, {0.5}},
      {"pow 2", [](const Tensor& x) { return pow(x, 2); }, {0}, {2}},
      {"pow 3", [](const Tensor& x) { return pow(x, 3); }, {0}, {0}},
      {"mse_loss", [](const Tensor& x) { return mse_loss(x, zeros_like(x), {Reduction::sum}); }, {0}, {2}},
      {"binary_cross_entropy_with_logits",
       [](const Tensor& x) { return binary_cross_entropy_with_logits(x, ones_like(x)); },
       {0},
       {0.25}},
  };
  for (const char* d : kDevices)
    for (const Row& r : rows)
      for (bool composed : {false, true}) {
        ModeScope mode(state(), composed ? uint32_t(kNoKernels) : 0u, 0);
        const auto n = int64_t(r.at.size());
        Tensor h = hessian([&](const Tensor& x) { return sum(r.f(x)); },
                           Tensor::of(r.at, {n}, {.dtype = f64, .device = device(d)}));
        Tensor expected = Tensor::of(r.hessian, {n, n}, {.dtype = f64});
        INFO(std::string(d), " ", std::string(r.name), composed ? " composed" : "");
        CHECK(gap(h.to(device("cpu")), expected) <= 1e-12);
      }
}

TEST_CASE("pitfall 52: the same bits with 1, 2, 3, 7 and 16 threads, products of matrices included, llama.cpp#22956") {
  struct Restore {
    int before = thread_count();
    ~Restore() { set_thread_count(before); }
  } restore;
  Tensor x = noise_leaf({67, 129}, 1, "cpu"), w = noise_leaf({257, 129}, 2, "cpu"), b = noise_leaf({257}, 3, "cpu");
  auto all = [&] {
    Tensor h = gelu(linear(x, w, b)), y = layer_norm(h, 257);
    Tensor q = y.reshape({1, 1, 67, 257}), a = attention(q, q, q, {.causal = true});
    Tensor loss = sum(a * softmax(y, 0)) + mean(logsumexp(y, {0})) + sum(cumsum(y, 0)[66]);
    std::vector<Tensor> made = grad({loss}, {x, w, b});
    made.push_back(loss.detach());
    return made;
  };
  auto deterministic = [&](int threads) {
    Deterministic scope;
    return set_thread_count(threads), all();
  };
  const std::vector<Tensor> one = deterministic(1);
  for (int n : {2, 3, 7, 16}) {
    const std::vector<Tensor> now = deterministic(n), first = all(), again = all();
    for (size_t k = 0; k < one.size(); k++) {
      INFO("threads ", n, " tensor ", k);
      CHECK(equal(one[k], now[k]));
      CHECK(equal(first[k], again[k]));  // repeats are the same in any mode
    }
  }
}
