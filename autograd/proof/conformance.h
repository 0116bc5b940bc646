// The smallest backend there can be: only the mandatory kernels, taken from the reference. Every op must run on it,
// forward and backward, by compositions; so a new backend is complete with these.
#pragma once
#include "core/backend.h"
#include "core/device.h"

namespace fovea::proof {

inline constexpr const char* kMandatory[] = {"fill",   "iota",         "copy",        "unary",      "binary",
                                             "select", "reduce",       "scan",        "arg_reduce", "matmul",
                                             "gather", "scatter_kind", "random_bits", "sort"};

// The device "mandatory"; registers the backend when first asked.
Device mandatory_device();

}  // namespace fovea::proof
