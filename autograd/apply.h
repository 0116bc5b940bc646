// apply: the life of a call. gelu(x) -> apply -> infer -> core::launch -> a kernel, or else the composition; then a
// node is recorded when an input wants a gradient. The elementwise, same-shape case is short and inlined; everything
// else takes apply_any.
#pragma once
#include "autograd/op_def.h"
#include "autograd/tensor.h"

namespace fovea {
namespace detail {

// Any op, any number of inputs; fills `out` (as many as the row says).
void apply_any(ThreadState& s, int id, const Tensor* const* in, int inputs, const void* attrs,
               std::source_location where, Tensor* out);
// Elementwise without attrs. Falls back to apply_any where shapes or dtypes differ.
template <int N> Tensor apply_elementwise(int id, const Tensor* const (&in)[N], std::source_location where);
extern template Tensor apply_elementwise<1>(int, const Tensor* const (&)[1], std::source_location);
extern template Tensor apply_elementwise<2>(int, const Tensor* const (&)[2], std::source_location);
Tensor apply_numbers(int id, const Operand& a, const Operand& b);

}  // namespace detail

// exp(x), x + y: elementwise rows without attrs.
inline Tensor apply_unary(int id, const Operand& x) {
  if (x.is_number()) [[unlikely]] {
    Tensor t = x.number_beside(f32, default_device());
    return detail::apply_elementwise<1>(id, {&t}, x.where());
  }
  return detail::apply_elementwise<1>(id, {x.pointer()}, x.where());
}
inline Tensor apply_binary(int id, const Operand& a, const Operand& b) {
  if (a.is_number() || b.is_number()) [[unlikely]]
    return detail::apply_numbers(id, a, b);
  return detail::apply_elementwise<2>(id, {a.pointer(), b.pointer()}, a.where());
}

// Built-in rows with attrs. Absent optional inputs are undefined tensors in their place. Returns output 0.
template <op::Id id, int N>
Tensor apply(const Tensor* const (&in)[N], const Attrs<id>& attrs, std::source_location where) {
  Tensor out[8];
  detail::apply_any(state(), id, in, N, &attrs, where, out);
  return std::move(out[0]);
}

// Any op by id, for users' ops, samples and the program. `attrs` points at the op's attrs struct (null for none).
std::vector<Tensor> apply(int id, std::span<const Tensor> in, const void* attrs = nullptr,
                          std::source_location where = std::source_location::current());
template <class A>
Tensor apply(int id, std::initializer_list<Tensor> in, const A& attrs,
             std::source_location where = std::source_location::current()) {
  return apply(id, std::span<const Tensor>(in.begin(), in.size()), &attrs, where)[0];
}

// The common dtype of operands as PyTorch's result_type: tensors with axes first, 0-dim tensors next, written numbers
// last.
DType result_type(const Tensor* const* in, int inputs);

}  // namespace fovea
