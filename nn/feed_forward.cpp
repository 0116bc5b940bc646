#include "nn/feed_forward.h"

#include <cmath>

namespace fovea::nn {
namespace {

int64_t hidden_size(const FeedForwardOptions& o) {
  double hidden = std::round(double(o.dim) * o.multiplier);
  if (o.dim < 1 || !(hidden >= 1 && hidden < 1e12))
    throw ValueError("feed_forward: dim " + std::to_string(o.dim) + " times multiplier " +
                     std::to_string(o.multiplier) + " (expected both above 0)");
  return int64_t(hidden);
}

}  // namespace

FeedForward::FeedForward(Parent parent, const Options& o)
    : Module(std::move(parent)),
      up(this, "up", o.dim, hidden_size(o), {o.bias}),
      down(this, "down", hidden_size(o), o.dim, {o.bias}),
      drop(this, "drop", o.dropout),
      activation_(o.activation) {}

}  // namespace fovea::nn
