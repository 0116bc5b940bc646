// apply: the life of a call. gelu(x) -> apply -> infer -> core::launch -> a kernel, or else the composition; then a
// node is recorded when an input wants a gradient. Elementwise rows on operands of one shape and dtype take a short way
// of their own; everything else takes apply_any.
#pragma once
#include "autograd/op_def.h"
#include "autograd/tensor.h"

namespace fovea {

struct Function;

namespace detail {

// Any op, any number of inputs; fills `out` (as many as the row says).
void apply_any(ThreadState& s, int id, const Tensor* const* in, int inputs, const void* attrs,
               std::source_location where, Tensor* out);
// Runs an op's composition. Elementwise ones of halves work in f32, and their results are rounded once.
void run_composition(const OpRow& r, const OpDef& def, const Tensor* const* in, int inputs, const void* attrs,
                     Tensor* out);
// What record_node makes a node of. Bits of `keep`: input k (15: all from there on), 16 + k output k.
struct Recorded {
  const Tensor* const* in;
  int inputs;
  uint32_t no_gradient, keep;
  const void* attrs;
  int attrs_size;
  std::source_location where;
  Tensor* out;  // receives the edges
  int outputs;
  const Function* host = nullptr;  // what is called, where it is host code of a user
};
Node* record_node(ThreadState& s, const OpDef& def, const Recorded& r);
// Its output 0.
Tensor apply_first(ThreadState& s, int id, const Tensor* const* in, int inputs, const void* attrs,
                   std::source_location where);

}  // namespace detail

// exp(x), x + y: elementwise rows without attrs.
Tensor apply_unary(int id, const Operand& x);
Tensor apply_binary(int id, const Operand& a, const Operand& b);

// Built-in rows with attrs. Absent optional inputs are undefined tensors in their place. Returns output 0.
template <op::Id id, int N>
Tensor apply(const Tensor* const (&in)[N], const Attrs<id>& attrs, std::source_location where) {
  return detail::apply_first(state(), id, in, N, &attrs, where);
}

// Any op by id, for users' ops, samples and the program. `attrs` points at the op's attrs struct (null for none).
std::vector<Tensor> apply(int id, std::span<const Tensor> in, const void* attrs = nullptr,
                          std::source_location where = std::source_location::current());
template <class A>
Tensor apply(int id, std::initializer_list<Tensor> in, const A& attrs,
             std::source_location where = std::source_location::current()) {
  return apply(id, std::span<const Tensor>(in.begin(), in.size()), &attrs, where)[0];
}

// The number of a floating dtype that is nearest to v.
double nearest(DType t, double v);
// Whether t has such a number: whole ones in range, finite ones that stay finite. check_holds: ValueError where not.
bool holds(DType t, const Number& n);
void check_holds(DType t, const Number& n);

// The common dtype of operands as PyTorch's result_type: tensors with axes first, 0-dim tensors next, written numbers
// last.
DType result_type(const Tensor* const* in, int inputs);

}  // namespace fovea
