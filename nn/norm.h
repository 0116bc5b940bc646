// LayerNorm over the last axis, with weight (starting at 1) and bias (0).
#pragma once
#include "nn/module.h"

namespace fovea::nn {

struct NormOptions {
  double eps = 1e-5;
  bool bias = true;
};

class LayerNorm final : public Layer<LayerNorm> {
 public:
  LayerNorm(Parent parent, int64_t dim, NormOptions o = {});
  LayerNorm(Owner owner, const char* name, int64_t dim, NormOptions o = {}) : LayerNorm({owner, name}, dim, o) {}
  Tensor forward(const Tensor& x);

  Ref<Parameter> weight, bias;  // bias is null without one

 private:
  int64_t dim_;
  double eps_;
};

}  // namespace fovea::nn
