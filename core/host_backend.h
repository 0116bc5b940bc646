// HostBackend: the part of a backend that is the same for all whose arrays lie in ordinary memory. What is left to
// write is a name and a table of kernels.
#pragma once
#include <cstdlib>
#include <cstring>

#include "core/backend.h"

namespace fovea {

class HostBackend : public Backend {
 public:
  int device_count() const override { return 1; }
  bool host_memory() const override { return true; }
  Status allocate(int, size_t bytes, void** data) override {
    *data = std::aligned_alloc(64, (bytes + 63) / 64 * 64 + (bytes == 0) * 64);
    return *data ? Status{} : Status{Status::out_of_memory, "out of memory"};
  }
  void free(int, void* data, size_t) override { std::free(data); }
  Status to_host(int, void* host, const void* data, size_t bytes) override { return move(host, data, bytes); }
  Status from_host(int, void* data, const void* host, size_t bytes) override { return move(data, host, bytes); }
  Status synchronize(int) override { return {}; }
  void* stream(int) override { return nullptr; }

 private:
  static Status move(void* to, const void* from, size_t bytes) {
    if (bytes) std::memmove(to, from, bytes);
    return {};
  }
};

}  // namespace fovea
