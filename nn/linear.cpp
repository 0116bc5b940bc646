#include "nn/linear.h"

#include <cmath>

#include "autograd/ops/matmul.h"
#include "nn/init.h"

namespace fovea::nn {

Linear::Linear(Parent parent, int64_t in, int64_t out, LinearOptions o) : Module(std::move(parent)) {
  double bound = 1 / std::sqrt(double(in));
  weight = add_parameter("weight", Role::weight, {out, in}, init::uniform(-bound, bound));
  if (o.bias) bias = add_parameter("bias", Role::bias, {out}, init::uniform(-bound, bound));
}

Tensor Linear::forward(const Tensor& x) { return bias ? fovea::linear(x, weight, bias) : fovea::linear(x, weight); }

}  // namespace fovea::nn
