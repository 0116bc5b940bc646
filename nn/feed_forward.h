// FeedForward: x [..., C] -> down(activation(up(x))) [..., C], the hidden size a multiple of C, dropout at the end.
#pragma once
#include "nn/activation.h"
#include "nn/dropout.h"
#include "nn/linear.h"

namespace fovea::nn {

struct FeedForwardOptions {
  int64_t dim = 0;
  double multiplier = 4;
  Activation activation = Activation::gelu;
  double dropout = 0;
  bool bias = true;
};

class FeedForward final : public Layer<FeedForward> {
 public:
  using Options = FeedForwardOptions;
  FeedForward(Parent parent, const Options& o);
  FeedForward(Owner owner, const char* name, const Options& o) : FeedForward({owner, name}, o) {}
  Tensor forward(const Tensor& x) { return drop(down(activate(up(x), activation_))); }

  Linear up, down;
  Dropout drop;

 private:
  int64_t hidden_size(const Options& o) const;

  Activation activation_;
};

}  // namespace fovea::nn
