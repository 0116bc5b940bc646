// Breaking gradient rules on purpose, to show that the checks can fail: every way of breaking every rule must be
// caught.
#pragma once
#include <string>
#include <vector>

#include "autograd/op_def.h"

namespace fovea::proof {

enum class Break : uint8_t {
  sign,      // the gradient negated
  twice,     // doubled
  dropped,   // zero
  reversed,  // its elements in reverse order, as a forgotten transposition
  stale,     // that of an earlier call
  one_entry  // one element wrong by a millionth of the largest
};
inline constexpr int kBreaks = 6;
const char* name_of(Break b);

// While it lives, the rule of `op` gives a broken gradient for one input. One at a time; only for ops whose gradient is
// a backward rule (ValueError).
class Mutation {
 public:
  Mutation(int op, Break kind, int input);
  ~Mutation();
  Mutation(const Mutation&) = delete;
  Mutation& operator=(const Mutation&) = delete;
  bool changed() const { return changed_; }  // some gradient did come out different

 private:
  static void rule(Backward& b);
  Tensor broken(const Tensor& g);

  int op_, input_;
  Break kind_;
  const OpDef* original_;
  bool changed_ = false;
  Tensor first_;
};

// How many broken rules of an op check() finds. Mutants that change nothing (the negative of zero) do not count.
struct MutationScore {
  int mutants = 0, caught = 0;
  std::vector<std::string> missed;
};
MutationScore mutation_score(int op);

}  // namespace fovea::proof
