// Ops that move no numbers, or only copy them: shapes, axes, slices, joining.
#pragma once
#include <utility>
#include <vector>

#include "autograd/apply.h"

namespace fovea {

// Another shape over the same memory; one size may be -1. ShapeError where only a copy would do (reshape copies then).
Tensor view(const Operand& x, const Shape& shape);
Tensor reshape(const Operand& x, const Shape& shape);
Tensor flatten(const Operand& x, Integer start_dim = 0, Integer end_dim = -1);
Tensor permute(const Operand& x, const Shape& dims);
Tensor transpose(const Operand& x, Integer dim0, Integer dim1);
Tensor expand(const Operand& x, const Shape& shape);  // -1 keeps a size
Tensor unsqueeze(const Operand& x, Integer dim);
Tensor squeeze(const Operand& x, const Shape& dims);  // those of them that have size 1
Tensor squeeze(const Operand& x);                     // every axis of size 1
// Slice is in autograd/tensor.h, x[...] with everything in it in advanced_index.h.
Tensor slice(const Operand& x, Integer dim, const Slice& s);
Tensor narrow(const Operand& x, Integer dim, Integer start, Integer length);
Tensor select(const Operand& x, Integer dim, Integer index);  // one index: the axis goes
// x[..., i, ..., i + offset, ...] of dim1 and dim2 as a new last axis, in the place of both.
Tensor diagonal(const Operand& x, Integer offset = 0, Integer dim1 = 0, Integer dim2 = 1);
// Pieces of one size, the last with what is left; or of the sizes given, which add up to the axis (ShapeError).
std::vector<Tensor> split(const Operand& x, Integer size, Integer dim = 0);
std::vector<Tensor> split(const Operand& x, const std::vector<int64_t>& sizes, Integer dim = 0);
inline std::vector<Tensor> split(const Operand& x, std::initializer_list<int64_t> sizes, Integer dim = 0) {
  return split(x, std::vector<int64_t>(sizes), dim);  // {3} is a list
}
std::vector<Tensor> chunk(const Operand& x, Integer chunks, Integer dim = 0);
Tensor cat(const std::vector<Tensor>& tensors, Integer dim = 0,
           std::source_location where = std::source_location::current());
Tensor stack(const std::vector<Tensor>& tensors, Integer dim = 0,
             std::source_location where = std::source_location::current());

}  // namespace fovea
