// Nodes made, but for the short ones of apply.cpp, and their end: released with an explicit stack, so that no graph is
// too deep.
#include "autograd/node.h"

#include <new>

#include "autograd/apply.h"
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

thread_local detail::NodeWatch* detail::NodeWatch::innermost_ = nullptr;

Node* detail::record_node(ThreadState& s, const OpDef& def, const Recorded& r) {
  const int inputs = r.inputs, outputs = r.outputs;
  size_t metas = 0;
  for (int i = 0; i < inputs; i++) metas += r.in[i]->defined() ? size_t(1 + r.in[i]->dim()) : 1;
  const size_t bytes = Node::bytes(inputs, outputs, size_t(r.attrs_size)) + metas * sizeof(int64_t);
  if (inputs > 0xffff || bytes > 0xffff * kLine)
    throw ValueError(std::to_string(inputs) + " inputs (expected fewer when recording)");
  const uint32_t keep = s.mode & kUnsaved ? 0 : r.keep;
  Node* n = new (allocate_block(s.blocks, bytes)) Node;
  n->def = &def;
  n->where = s.where ? *s.where : r.where;
  n->module = s.module;
  n->inputs = uint16_t(inputs);
  n->outputs = uint8_t(outputs);
  n->attrs_size = uint16_t(r.attrs_size);
  n->lines = uint16_t((bytes + kLine - 1) / kLine);
  int64_t* meta = n->metas();
  for (int i = 0; i < inputs; i++) {
    const Tensor& t = *r.in[i];
    const int bit = i < 16 ? i : 15;
    const bool wants = t.edge() && !(r.no_gradient >> bit & 1), kept = t.defined() && (keep >> bit & 1);
    new (n->edges() + i) Edge(wants ? t.edge() : Edge());
    new (n->saved_inputs() + i) Array(kept ? t.array() : Array());
    n->versions()[i] = kept ? t.array().version() : 0;
    const Device d = t.defined() ? t.device() : Device{};
    *meta++ = t.defined() ? t.dim() | int64_t(t.dtype()) << 8 | int64_t(d.backend) << 16 | int64_t(d.index) << 24 : -1;
    for (int k = 0; t.defined() && k < t.dim(); k++) *meta++ = t.array().view().shape[k];
  }
  for (int k = 0; k < outputs; k++) {
    const bool kept = keep >> (16 + k) & 1;
    new (n->saved_outputs() + k) Array(kept ? r.out[k].array() : Array());
    n->versions()[inputs + k] = kept ? r.out[k].array().version() : 0;
    new (n->gradients() + k) TensorBase;
  }
  if (r.attrs_size) std::memcpy(n->attrs(), r.attrs, size_t(r.attrs_size));
  Edge hold = Edge::adopt(n, 0);
  if (s.mode & kUnsaved) UnsavedTape::note(r, n);
  if (s.mode & kWatch) NodeWatch::note(r, n);
  for (int k = 0; k < outputs; k++)
    if (!(def.fixed_outputs >> k & 1) && is_floating(r.out[k].dtype())) r.out[k] = Tensor(r.out[k].array(), Edge(n, k));
  return n;
}

Edge make_leaf(std::source_location where) {
  auto* n = new (allocate_lines(state().blocks, int(sizeof(LeafNode) / kLine))) LeafNode;
  n->where = where;
  n->outputs = 1;
  return Edge::adopt(n, 0);
}

}  // namespace fovea
