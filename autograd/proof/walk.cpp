#include "autograd/proof/walk.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>
#include <unordered_set>

#include "autograd/apply.h"
#include "autograd/function.h"
#include "autograd/hooks.h"
#include "autograd/ops/random.h"
#include "autograd/proof/findings.h"

namespace fovea::proof {
namespace {

// Nodes by the order of execution. An address may come again; those in the graph at the end are the last ones there.
class Numbering : fovea::detail::NodeWatch {
 public:
  std::vector<bool> behind(const Tensor& result) {
    std::vector<const Node*> stack{result.edge().node()};
    std::unordered_set<const Node*> seen;
    while (!stack.empty()) {
      auto* n = const_cast<Node*>(stack.back());
      stack.pop_back();
      if (!n || !seen.insert(n).second) continue;
      if (auto at = number_.find(n); at != number_.end()) on_the_way_[at->second] = true;
      for (int i = 0; n->def && i < n->inputs; i++) stack.push_back(n->edges()[i].node());
    }
    return std::move(on_the_way_);
  }

 private:
  void recorded(const fovea::detail::Recorded&, Node* n) override {
    number_[n] = on_the_way_.size();
    on_the_way_.push_back(n->flags & Node::unsaved);  // its graph is not that of the result
  }
  std::unordered_map<const Node*, size_t> number_;
  std::vector<bool> on_the_way_;
};

// The call that a node records.
Sample sample_of(const fovea::detail::Recorded& r, Node* n, double tolerance) {
  Sample s;
  if (r.host) {
    // Whatever it draws, it draws each time.
    s.function = [f = *r.host, draws = default_generator()](const std::vector<Tensor>& in) -> Sample::Outputs {
      default_generator() = draws;
      return f(in);
    };
    s.function_name = r.host->name;
  } else {
    s.op = n->def->id;
    if (r.attrs_size) {
      auto attrs = std::shared_ptr<char[]>(new char[size_t(r.attrs_size)]);
      std::memcpy(attrs.get(), r.attrs, size_t(r.attrs_size));
      s.attrs = std::shared_ptr<const void>(attrs, attrs.get());
    }
  }
  s.name = row(n->def->id).name;
  for (int i = 0; i < r.inputs; i++) {
    s.inputs.push_back(like(*r.in[i]));
    s.inputs.back().constant = !n->edges()[i];
  }
  s.large = true;  // by directions, however small
  return s.conditioned(tolerance / kUnit);
}

class Walk : fovea::detail::NodeWatch {
 public:
  Walk(const std::vector<bool>& on_the_way, const NamedParameters& parameters, double tolerance)
      : on_the_way_(on_the_way), parameters_(parameters), tolerance_(tolerance) {}
  Walked walked;

 private:
  void recorded(const fovea::detail::Recorded& r, Node* n) override {
    const size_t number = next_++;
    const bool checkpoint =
        !r.host && n->def->backward == fovea::detail::run_function;  // what it runs is checked by itself
    if (walked.verdict == Verdict::fail || checkpoint || (number < on_the_way_.size() && !on_the_way_[number])) return;
    ModeScope plain(state(), kGrad, kWatch | kUnsaved | kTrace);
    const Generator draws = default_generator();
    walked.checked++;
    const Sample s = sample_of(r, n, tolerance_);
    Device device;
    for (int i = 0; i < r.inputs; i++)
      if (r.in[i]->defined()) device = r.in[i]->device();
    Report report = check_call(s, device);
    if (report.verdict > walked.verdict) {
      walked.verdict = report.verdict;
      if (report.verdict == Verdict::fail && report.cause == Cause::none && report.worst.input >= 0)
        explain(report, s, {.device = device, .contracts = false});
      walked.node = told(report, n);
    }
    default_generator() = draws;
  }

  NodeReport told(const Report& r, Node* n) const {
    NodeReport t{r.op, n->where.line() ? describe(n->where) : "", n->module ? n->module : "", "", r.cause, r.detail};
    if (!r.smallest.empty()) {
      t.detail += (t.detail.empty() ? "smallest case that fails:" : "; smallest case that fails:");
      for (const Shape& s : r.smallest) t.detail += " " + fovea::to_string(s);
    }
    if (r.worst.input > -1000)
      t.input = r.worst.input, t.index = r.worst.index, t.analytic = r.worst.analytic, t.oracle = r.worst.oracle,
      t.error = r.worst.error;
    t.parameter = reached(t.input >= 0 ? n->edges()[t.input].node() : n);
    return t;
  }

  // The nearest parameter that gradients reach from a node.
  std::string reached(Node* from) const {
    std::vector<Node*> line{from};
    std::unordered_set<Node*> seen;
    for (size_t at = 0; at < line.size(); at++) {
      Node* n = line[at];
      if (!n || !seen.insert(n).second) continue;
      for (auto& [name, p] : parameters_)
        if (!n->def && p->value().edge().node() == n) return name;
      for (int i = 0; n->def && i < n->inputs; i++) line.push_back(n->edges()[i].node());
    }
    return "";
  }

  const std::vector<bool>& on_the_way_;
  const NamedParameters& parameters_;
  const double tolerance_;
  size_t next_ = 0;
};

}  // namespace

std::vector<bool> nodes_on_the_way(const Forward& forward, Tensor& result) {
  Numbering numbering;
  result = forward();
  return numbering.behind(result);
}

Walked check_nodes(const Forward& forward, const std::vector<bool>& on_the_way, const NamedParameters& parameters,
                   double tolerance) {
  Walk walk(on_the_way, parameters, tolerance);
  forward();
  return std::move(walk.walked);
}

}  // namespace fovea::proof
