// Linear: x [..., in] -> x W^T + b [..., out]. weight [out, in], bias [out]; both start as U(-1/sqrt(in), 1/sqrt(in)),
// as in PyTorch.
#pragma once
#include "nn/module.h"

namespace fovea::nn {

struct LinearOptions {
  bool bias = true;
};

class Linear final : public Layer<Linear> {
 public:
  Linear(Parent parent, int64_t in, int64_t out, LinearOptions o = {});
  Linear(Owner owner, const char* name, int64_t in, int64_t out, LinearOptions o = {})
      : Linear({owner, name}, in, out, o) {}
  Tensor forward(const Tensor& x);

  Ref<Parameter> weight, bias;  // bias is null without one
};

}  // namespace fovea::nn
