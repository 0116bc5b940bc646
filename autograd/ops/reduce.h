// Reductions and scans. `dim` lists axes (negative ones count from the right); an empty list means all. keepdim leaves
// them with size 1.
#pragma once
#include <optional>
#include <utility>

#include "autograd/apply.h"

namespace fovea {

struct ReduceOptions {
  bool keepdim = false;
};
// In another dtype: x is cast to it first, and the result is of it.
struct SumOptions {
  bool keepdim = false;
  std::optional<DType> dtype = {};
};
struct DTypeOptions {
  std::optional<DType> dtype = {};
};
Tensor sum(const Operand& x, const Shape& dim = {}, SumOptions o = {});   // integers and booleans give i64
Tensor mean(const Operand& x, const Shape& dim = {}, SumOptions o = {});  // integers and booleans give f32
Tensor prod(const Operand& x, const Shape& dim = {}, SumOptions o = {});  // integers and booleans give i64
Tensor amax(const Operand& x, const Shape& dim = {},
            ReduceOptions o = {});  // gradient: shared evenly among ties; NaN wins
Tensor amin(const Operand& x, const Shape& dim = {}, ReduceOptions o = {});
Tensor any(const Operand& x, const Shape& dim = {}, ReduceOptions o = {});
Tensor all(const Operand& x, const Shape& dim = {}, ReduceOptions o = {});
Tensor count_nonzero(const Operand& x, const Shape& dim = {});
// Where the largest (smallest) is, i64: the first of ties, the first NaN. Without an axis: in x flattened.
Tensor argmax(const Operand& x, std::optional<Integer> dim = {}, ReduceOptions o = {});
Tensor argmin(const Operand& x, std::optional<Integer> dim = {}, ReduceOptions o = {});
// Values along an axis and their i64 places, as argmax finds them: each gradient goes to that place.
std::pair<Tensor, Tensor> max(const Operand& x, Integer dim, ReduceOptions o = {});
std::pair<Tensor, Tensor> min(const Operand& x, Integer dim, ReduceOptions o = {});
Tensor max(const Operand& x);  // of all; gradient: shared evenly among ties
Tensor min(const Operand& x);
Tensor max(const Operand& a, const Tensor& b);  // maximum, minimum
Tensor min(const Operand& a, const Tensor& b);
Tensor cumsum(const Operand& x, Integer dim, DTypeOptions o = {});  // integers and booleans give i64
// Sums what was broadcast until the shape is `shape`: the transpose of expand.
Tensor sum_to(const Operand& x, const Shape& shape);

namespace detail {
// The shape that a reduction over `dim` leaves; ShapeError for an axis that is not there.
Shape reduced_shape(const Shape& x, const Shape& dim, bool keepdim);
int64_t reduced_count(const Shape& x, const Shape& dim);  // how many elements go into one
// Whether products can be divided by their factors again: on the host, f32 or f64, none is 0, denormal, infinite or
// NaN.
bool are_normal(const Tensor& y);
}  // namespace detail

}  // namespace fovea
