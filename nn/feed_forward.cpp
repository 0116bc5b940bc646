#include "nn/feed_forward.h"

#include <cmath>

namespace fovea::nn {

int64_t FeedForward::hidden_size(const Options& o) const {
  double hidden = std::round(double(o.dim) * o.multiplier);
  if (o.dim < 1 || !(hidden >= 1 && hidden < 1e12))
    refuse<ValueError>("dim " + std::to_string(o.dim) + " times multiplier " + text_of(o.multiplier) +
                       " (expected both above 0)");
  return int64_t(hidden);
}

FeedForward::FeedForward(Parent parent, const Options& o)
    : Module(std::move(parent)),
      up(this, "up", o.dim, hidden_size(o), {o.bias}),
      down(this, "down", hidden_size(o), o.dim, {o.bias}),
      drop(this, "drop", o.dropout),
      activation_(o.activation) {}

}  // namespace fovea::nn
