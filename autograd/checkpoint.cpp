#include "autograd/checkpoint.h"

#include <memory>

#include "autograd/apply.h"
#include "autograd/engine.h"
#include "autograd/hooks.h"
#include "autograd/ops/checks.h"
#include "autograd/ops/random.h"
#include "autograd/ops/view.h"

namespace fovea {

void detail::wrong_count(size_t given, size_t expected) {
  throw ValueError(std::to_string(given) + " inputs for a function of " + std::to_string(expected));
}

namespace {

thread_local detail::UnsavedTape* innermost_tape = nullptr;
std::atomic<int32_t> tapes{0};

bool of_tape(const Node* n, int32_t id) { return (n->flags & Node::unsaved) && n->pending == id; }

void mark(Node* n, int32_t id) {
  n->flags |= Node::unsaved;
  n->pending = id;
}

}  // namespace

detail::UnsavedTape::UnsavedTape()
    : id_(tapes.fetch_add(1, std::memory_order_relaxed)), outer_(innermost_tape), mode_(state(), kUnsaved, 0) {
  innermost_tape = this;
}
detail::UnsavedTape::~UnsavedTape() { innermost_tape = outer_; }

Tensor detail::UnsavedTape::leaf(const Tensor& x) {
  Tensor t = Tensor(x.array()).requires_grad_();
  mark(t.edge().node(), id_);
  return t;
}

void detail::UnsavedTape::capture(const Tensor& x) {
  if (of_tape(x.edge().node(), id_)) return;
  for (const Tensor& t : captured_)
    if (t.edge() == x.edge()) return;
  captured_.push_back(x);
}

void detail::UnsavedTape::note(const Recorded& r, Node* n) {
  mark(n, innermost_tape->id_);
  for (int i = 0; i < r.inputs; i++)
    if (n->edges()[i]) innermost_tape->capture(*r.in[i]);
}

namespace {

using Tensors = std::vector<Tensor>;

// How to run a checkpoint's function again. Its inputs, and then what it captured, are the inputs of the node.
struct Segment {
  TensorFunction f;
  void* const kept;  // what f refers to
  void (*const destroy)(void*);
  Tensors captured;  // for their edges
  std::vector<Generator> draws;
  std::vector<size_t> outputs;  // the places of those outputs of f that have a gradient
  size_t all_outputs = 0;
  uint32_t mode = 0;
  bool lent = false;  // the line of the node is that of a module's caller

  Segment(TensorFunction function, void* k, void (*d)(void*)) : f(function), kept(k), destroy(d) {}
  ~Segment() { destroy(kept); }
  Segment(const Segment&) = delete;
};

Tensors call_again(const Segment& s, const Tensors& x, ThreadState& state) {
  struct Lines {  // f's own, as in the forward
    ThreadState& s;
    const std::source_location* before = s.where;
    ~Lines() { s.where = before; }
  } lines{state};
  if (!s.lent) state.where = nullptr;
  std::vector<Generator> draws = s.draws;
  detail::DrawTape replay(draws, true);
  Tensors y = s.f(x);
  if (!replay.finished())
    throw GradientError("the function drew fewer random numbers when it ran again. Is a module in another mode now?");
  if (y.size() != s.all_outputs)
    throw GradientError("the function gave " + std::to_string(y.size()) + " tensors when it ran again (expected " +
                        std::to_string(s.all_outputs) + ")");
  return y;
}

// Runs f with recording on, and differentiates that graph up to the inputs of the node.
void backward_of(const Segment& s, Backward& b) {
  ThreadState& state = fovea::state();
  const bool create_graph = state.mode & kGrad;
  const std::source_location line = state.where ? *state.where : std::source_location::current();
  ModeScope mode(state, kGrad | s.mode, kUnsaved);
  const size_t own = size_t(b.inputs()) - s.captured.size();
  Tensors x, targets;
  for (int i = 0; i < b.inputs(); i++) {
    Tensor t = b.x(i);  // throws where it was overwritten since
    if (size_t(i) >= own) t = s.captured[size_t(i) - own];
    // A node of its own, so that what is given twice, or captured too, gets its gradients apart.
    else if (b.needs(i)) t = create_graph ? view(t, t.shape()) : t.detach().requires_grad_();
    if (b.needs(i)) targets.push_back(t);
    // f sees one behind the target, so that its hooks are called.
    if (size_t(i) < own) x.push_back(b.needs(i) ? view(t, t.shape()) : t);
  }
  Tensors y = call_again(s, x, state), roots, cotangents;
  for (size_t k = 0; k < s.outputs.size(); k++) {
    const Tensor &root = y[s.outputs[k]], &g = b.g(int(k));
    if (!g.defined()) continue;
    if (!root.requires_grad() || !(root.shape() == g.shape()) || root.dtype() != g.dtype())
      throw GradientError("output " + std::to_string(s.outputs[k]) + " of the function is " +
                          (root.defined() ? detail::describe(root.array().view()) : "undefined") +
                          (root.requires_grad() ? "" : " without a gradient") + " when it runs again (expected " +
                          detail::describe(g.array().view()) + ")");
    roots.push_back(root);
    cotangents.push_back(g);
  }
  y.clear();
  Tensors dx = Engine(state, create_graph, false, line).gradients_of(roots, cotangents, targets, true);
  for (int i = 0, t = 0; i < b.inputs(); i++) {
    if (!b.needs(i)) continue;
    if (dx[size_t(t)].defined()) b.add(i, dx[size_t(t)]);
    else b.zero(i);
    t++;
  }
}

}  // namespace

Tensors detail::checkpoint(TensorFunction f, void* kept, void (*destroy)(void*), const Tensors& inputs,
                           std::source_location where) try {
  auto segment = std::make_shared<Segment>(f, kept, destroy);
  ThreadState& s = state();
  if (!(s.mode & kGrad)) return f(inputs);
  Tensors y, x = inputs, outputs;
  {
    DrawTape record(segment->draws, false);
    UnsavedTape tape;
    for (Tensor& t : x)
      if (t.requires_grad()) t = tape.leaf(t);
    y = f(x);
    for (size_t k = 0; k < y.size(); k++)
      if (y[k].requires_grad()) {
        tape.capture(y[k]);  // an output may be what was captured itself
        segment->outputs.push_back(k);
        outputs.push_back(Tensor(y[k].array()));
      }
    segment->captured = tape.captured();
  }
  if (outputs.empty()) return y;
  if (outputs.size() > 63) throw ValueError(std::to_string(outputs.size()) + " outputs (expected 63 or fewer)");
  segment->all_outputs = y.size();
  segment->mode = s.mode & kDeterministic;
  segment->lent = s.where != nullptr;
  std::vector<const Tensor*> in;
  for (const Tensor& t : inputs) in.push_back(&t);
  for (const Tensor& t : segment->captured) in.push_back(&t);
  record_host_code(
      s, "checkpoint", {in.data(), int(in.size()), 0, 0xffff, nullptr, 0, where, outputs.data(), int(outputs.size())},
      [segment](Backward& b) { backward_of(*segment, b); }, true);
  for (size_t k = 0; k < outputs.size(); k++) y[segment->outputs[k]] = outputs[k];
  return y;
} catch (Error& e) {
  locate(e, "checkpoint", where);
  throw;
}

}  // namespace fovea
