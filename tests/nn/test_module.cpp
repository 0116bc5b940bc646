#include <doctest/doctest.h>

#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "nn/embedding.h"
#include "nn/init.h"
#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/sequential.h"
#include "tests/helpers.h"

using namespace fovea;

namespace {

constexpr int kPairLine = __LINE__ + 4;
struct Pair : nn::Module<Pair> {
  using Module::Module;
  nn::Linear a{this, "a", 4, 3}, b{this, "b", 3, 4};
  Tensor forward(const Tensor& x) { return b(a(x)); }
};

struct Net : nn::Module<Net> {
  Pair first{this, "first"};
  nn::List<Pair> more{this, "more", 2};
  nn::List<nn::Linear> plain{this, "plain", 2, 4, 4};
  Ref<Parameter> gain = add_parameter("gain", Role::weight, {4}, nn::init::ones());
  Ref<Parameter> seen = add_parameter("seen", Role::buffer, {4}, nn::init::zeros());
  Net() { tie("again", first.a.weight); }
  Tensor forward(const Tensor& x) {
    Tensor y = first(x);
    for (auto& m : more) y = m(y);
    return y * gain;
  }
};

std::vector<std::string> names(const nn::NamedParameters& all) {
  std::vector<std::string> out;
  for (auto& [name, p] : all) out.push_back(name);
  return out;
}

TEST_CASE("members register themselves under dotted paths") {
  Net net;
  std::vector<std::string> expected = {
      "gain",          "first.a.weight",  "first.a.bias",  "first.b.weight",  "first.b.bias",  "more.0.a.weight",
      "more.0.a.bias", "more.0.b.weight", "more.0.b.bias", "more.1.a.weight", "more.1.a.bias", "more.1.b.weight",
      "more.1.b.bias", "plain.0.weight",  "plain.0.bias",  "plain.1.weight",  "plain.1.bias"};
  CHECK(names(net.named_parameters()) == expected);
  for (auto& [name, p] : net.named_parameters()) CHECK(p->name() == name);
  CHECK(net.named_state().size() == expected.size() + 1);
  CHECK(net.num_parameters() == 4 + 3 * (12 + 3 + 12 + 4) + 2 * (16 + 4));
  CHECK(std::string(net.more[1].b.path()) == "net.more.1.b");
  CHECK(std::string(net.first.type_name()) == "Pair");
  CHECK(&net.find("more.1.b") == &net.more[1].b);
  CHECK(net.find_parameter("first.b.bias") == net.first.b.bias);
  CHECK(error_of([&] { net.find("more.2"); }).starts_with("module: net.more has no member '2' (it has: 0, 1) at "));
}

TEST_CASE("a tie is one parameter with two names, counted once") {
  Net net;
  auto ties = net.ties();
  REQUIRE(ties.size() == 1);
  CHECK(ties[0].first == "again");
  CHECK(ties[0].second == "first.a.weight");
  net.to(bf16);
  CHECK(net.first.a.weight->value().dtype() == bf16);
  CHECK(net.ties() == ties);
}

TEST_CASE("a name is given once, and can stand in a path") {
  struct Twice : nn::Module<Twice> {
    nn::Linear a{this, "a", 2, 2}, b{this, "a", 2, 2};
    Tensor forward(const Tensor& x) { return x; }
  };
  CHECK(error_of([] { Twice t; }) == "module: twice has a member 'a' already at test_module.cpp:77");
  struct Dotted : nn::Module<Dotted> {
    nn::Linear a{this, "a.b", 2, 2};
    Tensor forward(const Tensor& x) { return x; }
  };
  CHECK(error_of([] { Dotted t; }).find("'a.b' cannot name a member of dotted") != std::string::npos);
}

TEST_CASE("a module type is final") {
  struct Base : nn::Module<Base> {
    Tensor forward(const Tensor& x) { return x; }
  };
  struct Derived : Base {};
  Derived d;
  CHECK(error_of([&] { d(Tensor{1}); }) ==
        "module: Derived derives from Base, whose forward would run. Module types are final: hold one as a member "
        "instead");
}

TEST_CASE("an error inside names the module's path and the user's line") {
  Net net;
  int line = 0;
  std::string text = error_of([&] { line = __LINE__, net.more[1].b(zeros({2, 7})); });
  INFO(text);
  CHECK(text.find("test_module.cpp:" + std::to_string(line)) != std::string::npos);
  CHECK(text.find("(net.more.1.b)") != std::string::npos);
  // In a user's module the user's own line counts, not that of its caller.
  text = error_of([&] { net.first(zeros({2, 7})); });
  INFO(text);
  CHECK(text.find("test_module.cpp:" + std::to_string(kPairLine)) != std::string::npos);
  CHECK(text.find("(net.first.a)") != std::string::npos);
  CHECK(state().module == nullptr);
  CHECK(state().where == nullptr);
}

TEST_CASE("train, eval, freeze and casts reach everything below") {
  Net net;
  net.eval();
  CHECK(!net.more[1].a.training());
  net.train();
  CHECK(net.more[1].a.training());
  CHECK(net.freeze("*.bias") == 8);
  CHECK(!net.first.a.bias->value().requires_grad());
  CHECK(net.first.a.weight->value().requires_grad());
  CHECK(net.freeze("first.*.bias", false) == 2);
  CHECK(net.first.a.bias->value().requires_grad());
  CHECK(error_of([&] { net.freeze("nothing.*"); }).starts_with("freeze: no parameter of net matches 'nothing.*' at "));
  net.to(f64);
  CHECK(net.plain[0].weight->value().dtype() == f64);
  CHECK(net.seen->value().dtype() == f64);
  CHECK(!net.more[0].a.bias->value().requires_grad());
}

TEST_CASE("globs") {
  CHECK(nn::glob_match("*", ""));
  CHECK(nn::glob_match("*.tok.*", "gpt.tok.weight"));
  CHECK(!nn::glob_match("*.tok.*", "tok.weight"));
  CHECK(nn::glob_match("a*b*c", "axxbyybzc"));
  CHECK(!nn::glob_match("a*b*c", "axxbyybz"));
}

TEST_CASE("hooks see inputs, replace results, and go away") {
  Net net;
  int calls = 0;
  int pre = net.first.on_call([&](nn::ModuleBase& m, std::span<const Tensor* const> in) {
    calls++;
    CHECK(std::string(m.path()) == "net.first");
    CHECK(in.size() == 1);
    CHECK(in[0]->size(1) == 4);
  });
  int post = net.first.on_result([](nn::ModuleBase&, const Tensor& y) { return y * 0; });
  Tensor x = ones({2, 4});
  CHECK(sum(net.first(x)).item() == 0);
  CHECK(calls == 1);
  net.first.remove_hook(post);
  CHECK(sum(abs(net.first(x))).item() > 0);
  net.first.remove_hook(pre);
  net.first(x);
  CHECK(calls == 2);
}

TEST_CASE("a model can be made without data, and be given it") {
  nn::ShapesOnly guard;
  Net net;
  CHECK(net.first.a.weight->value().array().is_shape_only());
  CHECK_THROWS_AS(net.first.a.weight->value().to_vector<float>(), ValueError);
  CHECK(net(zeros({3, 4})).shape() == Shape{3, 4});
}

TEST_CASE("Sequential calls modules and functions in order") {
  struct Holder : nn::Module<Holder> {
    nn::Sequential q{this, "q"};
    Holder() {
      q.add<nn::Linear>(2, 2);
      q.add([](const Tensor& x) { return x * 2; });
    }
    Tensor forward(const Tensor& x) { return q(x); }
  } h;
  Tensor x = Tensor::of<float>({1, 2}, {1, 2});
  CHECK(names(h.named_parameters()) == std::vector<std::string>{"q.0.weight", "q.0.bias"});
  Tensor y = linear(x, h.find_parameter("q.0.weight"), h.find_parameter("q.0.bias")) * 2;
  CHECK(h(x).to_vector<float>() == y.to_vector<float>());
}

TEST_CASE("first values have the variance they promise, and follow the seed") {
  manual_seed(7);
  auto spread = [](const nn::Initializer& init, Shape s) {
    double sum = 0, squares = 0;
    auto v = init(s).to_vector<double>();
    for (double x : v) sum += x, squares += x * x;
    return std::pair(sum / double(v.size()), std::sqrt(squares / double(v.size())));
  };
  struct Row {
    nn::Initializer init;
    double std;
  };
  Shape s{300, 200};
  const Row rows[] = {{nn::init::normal(0.02), 0.02},
                      {nn::init::xavier_normal(), std::sqrt(2.0 / 500)},
                      {nn::init::xavier_uniform(), std::sqrt(2.0 / 500)},
                      {nn::init::kaiming_normal(), std::sqrt(2.0 / 200)},
                      {nn::init::kaiming_uniform(), std::sqrt(2.0 / 200)},
                      {nn::init::kaiming_uniform(std::sqrt(5)), std::sqrt(1.0 / 600)},
                      {nn::init::uniform(-3, 3), std::sqrt(3.0)}};
  for (const Row& r : rows) {
    auto [mean, std] = spread(r.init, s);
    INFO(r.std);
    CHECK(std::abs(std / r.std - 1) < 0.02);
    CHECK(std::abs(mean) < 0.02 * r.std);
  }
  auto weights = [] {
    manual_seed(3);
    Net net;
    return net.more[1].b.weight->value().to_vector<float>();
  };
  CHECK(weights() == weights());
}

}  // namespace
