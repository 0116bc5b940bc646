#include "autograd/engine.h"

#include <algorithm>
#include <mutex>

#include "autograd/apply.h"
#include "autograd/hooks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "core/dispatch.h"

namespace fovea {
namespace {

// Runs in flight, to tell a graph used by two threads at once from one left behind by a run that threw.
std::mutex active_mutex;
std::vector<uint32_t> active;
uint32_t next_id = 0;

class ActiveRun {
 public:
  ActiveRun() {
    std::lock_guard lock(active_mutex);
    if (++next_id == 0) ++next_id;
    active.push_back(id_ = next_id);
  }
  ~ActiveRun() {
    std::lock_guard lock(active_mutex);
    std::erase(active, id_);
  }
  uint32_t id() const { return id_; }

 private:
  uint32_t id_;
};

bool is_active(uint32_t id) {
  std::lock_guard lock(active_mutex);
  return std::find(active.begin(), active.end(), id) != active.end();
}

Tensor* slots(Node* n) { return static_cast<Tensor*>(n->gradients()); }

// a += b for plain arrays, in place where nobody else sees `a`.
void add_into(ThreadState& s, Tensor& a, Tensor b) {
  if (a.array().sole_owner() && a.array().dense() && !a.edge() && a.dtype() == b.dtype()) {
    const View* pair[2] = {&a.array().view(), &b.array().view()};
    Array to = a.array();
    launch(s, Launch{op::add, pair, 2, &kNoAttrs, &to, 1, nullptr, false, Destination::given});
  } else {
    a = apply_binary(op::add, a, b);
  }
}

void drop_saved(Node* n) {
  for (int i = 0; i < n->inputs; i++) n->saved_inputs()[i] = Array();
  for (int k = 0; k < n->outputs; k++) n->saved_outputs()[k] = Array();
  n->flags |= Node::freed;
}

}  // namespace

void Engine::visit(Node* n, Node*& stack) {
  uint32_t claim = n->claim.load(std::memory_order_relaxed);
  if (claim == id_) return;
  if (claim != 0) {
    if (is_active(claim)) fail_at(n, "another backward is running on this graph (one at a time)");
    for (int k = 0; k < n->outputs; k++) slots(n)[k] = Tensor();  // left behind by a run that threw
  }
  if (n->flags & Node::freed)
    fail_at(n, "the graph was freed by an earlier backward (pass retain_graph to keep it), or what it saved is gone");
  n->claim.store(id_, std::memory_order_relaxed);
  n->pending = 0;
  n->next = stack;
  stack = n;
}

void Engine::count_edges(const std::vector<Tensor>& roots) {
  Node* stack = nullptr;
  for (const Tensor& t : roots)
    if (Node* n = t.edge().node(); n->def || n->hooks) visit(n, stack);
  while (Node* n = stack) {
    stack = n->next;
    for (int i = 0; n->def && i < n->inputs; i++) {
      Node* m = n->edges()[i].node();
      if (!m || (!m->def && !m->hooks)) continue;
      visit(m, stack);
      m->pending++;
    }
  }
}

void Engine::run(const std::vector<Tensor>& roots, const std::vector<Tensor>& cotangents) {
  ActiveRun run;
  id_ = run.id();
  count_edges(roots);
  ModeScope mode(state_, create_graph_ ? uint32_t(kGrad) : 0u, create_graph_ ? 0u : uint32_t(kGrad));
  struct Ready {  // holds a reference to each ready node, also when a rule throws
    Node*& top;
    ~Ready() {
      while (Node* n = top) {
        top = n->next;
        n->claim.store(0, std::memory_order_relaxed);
        drop_node(n);
      }
    }
  } ready{ready_};
  // Cotangents first, then the roots that no other root leads to.
  for (size_t i = 0; i < roots.size(); i++) {
    Node* n = roots[i].edge().node();
    if (!n->def && !n->hooks) {
      deliver(roots[i].edge(), cotangents[i]);
      continue;
    }
    Tensor& slot = slots(n)[roots[i].edge().slot()];
    if (slot.defined()) add_into(state_, slot, cotangents[i]);
    else slot = cotangents[i];
  }
  for (const Tensor& t : roots) {
    Node* n = t.edge().node();
    if ((!n->def && !n->hooks) || n->pending != 0) continue;
    n->pending = -1;  // the same root may be listed twice
    n->refs.fetch_add(1, std::memory_order_relaxed);
    n->next = ready_;
    ready_ = n;
  }
  while (Node* n = ready_) {
    ready_ = n->next;
    Edge hold = Edge::adopt(n, 0);
    process(n);
  }
}

void Engine::process(Node* n) {
  constexpr int kFew = 8;
  Tensor few_cotangents[kFew];
  std::vector<Tensor> many;
  Tensor* g = few_cotangents;
  if (n->outputs > kFew) many.resize(n->outputs), g = many.data();
  bool any = false;
  for (int k = 0; k < n->outputs; k++) {
    g[k] = std::move(slots(n)[k]);
    slots(n)[k] = Tensor();
    any |= g[k].defined();
  }
  n->claim.store(0, std::memory_order_relaxed);
  if (n->hooks && any) call_hooks(n, g);
  if (to_targets_ && any)
    for (int k = 0; k < n->outputs; k++)
      if (g[k].defined()) collect(reinterpret_cast<uintptr_t>(n) | uintptr_t(k), g[k]);
  if (!n->def) {  // a leaf with hooks
    if (any && !to_targets_) accumulate_leaf(*static_cast<LeafNode*>(n), g[0].take_array());
    return;
  }
  Tensor few_sinks[kFew];
  std::vector<Tensor> many_sinks;
  Tensor* sinks = few_sinks;
  if (n->inputs > kFew) many_sinks.resize(n->inputs), sinks = many_sinks.data();
  if (any) call_rule(n, g, sinks);
  if (!retain_) drop_saved(n);
  for (int i = 0; i < n->inputs; i++) {
    Edge& e = n->edges()[i];
    Node* m = e.node();
    if (!m) continue;
    bool leaf = !m->def && !m->hooks;
    if (sinks[i].defined()) deliver(e, std::move(sinks[i]));
    if (!leaf && --m->pending == 0) {
      if (retain_) m->refs.fetch_add(1, std::memory_order_relaxed);
      else e.take();
      m->next = ready_;
      ready_ = m;
    } else if (!retain_) {
      e = Edge();
    }
  }
}

void Engine::call_rule(Node* n, const Tensor* g, Tensor* sinks) {
  bool few[16] = {};
  std::vector<char> many;
  bool* filled = few;
  if (n->inputs > 16) many.resize(n->inputs), filled = reinterpret_cast<bool*>(many.data());
  const char* module = state_.module;
  state_.module = n->module;
  WhereScope line(state_, &n->where);
  struct Restore {
    ThreadState& s;
    const char* module;
    ~Restore() { s.module = module; }
  } restore{state_, module};
  try {
    if (n->def->gradient == Gradient::derived) {
      call_derived(n, g, sinks, filled);
    } else {
      Backward b;
      b.node_ = n;
      b.cotangents_ = g;
      b.sinks_ = sinks;
      b.filled_ = filled;
      b.create_graph_ = create_graph_;
      n->def->backward(b);
    }
  } catch (Error& e) {
    e.locate("backward", n->where, n->module ? n->module : "");
    throw;
  }
  for (int i = 0; i < n->inputs; i++)
    if (n->edges()[i] && !filled[i])
      fail_at(n, "the rule gave no gradient for input " + std::to_string(i) + " and did not say zero()");
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
  Compose c{in.data(), n->inputs, n->attrs(), outs.data()};
  n->def->compose(c);
  for (int k = 0; k < n->outputs; k++)
    if (g[k].defined() && outs[size_t(k)].edge()) {
      roots.push_back(outs[size_t(k)]);
      cotangents.push_back(g[k]);
    }
  Engine inner(create_graph_, false);
  std::vector<Tensor> dx =
      roots.empty() ? std::vector<Tensor>(targets.size()) : inner.gradients_of(roots, cotangents, targets);
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
      throw GradientError("hook: it returned " + to_string(replaced.shape()) + " " + name_of(replaced.dtype()) +
                          " (expected the gradient's " + to_string(mine.shape()) + " " + name_of(mine.dtype()) + ")");
    mine = replaced;
  }
}

void Engine::collect(uintptr_t edge, const Tensor& gradient) {
  auto it = collected_.find(edge);
  if (it == collected_.end()) return;
  it->second = it->second.defined() ? apply_binary(op::add, it->second, gradient) : gradient;
}

void Engine::deliver(const Edge& edge, Tensor gradient) {
  Node* m = edge.node();
  if (!m->def && !m->hooks) {
    if (to_targets_) collect(edge.bits(), gradient);
    else accumulate_leaf(*static_cast<LeafNode*>(m), gradient.take_array());
    return;
  }
  Tensor& slot = slots(m)[edge.slot()];
  if (!slot.defined()) slot = std::move(gradient);
  else if (create_graph_) slot = apply_binary(op::add, slot, gradient);
  else add_into(state_, slot, std::move(gradient));
}

std::vector<Tensor> Engine::gradients_of(const std::vector<Tensor>& roots, const std::vector<Tensor>& cotangents,
                                         const std::vector<Tensor>& targets) {
  to_targets_ = true;
  for (const Tensor& t : targets)
    if (t.edge()) collected_[t.edge().bits()];
  run(roots, cotangents);
  std::vector<Tensor> out;
  for (const Tensor& t : targets) out.push_back(t.edge() ? collected_[t.edge().bits()] : Tensor());
  return out;
}

void accumulate_leaf(LeafNode& leaf, Array gradient) {
  while (leaf.lock.test_and_set(std::memory_order_acquire)) {
  }
  struct Unlock {
    std::atomic_flag& f;
    ~Unlock() { f.clear(std::memory_order_release); }
  } unlock{leaf.lock};
  if (leaf.gradient) {
    Tensor sum(std::move(leaf.gradient));
    add_into(state(), sum, Tensor(std::move(gradient)));
    leaf.gradient = sum.array();
  } else {
    leaf.gradient = gradient.sole_owner() && gradient.dense() ? std::move(gradient) : dense_copy(gradient);
  }
}

}  // namespace fovea
