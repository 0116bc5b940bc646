// The end of a node: released with an explicit stack, so that no graph is too deep.
#include "autograd/node.h"

#include <new>

#include "autograd/hooks.h"

namespace fovea {
namespace {

void destroy_node(ThreadState& s, Node* n) {
  delete n->hooks;
  if (!n->def) {
    auto* leaf = static_cast<LeafNode*>(n);
    leaf->~LeafNode();
    return free_block(s.blocks, leaf, sizeof(LeafNode));
  }
  for (int i = 0; i < n->inputs; i++) {
    n->edges()[i].~Edge();
    n->saved_inputs()[i].~Array();
  }
  for (int k = 0; k < n->outputs; k++) {
    n->saved_outputs()[k].~Array();
    n->gradients()[k].~TensorBase();
  }
  size_t bytes = size_t(n->lines) * kLine;
  free_block(s.blocks, n, bytes);
}

}  // namespace

void release_node(Node* n) {
  ThreadState& s = state();
  n->next = static_cast<Node*>(s.dying);
  s.dying = n;
  if (s.releasing) return;
  s.releasing = true;
  while (auto* top = static_cast<Node*>(s.dying)) {
    s.dying = top->next;
    destroy_node(s, top);
  }
  s.releasing = false;
}

Edge make_leaf(std::source_location where) {
  auto* n = new (allocate_block(state().blocks, sizeof(LeafNode))) LeafNode;
  n->where = where;
  n->outputs = 1;
  return Edge::adopt(n, 0);
}

}  // namespace fovea
