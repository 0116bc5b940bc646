#include "autograd/engine.h"

#include <algorithm>
#include <thread>

#include "autograd/apply.h"
#include "autograd/gradient_report.h"
#include "autograd/hooks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/view.h"
#include "core/dispatch.h"

namespace fovea {
namespace {

std::atomic<uint32_t> runs{0};

Tensor* slots(Node* n) { return static_cast<Tensor*>(n->gradients()); }

// A leaf without hooks: no scratch of the run lies in it, gradients go straight to it.
bool is_end(const Node* n) { return !n->def && !n->hooks; }

void drop_saved(Node* n) {
  for (int i = 0; i < n->inputs; i++) n->saved_inputs()[i] = Array();
  for (int k = 0; k < n->outputs; k++) n->saved_outputs()[k] = Array();
  if (n->hooks) n->hooks->function = nullptr;
  n->flags |= Node::freed;
}

// Where a rule leaves its gradients, one per input, and which it has dealt with.
class Sinks {
 public:
  Sinks(ThreadState& s, int n) : state_(s), n_(n), sinks_(few_), filled_(few_filled_) {
    if (n > kFew) [[unlikely]] {
      sinks_ = static_cast<Tensor*>(allocate_block(s.blocks, bytes()));
      filled_ = reinterpret_cast<bool*>(sinks_ + n);
    }
    for (int i = 0; i < n; i++) new (sinks_ + i) Tensor, filled_[i] = false;
  }
  ~Sinks() {
    for (int i = 0; i < n_; i++) sinks_[i].~Tensor();
    if (n_ > kFew) [[unlikely]]
      free_block(state_.blocks, sinks_, bytes());
  }
  Sinks(const Sinks&) = delete;
  Tensor* tensors() { return sinks_; }
  bool* filled() { return filled_; }

 private:
  static constexpr int kFew = 6;
  size_t bytes() const { return size_t(n_) * (sizeof(Tensor) + 1); }
  ThreadState& state_;
  int n_;
  Tensor* sinks_;
  bool* filled_;
  union {
    Tensor few_[kFew];
  };
  bool few_filled_[kFew];
};

}  // namespace

// First meeting of a node. Nothing is touched yet, so a graph that cannot be run is refused whole.
[[gnu::always_inline]] inline void Engine::open(Node* n, Node*& stack) {
  if (n->flags & (Node::freed | Node::unsaved)) [[unlikely]]
    fail_at(
        n, n->flags & Node::unsaved
               ? "it lies inside a checkpoint() that runs its function without saving: differentiate outside of it"
               : "the graph was freed by an earlier backward (pass retain_graph to keep it), or what it saved is gone");
  n->pending = 0;
  n->next = stack;
  stack = n;
}

void Engine::count_edges(std::span<const Tensor> roots) {
  constexpr const char* kBusy = "another backward is running on this graph (one at a time)";
  Node* stack = nullptr;
  for (const Tensor& t : roots) {
    Node* n = t.edge().node();
    if (is_end(n) || ends_at(t.edge())) continue;
    uint32_t claim = 0;  // of two runs that start here at once one sees the other
    if (n->claim.compare_exchange_strong(claim, id_, std::memory_order_acquire)) open(n, stack);
    else if (claim != id_) fail_at(n, kBusy);
  }
  while (Node* n = stack) {
    stack = n->next;
    const int inputs = n->def ? n->inputs : 0;
    for (int i = 0; i < inputs; i++) {
      const Edge& e = n->edges()[i];
      Node* m = e.node();
      if (!m || is_end(m) || ends_at(e)) continue;
      if (uint32_t claim = m->claim.load(std::memory_order_relaxed); claim != id_) {
        if (claim != 0) [[unlikely]]
          fail_at(m, kBusy);
        m->claim.store(id_, std::memory_order_relaxed);
        open(m, stack);
      }
      m->pending++;
    }
  }
}

void Engine::run(std::span<const Tensor> roots, std::span<const Tensor> cotangents) {
  while ((id_ = runs.fetch_add(1, std::memory_order_relaxed) + 1) == 0) {
  }
  ModeScope mode(state_, create_graph_ ? uint32_t(kGrad) : 0u, create_graph_ ? 0u : uint32_t(kGrad | kUnsaved));
  try {
    count_edges(roots);
    // Cotangents first, then the roots that no other root leads to.
    for (size_t i = 0; i < roots.size(); i++) {
      const Edge& e = roots[i].edge();
      if (is_end(e.node()) || ends_at(e)) deliver_end(e, Tensor(cotangents[i]));
      else fill_slot(slots(e.node())[e.slot()], Tensor(cotangents[i]));
    }
    for (const Tensor& t : roots) {
      Node* n = t.edge().node();
      if (is_end(n) || ends_at(t.edge()) || n->pending != 0) continue;
      n->pending = -1;  // the same root may be listed twice
      n->refs.fetch_add(1, std::memory_order_relaxed);
      n->next = ready_;
      ready_ = n;
    }
  } catch (...) {
    abandon(nullptr, roots);
    throw;
  }
  while (Node* n = ready_) {
    ready_ = n->next;
    Edge hold = Edge::adopt(n, 0);
    try {
      process(n);
    } catch (...) {
      abandon(n, roots);
      throw;
    }
  }
  for (int k = 0; k < parts_used_; k++) hand_on(parts_[k]);
}

// After a throw: what this run has claimed and not finished is as before it. A claimed node is reached from the node at
// hand, a ready one or a root.
void Engine::abandon(Node* at, std::span<const Tensor> roots) {
  constexpr int32_t kWasReady = -2;
  Node *stack = nullptr, *was_ready = nullptr;
  for (int k = 0; k < parts_used_; k++) parts_[k] = {};
  auto reach = [&](Node* n) {
    if (!n || n->claim.load(std::memory_order_relaxed) != id_) return;
    for (int k = 0; k < n->outputs; k++) slots(n)[k] = Tensor();
    n->claim.store(0, std::memory_order_release);
    n->next = stack;
    stack = n;
  };
  while (Node* n = ready_) {
    ready_ = n->next;
    n->pending = kWasReady;
    reach(n);
  }
  reach(at);
  for (const Tensor& t : roots) reach(t.edge().node());
  while (Node* n = stack) {
    stack = n->next;
    for (int i = 0; n->def && i < n->inputs; i++) reach(n->edges()[i].node());
    if (n->pending != kWasReady) continue;
    n->next = was_ready;
    was_ready = n;
  }
  while (Node* n = was_ready) {
    was_ready = n->next;
    drop_node(n);
  }
}

[[gnu::always_inline]] inline void Engine::call_rule(Node* n, const Tensor* g, Tensor* sinks, bool* filled) {
  struct Restore {
    ThreadState& s;
    const char* module;
    ~Restore() { s.module = module; }
  } restore{state_, state_.module};
  state_.module = n->module;
  WhereScope line(state_, &n->where);
  try {
    if (n->def->gradient == Gradient::derived) {
      call_derived(n, g, sinks, filled);
    } else {
      Backward b;
      b.engine_ = this;
      b.node_ = n;
      b.cotangents_ = g;
      b.sinks_ = sinks;
      b.filled_ = filled;
      b.create_graph_ = create_graph_;
      n->def->backward(b);
    }
  } catch (NodeError& e) {
    e.locate("backward", where_, "");
    throw;
  } catch (Error& e) {
    e.locate("backward", n->where, n->module ? n->module : "");
    throw;
  }
  for (int i = 0; i < n->inputs; i++)
    if (!filled[i] && n->edges()[i]) [[unlikely]]
      fail_at(n, "the rule gave no gradient for input " + std::to_string(i) + " and did not say zero()");
}

// Host code is the user's: what it calls is told as what the user calls.
void Engine::call_told(Node* n, const Tensor* g, Tensor* sinks, bool* filled) {
  static const View kAbsent;
  {
    struct Deeper {
      ThreadState& s;
      int by;
      ~Deeper() { s.rules -= by; }
    } deeper{state_, n->hooks && n->hooks->function ? 0 : 1};
    state_.rules += deeper.by;
    call_rule(n, g, sinks, filled);
  }
  std::vector<const View*> cotangents, gradients;
  for (int k = 0; k < n->outputs; k++) cotangents.push_back(g[k].defined() ? &g[k].array().view() : &kAbsent);
  for (int i = 0; i < n->inputs; i++) {
    gradients.push_back(sinks[i].defined() ? &sinks[i].array().view() : &kAbsent);
    if (n->edges()[i] && !sinks[i].defined())
      GradientPaths::cut(n->edges()[i], row(n->def->id).name, "has no slope", n->where, n->module);
  }
  state_.trace->gradients({row(n->def->id).name, &n->where, n->module, state_.depth + state_.rules, cotangents.data(),
                           n->outputs, gradients.data(), n->inputs});
}

[[gnu::always_inline]] inline void Engine::fill_slot(Tensor& slot, Tensor&& gradient) {
  if (!slot.defined()) new (&slot) Tensor(std::move(gradient));  // nothing to destroy
  // In place where nobody else sees the sum and nothing is recorded.
  else if (!(slot.array().sole_owner() && slot.array().dense() && !slot.edge() && !gradient.edge() &&
             slot.dtype() == gradient.dtype() && add_into(state_, slot.array(), gradient.array().view(), &where_)))
    slot = sum_of(slot, gradient);
}

Tensor Engine::sum_of(const Tensor& a, const Tensor& b) const { return apply_binary(op::add, Operand(a, where_), b); }

// Runs one node and hands its gradients on. Its claim is given up last, so that abandon() finds it.
void Engine::process(Node* n) {
  Tensor* g = slots(n);
  const int outputs = n->outputs, inputs = n->def ? n->inputs : 0;
  for (int k = 0; k < parts_used_; k++)
    if (parts_[k].edge.node() == n) hand_on(parts_[k]);
  bool any = false;
  for (int k = 0; k < outputs; k++) any |= g[k].defined();
  if (any && n->hooks) call_hooks(n, g);
  if (any && to_targets_)
    for (int k = 0; k < outputs; k++)
      if (Target* t = target(reinterpret_cast<uintptr_t>(n) | uintptr_t(k)); t && g[k].defined())
        t->gradient = t->gradient.defined() ? sum_of(t->gradient, g[k]) : g[k];
  Sinks sinks(state_, inputs);
  if (any && (state_.mode & kTrace) && n->def) [[unlikely]]
    call_told(n, g, sinks.tensors(), sinks.filled());
  else if (any && n->def) call_rule(n, g, sinks.tensors(), sinks.filled());
  else if (any && !to_targets_)  // a leaf with hooks
    accumulate_leaf(state_, *static_cast<LeafNode*>(n), g[0].take_array(), where_);
  for (int k = 0; k < outputs; k++) {  // before gradients move on: a leaf takes over what nobody else holds
    g[k].~Tensor();
    new (g + k) Tensor;
  }
  const bool dying = n->refs.load(std::memory_order_relaxed) == 1;
  if (!retain_ && !dying && n->def) drop_saved(n);
  for (int i = 0; i < inputs; i++) {
    Edge& e = n->edges()[i];
    Node* m = e.node();
    if (!m) continue;
    const bool last = is_end(m) || ends_at(e);
    if (Tensor& gradient = sinks.tensors()[i]; gradient.defined()) {
      if (last) deliver_end(e, std::move(gradient));
      else fill_slot(slots(m)[e.slot()], std::move(gradient));
    }
    if (!last && --m->pending == 0) {
      if (retain_) m->refs.fetch_add(1, std::memory_order_relaxed);
      else e.take();
      m->next = ready_;
      ready_ = m;
    } else if (!retain_ && !dying) {
      e = Edge();
    }
  }
  n->claim.store(0, std::memory_order_release);
}

// Re-runs the composition with recording on, from the op's inputs, and differentiates that. Statistics are recomputed
// by the composition.
void Engine::call_derived(Node* n, const Tensor* g, Tensor* sinks, bool* filled) {
  Backward b;
  b.node_ = n;
  b.cotangents_ = g;
  b.create_graph_ = create_graph_;
  std::vector<Tensor> x(n->inputs), targets, outs(n->outputs), roots, cotangents;
  ModeScope mode(state_, kGrad, 0);
  const OpRow& r = row(n->def->id);
  for (int i = 0; i < n->inputs; i++) {
    if (!b.has(i) || (r.statistic >> (i < 16 ? i : 15) & 1)) continue;
    x[size_t(i)] = b.x(i);
    if (!b.needs(i)) x[size_t(i)] = x[size_t(i)].detach();
    // A node of its own, so that an input given twice gets two gradients.
    else
      x[size_t(i)] = create_graph_ ? view(x[size_t(i)], x[size_t(i)].shape()) : x[size_t(i)].detach().requires_grad_();
    if (b.needs(i)) targets.push_back(x[size_t(i)]);
  }
  std::vector<const Tensor*> in;
  for (const Tensor& t : x) in.push_back(&t);
  detail::run_composition(r, *n->def, in.data(), n->inputs, n->attrs(), outs.data());
  for (int k = 0; k < n->outputs; k++)
    if (g[k].defined() && outs[size_t(k)].edge()) {
      roots.push_back(outs[size_t(k)]);
      cotangents.push_back(g[k]);
    }
  Engine inner(state_, create_graph_, false, n->where);
  // With create_graph the targets are views of tensors of the graph at hand, which is being run: not to be entered.
  std::vector<Tensor> dx =
      roots.empty() ? std::vector<Tensor>(targets.size()) : inner.gradients_of(roots, cotangents, targets, true);
  for (int i = 0, t = 0; i < n->inputs; i++)
    if (b.needs(i)) {
      filled[i] = true;  // what the composition does not depend on has a zero gradient
      sinks[i] = std::move(dx[size_t(t++)]);
    }
}

void Engine::call_hooks(Node* n, Tensor* g) {
  for (const Hooks::Entry& h : n->hooks->entries) {
    Tensor& mine = g[h.slot];
    if (!mine.defined()) continue;
    Tensor replaced = h.call(mine);
    if (!replaced.defined()) continue;
    if (!(replaced.shape() == mine.shape()) || replaced.dtype() != mine.dtype())
      fail_at(n, "a hook returned " + to_string(replaced.shape()) + " " + name_of(replaced.dtype()) +
                     " (expected the gradient's " + to_string(mine.shape()) + " " + name_of(mine.dtype()) + ")");
    mine = replaced;
  }
}

Engine::Target* Engine::target(uintptr_t edge) {
  auto it =
      std::lower_bound(targets_.begin(), targets_.end(), edge, [](const Target& t, uintptr_t e) { return t.edge < e; });
  return it != targets_.end() && it->edge == edge ? &*it : nullptr;
}

// The gradient of a leaf, or of a target behind which nothing is run.
void Engine::deliver_end(const Edge& edge, Tensor&& gradient) {
  if (!to_targets_) return accumulate_leaf(state_, *static_cast<LeafNode*>(edge.node()), gradient.take_array(), where_);
  Target* t = target(edge.bits());
  if (t) t->gradient = t->gradient.defined() ? sum_of(t->gradient, gradient) : std::move(gradient);
}

void Engine::lay(const Edge& edge, const Meta& whole, const SliceAttrs& part, const Array& g) {
  const bool end = is_end(edge.node()) || ends_at(edge);
  Target* t = end && to_targets_ ? target(edge.bits()) : nullptr;
  if (end && to_targets_ && !t) return;  // nobody asked for it
  if (Tensor* sum = t ? &t->gradient : end ? nullptr : &slots(edge.node())[edge.slot()]; sum && sum->defined()) {
    if (!sum->array().sole_owner() || !sum->array().dense() || sum->dtype() != whole.dtype)
      *sum = Tensor(cast_copy(sum->array(), whole.dtype));
    return Laid::onto(sum->array()).add(part, g);
  }
  Parts* p = parts_;
  while (p < parts_ + parts_used_ && !(p->edge == edge)) p++;
  if (p == parts_ + parts_used_) {
    if (parts_used_ < kParts) parts_used_++, new (p) Parts;
    else p = &parts_[next_parts_++ % kParts], hand_on(*p);
    *p = {edge, Laid(Array::empty(state_, whole))};
  }
  p->laid->add(part, g);
}

void Engine::hand_on(Parts& p) {
  if (!p.laid) return;
  p.laid->finish();
  Tensor gradient(p.laid->array());
  const Edge edge = std::exchange(p, {}).edge;
  if (is_end(edge.node()) || ends_at(edge)) deliver_end(edge, std::move(gradient));
  else fill_slot(slots(edge.node())[edge.slot()], std::move(gradient));
}

std::vector<Tensor> Engine::gradients_of(std::span<const Tensor> roots, std::span<const Tensor> cotangents,
                                         std::span<const Tensor> targets, bool stop) {
  to_targets_ = true;
  stop_ = stop;
  for (const Tensor& t : targets)
    if (t.edge()) targets_.push_back({t.edge().bits(), Tensor()});
  std::sort(targets_.begin(), targets_.end(), [](const Target& a, const Target& b) { return a.edge < b.edge; });
  run(roots, cotangents);
  std::vector<Tensor> out;
  for (const Tensor& t : targets) out.push_back(t.edge() ? target(t.edge().bits())->gradient : Tensor());
  return out;
}

void accumulate_leaf(ThreadState& s, LeafNode& leaf, Array&& gradient, const std::source_location& where) {
  while (leaf.lock.test_and_set(std::memory_order_acquire)) std::this_thread::yield();
  struct Unlock {
    std::atomic_flag& f;
    ~Unlock() { f.clear(std::memory_order_release); }
  } unlock{leaf.lock};
  Array& sum = leaf.gradient;
  if (!sum) {
    sum = gradient.sole_owner() && gradient.dense() ? std::move(gradient) : dense_copy(gradient);
    return;
  }
  if (sum.sole_owner() && sum.dense() && sum.dtype() == gradient.dtype() && add_into(s, sum, gradient.view(), &where))
    return;
  sum = apply_binary(op::add, Operand(Tensor(sum), where), Tensor(gradient)).array();
}

}  // namespace fovea
