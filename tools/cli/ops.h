// Which ops there are, for verbs that take one by name.
#pragma once
#include <string>
#include <vector>

#include "autograd/op_def.h"

namespace fovea::cli {

// Rows that are functions of their inputs (not slots, not updates), users' among them, in the table's order.
std::vector<int> all_ops();
// UsageError naming the nearest op.
int op_named(const std::string& name);

}  // namespace fovea::cli
