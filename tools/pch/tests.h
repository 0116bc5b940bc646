// Precompiled for the tests: doctest, and what one writes models with.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "autograd/ops/elementwise.h"
#include "nn/block.h"
#include "tools/pch/library.h"
