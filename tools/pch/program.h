// Precompiled for the program's verbs.
#include <fmt/core.h>

#include "models/gpt.h"
#include "tools/cli/verb.h"
#include "tools/pch/library.h"
