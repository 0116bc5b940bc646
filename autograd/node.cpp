// The end of a node: released with an explicit stack, so that no graph is too deep.
#include "autograd/node.h"

#include <new>

#include "autograd/hooks.h"

namespace fovea {
namespace {

void destroy_node(ThreadState& s, Node* n) {
  if (n->hooks) [[unlikely]]
    delete n->hooks;
  if (!n->def) {
    auto* leaf = static_cast<LeafNode*>(n);
    leaf->~LeafNode();
    return free_lines(s.blocks, leaf, int(sizeof(LeafNode) / kLine));
  }
  const int inputs = n->inputs, outputs = n->outputs, lines = n->lines;
  Edge* edges = n->edges();
  Array *saved = n->saved_inputs(), *saved_out = n->saved_outputs();
  TensorBase* gradients = n->gradients();
  for (int i = 0; i < inputs; i++) {
    edges[i].~Edge();
    saved[i].~Array();
  }
  for (int k = 0; k < outputs; k++) {
    saved_out[k].~Array();
    gradients[k].~TensorBase();
  }
  if (lines <= kSmallClasses) free_lines(s.blocks, n, lines);
  else free_block(s.blocks, n, size_t(lines) * kLine);
}

}  // namespace

void release_node(Node* n) {
  ThreadState& s = state();
  if (s.releasing) {
    n->next = static_cast<Node*>(s.dying);
    s.dying = n;
    return;
  }
  s.releasing = true;
  while (true) {
    destroy_node(s, n);
    n = static_cast<Node*>(s.dying);
    if (!n) break;
    s.dying = n->next;
  }
  s.releasing = false;
}

Edge make_leaf(std::source_location where) {
  auto* n = new (allocate_lines(state().blocks, int(sizeof(LeafNode) / kLine))) LeafNode;
  n->where = where;
  n->outputs = 1;
  return Edge::adopt(n, 0);
}

}  // namespace fovea
