// Plug-ins: shared libraries of kernels, or of ops. They are opened, checked, registered and never closed, since
// graphs, arrays and tables point into them.
#include <dlfcn.h>
#include <sys/stat.h>

#include "core/device.h"
#include "core/error.h"

// Found through an ops plug-in's own dependencies: when it is not this one, the plug-in brought a second copy of the
// library along and would define its ops there.
extern "C" __attribute__((visibility("default"))) const void* fovea_identity() {
  static const char here = 0;
  return &here;
}

namespace fovea {
namespace {

void load_backend(const std::string& path, BackendEntry entry) {
  Backend* b = entry(host_services());
  if (!b) throw DeviceError("plugin: " + path + ": its fovea_backend gave no backend");
  if (b->abi != abi_number())
    throw DeviceError("plugin: " + path + " was built against another version of core/backend.h. Rebuild it");
  std::vector<std::string> refused;
  register_backend(*b, &refused);
  for (const std::string& r : refused) host_services().log(("plugin: " + path + ": kernel refused: " + r).c_str());
}

void load_ops(const std::string& path, void* library, void (*entry)()) {
  auto identity = reinterpret_cast<const void* (*)()>(dlsym(library, "fovea_identity"));
  if (!identity || identity() != fovea_identity())
    throw DeviceError(
        "plugin: " + path +
        " defines ops, which needs a program that uses the shared libfovea (this one is linked statically)");
  entry();
}

}  // namespace

void load_plugin(const std::string& path) {
  default_device();  // settled among the backends of this build: a plug-in's is used where it is asked for
  struct stat file;
  if (stat(path.c_str(), &file) != 0) throw DeviceError("plugin: " + path + ": no such file");
  // A name without a slash would be looked for where the system keeps its libraries.
  void* library = dlopen((path.find('/') == path.npos ? "./" + path : path).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    std::string why = dlerror();
    if (why.starts_with(path + ": ")) why.erase(0, path.size() + 2);
    throw DeviceError("plugin: " + path + ": cannot be loaded: " + why);
  }
  auto backend = reinterpret_cast<BackendEntry>(dlsym(library, "fovea_backend"));
  auto ops = reinterpret_cast<void (*)()>(dlsym(library, "fovea_ops"));
  if (!backend && !ops)
    throw DeviceError("plugin: " + path +
                      " is no plug-in of ours (expected a function fovea_backend for kernels, or fovea_ops for ops)");
  if (ops) load_ops(path, library, ops);
  if (backend) load_backend(path, backend);
}

}  // namespace fovea
