// The backward engine: sorts the graph with explicit stacks, runs each node's rule once all its gradients have arrived,
// frees saved arrays as it goes. Re-entrant (derived rules, recompute and hooks start runs of their own). Called by
// Tensor::backward and grad().
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "autograd/laid.h"
#include "autograd/op_def.h"

namespace fovea {

class Engine {
 public:
  // `where` called it: what is recorded for no op of the graph, sums of gradients that meet, names this line.
  Engine(ThreadState& s, bool create_graph, bool retain_graph, std::source_location where)
      : state_(s), where_(where), create_graph_(create_graph), retain_(retain_graph || create_graph) {}
  ~Engine() {
    for (int k = 0; k < parts_used_; k++) parts_[k].~Parts();
  }
  Engine(const Engine&) = delete;

  // Adds to the gradients of leaves.
  void run(std::span<const Tensor> roots, std::span<const Tensor> cotangents);
  // Fills one tensor per target, undefined where none arrived; leaves keep their gradients. With `stop`, what lies
  // behind a target is left alone: no target may lead to another then.
  std::vector<Tensor> gradients_of(std::span<const Tensor> roots, std::span<const Tensor> cotangents,
                                   std::span<const Tensor> targets, bool stop = false);
  // Lays g into its part of the gradient of `whole` that goes along this edge.
  void lay(const Edge& edge, const Meta& whole, const SliceAttrs& part, const Array& g);

 private:
  struct Target {
    uintptr_t edge;
    Tensor gradient;
  };
  // A gradient of which more parts may come. Few are under way at once; the others are completed early.
  struct Parts {
    Edge edge;
    std::optional<Laid> laid;
  };
  static constexpr int kParts = 4;
  void open(Node* n, Node*& stack);
  void count_edges(std::span<const Tensor> roots);
  void process(Node* n);
  void call_rule(Node* n, const Tensor* cotangents, Tensor* sinks, bool* filled);
  void call_told(Node* n, const Tensor* cotangents, Tensor* sinks, bool* filled);
  void call_derived(Node* n, const Tensor* cotangents, Tensor* sinks, bool* filled);
  void call_hooks(Node* n, Tensor* cotangents);
  void fill_slot(Tensor& slot, Tensor&& gradient);
  Tensor sum_of(const Tensor& a, const Tensor& b) const;
  void deliver_end(const Edge& edge, Tensor&& gradient);
  void hand_on(Parts& p);
  void abandon(Node* at, std::span<const Tensor> roots);
  Target* target(uintptr_t edge);
  bool ends_at(const Edge& e) { return stop_ && target(e.bits()); }

  ThreadState& state_;
  std::source_location where_;
  bool create_graph_, retain_;
  bool to_targets_ = false, stop_ = false;
  uint32_t id_ = 0;
  Node* ready_ = nullptr;                // nodes whose gradients are complete, a reference to each
  std::vector<Target> targets_;          // by edge
  int parts_used_ = 0, next_parts_ = 0;  // the entry that has to make room next
  union {
    Parts parts_[kParts];  // as many as are used
  };
};

// An error that names its node's line already; backward's caller is still to be named.
struct NodeError : GradientError {
  using GradientError::GradientError;
};
// NodeError "backward: <text>, of <op>, recorded at <the user's line> (<module>)".
[[noreturn]] void fail_at(const Node* n, const std::string& text);

// Adds to a leaf's gradient. It takes over an array that nobody else holds, else copies: its gradient never aliases
// another.
void accumulate_leaf(ThreadState& s, LeafNode& leaf, Array&& gradient, const std::source_location& where);

}  // namespace fovea
