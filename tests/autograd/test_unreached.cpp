// The report of what a backward did not reach.
#include <limits>

#include "autograd/gradient_report.h"
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

TEST_CASE("the op and the line that end a path are named") {
  ParameterList all;
  for (const char* name : {"detached", "counted", "unwatched", "read", "rounded", "compared", "unused", "used"})
    all.push_back(make(name));
  GradientPaths paths;
  const int line = __LINE__;
  Tensor a = (all[0] * 3).detach();
  Tensor b = argmax(all[1] * 1, 0);
  Tensor c = [&] { return NoGrad(), all[2] * 2; }();
  double d = sum(all[3] * 2).item();
  Tensor e = round(all[4] * 2);
  Tensor f = gt(all[5], 1);
  sum(a * all[7] + b + c + d + e + f).backward();
  GradientReport r = gradient_report(all, &paths);
  REQUIRE(r.unreached ==
          std::vector<std::string>{"detached", "counted", "unwatched", "read", "rounded", "compared", "unused"});
  auto at = [&](int n) { return " at test_unreached.cpp:" + std::to_string(line + n); };
  const std::string expected[] = {
      "detach" + at(1), "argmax, which gives i64," + at(2),   "mul, which runs under NoGrad," + at(3),
      "item" + at(4),   "round, which has no slope," + at(5), "gt, which gives bool," + at(6)};
  for (int i = 0; i < 6; i++) {
    INFO(r.unreached[size_t(i)]);
    REQUIRE(r.cuts[size_t(i)].size() == 1);
    CHECK(r.cuts[size_t(i)][0].to_string() == expected[i]);
  }
  CHECK(r.cuts[6].empty());
  CHECK(r.to_string().find("unused (no op that ends its path)") != std::string::npos);
  paths.clear();
  CHECK(paths.cuts_of(all[0]->value()).empty());
}

TEST_CASE("paths keep no graph alive, and end with their scope") {
  NoLeak leak;
  Ref<Parameter> p = make("p");
  {
    GradientPaths paths;
    Tensor lost = (p * 2 * 3).detach();
    CHECK(paths.cuts_of(p->value()).size() == 1);
  }
  CHECK(state().mode == kGrad);
}

}  // namespace
