// Whole models: right ones pass, wrong ones are found to the entry, and everything is as it was afterwards.
#include <cmath>
#include <string>

#include <doctest/doctest.h>
#include "autograd/ops/index.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "autograd/proof/check_model.h"
#include "nn/block.h"
#include "nn/embedding.h"
#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/sequential.h"
#include "tests/helpers.h"

using namespace fovea;

namespace {

struct TinyGpt : nn::Module<TinyGpt> {
  nn::Embedding tok{this, "tok", 11, 8}, pos{this, "pos", 6, 8};
  nn::List<nn::TransformerBlock> blocks{this, "blocks", 2, {.dim = 8, .heads = 2, .dropout = 0.1}};
  nn::LayerNorm norm{this, "norm", 8};
  Tensor forward(const Tensor& ids) {
    Tensor x = tok(ids) + pos(arange(double(ids.size(1)), {.like = ids}));
    for (auto& block : blocks) x = block(x);
    return linear(norm(x), tok.weight);
  }
};

Tensor loss_of(TinyGpt& model) {
  Tensor ids = Tensor::of<int64_t>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 1}, {2, 6});
  return cross_entropy(flatten(model(ids), 0, 1), flatten(ids));
}

// 2x with a gradient that is wrong for what is above 1.
int doubling_with_a_wrong_rule() {
  static int id = define_op({.name = "wrong_doubling",
                             .saves = {in(0)},
                             .infer = [](Infer& i) { i.like(0, i.x(0)); },
                             .compose = [](Compose& c) { c.out[0] = c.x(0) * 2; },
                             .gradient = Gradient::backward,
                             .backward = [](Backward& b) { b.add(0, b.g() * where(b.x(0) > 1, 2.001, 2.0)); }});
  return id;
}

struct Wrong : nn::Module<Wrong> {
  nn::Linear first{this, "first", 3, 4}, second{this, "second", 4, 5};
  Tensor forward(const Tensor& x) {
    Tensor w = apply(doubling_with_a_wrong_rule(), {{second.weight->value()}})[0];
    return linear(tanh(first(x)), w, second.bias);
  }
};

}  // namespace

TEST_CASE("a small GPT with dropout and a tied head passes, and is what it was afterwards") {
  manual_seed(3);
  TinyGpt model;
  std::vector<float> before = model.tok.weight->value().to_vector<float>();
  proof::ModelReport r = proof::check(model, [&] { return loss_of(model); });
  INFO(r.to_string());
  CHECK(std::string(name_of(r.verdict)) == std::string("pass"));
  CHECK(r.unreached.empty());
  CHECK(r.error < 1e-10);
  CHECK(std::abs(r.oracle) > 1e-3);
  CHECK_NOTHROW(r.or_throw());
  for (auto& [name, p] : model.named_parameters()) CHECK(p->value().dtype() == f32);
  CHECK(model.tok.weight->value().to_vector<float>() == before);
  CHECK(model.tok.weight->value().requires_grad());
}

TEST_CASE("a wrong entry is found by name and place") {
  manual_seed(3);
  Wrong model;
  Tensor x = normal(0, 1, {7, 3});
  std::vector<float> w(20, 0.25f);
  w[13] = 1.5f;
  model.second.weight->set(Tensor::of(w, {5, 4}));
  auto loss = [&] { return sum(square(model(x.to(model.first.weight->value().dtype())))); };
  proof::ModelReport r = proof::check(model, loss);
  INFO(r.to_string());
  CHECK(std::string(name_of(r.verdict)) == std::string("fail"));
  CHECK(r.parameter == std::string("second.weight"));
  CHECK(r.index == std::vector<int64_t>{3, 1});
  CHECK_THROWS_AS(r.or_throw(), GradientError);
}

TEST_CASE("floating data of another dtype are named, with the way out") {
  struct Net : nn::Module<Net> {
    nn::Linear out{this, "out", 3, 2};
    Tensor forward(const Tensor& x) { return out(x); }
  } net;
  Tensor x = full({4, 3}, 0.5), y = full({4, 2}, 0.25);
  std::string text = error_of<DTypeError>([&] { proof::check(net, [&] { return mse_loss(net(x), y); }); });
  CHECK(has(text, "The check runs in f64: what the loss takes beside the parameters needs their dtype"));
  proof::check(net, [&] { return mse_loss(net(x.to(net.out.weight->value().dtype())), y); }).or_throw();
}

TEST_CASE("a loss that is no number, or not the same twice, is told") {
  manual_seed(3);
  Wrong model;
  model.second.weight->set(zeros({5, 4}));
  Tensor x = normal(0, 1, {7, 3});
  CHECK_THROWS_AS(proof::check(model, [&] { return model(x.to(model.first.weight->value().dtype())); }), ValueError);
  for (auto& [name, p] : model.named_parameters()) CHECK(p->value().dtype() == f32);
  int calls = 0;
  auto drifting = [&] { return sum(model(x.to(model.first.weight->value().dtype()))) + double(calls++); };
  CHECK(proof::check(model, drifting).verdict == proof::Verdict::fail);
}
