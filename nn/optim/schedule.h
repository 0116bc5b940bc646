// Learning rates as functions of the step number: a plain value, so a resumed run needs nothing but its step.
#pragma once
#include <cstdint>
#include <source_location>
#include <string>

namespace fovea::optim {

// Linear warm-up from lr/warmup to lr over `warmup` steps, then `kind` down to min_lr at step `steps - 1`; beyond it,
// min_lr.
struct Schedule {
  enum Kind : uint8_t { cosine, linear, constant };
  double lr = 1e-3, min_lr = 0;
  int64_t warmup = 0, steps = 1;
  Kind kind = cosine;

  double operator()(int64_t step) const;
};

// By name; ValueError for any other.
Schedule::Kind schedule_of(const std::string& name, std::source_location where = std::source_location::current());

}  // namespace fovea::optim
