// The report of what a backward did not reach.
#include <limits>

#include "autograd/parameter.h"
#include "tests/autograd/engine_helpers.h"

using namespace fovea;

namespace {

Ref<Parameter> make(const char* name, Role role = Role::weight) {
  return make_ref<Parameter>(name, role, floats({1, 2}));
}

TEST_CASE("parameters that backward did not reach are named") {
  ParameterList all = {make("used"),     make("dead"),   make("blocked"),
                       make("infinite"), make("frozen"), make("counter", Role::buffer)};
  all[4]->freeze();
  Tensor loss = sum(all[0] * 2 + all[2]->value() * 0 + all[3] * std::numeric_limits<double>::infinity());
  loss.backward();
  GradientReport r = gradient_report(all);
  CHECK(r.unreached == std::vector<std::string>{"dead"});
  CHECK(r.all_zero == std::vector<std::string>{"blocked"});
  CHECK(r.non_finite == std::vector<std::string>{"infinite"});
  CHECK(!r.clean());
  CHECK(r.to_string() == "not reached by backward: dead\ngradient all zero: blocked\ngradient not finite: infinite");
}

TEST_CASE("a clean report says so") {
  ParameterList all = {make("a"), make("b")};
  sum(all[0] * all[1]).backward();
  GradientReport r = gradient_report(all);
  CHECK(r.clean());
  CHECK(has(r.to_string(), "every parameter has a finite, nonzero gradient"));
}

TEST_CASE("a branch that detaches shows up as unreached") {
  ParameterList all = {make("before"), make("after")};
  Tensor hidden = (all[0] * 3).detach();
  sum(hidden * all[1]).backward();
  CHECK(gradient_report(all).unreached == std::vector<std::string>{"before"});
}

}  // namespace
