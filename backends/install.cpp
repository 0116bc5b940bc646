// Which backends this build has, in order: the reference first, since the tables of the others start from its table;
// the fastest host backend last, since new tensors go there. Called once, by the registry.
#include "backends/cpu/backend.h"
#include "backends/ref/backend.h"
#include "core/device.h"

namespace fovea {

void install_default_backends() {
  register_backend(ref_backend());
  register_backend(cpu_backend());
}

const char* absent_backend(std::string_view name) {
  return name == "cuda" ? "this build has no CUDA backend" : nullptr;
}

}  // namespace fovea
