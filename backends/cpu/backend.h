// The CPU backend: fast kernels for arrays in host memory. Its table starts from the reference's.
#pragma once
#include "core/backend.h"

namespace fovea {

Backend& cpu_backend();

}  // namespace fovea
