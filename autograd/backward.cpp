// Backward: what a rule sees of its node, checked. Saved arrays must be as they were when they were saved, gradients of
// the shape and dtype of their inputs.
#include "autograd/apply.h"
#include "autograd/engine.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"

namespace fovea {

void fail_at(const Node* n, const std::string& text) {
  std::string module = n->module ? std::string(" (") + n->module + ")" : "";
  throw GradientError("backward: " + text + ", of " + row(n->def->id).name + " at " + describe(n->where) + module);
}

Tensor Backward::x(int i) const {
  const Array& a = node_->saved_inputs()[i];
  if (!a) {
    if (!has(i)) return Tensor();
    fail_at(node_, "the rule reads input " + std::to_string(i) + ", which the row does not keep");
  }
  if (a.version() != node_->versions()[i]) {
    const Storage* st = a.storage();
    fail_at(node_, "input " + std::to_string(i) + " was overwritten after it was saved (version " +
                       std::to_string(node_->versions()[i]) + ", now " + std::to_string(a.version()) +
                       (st->writer_file
                            ? ", written at " + std::string(st->writer_file) + ":" + std::to_string(st->writer_line)
                            : "") +
                       ")");
  }
  return create_graph_ ? Tensor(a, node_->edges()[i]) : Tensor(a);
}

Tensor Backward::y(int k) const {
  const Array& a = node_->saved_outputs()[k];
  if (!a) fail_at(node_, "the rule reads output " + std::to_string(k) + ", which the row does not keep");
  if (a.version() != node_->versions()[node_->inputs + k])
    fail_at(node_, "output " + std::to_string(k) + " was overwritten after it was saved");
  bool fixed = node_->def->fixed_outputs >> k & 1;
  return create_graph_ && !fixed ? Tensor(a, Edge(node_, k)) : Tensor(a);
}

bool Backward::needs(int i) const { return bool(node_->edges()[i]); }

bool Backward::has(int i) const {
  if (i >= node_->inputs) return false;
  if (node_->flags & Node::same_shape) return true;
  const int64_t* m = node_->metas();
  for (int k = 0; k < i; k++) m += *m < 0 ? 1 : 1 + (*m & 0xff);
  return *m >= 0;
}

Shape Backward::shape(int i) const {
  if (node_->flags & Node::same_shape) return cotangents_[0].shape();
  const int64_t* m = node_->metas();
  for (int k = 0; k < i; k++) m += *m < 0 ? 1 : 1 + (*m & 0xff);
  return *m < 0 ? Shape() : Shape(m + 1, size_t(*m & 0xff));
}

DType Backward::dtype(int i) const {
  if (node_->flags & Node::same_shape) return cotangents_[0].dtype();
  const int64_t* m = node_->metas();
  for (int k = 0; k < i; k++) m += *m < 0 ? 1 : 1 + (*m & 0xff);
  return DType(*m >> 8 & 0xff);
}

Device Backward::device(int i) const {
  if (node_->flags & Node::same_shape) return cotangents_[0].device();
  const int64_t* m = node_->metas();
  for (int k = 0; k < i; k++) m += *m < 0 ? 1 : 1 + (*m & 0xff);
  return {uint8_t(*m >> 16), uint8_t(*m >> 24)};
}

void Backward::add(int i, Tensor gradient) {
  if (!needs(i)) return;
  if (!gradient.defined()) fail_at(node_, "the rule gave an undefined gradient for input " + std::to_string(i));
  if (node_->flags & Node::same_shape) {
    const View &a = gradient.array().view(), &b = cotangents_[0].array().view();
    bool same = a.rank == b.rank && a.dtype == b.dtype;
    for (int k = 0; same && k < a.rank; k++) same = a.shape[k] == b.shape[k];
    if (!same)
      fail_at(node_,
              "the rule gave a gradient of shape " + to_string(gradient.shape()) + " for input " + std::to_string(i));
  } else {
    Shape wanted = shape(i);
    if (!(gradient.shape() == wanted)) {
      if (!row(node_->def->id).elementwise)
        fail_at(node_, "the rule gave a gradient of shape " + to_string(gradient.shape()) + " for input " +
                           std::to_string(i) + " (expected " + to_string(wanted) + ")");
      gradient = sum_to(gradient, wanted);
    }
    if (gradient.dtype() != dtype(i)) gradient = gradient.to(dtype(i));
  }
  if (sinks_[i].defined()) sinks_[i] = apply_binary(op::add, sinks_[i], gradient);
  else sinks_[i] = std::move(gradient);
  filled_[i] = true;
}

void Backward::zero(int i) { filled_[i] = true; }

}  // namespace fovea
