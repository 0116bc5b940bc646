// Precompiled for the library's own files: the standard headers that most of them include, and the path of an op. It
// only makes the build faster; every file still includes what it uses (built with -Db_pch=false by a test).
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "autograd/apply.h"
#include "core/dispatch.h"
