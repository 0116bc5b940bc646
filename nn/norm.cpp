#include "nn/norm.h"

#include "autograd/ops/norm.h"
#include "nn/init.h"

namespace fovea::nn {

LayerNorm::LayerNorm(Parent parent, int64_t dim, NormOptions o) : Module(std::move(parent)), dim_(dim), eps_(o.eps) {
  weight = add_parameter("weight", Role::norm, {dim}, init::ones());
  if (o.bias) bias = add_parameter("bias", Role::bias, {dim}, init::zeros());
}

Tensor LayerNorm::forward(const Tensor& x) {
  return bias ? layer_norm(x, {dim_}, weight, bias, {eps_}) : layer_norm(x, {dim_}, weight, Tensor(), {eps_});
}

}  // namespace fovea::nn
