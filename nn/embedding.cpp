#include "nn/embedding.h"

#include "autograd/ops/index.h"
#include "nn/init.h"

namespace fovea::nn {

Embedding::Embedding(Parent parent, int64_t entries, int64_t dim) : Module(std::move(parent)) {
  weight = add_parameter("weight", Role::embedding, {entries, dim}, init::normal(1));
}

Tensor Embedding::forward(const Tensor& ids) { return fovea::embedding(ids, weight); }

}  // namespace fovea::nn
