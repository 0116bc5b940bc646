// Function: an op in host code, for what no op of ours says: a look-up, a solver, somebody else's library. Its forward
// and its backward are any callables, which may capture; a call is recorded as one node.
//
//   Function root{.name = "cube_root",
//                 .forward = [](const std::vector<Tensor>& x) { return std::vector{cube_root(x[0].to_vector<float>())};
//                 }, .backward = [](Backward& b) { b.add(0, b.g() / (square(b.y()) * 3)); }, .saves = out(0)};
//   Tensor y = root({x})[0];
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "autograd/op_def.h"

namespace fovea {

struct Function {
  std::string name;  // in errors and traces; not that of a built-in op
  // Runs without recording, on the inputs without their history: what it reads otherwise gets no gradient. 1 to 8
  // outputs.
  std::function<std::vector<Tensor>(const std::vector<Tensor>&)> forward;
  // As the rule of an op: for each input that needs a gradient add(i, ...) or zero(i). What it captures lives as long
  // as the node: a tensor of the outputs among it would never be freed, so ask for saves and read b.y().
  std::function<void(Backward&)> backward;
  uint32_t saves = 0;  // in(k) | out(k): what backward reads with b.x(k) and b.y(k), guarded against later writes
  // Backward is written on tensors throughout, so that it can be differentiated itself. If not, create_graph is
  // refused.
  bool differentiable_twice = false;

  std::vector<Tensor> operator()(const std::vector<Tensor>& inputs,
                                 std::source_location where = std::source_location::current()) const;
};

}  // namespace fovea
