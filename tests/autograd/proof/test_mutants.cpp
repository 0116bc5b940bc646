// How good the checks are: gradients of every op and function, broken in every way that applies.
#include <string>

#include <doctest/doctest.h>
#include "autograd/apply.h"
#include "tests/autograd/proof/mutants.h"

using namespace fovea;
using namespace fovea::proof;

namespace {

std::vector<std::string> subjects() {
  std::vector<std::string> names = sampled_functions();
  (void)op_def(op::add);
  for (int id = 1; id < op::count; id++)
    if (fovea::detail::op_defs[id] && op_def(id).gradient != Gradient::not_differentiable && !samples_of(id).empty())
      names.emplace_back(row(id).name);
  return names;
}

std::string table(const Scores& s) {
  std::string text;
  for (int m = 0; m < kMistakes; m++) {
    text += std::string("\n  ") + name_of(Mistake(m)) + ":";
    for (const Score& c : s.of[m]) text += " " + std::to_string(c.caught) + "/" + std::to_string(c.mutants);
  }
  return text;
}

}  // namespace

TEST_CASE("gradients of a few ops, broken in every way, are found") {
  Scores s;
  for (const char* name : {"mul", "matmul", "softmax", "index_select"}) add_scores(name, s);
  INFO(table(s));
  for (const std::string& m : s.missed) MESSAGE("missed " << m);
  CHECK(s.missed.empty());
  for (int size = 0; size < kSizes; size++) CHECK(s.total(size).mutants >= 50);
}

TEST_SUITE("slow") {
  TEST_CASE("gradients of every op and function, broken in every way, are found") {
    Scores all;
    std::string by_op;
    for (const std::string& name : subjects()) {
      Scores s;
      add_scores(name, s);
      by_op += "\n  " + name + ":";
      for (int size = 0; size < kSizes; size++)
        by_op += " " + std::to_string(s.total(size).caught) + "/" + std::to_string(s.total(size).mutants);
      all.add(s);
    }
    MESSAGE("caught of each, gross, a thousandth, twice the limit:" << by_op);
    MESSAGE("caught of all, gross, a thousandth, twice the limit:" << table(all));
    for (const std::string& m : all.missed) MESSAGE("missed " << m);
    for (const auto& [reason, list] : all.equivalent) {
      std::string names;
      for (const std::string& n : list) names += "\n  " + n;
      MESSAGE(list.size() << " mutants change nothing, as " << reason << ":" << names);
    }
    CHECK(all.total(0).caught == all.total(0).mutants);
    for (int size = 1; size < kSizes; size++) CHECK(all.total(size).caught >= 0.99 * all.total(size).mutants);
    CHECK(all.total(0).mutants >= 5000);
  }
}
