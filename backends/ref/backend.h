// The reference backend: naive, readable kernels for everything that is mandatory, in every dtype and in dual numbers.
// It is the oracle that other kernels are measured against, and the table that every backend on host memory starts
// from.
#pragma once
#include "core/backend.h"

namespace fovea {

Backend& ref_backend();

}  // namespace fovea
