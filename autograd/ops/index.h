// Gathering and scattering by index, embedding, sorting. Indices are i64 or i32 (DTypeError); one out of range throws
// IndexError, and negative ones are out of range, as in PyTorch.
#pragma once
#include <optional>
#include <utility>

#include "autograd/apply.h"

namespace fovea {

// y[i][j] = x[index[i][j]][j] for dim 0, and so on; y has index's shape, which may be smaller than x's on other axes.
// A 0-dim x or index counts as [1] beside one axis.
Tensor gather(const Operand& x, Integer dim, const Operand& index);
// x with y[index[i][j]][j] = src[i][j] for dim 0, and so on; src is a tensor at least as large as index, or a number.
// Of several written to one place the last in index order wins, and it alone gets a gradient.
Tensor scatter(const Operand& x, Integer dim, const Operand& index, const Operand& src);
Tensor scatter_add(const Operand& x, Integer dim, const Operand& index, const Operand& src);
// The slices of x at index [n] or []; of a 0-dim x itself, at an index of one place.
Tensor index_select(const Operand& x, Integer dim, const Operand& index);

struct EmbeddingOptions {
  std::optional<Integer> padding_idx = {};  // this row gets no gradient; negative ones count from the end
};
// ids [...], weight [V, C] -> [..., C].
Tensor embedding(const Operand& ids, const Operand& weight, EmbeddingOptions o = {});

// Values and i64 places along an axis. Stable; NaN comes last in both directions. Gradients go to where values came
// from.
struct SortOptions {
  bool descending = false;
};
std::pair<Tensor, Tensor> sort(const Operand& x, Integer dim = -1, SortOptions o = {});
Tensor argsort(const Operand& x, Integer dim = -1, SortOptions o = {});
// The k largest (or smallest), in order.
struct TopkOptions {
  bool largest = true;
};
std::pair<Tensor, Tensor> topk(const Operand& x, Integer k, Integer dim = -1, TopkOptions o = {});

namespace detail {
// IndexError, at once or where the device tells it later, unless all places are within an axis of n. For what would not
// show a wrong one: places in arrays without elements, or places that are combined with others.
void check_within(const Tensor& places, int64_t n);
}  // namespace detail

}  // namespace fovea
