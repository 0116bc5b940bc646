// Backward: what a rule sees of its node, checked. Saved arrays must be as they were when they were saved, gradients of
// the shape and dtype of their inputs.
#include "autograd/apply.h"
#include "autograd/engine.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "core/dispatch.h"

namespace fovea {

void fail_at(const Node* n, const std::string& text) {
  std::string module = n->module ? std::string(" (") + n->module + ")" : "";
  throw NodeError("backward: " + text + ", of " + (n->def ? row(n->def->id).name : "a leaf") + ", recorded at " +
                  describe(n->where) + module);
}

namespace {

[[noreturn]] void fail_unsaved(const Node* n, const char* what, int i) {
  fail_at(n, std::string("the rule reads ") + what + " " + std::to_string(i) + ", which the row does not keep");
}

[[noreturn]] void fail_overwritten(const Node* n, const char* what, int i, uint32_t version, const Array& a) {
  const Storage* st = a.storage();
  std::string writer;
  if (st->writer.line() > 0) writer = ", written at " + describe(st->writer);
  fail_at(n, std::string(what) + " " + std::to_string(i) + " was overwritten after it was saved (version " +
                 std::to_string(version) + ", now " + std::to_string(a.version()) + writer + ")");
}

}  // namespace

Tensor Backward::x(int i) const {
  const Array& a = node_->saved_inputs()[i];
  if (!a) [[unlikely]] {
    if (!has(i)) return Tensor();
    fail_unsaved(node_, "input", i);
  }
  if (uint32_t version = node_->versions()[i]; a.version() != version) [[unlikely]]
    fail_overwritten(node_, "input", i, version, a);
  return create_graph_ ? Tensor(a, node_->edges()[i]) : Tensor(a);
}

Tensor Backward::y(int k) const {
  const Array& a = node_->saved_outputs()[k];
  if (!a) [[unlikely]]
    fail_unsaved(node_, "output", k);
  if (uint32_t version = node_->versions()[node_->inputs + k]; a.version() != version) [[unlikely]]
    fail_overwritten(node_, "output", k, version, a);
  bool fixed = node_->def->fixed_outputs >> k & 1;
  return create_graph_ && !fixed ? Tensor(a, Edge(node_, k)) : Tensor(a);
}

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

// What an elementwise op gave in the output's shape is summed to the input's; the engine casts to its dtype.
Tensor Backward::fitted(int i, Tensor gradient) const {
  Shape wanted = shape(i);
  if (!(gradient.shape() == wanted)) {
    if ((node_->flags & Node::same_shape) || !row(node_->def->id).elementwise)
      fail_at(node_, "the rule gave a gradient of shape " + to_string(gradient.shape()) + " for input " +
                         std::to_string(i) + " (expected " + to_string(wanted) + ")");
    gradient = sum_to(gradient, wanted);
  }
  if (gradient.dtype() == dtype(i)) return gradient;
  return gradient.to(dtype(i));
}

void Backward::add(int i, Tensor gradient) {
  if (!needs(i)) return;
  if (!gradient.defined()) [[unlikely]]
    fail_at(node_, "the rule gave an undefined gradient for input " + std::to_string(i));
  bool fits = false;
  if (node_->flags & Node::same_shape) {
    const View &a = gradient.array().view(), &b = cotangents_[0].array().view();
    fits = a.rank == b.rank && a.dtype == b.dtype;
    for (int k = 0; fits && k < a.rank; k++) fits = a.shape[k] == b.shape[k];
  }
  if (!fits) gradient = fitted(i, std::move(gradient));
  if (sinks_[i].defined()) sinks_[i] = apply_binary(op::add, sinks_[i], gradient);
  else new (sinks_ + i) Tensor(std::move(gradient));  // nothing to destroy
  filled_[i] = true;
}

void Backward::zero(int i) { filled_[i] = true; }

bool Backward::lay(int i, const SliceAttrs& s) {
  if (create_graph_ || !engine_ || cotangents_[0].array().is_shape_only()) return false;
  engine_->lay(node_->edges()[i], Meta(dtype(i), device(i), shape(i)), s, cotangents_[0].array());
  filled_[i] = true;
  return true;
}

}  // namespace fovea
