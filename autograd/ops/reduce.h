// Reductions and scans. `dim` lists axes (negative ones count from the right); an empty list means all. keepdim leaves
// them with size 1.
#pragma once
#include "autograd/apply.h"

namespace fovea {

struct ReduceOptions {
  bool keepdim = false;
};
Tensor sum(const Operand& x, const Shape& dim = {}, ReduceOptions o = {});  // integers and booleans give i64
Tensor mean(const Operand& x, const Shape& dim = {}, ReduceOptions o = {});
Tensor prod(const Operand& x, const Shape& dim = {}, ReduceOptions o = {});
Tensor amax(const Operand& x, const Shape& dim = {},
            ReduceOptions o = {});  // gradient: shared evenly among ties; NaN wins
Tensor amin(const Operand& x, const Shape& dim = {}, ReduceOptions o = {});
Tensor any(const Operand& x, const Shape& dim = {}, ReduceOptions o = {});
Tensor all(const Operand& x, const Shape& dim = {}, ReduceOptions o = {});
Tensor argmax(const Operand& x, int64_t dim, ReduceOptions o = {});  // i64; the first of ties, the first NaN
Tensor argmin(const Operand& x, int64_t dim, ReduceOptions o = {});
Tensor cumsum(const Operand& x, int64_t dim);
// Sums what was broadcast until the shape is `shape`: the transpose of expand.
Tensor sum_to(const Operand& x, const Shape& shape);

namespace detail {
// The shape that a reduction over `dim` leaves; ShapeError for an axis that is not there.
Shape reduced_shape(const Shape& x, const Shape& dim, bool keepdim);
}  // namespace detail

}  // namespace fovea
