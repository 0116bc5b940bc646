// Which backends every program starts with. Core calls this once, at the first question about a device.
#include "core/device.h"

namespace fovea {
void install_default_backends() {}
}  // namespace fovea
