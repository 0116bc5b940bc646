// Every public function of autograd/ops by name, called with a list of tensors in PyTorch's argument order and its
// attributes: what `fovea op` runs.
#pragma once
#include <string>
#include <vector>

#include "autograd/tensor.h"
#include "tools/cli/op_attributes.h"

namespace fovea::cli {

struct OpInputs {
  std::vector<Tensor> x;  // undefined where absent
  Tensor mask, t5_table;  // attention's

  const Tensor& operator[](size_t i) const {
    static const Tensor kNone;
    return i < x.size() ? x[i] : kNone;
  }
};
struct OpFunction {
  const char* name;
  int inputs;  // most; -1: any number
  std::vector<Tensor> (*call)(const OpInputs& in, Attributes& a);
  uint32_t constants = 0;  // inputs that have no gradient although they are floating, as bits
};

// By name, aliases and "linalg.x" included; UsageError naming the nearest.
const OpFunction& op_function(const std::string& name);

}  // namespace fovea::cli
