// The registry: which backends and devices there are, and the kernel table of each.
#pragma once
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "core/backend.h"

namespace fovea {

inline constexpr int kMaxBackends = 16, kMaxOps = 1024;

// A backend's kernels by op id. Empty slots compose. `rest`: the reference's table, where the backend started from it;
// it serves the dtypes that a slot which was overwritten does not.
struct KernelTable {
  Slot slots[kMaxOps];
  const KernelTable* rest = nullptr;
};

namespace detail {
struct BackendEntry {
  Backend* backend = nullptr;
  KernelTable* table = nullptr;
  bool host = false;
};
extern BackendEntry backends[kMaxBackends];
}  // namespace detail

inline bool on_host(Device d) { return detail::backends[d.backend].host; }
inline Backend& backend_of(Device d) { return *detail::backends[d.backend].backend; }
inline const KernelTable& kernels_of(Device d) { return *detail::backends[d.backend].table; }

// Adds a backend and returns its place. Its table starts from the reference's where it says so. Refused rows are
// reported by `refused`. DeviceError when a backend of that name exists or there is no room.
int register_backend(Backend& backend, std::vector<std::string>* refused = nullptr);
int backend_count();

// "cpu", "cuda:1" -> device; DeviceError naming the known ones, or saying why it is not usable.
Device device(std::string_view name, std::source_location where = std::source_location::current());
std::string device_name(Device d);

// Where new tensors go: the fastest host backend unless set.
Device default_device();
void set_default_device(Device d);

// Opens a shared library: a plug-in of kernels (it has fovea_backend, see core/backend.h), whose backend is registered,
// or one of ops (it links libfovea.so and has `extern "C" void fovea_ops()`, which calls define_op). DeviceError in one
// line when it is neither, cannot be loaded, or does not fit this library. It is never unloaded.
void load_plugin(const std::string& path);

// What kernels and plug-ins get from us.
extern const Host host_table;
inline const Host& host_services() { return host_table; }

// Registers the backends this build has; defined by backends/install.cpp, called once before the first device is asked
// for.
void install_default_backends();
// In one line why a backend that people ask for is not in this build; null for others.
const char* absent_backend(std::string_view name);

// The row of an op by id (built-in or defined at run time), its id by name (op::none if unknown), and how many ids are
// in use.
namespace detail {
extern const OpRow* op_rows[kMaxOps];
}
inline const OpRow& row(int id) { return *detail::op_rows[id]; }
int find_op(std::string_view name);
int op_count();
// Adds a row at run time and returns its id. Throws ValueError when the name is taken or 1024 rows exist.
int add_op_row(const OpRow& row);

// Overwrites or fills one slot of a registered backend (user kernels). DeviceError for an unknown backend, ValueError
// for an unknown op.
void set_kernel(std::string_view backend, int id, const Slot& slot);

// FOVEA_COMPOSE=op,op: the kernels of these ops are ignored by every backend.
bool forced_to_compose(int id);

}  // namespace fovea
