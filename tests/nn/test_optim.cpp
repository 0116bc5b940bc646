#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "core/dispatch.h"
#include "nn/init.h"
#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/optim/adamw.h"
#include "nn/optim/schedule.h"
#include "tests/helpers.h"

using namespace fovea;

namespace {

struct TwoLayers : nn::Module<TwoLayers> {
  nn::Linear a{this, "a", 3, 4};
  nn::LayerNorm norm{this, "norm", 4};
  Tensor forward(const Tensor& x) { return norm(a(x)); }
};

// AdamW as the paper writes it, for one number.
struct Plain {
  double p, m = 0, v = 0;
  void step(double g, int t, const optim::AdamWOptions& o, bool decays) {
    if (decays) p -= o.lr * o.weight_decay * p;
    m = o.beta1 * m + (1 - o.beta1) * g;
    v = o.beta2 * v + (1 - o.beta2) * g * g;
    double m_hat = m / (1 - std::pow(o.beta1, t)), v_hat = v / (1 - std::pow(o.beta2, t));
    p -= o.lr * m_hat / (std::sqrt(v_hat) + o.eps);
  }
};

// A gradient that depends on the parameter and the step.
Tensor loss_of(const Tensor& p, int t) { return sum(sin(p * double(t)) + square(p) * 0.5); }
double gradient_at(double p, int t) { return t * std::cos(p * t) + p; }

struct One : nn::Module<One> {
  Ref<Parameter> w = add_parameter("w", Role::weight, {2, 3}, nn::init::normal(1));
  Ref<Parameter> b = add_parameter("b", Role::bias, {3}, nn::init::normal(1));
  Tensor forward(const Tensor& x) { return x; }
};

// Two lines: who saved, who wrote.
TEST_CASE("a step between forward and backward names the step's line, with and without a kernel") {
  for (const char* device : {"cpu", "ref"}) {
    INFO(std::string(device));
    TwoLayers net;
    net.to(fovea::device(device));
    optim::AdamW adam(net);
    Tensor x = full({2, 3}, 1.0, {.device = fovea::device(device)});
    auto loss = [&] { return sum(net(x)); };
    loss().backward();
    const int saved = __LINE__ + 1;
    Tensor late = sum(net.a(x) * net.norm.weight);
    const int written = __LINE__ + 1;
    adam.step();
    std::string text = error_of<GradientError>([&] { late.backward(); });
    CHECK(has(text, ", written at test_optim.cpp:" + std::to_string(written) + ")"));
    CHECK(has(text, "of mul, recorded at test_optim.cpp:" + std::to_string(saved)));
    const int clipped = __LINE__ + 2;
    Tensor g = net.a.weight->grad(), twice = sum(g * g.detach().requires_grad_());
    optim::clip_grad_norm(net.named_parameters(), 1e-6);
    text = error_of<GradientError>([&] { twice.backward(); });
    CHECK(has(text, ", written at test_optim.cpp:" + std::to_string(clipped) + ")"));
  }
}

TEST_CASE("AdamW follows the paper, with decay on matrices only") {
  manual_seed(1);
  One net;
  net.to(f64);
  optim::AdamWOptions o{.lr = 0.1, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = 0.25};
  optim::AdamW adam(net, o);
  CHECK(adam.slots()[0].decays);
  CHECK(!adam.slots()[1].decays);
  std::vector<std::vector<Plain>> plain(2);
  for (size_t k = 0; k < 2; k++)
    for (double x : adam.slots()[k].parameter->value().to_vector<double>()) plain[k].push_back({x});
  for (int t = 1; t <= 20; t++) {
    adam.zero_grad();
    loss_of(net.w->value(), t).backward();
    loss_of(net.b->value(), t).backward();
    adam.step();
    for (size_t k = 0; k < 2; k++) {
      for (Plain& x : plain[k]) x.step(gradient_at(x.p, t), t, o, k == 0);
      auto got = adam.slots()[k].parameter->value().to_vector<double>();
      for (size_t i = 0; i < got.size(); i++) CHECK(std::abs(got[i] - plain[k][i].p) <= 1e-12);
    }
  }
}

TEST_CASE("the kernel and the composition of AdamW agree") {
  for (DType t : {f32, f64, bf16}) {
    std::vector<double> results[2];
    for (bool composed : {false, true}) {
      manual_seed(2);
      One net;
      net.to(t);
      optim::AdamW adam(net, {.lr = 0.01, .weight_decay = 0.5});
      Device d = default_device();
      KernelTable& table = *fovea::detail::backends[d.backend].table;
      Slot before = table.slots[op::adamw];
      if (composed) table.slots[op::adamw].thunk = nullptr;
      for (int i = 1; i <= 5; i++) {
        adam.zero_grad();
        loss_of(net.w->value(), i).backward();
        loss_of(net.b->value(), i).backward();
        adam.step();
      }
      table.slots[op::adamw] = before;
      for (auto& p : net.parameters())
        for (double x : p->value().to_vector<double>()) results[composed].push_back(x);
    }
    double bound = t == f64 ? 1e-14 : t == f32 ? 1e-6 : 0.02;
    for (size_t i = 0; i < results[0].size(); i++) {
      INFO(std::string(name_of(t)));
      CHECK(std::abs(results[0][i] - results[1][i]) <= bound);
    }
  }
}

TEST_CASE("an optimizer made before to() and before a load still updates the model") {
  manual_seed(3);
  One net;
  optim::AdamW adam(net, {.lr = 0.5});
  net.to(bf16);
  net.w->set(zeros({2, 3}, {.dtype = bf16}));
  sum(net.w->value()).backward();
  adam.step();
  for (double x : net.w->value().to_vector<double>()) CHECK(x == -0.5);
  CHECK(adam.slots()[0].m.dtype() == f32);
  CHECK(adam.slots()[1].step == 0);  // no gradient, no update
}

TEST_CASE("clipping: the global norm, and errors that name the parameter") {
  One net;
  net.w->set(ones({2, 3}));
  net.b->set(ones({3}));
  (sum(net.w->value()) * 2 + sum(net.b->value()) * 4).backward();
  auto all = net.named_parameters();
  double norm = std::sqrt(6 * 4.0 + 3 * 16.0);
  CHECK(std::abs(optim::global_norm(all) - norm) <= 1e-12 * norm);
  CHECK(std::abs(optim::clip_grad_norm(all, 1.0) - norm) <= 1e-12 * norm);
  CHECK(std::abs(optim::global_norm(all) - 1) <= 1e-6);
  CHECK(std::abs(net.b->grad().to_vector<double>()[0] - 4 / norm) <= 1e-6);
  // A negative norm would turn the gradients round.
  for (double bad : {-1.0, 0.0, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_AS(optim::clip_grad_norm(all, bad), ValueError);
  CHECK_THROWS_AS(optim::AdamW(net, {.clip = -1}), ValueError);
  CHECK(std::abs(optim::global_norm(all) - 1) <= 1e-6);
  for (double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    net.zero_grad();
    optim::AdamW adam(net, {.lr = 1, .clip = 1});
    (sum(net.b->value()) * bad).backward();
    sum(net.w->value()).backward();
    try {
      adam.step();
      CHECK(false);
    } catch (const ValueError& e) {
      CHECK(std::string(e.what()).find("gradient of 'b' has ") != std::string::npos);
    }
    CHECK(net.w->value().to_vector<float>()[0] == 1);
  }
}

TEST_CASE("a clipped step is a step with the scaled gradient") {
  std::vector<float> results[2];
  for (bool inside : {false, true}) {
    manual_seed(4);
    One net;
    optim::AdamW adam(net, {.lr = 0.1, .clip = inside ? 0.5 : 0.0});
    (sum(net.w->value()) * 2).backward();
    sum(square(net.b->value())).backward();
    if (!inside) optim::clip_grad_norm(net.named_parameters(), 0.5);
    adam.step();
    for (auto& p : net.parameters())
      for (float x : p->value().to_vector<float>()) results[inside].push_back(x);
  }
  for (size_t i = 0; i < results[0].size(); i++) CHECK(std::abs(results[0][i] - results[1][i]) <= 1e-6);
}

TEST_CASE("options outside their range are refused") {
  One net;
  CHECK_THROWS_AS(optim::AdamW(net, {.lr = -1}), ValueError);
  CHECK_THROWS_AS(optim::AdamW(net, {.beta1 = 1}), ValueError);
  CHECK_THROWS_AS(optim::AdamW(net, {.beta2 = std::nan("")}), ValueError);
  CHECK_THROWS_AS(optim::AdamW(nn::NamedParameters{}, {}), ValueError);
  optim::AdamW picked(net, {.no_decay = {"w"}}), all(net, {.decay_all = true});
  CHECK(!picked.slots()[0].decays);
  CHECK(all.slots()[1].decays);
}

TEST_CASE("schedules: warm-up, then down to the least") {
  optim::Schedule s{.lr = 1, .min_lr = 0.1, .warmup = 4, .steps = 14};
  CHECK(s(0) == 0.25);
  CHECK(s(3) == 1);
  CHECK(s(4) == 1);
  CHECK(std::abs(s(13) - 0.1) <= 1e-15);
  CHECK(std::abs(s(1000) - 0.1) <= 1e-15);
  for (int64_t i = 4; i < 13; i++) CHECK(s(i) > s(i + 1));
  s.kind = optim::Schedule::linear;
  CHECK(std::abs(s(7) - (1 - 0.9 * 3 / 9)) <= 1e-15);
  s.kind = optim::Schedule::constant;
  CHECK(s(12) == 1);
  CHECK_THROWS_AS(optim::schedule_of("cosin"), ValueError);
}

}  // namespace
