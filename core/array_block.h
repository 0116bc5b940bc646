// How a fresh array lies in memory: body, storage and up to 64 bytes of data in one block. For array.cpp, and inlined
// into the short way of dispatch.cpp.
#pragma once
#include <new>

#include "core/array.h"
#include "core/device.h"

namespace fovea::detail {

constexpr size_t body_bytes(int rank) { return rank <= 4 ? 128 : 192; }

[[gnu::always_inline]] inline Body* place_body(void* block, int rank) {
  Body* b = new (block) Body;
  b->view.rank = int8_t(rank);
  b->view.shape = b->numbers();
  b->view.strides = b->numbers() + (rank <= 4 ? 4 : 8);
  return b;
}

[[gnu::always_inline]] inline Body* place_all(ThreadState& s, int rank, DType t, Device d, bool inline_data) {
  const size_t head = body_bytes(rank), all = head + 64 + (inline_data ? 64 : 0);
  void* block = allocate_lines(s.blocks, int(all / kLine));
  Body* b = place_body(block, rank);
  b->view.dtype = t;
  b->view.device = d;
  auto* st = new (static_cast<char*>(block) + head) Storage;
  st->block = block;
  st->block_lines = uint8_t(all / kLine);
  st->device = d;
  b->storage = st;
  b->embedded = true;
  return b;
}

// Dense shape and strides of v's sizes, whose product is known to fit.
[[gnu::always_inline]] inline void set_like(Body* b, const View& v) {
  auto *shape = const_cast<int64_t*>(b->view.shape), *strides = const_cast<int64_t*>(b->view.strides);
  int64_t n = 1;
  for (int i = v.rank - 1; i >= 0; i--) {
    shape[i] = v.shape[i];
    strides[i] = n;
    n *= v.shape[i];
  }
  b->view.rank = v.rank;
  b->view.numel = v.numel;
}

// An array of v's shape, of dtype t, has its data in the block: what small models are made of. Host memory only.
inline bool is_small(const View& v, DType t) {
  return v.rank <= 4 && uint64_t(v.numel - 1) < 64 && v.numel * size_of(t) <= 64;
}
[[gnu::always_inline]] inline Body* small_like(ThreadState& s, const View& v, DType t) {
  Body* b = place_all(s, 4, t, v.device, true);
  set_like(b, v);
  b->storage->bytes = size_t(v.numel * size_of(t));
  b->view.data = b->storage->data = b->storage + 1;
  return b;
}

}  // namespace fovea::detail
