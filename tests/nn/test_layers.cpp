#include <doctest/doctest.h>

#include <cmath>

#include "autograd/checkpoint.h"
#include "autograd/gradient_report.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "nn/block.h"
#include "nn/embedding.h"
#include "tests/helpers.h"

using namespace fovea;

namespace {

std::vector<double> numbers(const Tensor& t) { return t.to_vector<double>(); }

double furthest(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double most = 0;
  auto x = numbers(a), y = numbers(b);
  for (size_t i = 0; i < x.size(); i++) {
    double d = std::abs(x[i] - y[i]);
    if (!(d <= most)) most = d;  // NaN stays
  }
  return most;
}

// The layers by plain loops, in double.
std::vector<double> affine(const std::vector<double>& x, const nn::Linear& l, size_t in, size_t out) {
  auto w = numbers(l.weight->value()), b = numbers(l.bias->value());
  std::vector<double> y(x.size() / in * out);
  for (size_t r = 0; r < x.size() / in; r++)
    for (size_t o = 0; o < out; o++) {
      y[r * out + o] = b[o];
      for (size_t i = 0; i < in; i++) y[r * out + o] += x[r * in + i] * w[o * in + i];
    }
  return y;
}

TEST_CASE("self-attention is the formula, head by head") {
  manual_seed(1);
  constexpr size_t B = 2, T = 5, C = 8, H = 2, D = C / H;
  nn::SelfAttention layer(nn::Parent{}, {.dim = C, .heads = H});
  Tensor x = normal(0, 1, {B, T, C});
  auto qkv = affine(numbers(x), layer.qkv, C, 3 * C);
  std::vector<double> y(B * T * C, 0);
  for (size_t b = 0; b < B; b++)
    for (size_t h = 0; h < H; h++)
      for (size_t i = 0; i < T; i++) {
        auto at = [&](size_t part, size_t t, size_t d) { return qkv[(b * T + t) * 3 * C + part * C + h * D + d]; };
        std::vector<double> p(i + 1);
        double total = 0;
        for (size_t j = 0; j <= i; j++) {
          double s = 0;
          for (size_t d = 0; d < D; d++) s += at(0, i, d) * at(1, j, d);
          total += p[j] = std::exp(s / std::sqrt(double(D)));
        }
        for (size_t j = 0; j <= i; j++)
          for (size_t d = 0; d < D; d++) y[(b * T + i) * C + h * D + d] += p[j] / total * at(2, j, d);
      }
  auto expected = affine(y, layer.proj, C, C);
  auto got = numbers(layer(x));
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); i++) {
    INFO(i);
    CHECK(std::abs(got[i] - expected[i]) <= 1e-5);
  }
}

TEST_CASE("grouped queries share keys: equal to repeating them") {
  manual_seed(2);
  nn::SelfAttention grouped(nn::Parent{}, {.dim = 12, .heads = 6, .kv_heads = 2}),
      full(nn::Parent{}, {.dim = 12, .heads = 6});
  CHECK(grouped.qkv.weight->value().shape() == Shape{20, 12});
  // Rows of the full projection: 6 query heads of 2, then each of 2 key heads three times, then the same of values.
  auto widen = [](const Tensor& w) {
    std::vector<Tensor> parts = {narrow(w, 0, 0, 12)};
    for (int64_t base : {12, 16})
      for (int64_t h = 0; h < 6; h++) parts.push_back(narrow(w, 0, base + h / 3 * 2, 2));
    return cat(parts, 0);
  };
  full.qkv.weight->set(widen(grouped.qkv.weight->value()));
  full.qkv.bias->set(widen(grouped.qkv.bias->value()));
  full.proj.weight->set(grouped.proj.weight->value());
  full.proj.bias->set(grouped.proj.bias->value());
  Tensor x = normal(0, 1, {2, 4, 12});
  CHECK(furthest(grouped(x), full(x)) <= 1e-6);
}

TEST_CASE("cached attention equals the uncached path, in pieces of any size") {
  manual_seed(3);
  nn::TransformerBlock block(nn::Parent{}, {.dim = 16, .heads = 4, .kv_heads = 2});
  Tensor x = normal(0, 1, {2, 9, 16});
  NoGrad guard;
  Tensor whole = block(x);
  for (int64_t piece : {1, 2, 4, 9}) {
    nn::KVCache cache(1, 9);
    std::vector<Tensor> parts;
    for (int64_t at = 0; at < 9; at += piece)
      parts.push_back(block(narrow(x, 1, at, std::min(piece, 9 - at)), cache.layer(0)));
    INFO(piece);
    CHECK(furthest(cat(parts, 1), whole) <= 1e-5);
    CHECK(cache.length() == 9);
    CHECK_THROWS_AS(block(narrow(x, 1, 0, 1), cache.layer(0)), ShapeError);
  }
}

TEST_CASE("residuals put the norm before or behind") {
  manual_seed(4);
  Tensor x = normal(0, 1, {3, 8});
  nn::Residual<nn::FeedForward> pre(nn::Parent{}, {.dim = 8}, {.dim = 8, .multiplier = 2});
  nn::Residual<nn::FeedForward> post(nn::Parent{}, {.dim = 8, .position = nn::NormPosition::post},
                                     {.dim = 8, .multiplier = 2});
  CHECK(furthest(pre(x), x + pre.body(pre.norm(x))) == 0);
  CHECK(furthest(post(x), post.norm(x + post.body(x))) == 0);
  CHECK_THROWS_AS(nn::Residual<nn::FeedForward>(nn::Parent{}, {.dim = 8, .position = nn::NormPosition(2)}, {.dim = 8}),
                  ValueError);
  nn::FeedForward other(nn::Parent{}, {.dim = 8, .activation = nn::Activation(3)});
  CHECK_THROWS_WITH_AS(other(x), doctest::Contains("activation is 3 (expected one of the values of its enum, 0 to 2)"),
                       ValueError);
  std::vector<std::string> names;
  for (auto& [name, p] : pre.named_parameters()) names.push_back(name);
  CHECK(names ==
        std::vector<std::string>{"norm.weight", "norm.bias", "up.weight", "up.bias", "down.weight", "down.bias"});
}

TEST_CASE("dropout follows the generator, and eval turns it off") {
  nn::Dropout drop(nn::Parent{}, 0.25);
  Tensor x = ones({100, 100});
  manual_seed(5);
  Tensor a = drop(x);
  manual_seed(5);
  Tensor b = drop(x), c = drop(x);
  CHECK(furthest(a, b) == 0);
  CHECK(furthest(a, c) > 0);
  CHECK(std::abs(mean(a).item() - 1) < 0.03);
  drop.eval();
  CHECK(furthest(drop(x), x) == 0);
  CHECK_THROWS_AS(nn::Dropout(nn::Parent{}, 1.0), ValueError);
}

TEST_CASE("sizes that make no layer are refused") {
  CHECK_THROWS_AS(nn::SelfAttention(nn::Parent{}, {.dim = 10, .heads = 3}), ValueError);
  CHECK_THROWS_AS(nn::SelfAttention(nn::Parent{}, {.dim = 12, .heads = 4, .kv_heads = 3}), ValueError);
  CHECK_THROWS_AS(nn::FeedForward(nn::Parent{}, {.dim = 0}), ValueError);
  CHECK_THROWS_AS(nn::Linear(nn::Parent{}, 0, 3), Error);
  nn::SelfAttention layer(nn::Parent{}, {.dim = 8, .heads = 2});
  CHECK_THROWS_AS(layer(zeros({2, 3, 7})), ShapeError);
}

TEST_CASE("a block's gradient reaches every parameter") {
  manual_seed(6);
  for (auto position : {nn::NormPosition::pre, nn::NormPosition::post}) {
    nn::TransformerBlock block(
        nn::Parent{}, {.dim = 8, .heads = 2, .norm_position = position, .activation = nn::Activation::gelu_tanh});
    Tensor weights = normal(0, 1, {2, 4, 8});
    sum(block(normal(0, 1, {2, 4, 8})) * weights).backward();
    CHECK(gradient_report(block.parameters()).unreached.empty());
    CHECK(gradient_report(block.parameters()).non_finite.empty());
  }
}

TEST_CASE("a block under fovea::checkpoint() has the gradients it has without, dropout included") {
  manual_seed(8);
  nn::TransformerBlock block(nn::Parent{}, {.dim = 8, .heads = 2, .dropout = 0.3});
  Tensor ids = randint(0, 5, {2, 4});
  nn::Embedding tokens(nn::Parent{}, 5, 8);
  auto gradients = [&](bool recompute) {
    manual_seed(9);
    Tensor x = tokens(ids);
    auto run = [&](const Tensor& h) { return block(h); };
    sum(square(recompute ? fovea::checkpoint(run, x) : run(x))).backward();
    std::vector<Tensor> all;
    for (auto& p : block.parameters()) all.push_back(p->value().grad()), p->value().clear_grad();
    all.push_back(tokens.weight->value().grad());
    tokens.weight->value().clear_grad();
    return all;
  };
  std::vector<Tensor> plain = gradients(false), again = gradients(true);
  for (size_t i = 0; i < plain.size(); i++) CHECK(furthest(plain[i], again[i]) == 0);
  Tensor y = sum(fovea::checkpoint([&](const Tensor& h) { return block(h); }, tokens(ids)));
  block.eval();  // no draws any more
  CHECK(has(error_of<GradientError>([&] { y.backward(); }), "Is a module in another mode now?"));
}

}  // namespace
