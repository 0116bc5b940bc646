// Storage: a counted buffer with a version. Users never see it; arrays share it.
// It may own arena memory, hold memory of somebody else (adopted, with a release function), or hold no data at all
// (shape-only).
#pragma once
#include <atomic>
#include <cstdint>
#include <source_location>

#include "core/backend.h"

namespace fovea {

struct Storage {
  std::atomic<int32_t> refs{1};
  uint32_t version = 0;  // grows with every write; a saved array whose version moved makes backward throw
  void* data = nullptr;
  size_t bytes = 0;
  void* block = nullptr;           // the free-list block this storage lies in, with the body that made it
  void (*release)(void* context);  // of adopted memory, unset in others
  void* context;
  std::source_location writer;  // the line that wrote last; line 0: none
  Device device;
  uint8_t block_lines = 0;  // size of `block` in cache lines, at most 16
  enum Owner : uint8_t { inline_data, arena, backend, adopted, borrowed, shape_only } owner = inline_data;

  void written_at(std::source_location where) {
    version++;
    writer = where;
  }
};
static_assert(sizeof(Storage) == 64);

void destroy_storage(Storage* s);
inline void release_storage(Storage* s) {
  if (s->refs.load(std::memory_order_acquire) == 1 || s->refs.fetch_sub(1, std::memory_order_acq_rel) == 1)
    destroy_storage(s);
}

}  // namespace fovea
