// Whole models node by node: a wrong op is named with its line and module wherever it lies, right ones pass.
#include <cmath>
#include <string>

#include <doctest/doctest.h>
#include "autograd/checkpoint.h"
#include "autograd/function.h"
#include "autograd/ops/index.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/view.h"
#include "autograd/proof/check_model.h"
#include "autograd/proof/sample.h"
#include "nn/block.h"
#include "nn/embedding.h"
#include "nn/linear.h"
#include "nn/norm.h"
#include "nn/sequential.h"
#include "tests/helpers.h"

using namespace fovea;
using proof::Cause;
using proof::ModelReport;
using proof::Verdict;

namespace {

using Rule = void (*)(Backward&);

// x^3 with this gradient rule.
int cubed_by(const char* name, Rule rule) {
  return define_op({.name = name,
                    .saves = {in(0)},
                    .infer = [](Infer& i) { i.like(0, i.x(0)); },
                    .compose = [](Compose& c) { c.out[0] = c.x(0) * c.x(0) * c.x(0); },
                    .gradient = Gradient::backward,
                    .backward = rule});
}
Tensor cubed_gradient(Backward& b) { return b.g() * square(b.x(0)) * 3; }

int twice_too_large() {
  static int id = cubed_by("twice_too_large", [](Backward& b) { b.add(0, cubed_gradient(b) * 2); });
  return id;
}
// What a kernel would do that takes every tensor for a dense one.
int for_dense_inputs() {
  static int id = cubed_by("for_dense_inputs", [](Backward& b) {
    b.add(0, b.x(0).array().dense() ? cubed_gradient(b) : cubed_gradient(b) * 1.5);
  });
  return id;
}
int for_dense_cotangents() {
  static int id = cubed_by("for_dense_cotangents", [](Backward& b) {
    b.add(0, b.g().array().dense() ? cubed_gradient(b) : cubed_gradient(b) * 1.5);
  });
  return id;
}

// At 0 it takes the slope above, where its composition takes that below: both are right.
int other_side_relu() {
  static int id = define_op({.name = "other_side_relu",
                             .saves = {in(0)},
                             .infer = [](Infer& i) { i.like(0, i.x(0)); },
                             .compose = [](Compose& c) { c.out[0] = relu(c.x(0)); },
                             .gradient = Gradient::backward,
                             .backward = [](Backward& b) { b.add(0, where(b.x(0) >= 0, b.g(), 0)); }});
  return id;
}

using Middle = std::function<Tensor(const Tensor&)>;

struct MiddleLayer : nn::Module<MiddleLayer> {
  using Module::Module;
  nn::Linear in{this, "in", 6, 6};
  nn::LayerNorm norm{this, "norm", 6};
  Middle middle;
  Tensor forward(const Tensor& x) {
    Tensor h = norm(tanh(in(x)));
    return x + (middle ? middle(h) : h);
  }
};

// Three layers, something of the test's in the second.
struct Layered : nn::Module<Layered> {
  nn::List<MiddleLayer> layers{this, "layers", 3};
  nn::Linear head{this, "head", 6, 2};
  Tensor x = tensor_from_host(numbers().data(), f64, {5, 6}, {.dtype = f32});
  explicit Layered(Middle middle = nullptr) { layers[1].middle = std::move(middle); }
  Tensor forward(const Tensor& from) {
    Tensor h = from;
    for (MiddleLayer& layer : layers) h = layer(h);
    return head(h);
  }
  Tensor loss() { return sum(square((*this)(x.to(head.weight->value().dtype())))); }
  static std::vector<double> numbers() {
    std::vector<double> v(30);
    for (size_t i = 0; i < v.size(); i++) v[i] = proof::noise(i, 5);
    return v;
  }
};

ModelReport walk_of(Layered& net, const proof::ModelCheckOptions& o = {}) {
  ModelReport r = proof::check(
      net, [&] { return net.loss(); }, o);
  return r;
}

std::string nodes_line(int n) { return "test_nodes.cpp:" + std::to_string(n); }

}  // namespace

TEST_CASE("a wrong op deep in a model is named with its line, its module and its mistake") {
  manual_seed(3);
  Layered net([](const Tensor& h) { return apply(twice_too_large(), {{h}})[0]; });
  const std::string where = nodes_line(__LINE__ - 1);
  ModelReport r = walk_of(net);
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::fail);
  CHECK(r.node.op == "twice_too_large");
  CHECK(r.node.where == where);
  CHECK(r.node.module == "layered.layers.1");
  CHECK(r.node.cause == Cause::factor);
  CHECK(has(r.node.detail, "the gradient is 2 times the right one"));
  CHECK(r.node.input == 0);
  CHECK(r.node.analytic == doctest::Approx(2 * r.node.oracle));
  CHECK(r.node.parameter == "layers.1.norm.weight");
  CHECK(has(r.to_string(), "twice_too_large at " + where + " (layered.layers.1), input 0 ["));
  CHECK(!has(r.to_string(), "\n"));
}

TEST_CASE("a rule that is wrong only for inputs as they lie in the model is found") {
  manual_seed(3);
  Layered net([](const Tensor& h) {
    Tensor dense = apply(for_dense_inputs(), {{h}})[0];
    Tensor turned = apply(for_dense_inputs(), {{transpose(h, 0, 1)}})[0];
    return dense + transpose(turned, 0, 1);
  });
  const std::string where = nodes_line(__LINE__ - 3);
  ModelReport r = walk_of(net);
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::fail);
  CHECK(r.node.op == "for_dense_inputs");
  CHECK(r.node.where == where);
  CHECK(r.node.cause == Cause::layout);
  CHECK(has(r.node.detail, "right for dense inputs, wrong as they lie here: input 0 [6,5] by strides [1,6]"));
}

TEST_CASE("a rule that is wrong only for cotangents that are no dense tensors is found") {
  manual_seed(3);
  Layered net([](const Tensor& h) { return transpose(apply(for_dense_cotangents(), {{h}})[0], 0, 1).transpose(0, 1); });
  ModelReport r = walk_of(net);
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::fail);
  CHECK(r.node.op == "for_dense_cotangents");
  CHECK(r.node.cause == Cause::layout);
  CHECK(has(r.node.detail, "wrong where cotangents are transposed"));
}

TEST_CASE("host code is compared with differences, in the loss and by itself") {
  manual_seed(3);
  auto host = [](double factor) {
    return Function{.name = "host_sine",
                    .forward =
                        [](const std::vector<Tensor>& in) {
                          std::vector<double> v = in[0].to_vector<double>();
                          for (double& e : v) e = std::sin(e);
                          return std::vector{Tensor::of(v, in[0].shape(), {.device = in[0].device()})};
                        },
                    .backward = [factor](Backward& b) { b.add(0, b.g() * cos(b.x(0)) * factor); },
                    .saves = in(0)};
  };
  Layered good([&](const Tensor& h) { return host(1)({h})[0]; });
  ModelReport r = walk_of(good);
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::pass);
  CHECK(!r.exact);
  CHECK(r.nodes == 16);
  CHECK(has(r.to_string(), "six-point differences"));
  Layered bad([&](const Tensor& h) { return host(1.001)({h})[0]; });
  const std::string where = nodes_line(__LINE__ - 1);
  r = walk_of(bad);
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::fail);
  CHECK(r.node.op == "host_sine");
  CHECK(r.node.where == where);
  CHECK(r.node.module == "layered.layers.1");
}

TEST_CASE("host code that draws, and has two inputs of which one is data, is judged like any other") {
  manual_seed(3);
  Function drop{.name = "host_drop",
                .forward =
                    [](const std::vector<Tensor>& in) {
                      Tensor kept = bernoulli(full(in[0].shape(), 0.5, {.like = in[0]}));
                      return std::vector{in[0] * kept * in[1], kept};
                    },
                // Nothing is said of the second input.
                .backward = [](Backward& b) { b.add(0, b.g() * b.y(1) * b.x(1)); },
                .saves = in(1) | out(1)};
  Layered net([&](const Tensor& h) { return drop({h, full(h.shape(), 3.0, {.like = h.detach()})})[0]; });
  ModelReport r = walk_of(net);
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::pass);
  drop.backward = [](Backward& b) { b.add(0, b.g() * b.y(1)); };
  r = walk_of(net);
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::fail);
  CHECK(r.node.op == "host_drop");
}

TEST_CASE("a wrong op that does not show in the loss is found all the same") {
  manual_seed(3);
  Layered net([](const Tensor& h) {
    Tensor y = apply(twice_too_large(), {{h}})[0];
    return y - y.detach() * 0 - apply(twice_too_large(), {{h}})[0] + h;
  });
  const std::string where = nodes_line(__LINE__ - 3);
  CHECK(walk_of(net, {.nodes = false}).verdict == Verdict::pass);
  ModelReport r = walk_of(net);
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::fail);
  CHECK(r.node.where == where);
  CHECK(has(r.to_string(), "In the gradient of the loss it does not show"));
  CHECK(r.error < 1e-9);
}

TEST_CASE("a wrong op beside the loss is not to blame") {
  manual_seed(3);
  Tensor kept;
  Layered net([&](const Tensor& h) {
    kept = apply(twice_too_large(), {{h}})[0];
    return h;
  });
  ModelReport r = walk_of(net);
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::pass);
  CHECK(r.node.op.empty());
}

TEST_CASE("a wrong op inside checkpoint() is named") {
  manual_seed(3);
  Layered net([](const Tensor& h) {
    return checkpoint([](const Tensor& x) { return tanh(apply(twice_too_large(), {{x * 0.5}})[0]); }, h);
  });
  const std::string where = nodes_line(__LINE__ - 2);
  ModelReport r = walk_of(net);
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::fail);
  CHECK(r.node.op == "twice_too_large");
  CHECK(r.node.where == where);
}

TEST_CASE("a history that was cut is no node's fault") {
  manual_seed(3);
  Layered net([](const Tensor& h) { return h * h.detach(); });
  const std::string where = nodes_line(__LINE__ - 1);
  ModelReport r = walk_of(net);
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::fail);
  CHECK(r.node.op.empty());
  CHECK(has(r.to_string(),
            "nodes is right by itself: the gradient's path ends too early. Ends are at detach at " + where));
}

TEST_CASE("right models pass, on kinks and beside infinities too") {
  manual_seed(3);
  struct Case {
    std::string name;
    Middle middle;
  } cases[] = {
      {"dead relu", [](const Tensor& h) { return relu(h * 0) + abs(relu(h)) + h; }},
      {"ties", [](const Tensor& h) { return maximum(h, h * 1) + amax(h * 0, {1}, {.keepdim = true}); }},
      {"root of 0", [](const Tensor& h) { return sqrt(relu(h) + 1e-12) + h; }},
      {"masked", [](const Tensor& h) { return softmax(where(h > 1.5, -INFINITY, h), 1); }},
      {"dropout in checkpoint()",
       [](const Tensor& h) { return checkpoint([](const Tensor& x) { return dropout(tanh(x), 0.3); }, h); }},
      {"saturated", [](const Tensor& h) { return softmax(h * 200, 1) + sigmoid(h * 100) + tanh(h * 1e3); }},
      {"tiny", [](const Tensor& h) { return (h * 1e-12) * 1e10; }},
      {"strided",
       [](const Tensor& h) {
         return matmul(matmul(h, transpose(h, 0, 1)), h) + narrow(cat({h, h}, 1), 1, 3, 6) +
                mean(h, {0}, {.keepdim = true}).expand({5, 6});
       }},
      {"a list of pieces",
       [](const Tensor& h) {
         std::vector<Tensor> parts = split(h, 2, 1);
         return cat({parts[2], parts[0], parts[1]}, 1) * sum(stack({h, h}, 0), {0});
       }},
  };
  for (Case& c : cases) {
    Layered net(c.middle);
    INFO(c.name);
    ModelReport r = walk_of(net);
    INFO(r.to_string());
    CHECK(r.verdict == Verdict::pass);
    CHECK(r.nodes > 15);
  }
}

TEST_CASE("everything is put back, also when the loss throws while nodes are checked") {
  manual_seed(3);
  Layered net;
  const std::vector<float> before = net.head.weight->value().to_vector<float>();
  const Generator draws = default_generator();
  for (int last : {1, 2, 3}) {  // the gradient, the oracle, the walk
    int calls = 0;
    auto loss = [&] {
      Tensor y = dropout(net.loss(), 0.5);
      if (++calls == last) throw ValueError("enough");
      return y;
    };
    CHECK(has(error_of<ValueError>([&] { proof::check(net, loss); }), "enough"));
    CHECK(calls == last);
    for (auto& [name, p] : net.named_parameters()) CHECK(p->value().dtype() == f32);
    CHECK(net.head.weight->value().to_vector<float>() == before);
    CHECK(default_generator().counter == draws.counter);
    CHECK(state().mode == kGrad);
  }
}

TEST_CASE("a kink that the loss lies on is named") {
  manual_seed(3);
  Layered net([](const Tensor& h) { return apply(other_side_relu(), {{h}})[0] + tanh(h); });
  const std::string where = nodes_line(__LINE__ - 1);
  net.layers[1].norm.weight->set(zeros({6}));  // so that h is 0
  ModelReport r = walk_of(net);
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::non_smooth);
  CHECK(r.node.op == "other_side_relu");
  CHECK(r.node.where == where);
  CHECK(has(r.node.detail, "the derivative jumps here, from "));
}

TEST_CASE("a deep graph is checked as it grows") {
  Layered net([](const Tensor& h) {
    Tensor y = h;
    for (int i = 0; i < 2000; i++) y = y * 0.999;
    return apply(twice_too_large(), {{y}})[0];
  });
  const std::string where = nodes_line(__LINE__ - 2);
  ModelReport r = walk_of(net);
  INFO(r.to_string());
  CHECK(r.node.where == where);
  CHECK(r.nodes > 2000);
}
