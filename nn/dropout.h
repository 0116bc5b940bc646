// Dropout: in training each element is 0 with probability p, else x / (1 - p); the identity in eval(). Draws come from
// the thread's default generator, so a restored generator gives the same masks.
#pragma once
#include "autograd/ops/random.h"
#include "nn/module.h"

namespace fovea::nn {

class Dropout final : public Layer<Dropout> {
 public:
  Dropout(Parent parent, double p) : Module(std::move(parent)), p_(p) {
    if (!(p >= 0 && p < 1)) refuse<ValueError>("p is " + text_of(p) + " (expected 0 <= p < 1)");
  }
  Dropout(Owner owner, const char* name, double p) : Dropout(Parent{owner, name}, p) {}
  Tensor forward(const Tensor& x) {
    if (p_ == 0 || !training()) return x;
    return dropout(x, p_);
  }

 private:
  double p_;
};

}  // namespace fovea::nn
