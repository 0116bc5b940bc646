// Embedding: ids [...] of i64 or i32 -> rows of weight [V, C], as [..., C]. Starts as N(0, 1), as in PyTorch.
#pragma once
#include "nn/module.h"

namespace fovea::nn {

class Embedding final : public Layer<Embedding> {
 public:
  Embedding(Parent parent, int64_t entries, int64_t dim);
  Embedding(Owner owner, const char* name, int64_t entries, int64_t dim) : Embedding({owner, name}, entries, dim) {}
  Tensor forward(const Tensor& ids);

  Ref<Parameter> weight;
};

}  // namespace fovea::nn
