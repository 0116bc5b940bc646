#include "nn/optim/schedule.h"

#include <cmath>
#include <numbers>

#include "autograd/ops/checks.h"

namespace fovea::optim {

double Schedule::operator()(int64_t step) const {
  if (step < warmup) return lr * double(step + 1) / double(warmup);
  if (kind == constant) return lr;
  double span = double(steps - 1 - warmup);
  double done = span > 0 ? double(step - warmup) / span : 1;
  if (done > 1) done = 1;
  double rest = kind == cosine ? 0.5 * (1 + std::cos(std::numbers::pi * done)) : 1 - done;
  return min_lr + (lr - min_lr) * rest;
}

Schedule::Kind schedule_of(const std::string& name, std::source_location where) {
  if (name == "cosine") return Schedule::cosine;
  if (name == "linear") return Schedule::linear;
  if (name == "constant") return Schedule::constant;
  fovea::detail::fail<ValueError>("schedule", where, "unknown '" + name + "' (expected cosine, linear or constant)");
}

}  // namespace fovea::optim
