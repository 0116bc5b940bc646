// Precompiled for the program's verbs.
#include <fmt/format.h>

#include "models/gpt.h"
#include "tools/pch/library.h"
