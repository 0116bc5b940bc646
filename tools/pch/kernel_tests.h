// Precompiled for the tests of the CPU kernels, which compile the lowered level of their own.
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "tools/pch/kernels.h"
