// What `fovea op` runs, by name: every row of the table of ops with the attributes that its fields() name, users' ops
// included, and in PyTorch's form what is no row, or takes other attributes than its row.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "autograd/ops/reduce.h"
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
  int inputs;                                                      // most; -1: any number
  std::vector<Tensor> (*form)(const OpInputs& in, Attributes& a);  // null: as the row is
  uint32_t constants = 0;  // inputs that have no gradient although they are floating, as bits
  int id = 0;              // the row
  bool copied = false;     // NAME_copy: what a view shows, as an array of its own

  std::vector<Tensor> call(const OpInputs& in, Attributes& a) const;
};

// What forms share: an op along the axis `dim`.
template <Tensor (*f)(const Operand&, Integer)> std::vector<Tensor> along(const OpInputs& in, Attributes& a) {
  return {f(in[0], a.integer("dim"))};
}
template <Tensor (*f)(const Operand&, Integer, DTypeOptions)>
std::vector<Tensor> along(const OpInputs& in, Attributes& a) {
  return {f(in[0], a.integer("dim"), {a.dtype_if_given()})};
}

// Those of op_functions_arranging.cpp, op_functions_nn.cpp and op_functions_making.cpp.
std::span<const OpFunction> arranging_functions();
std::span<const OpFunction> nn_functions();
std::span<const OpFunction> making_functions();

// All forms, also of what is a row.
std::vector<OpFunction> all_forms();
// By name, aliases, "linalg.x" and "x_copy" of views included; UsageError naming the nearest.
OpFunction op_function(const std::string& name);

}  // namespace fovea::cli
