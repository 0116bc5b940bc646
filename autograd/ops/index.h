// Gathering and scattering by index, embedding, sorting. Indices are i64 or i32; one out of range throws IndexError.
#pragma once
#include <utility>

#include "autograd/apply.h"

namespace fovea {

Tensor gather(const Operand& x, int64_t dim, const Operand& index);  // torch.gather
Tensor scatter(const Operand& x, int64_t dim, const Operand& index,
               const Operand& src);  // the last in index order wins
Tensor scatter_add(const Operand& x, int64_t dim, const Operand& index, const Operand& src);
Tensor index_select(const Operand& x, int64_t dim, const Operand& index);  // index [n]
struct EmbeddingOptions {
  int64_t padding_idx = -1;  // this row gets no gradient
};
// ids [...], weight [V, C] -> [..., C].
Tensor embedding(const Operand& ids, const Operand& weight, EmbeddingOptions o = {});
struct SortOptions {
  bool descending = false;
};
std::pair<Tensor, Tensor> sort(const Operand& x, int64_t dim = -1,
                               SortOptions o = {});  // stable; values and i64 indices; NaN last
std::pair<Tensor, Tensor> topk(const Operand& x, int64_t k, int64_t dim = -1);

}  // namespace fovea
