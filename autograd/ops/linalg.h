// Products by their usual names, all made of matmul: batches, vectors, Einstein's notation. Names, argument order and
// defaults are PyTorch's. The errors name the function and its caller's line.
#pragma once
#include <string_view>
#include <vector>

#include "autograd/apply.h"

namespace fovea {

// [B, M, K] x [B, K, N] -> [B, M, N]; no broadcasting. ShapeError for other ranks or sizes.
Tensor bmm(const Operand& a, const Operand& b);
// beta input + alpha a b; a [M, K], b [K, N], input broadcasts to [M, N] and is not looked at when beta is 0.
struct AddmmOptions {
  Number beta = 1, alpha = 1;
};
Tensor addmm(const Operand& input, const Operand& a, const Operand& b, AddmmOptions o = {});
// The sum of a[i] b[i] over two vectors of one length.
Tensor dot(const Operand& a, const Operand& b);
// a[i] b[j] of two vectors, [M] and [N] -> [M, N].
Tensor outer(const Operand& a, const Operand& b);
// y[..., o] = sum over i, j of x1[..., i] weight[o, i, j] x2[..., j], + bias[o].
Tensor bilinear(const Operand& x1, const Operand& x2, const Operand& weight, const Operand& bias = Tensor());

// Einstein's summation: einsum("bij,bjk->bik", {a, b}). A letter names an axis in every operand that has it; axes of
// size 1 broadcast. Letters not behind the arrow are summed; without an arrow the result has the letters that occur
// once, in alphabetical order (capitals first), behind the axes of "...". A letter twice in one operand takes the
// diagonal; "..." stands for any number of leading axes, which broadcast. Operands are contracted from the left, pair
// by pair, each pair as one batched matrix product. ValueError for what the notation does not allow, ShapeError for
// sizes that do not fit, naming letter and sizes.
Tensor einsum(std::string_view equation, const std::vector<Tensor>& operands,
              std::source_location where = std::source_location::current());

}  // namespace fovea
