// Statistics by module, and the report of a backward as JSON.
#include "nn/statistics.h"

#include <limits>

#include "autograd/ops/activation.h"
#include "autograd/ops/reduce.h"
#include "nn/io/json.h"
#include "nn/linear.h"
#include "tests/helpers.h"

using namespace fovea;

namespace {

struct Halved : nn::Module<Halved> {
  nn::Linear up{this, "up", 2, 2};
  Tensor forward(const Tensor& x) { return relu(up(x)); }
};

TEST_CASE("activations and gradients are counted by the module that made them") {
  Halved net;
  net.up.weight->set(Tensor({{1, 0}, {0, -1}}));
  net.up.bias->set(Tensor({0, 0}));
  nn::ModuleStatistics statistics;
  {
    TraceScope scope(state(), statistics);
    sum(net(Tensor({{3, 4}, {std::numeric_limits<double>::infinity(), 1}, {-2, 1}}))).backward();
  }
  REQUIRE(statistics.lines().size() == 3);
  const auto &up = statistics.lines()[0], &all = statistics.lines()[1];
  CHECK((up.module == "halved.up" && all.module == "halved" && statistics.lines()[2].module == ""));
  CHECK((up.activations.count == 6 && up.activations.non_finite == 2));  // inf, and inf times 0
  CHECK((up.activations.largest == 4 && up.activations.mean() == -1));
  CHECK((all.activations.zeros == 3 && all.activations.zero_share() == 0.5));
  CHECK(up.gradients.count == 6);
  CHECK(statistics.table().find("halved.up") != std::string::npos);
}

TEST_CASE("the report of a backward as JSON") {
  Ref<Parameter> lost = make_ref<Parameter>("lost", Role::weight, Tensor({1, 2}));
  Ref<Parameter> used = make_ref<Parameter>("used", Role::weight, Tensor({1, 2}));
  GradientPaths paths;
  const std::string line = "test_statistics.cpp:" + std::to_string(__LINE__ + 1);
  sum(Tensor(lost->value()).detach() * used * 0).backward();
  CHECK(to_json(gradient_report({lost, used}, &paths)).dump() ==
        R"({"unreached": [{"parameter": "lost", "cuts": [{"op": "detach", "why": "", "at": ")" + line +
            R"(", "module": ""}]}], "all_zero": ["used"], "non_finite": []})");
}

}  // namespace
