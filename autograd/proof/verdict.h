// What a check says in a word, and why something failed in another.
#pragma once
#include <cstdint>

namespace fovea::proof {

// In the order in which they are told: the worst of many wins.
enum class Verdict : uint8_t { pass, non_smooth, too_noisy, fail };
const char* name_of(Verdict v);
int exit_code(Verdict v);  // of the program: 0, 3, 4, 1

enum class Cause : uint8_t {
  none,               // not found out
  exception,          // something was thrown
  factor,             // the gradient is a constant times the right one
  missing_scale,      // that constant is a size: a mean's division is forgotten, or done twice
  missing_factor,     // it lacks a factor, or has one too many, that is an input or the output
  transposed,         // the right numbers in another order
  missing_sum,        // one of the copies that an input was broadcast to, not the sum over all
  overwrites,         // of contributions to one element the last one, not the sum
  ignores_cotangent,  // the same for every cotangent
  stale,              // right in a first call, wrong in later ones
  layout,             // right for dense tensors only
  second_order,       // right in first order only
  device,             // right on the reference only
  contract            // the numbers are right, but the rule breaks what is promised beside them
};
const char* name_of(Cause c);

}  // namespace fovea::proof
