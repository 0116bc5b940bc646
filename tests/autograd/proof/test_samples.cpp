// The samples themselves: they run, are what they say, and every op has some.
#include <bit>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include <doctest/doctest.h>
#include "autograd/apply.h"
#include "autograd/proof/evaluate.h"
#include "autograd/proof/sample.h"
#include "core/device.h"

using namespace fovea;
using namespace fovea::proof;

TEST_CASE("samples have names of their own and run on the reference") {
  Device ref = device("ref");
  NoGrad guard;
  std::set<std::string> names;
  for (const Sample& s : all_samples()) {
    INFO(s.name);
    CHECK(names.insert(s.name).second);
    CHECK_NOTHROW(call(s, make_inputs(s, f64, ref)));
  }
}

TEST_CASE("every op has samples, with a single element and with none") {
  (void)op_def(op::add);
  for (int id = 1; id < op::count; id++) {
    const OpRow& r = row(id);
    if (r.form != Form::pure && r.form != Form::view) continue;
    INFO(std::string(r.name));
    bool none = false, single = false, gradient = false;
    std::set<unsigned> patterns;  // of optional inputs
    std::set<std::string> shapes;
    auto seen = [&](int64_t size) { none |= size == 0, single |= size == 1; };
    for (const Sample* s : samples_of(id)) {
      unsigned present = 0;
      for (size_t i = 0; i < s->inputs.size(); i++) {
        const Input& in = s->inputs[i];
        if (in.kind == Input::absent) continue;
        present |= 1u << i;
        seen(numel(in.shape));
        shapes.insert(to_string(in.shape));
      }
      patterns.insert(present & r.optional);
      gradient |= s->order > 0;
    }
    if (shapes.size() == 1)  // a draw, which makes any number of elements
      for (const Sample* s : samples_of(id))
        for (const Tensor& y : call(*s, make_inputs(*s, f64, device("ref")))) seen(y.numel());
    CHECK(none);
    CHECK(single);
    CHECK(gradient);
    CHECK(patterns.size() == size_t(1) << std::popcount(r.optional));
  }
}

TEST_CASE("the ops without a gradient are these") {
  (void)op_def(op::add);
  std::set<std::string> names;
  for (int id = 1; id < op::count; id++)
    if (fovea::detail::op_defs[id] && op_def(id).gradient == Gradient::not_differentiable) names.insert(row(id).name);
  // Integer and boolean results only: an op that joins them loses gradients.
  const std::set<std::string> frozen = {"all",         "any",         "argmax",      "argmin",      "bitwise_and",
                                        "bitwise_not", "bitwise_or",  "bitwise_xor", "eq",          "ge",
                                        "gt",          "isfinite",    "isinf",       "isnan",       "le",
                                        "logical_and", "logical_not", "logical_or",  "logical_xor", "lt",
                                        "ne",          "randperm",    "shift_right", "true_places", "upper_bound"};
  CHECK(names == frozen);
}

TEST_CASE("what samples leave out has a reason, and does not grow") {
  std::map<std::string, int> reasons;
  int left_out = 0;
  for (const Sample& s : all_samples()) {
    if (s.op >= op::count || !has_floating_input(s) || s.without_gradient()) continue;
    if (s.order >= 2 && s.dtypes == kFloating) continue;
    INFO(s.name);
    CHECK(!s.why.empty());
    reasons[s.why]++;
    left_out++;
  }
  std::string text;
  for (auto& [why, n] : reasons) text += "\n  " + std::to_string(n) + " samples: " + why;
  MESSAGE("an order or a dtype left out:" << text);
  CHECK(left_out == 156);
}

TEST_CASE("the graph of a second derivative names the user's lines only") {
  int seen = 0;
  for (const Sample& s : all_samples()) {
    if (s.op >= op::count || s.order < 2 || s.large || s.without_gradient()) continue;
    INFO(s.name);
    std::vector<Tensor> x = make_inputs(s, f64, device("ref")), leaves, outputs, cotangents;
    for (int i : differentiated_inputs(s)) leaves.push_back(x[size_t(i)] = x[size_t(i)].requires_grad_());
    for (const Tensor& y : call(s, x))
      for (int twice = 0; y.requires_grad() && twice < 2; twice++) {  // so that gradients meet
        outputs.push_back(y);
        cotangents.push_back(probe_like(y, Probe::signs, 1).requires_grad_());
      }
    if (outputs.empty()) continue;
    std::vector<Tensor> dx = grad(outputs, leaves, cotangents, {.create_graph = true, .allow_unused = true});
    std::vector<Node*> stack;
    std::set<Node*> met;
    for (const Tensor& d : dx)
      if (d.requires_grad()) stack.push_back(d.edge().node());
    while (!stack.empty()) {
      Node* n = stack.back();
      stack.pop_back();
      if (!n || !met.insert(n).second) continue;
      std::string line = describe(n->where);
      INFO(std::string(n->def ? row(n->def->id).name : "a leaf") << " at " << line);
      CHECK((line.starts_with("test_samples.cpp:") || (s.function && line.starts_with("samples_"))));
      seen++;
      for (int i = 0; n->def && i < n->inputs; i++) stack.push_back(n->edges()[i].node());
    }
  }
  CHECK(seen > 1000);
}

TEST_CASE("inputs hold what they promise") {
  Samples s(*new std::deque<Sample>);
  const Sample& sample = s.add<op::where>({truths({200}), nonzero({200}, 0.5), apart({2, 50})}).named("of this test");
  std::vector<Tensor> x = make_inputs(sample, bf16, device("ref"));
  CHECK(x[0].dtype() == boolean);
  int on = 0;
  for (bool b : x[0].to_vector<bool>()) on += b;
  CHECK((on > 50 && on < 150));
  CHECK(x[1].dtype() == bf16);
  for (double v : x[1].to_vector<double>()) CHECK((std::abs(v) >= 0.5 && std::abs(v) <= 2));
  std::set<double> different;
  for (double v : x[2].to_vector<double>()) different.insert(v);
  CHECK(different.size() == 100);
  CHECK(different.count(0) == 0);
}

namespace {
void give_samples(Samples& s) { s.add({reals({3})}).named("mine"); }
}  // namespace

TEST_CASE("a user's op brings its own samples") {
  int id = define_op({.name = "twice_of_test_samples",
                      .infer = [](Infer& i) { i.like(0, i.x(0)); },
                      .compose =
                          [](Compose& c) {
                            c.out[0] = apply(op::add, {{c.x(0), c.x(0)}})[0];
                          },
                      .gradient = Gradient::derived,
                      .samples = give_samples});
  REQUIRE(samples_of(id).size() == 1);
  CHECK(samples_of(id)[0]->name == std::string("twice_of_test_samples #1 mine"));
  struct Other {
    double a = 0;
    static constexpr auto fields() { return Fields{Field{"a", &Other::a}}; }
  };
  std::deque<Sample> list;
  CHECK_THROWS_AS(Samples(list, id).add({reals({3})}, Other{}), ValueError);
}
