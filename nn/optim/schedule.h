// Learning rates as functions of the step number: a plain value, so a resumed run needs nothing but its step.
#pragma once
#include <cmath>
#include <cstdint>
#include <numbers>
#include <string>

#include "core/error.h"

namespace fovea::optim {

// Linear warm-up from lr/warmup to lr over `warmup` steps, then `kind` down to min_lr at step `steps - 1`; beyond it,
// min_lr.
struct Schedule {
  enum Kind : uint8_t { cosine, linear, constant };
  double lr = 1e-3, min_lr = 0;
  int64_t warmup = 0, steps = 1;
  Kind kind = cosine;

  double operator()(int64_t step) const {
    if (step < warmup) return lr * double(step + 1) / double(warmup);
    if (kind == constant) return lr;
    double span = double(steps - 1 - warmup);
    double done = span > 0 ? double(step - warmup) / span : 1;
    if (done > 1) done = 1;
    double rest = kind == cosine ? 0.5 * (1 + std::cos(std::numbers::pi * done)) : 1 - done;
    return min_lr + (lr - min_lr) * rest;
  }
};

inline Schedule::Kind schedule_of(const std::string& name) {
  if (name == "cosine") return Schedule::cosine;
  if (name == "linear") return Schedule::linear;
  if (name == "constant") return Schedule::constant;
  throw ValueError("schedule: unknown '" + name + "' (expected cosine, linear or constant)");
}

}  // namespace fovea::optim
