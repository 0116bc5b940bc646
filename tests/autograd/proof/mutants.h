// Gradients broken on purpose, to measure the checks: an op (or function) is replaced by one whose forward is its own
// and whose backward is its own with a mistake. A mutant counts as caught only by the checks that every op gets.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "autograd/proof/check.h"

namespace fovea::proof {

enum class Mistake : uint8_t {
  sign,               // negated
  factor,             // doubled
  dropped,            // zero
  dropped_term,       // what comes through one inner op of the composition is left out
  inner_sign,         // ... or comes with the wrong sign
  transposed,         // its numbers as if its axes were in reverse order
  reversed,           // its numbers in reverse order
  stale_gradient,     // that of an earlier call
  stale_save,         // that at the inputs of an earlier call
  missing_reduction,  // of an input that was broadcast, that of its first copy
  cotangent_stride,   // cotangents read as if they were dense
  input_stride,       // inputs read as if they were dense
  ignores_cotangent,  // that for ones
  single_entry,       // one element wrong
  second_by_input,    // wrong derivative with respect to the input, at second order only
  second_by_cotangent
};
inline constexpr int kMistakes = 16;
const char* name_of(Mistake m);

// How wrong: all of it, a thousandth of it, or so that no element is off by more than twice the stated limit.
enum class Size : uint8_t { gross, thousandth, limit };
inline constexpr int kSizes = 3;
const char* name_of(Size s);

struct Score {
  int mutants = 0, caught = 0;
};
struct Scores {
  Score of[kMistakes][kSizes];
  std::vector<std::string> missed;                             // "softmax: factor of input 0, limit"
  std::map<std::string, std::vector<std::string>> equivalent;  // mutants that change nothing, by the reason
  Score total(int size) const;
  void add(const Scores& more);
};
// Of one op or function, by its samples.
void add_scores(const std::string& subject, Scores& scores);

}  // namespace fovea::proof
