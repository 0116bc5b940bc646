// Variance and norms of a tensor's numbers. `dim` lists axes as in reduce.h; an empty list means all.
#pragma once
#include <utility>

#include "autograd/ops/reduce.h"

namespace fovea {

// The sum of squared deviations from the mean over max(0, count - correction): Bessel's correction unless told
// otherwise.
struct VarOptions {
  double correction = 1;
  bool keepdim = false;
};
Tensor var(const Operand& x, const Shape& dim = {}, VarOptions o = {});
Tensor std(const Operand& x, const Shape& dim = {}, VarOptions o = {});  // gradient at 0: 0
std::pair<Tensor, Tensor> var_mean(const Operand& x, const Shape& dim = {}, VarOptions o = {});
std::pair<Tensor, Tensor> std_mean(const Operand& x, const Shape& dim = {}, VarOptions o = {});

// (sum |x|^ord)^(1/ord) for any number: the largest |x| for inf, the smallest for -inf, how many are not 0 for 0. Where
// the norm is 0, the gradient is 0. An order below 0 or infinite wants at least one element (ShapeError).
Tensor vector_norm(const Operand& x, double ord = 2, const Shape& dim = {}, SumOptions o = {});
Tensor norm(const Operand& x, double p = 2, const Shape& dim = {}, SumOptions o = {});  // the same
// x over its norm along `dim`, or over eps where the norm is less.
struct NormalizeOptions {
  double eps = 1e-12;
};
Tensor normalize(const Operand& x, double p = 2, const Shape& dim = 1, NormalizeOptions o = {});

}  // namespace fovea
