#include "autograd/proof/mutate.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <set>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/view.h"
#include "autograd/proof/check.h"
#include "autograd/proof/evaluate.h"

namespace fovea::proof {
namespace {

Mutation* active = nullptr;

// Nodes point at definitions, so broken ones live on.
std::deque<OpDef>& kept() {
  static auto* d = new std::deque<OpDef>;
  return *d;
}

}  // namespace

const char* name_of(Break b) {
  const char* names[kBreaks] = {"sign", "twice", "dropped", "reversed", "stale", "one entry"};
  return names[int(b)];
}

Mutation::Mutation(int op, Break kind, int input) : op_(op), input_(input), kind_(kind), original_(&op_def(op)) {
  if (active) throw ValueError("Mutation: another one is alive");
  if (original_->gradient != Gradient::backward)
    throw ValueError(std::string("Mutation: ") + row(op).name + " has no backward rule to break");
  OpDef& wrong = kept().emplace_back(*original_);
  wrong.backward = rule;
  active = this;
  fovea::detail::op_defs[op_] = &wrong;
}

Mutation::~Mutation() {
  fovea::detail::op_defs[op_] = original_;
  active = nullptr;
}

void Mutation::rule(Backward& b) {
  if (!active) throw GradientError("a broken rule has outlived its Mutation");
  b.engine_ = nullptr;  // gradients go to the sinks
  active->original_->backward(b);
  if (active->input_ >= b.inputs()) return;
  Tensor& g = b.sinks_[active->input_];
  if (!g.defined()) return;
  Tensor wrong = active->broken(g);
  active->changed_ |= numbers(wrong) != numbers(g);
  g = wrong;
}

Tensor Mutation::broken(const Tensor& g) {
  if (g.numel() == 0) return g;
  switch (kind_) {
    case Break::sign: return -g;
    case Break::twice: return g * 2;
    case Break::dropped: return zeros_like(g);
    case Break::reversed:
      return reshape(slice(reshape(g, {g.numel()}), 0, {.start = -1, .stop = INT64_MIN, .step = -1}), g.shape());
    case Break::stale:
      if (!first_.defined() || !(first_.shape() == g.shape()) || first_.dtype() != g.dtype()) first_ = g.detach();
      return first_;
    case Break::one_entry: {
      Numbers v = numbers(g);
      double largest = 0;
      for (double x : v)
        if (std::isfinite(x)) largest = std::max(largest, std::abs(x));
      v[v.size() / 2] += 1e-6 * largest;
      return tensor_from_host(v.data(), f64, g.shape(), {.like = g});
    }
  }
  return g;
}

MutationScore mutation_score(int op) {
  MutationScore score;
  std::set<int> inputs;
  for (const Sample* s : samples_of(op))
    for (int i : differentiated_inputs(*s)) inputs.insert(i);
  for (int input : inputs)
    for (int k = 0; k < kBreaks; k++) {
      Mutation wrong(op, Break(k), input);
      bool caught = false;
      for (const Sample* s : samples_of(op)) {
        if (s->large) continue;
        caught = check(*s, {.device = device("ref")}).verdict == Verdict::fail;
        if (caught) break;
      }
      if (!wrong.changed()) continue;
      score.mutants++;
      score.caught += caught;
      if (!caught)
        score.missed.push_back(std::string(row(op).name) + ": " + name_of(Break(k)) + " of input " +
                               std::to_string(input));
    }
  return score;
}

}  // namespace fovea::proof
