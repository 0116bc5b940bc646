// The checks can fail: rules broken in six ways are caught, each time.
#include <string>

#include <doctest/doctest.h>
#include "autograd/proof/check.h"
#include "autograd/proof/mutate.h"

using namespace fovea;
using namespace fovea::proof;

TEST_CASE("every broken rule of every op is found by the gradient check") {
  (void)op_def(op::add);
  int mutants = 0, ops = 0;
  for (int id = 1; id < op::count; id++) {
    const OpRow& r = row(id);
    if ((r.form != Form::pure && r.form != Form::view) || op_def(id).gradient != Gradient::backward) continue;
    MutationScore score = mutation_score(id);
    INFO(std::string(r.name));
    for (const std::string& m : score.missed) {
      INFO(m);
      CHECK(false);
    }
    CHECK(score.caught == score.mutants);
    // The gradients of these are zero however one breaks them.
    bool steps = id == op::sign || id == op::floor_divide || id == op::floor || id == op::ceil || id == op::round ||
                 id == op::trunc || id == op::trunc_divide;
    if (!steps) CHECK(score.mutants >= 5);
    mutants += score.mutants;
    ops++;
  }
  CHECK(ops >= 50);
  CHECK(mutants >= 350);
}

TEST_CASE("a report of a broken rule names the entry and what to run") {
  const Sample& s = *samples_of(op::exp)[0];
  CheckOptions o{.device = device("ref")};
  CHECK(check(s, o).verdict == Verdict::pass);
  {
    Mutation wrong(op::exp, Break::one_entry, 0);
    Report r = check(s, o);
    INFO(r.to_string());
    CHECK(r.verdict == Verdict::fail);
    CHECK(exit_code(r.verdict) == 1);
    CHECK(r.worst.input == 0);
    CHECK(r.worst.index == std::vector<int64_t>{1, 2});  // the middle of [3, 5]
    CHECK(r.worst.analytic - r.worst.oracle > 1e-8);
    CHECK(r.repro == std::string("fovea gradcheck --op exp --order 1 --device ref --sample 1 --shapes \"[1,1]\""));
    CHECK_THROWS_AS(Mutation(op::log, Break::sign, 0), ValueError);
  }
  CHECK(check(s, o).verdict == Verdict::pass);
}
