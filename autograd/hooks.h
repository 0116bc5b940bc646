// Hooks of a tensor: called with its gradient when that is complete, in the order of registration. They die with their
// node.
#pragma once
#include <functional>
#include <vector>

#include "autograd/tensor.h"

namespace fovea {

struct Hooks {
  struct Entry {
    int slot;
    std::function<Tensor(const Tensor&)> call;
  };
  std::vector<Entry> entries;
};

}  // namespace fovea
