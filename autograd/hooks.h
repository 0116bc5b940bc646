// What few nodes have, and dies with them: hooks of a tensor, called with its gradient when that is complete, in the
// order of registration; the backward of a Function.
#pragma once
#include <functional>
#include <vector>

#include "autograd/tensor.h"

namespace fovea {

class Backward;

struct Hooks {
  struct Entry {
    int slot;
    std::function<Tensor(const Tensor&)> call;
  };
  std::vector<Entry> entries;
  std::function<void(Backward&)> function;
  bool function_twice = false;
};

}  // namespace fovea
