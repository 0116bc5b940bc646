#include "autograd/gradient_report.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "autograd/apply.h"

namespace fovea {
namespace {

thread_local GradientPaths* open_paths = nullptr;

constexpr size_t kMostCuts = 8;  // remembered for a leaf

// The leaves that the history of `from` begins with.
std::vector<Node*> leaves_behind(const Edge& from) {
  std::vector<Node*> leaves, stack = {from.node()};
  std::set<Node*> seen = {from.node()};
  while (!stack.empty()) {
    Node* n = stack.back();
    stack.pop_back();
    if (!n->def) leaves.push_back(n);
    for (int i = 0; n->def && i < n->inputs; i++)
      if (Node* m = n->edges()[i].node(); m && seen.insert(m).second) stack.push_back(m);
  }
  return leaves;
}

bool same_line(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && std::string_view(a.file_name()) == b.file_name();
}

}  // namespace

std::string GradientCut::to_string() const {
  return op + (why.empty() ? "" : ", which " + why + ",") + " at " + describe(where) +
         (module.empty() ? "" : " (" + module + ")");
}

GradientPaths::GradientPaths() : outer_(open_paths), scope_(state(), *this) { open_paths = this; }
GradientPaths::~GradientPaths() { open_paths = outer_; }

void GradientPaths::cut(const Edge& from, const char* op, std::string why, const std::source_location& where,
                        const char* module) {
  const GradientCut cut{op, std::move(why), where, module ? module : ""};
  for (GradientPaths* p = open_paths; p; p = p->outer_)
    for (Node* n : leaves_behind(from)) {
      Leaf& leaf = p->leaves_[n];
      if (!leaf.hold) leaf.hold = Edge(n, 0);
      auto known = [&](const GradientCut& c) { return c.op == cut.op && same_line(c.where, where); };
      if (leaf.cuts.size() < kMostCuts && std::none_of(leaf.cuts.begin(), leaf.cuts.end(), known))
        leaf.cuts.push_back(cut);
    }
}

std::vector<GradientCut> GradientPaths::cuts_of(const Tensor& leaf) const {
  auto at = leaves_.find(leaf.edge().node());
  return at == leaves_.end() ? std::vector<GradientCut>() : at->second.cuts;
}

void detail::note_cuts(ThreadState& s, const OpRow& r, const Tensor* const* in, int inputs, const Tensor* out,
                       const std::source_location& where) {
  if (!open_paths || s.depth + s.rules > 0) return;
  bool goes_on = false;
  for (int k = 0; k < r.outputs; k++) goes_on |= bool(out[k].edge());
  for (int i = 0; i < inputs; i++) {
    if (!in[i]->defined() || !in[i]->edge()) continue;
    const bool takes = !(r.no_gradient >> std::min(i, 15) & 1);
    if (goes_on && takes) continue;
    std::string why = !(s.mode & kGrad)              ? "runs under NoGrad"
                      : !takes                       ? "has no gradient for input " + std::to_string(i)
                      : !is_floating(out[0].dtype()) ? std::string("gives ") + name_of(out[0].dtype())
                                                     : "has no gradient";
    GradientPaths::cut(in[i]->edge(), r.name, std::move(why), where, s.module);
  }
}

void detail::note_cut(const Tensor& from, const char* op, const std::source_location& where) {
  const ThreadState& s = state();
  if (from.edge() && (s.mode & kTrace) && open_paths && s.depth + s.rules == 0)
    GradientPaths::cut(from.edge(), op, "", s.where ? *s.where : where, s.module);
}

GradientReport gradient_report(const ParameterList& parameters, const GradientPaths* paths) {
  GradientReport report;
  for (const auto& p : parameters) {
    if (!p->value().requires_grad()) continue;
    Tensor g = p->grad();
    if (!g.defined()) {
      report.unreached.push_back(p->name());
      if (paths) report.cuts.push_back(paths->cuts_of(p->value()));
      continue;
    }
    bool zero = true, finite = true;
    for (double v : g.to_vector<double>()) zero &= v == 0, finite &= std::isfinite(v);
    if (!finite) report.non_finite.push_back(p->name());
    else if (zero) report.all_zero.push_back(p->name());
  }
  return report;
}

std::string GradientReport::to_string() const {
  std::string text;
  auto list = [&](const char* title, const std::vector<std::string>& names) {
    if (names.empty()) return;
    text += (text.empty() ? "" : "\n") + std::string(title) + ": " + names[0];
    for (size_t i = 1; i < names.size(); i++) text += ", " + names[i];
  };
  std::vector<std::string> named = unreached;
  for (size_t i = 0; i < cuts.size(); i++) {
    std::string ends;
    for (const GradientCut& c : cuts[i]) ends += (ends.empty() ? "" : ", ") + c.to_string();
    named[i] += cuts[i].empty() ? " (no op that ends its path)" : " (" + ends + ")";
  }
  list("not reached by backward", named);
  list("gradient all zero", all_zero);
  list("gradient not finite", non_finite);
  return text.empty() ? "every parameter has a finite, nonzero gradient" : text;
}

}  // namespace fovea
