// The backward engine: sorts the graph with explicit stacks, runs each node's rule once all its gradients have arrived,
// frees saved arrays as it goes. Re-entrant (derived rules, recompute and hooks start runs of their own). Called by
// Tensor::backward and grad().
#pragma once
#include <unordered_map>
#include <vector>

#include "autograd/op_def.h"

namespace fovea {

class Engine {
 public:
  Engine(bool create_graph, bool retain_graph)
      : state_(state()), create_graph_(create_graph), retain_(retain_graph || create_graph) {}

  // Adds to the gradients of leaves.
  void run(const std::vector<Tensor>& roots, const std::vector<Tensor>& cotangents);
  // Fills one tensor per target, undefined where none arrived; leaves keep their gradients.
  std::vector<Tensor> gradients_of(const std::vector<Tensor>& roots, const std::vector<Tensor>& cotangents,
                                   const std::vector<Tensor>& targets);

 private:
  void visit(Node* n, Node*& stack);
  void count_edges(const std::vector<Tensor>& roots);
  void process(Node* n);
  void call_rule(Node* n, const Tensor* cotangents, Tensor* sinks);
  void call_derived(Node* n, const Tensor* cotangents, Tensor* sinks, bool* filled);
  void call_hooks(Node* n, Tensor* cotangents);
  void deliver(const Edge& edge, Tensor gradient);
  void collect(uintptr_t edge, const Tensor& gradient);

  ThreadState& state_;
  bool create_graph_, retain_;
  uint32_t id_ = 0;
  Node* ready_ = nullptr;
  bool to_targets_ = false;
  std::unordered_map<uintptr_t, Tensor> collected_;  // of targets, by edge
};

// GradientError "backward: <text>, of <op> at <the user's line> (<module>)".
[[noreturn]] void fail_at(const Node* n, const std::string& text);

// Adds to a leaf's gradient. It takes over an array that nobody else holds, else copies: its gradient never aliases
// another.
void accumulate_leaf(LeafNode& leaf, Array gradient);

}  // namespace fovea
