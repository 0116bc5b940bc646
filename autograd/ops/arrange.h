// The same numbers in another arrangement: reversed, rolled, repeated, padded, cut into windows; and tensors that are
// patterns. Names, argument order and defaults are PyTorch's.
#pragma once
#include <optional>
#include <vector>

#include "autograd/apply.h"

namespace fovea {

Tensor flip(const Operand& x, const Shape& dims);  // a view
// Moved on by shifts[i] along dims[i], what leaves at the end entering at the start; without dims: x flattened.
Tensor roll(const Operand& x, const Shape& shifts, const Shape& dims = {});
Tensor movedim(const Operand& x, const Shape& source, const Shape& destination);
Tensor unflatten(const Operand& x, Integer dim, const Shape& sizes);  // one size may be -1

// Of the last two axes, the part on and below (above) the diagonal that lies `diagonal` above the main one; zeros
// elsewhere.
Tensor tril(const Operand& x, Integer diagonal = 0);
Tensor triu(const Operand& x, Integer diagonal = 0);

// Widened by pad = {left, right, top, bottom, ...}, from the last axis on; negative numbers cut off. `constant` puts
// `value`, `reflect` mirrors at the outermost elements (it needs more of them than it adds), `replicate` repeats those,
// `circular` goes on at the other end (it needs as many as it adds).
enum class PadMode : uint8_t { constant, reflect, replicate, circular };
constexpr PadMode last_of(PadMode) { return PadMode::circular; }
struct PadOptions {
  PadMode mode = PadMode::constant;
  Number value = 0;
};
Tensor pad(const Operand& x, const std::vector<int64_t>& pad, PadOptions o = {});

// x as tiles, repeats[i] along axis i; more numbers than axes add axes in front.
Tensor repeat(const Operand& x, const Shape& repeats);
// The same, but fewer numbers than axes are those of the last ones.
Tensor tile(const Operand& x, const Shape& dims);
// Each element (slice along `dim`) so many times in a row, or, by a tensor of integers, each its own number of times:
// that one reads numbers, and refuses shape-only tensors. Without dim: x flattened.
Tensor repeat_interleave(const Operand& x, Integer repeats, std::optional<Integer> dim = {});
Tensor repeat_interleave(const Operand& x, const Tensor& repeats, std::optional<Integer> dim = {});

// Windows of `size` elements, `step` from each other, along an axis, as a new last axis: a view.
Tensor unfold(const Operand& x, Integer dimension, Integer size, Integer step);

// `steps` numbers from start to end, both included, evenly apart.
Tensor linspace(Number start, Number end, Integer steps, const TensorOptions& o = {},
                std::source_location where = std::source_location::current());
// Ones on the diagonal of n rows and m columns (n where not given).
Tensor eye(Integer n, std::optional<Integer> m = {}, const TensorOptions& o = {},
           std::source_location where = std::source_location::current());
inline Tensor eye(Integer n, const TensorOptions& o, std::source_location where = std::source_location::current()) {
  return eye(n, n, o, where);
}

}  // namespace fovea
