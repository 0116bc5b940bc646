// x[...] with everything in it, and indexing by tensors of places and of truths, as PyTorch's: x[0, i, :, mask]. What
// has a shape that depends on the numbers (nonzero, masked_select, masks as indices) reads them, and refuses shape-only
// tensors.
#pragma once
#include <optional>
#include <vector>

#include "autograd/apply.h"

namespace fovea {

// x[indices[0], indices[1], ...]; axes behind the last index stay. A whole number drops its axis, a Slice keeps a part
// of it, `{}` and an undefined tensor stand for ":". Tensors are integers (negative ones count from the end, IndexError
// beyond) that broadcast against each other, or booleans, which stand for the places of their truths and take as many
// axes as they have; a 0-dim one makes an axis of size 1 or 0. Numbers and Slices go first, as in PyTorch. The axes
// that the tensors make stand where the indexed ones were, or in front where those are apart.
Tensor index(const Operand& x, const std::vector<Index>& indices);
// x with values, which broadcast, written there, or added with accumulate. Of several written to one place the last in
// index order wins, and it alone gets a gradient.
struct IndexPutOptions {
  bool accumulate = false;
};
Tensor index_put(const Operand& x, const std::vector<Tensor>& indices, const Operand& values, IndexPutOptions o = {});

// The places of what is not 0, in row-major order: i64 [n, rank].
Tensor nonzero(const Operand& x);
// The elements where mask is true, as [n]; the two broadcast.
Tensor masked_select(const Operand& x, const Operand& mask);
// x with value, a number or a 0-dim tensor, where mask is true; x and mask broadcast, the dtype is x's.
Tensor masked_fill(const Operand& x, const Operand& mask, const Operand& value);
// gather with an index that broadcasts against x on the other axes and may count from the end; without dim: of both
// flattened.
Tensor take_along_dim(const Operand& x, const Operand& index, std::optional<Integer> dim = {});
// x with slice i of source, times alpha, added to slice index[i] of x.
Tensor index_add(const Operand& x, Integer dim, const Operand& index, const Operand& source, double alpha = 1);
// i64 [..., num_classes]: 1 at the place that ids say. -1: as many as the largest id says, which is read.
Tensor one_hot(const Operand& ids, Integer num_classes = -1);

}  // namespace fovea
