// Precompiled for the CPU kernels: vector intrinsics, and what the seam and its loops need.
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#include "backends/common/loops.h"
#include "backends/ref/kernels.h"
#include "core/parallel.h"
