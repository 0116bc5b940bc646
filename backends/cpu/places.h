// Indices as kernels read them: of either type, checked in the loop that uses them.
#pragma once
#include <cstdint>

#include "core/backend.h"

namespace fovea::cpu {

// An index that is out of range is reported and clamped. -1 where there is nothing at all.
[[gnu::noinline]] inline int64_t clamped(int64_t id, int64_t limit, Fault* fault, int64_t position) {
  if (fault) fault->raise(position, id, limit);
  return id < 0 && limit > 0 ? 0 : limit - 1;
}
template <class I> struct Index {
  const I* p;
  int64_t limit;
  Fault* fault;
  int64_t operator()(int64_t at, int64_t position) const {
    const int64_t id = p[at];
    return uint64_t(id) < uint64_t(limit) ? id : clamped(id, limit, fault, position);
  }
};
// f(the index as one of its type).
template <class F> void by_index(const View& v, int64_t limit, Fault* fault, F&& f) {
  if (v.dtype == i32) f(Index<int32_t>{v.as<int32_t>(), limit, fault});
  else f(Index<int64_t>{v.as<int64_t>(), limit, fault});
}
// f(i, place of index[at + i]) for i below n.
template <class I, class F>
void each_place(const I& index, int64_t at, int64_t n, int64_t step, int64_t position, F f) {
  const auto* p = index.p + at;
  const uint64_t limit = uint64_t(index.limit);
  for (int64_t i = 0; i < n; i++) {
    uint64_t id = uint64_t(int64_t(p[i * step]));
    if (id >= limit) [[unlikely]]
      id = uint64_t(clamped(int64_t(id), index.limit, index.fault, position + i));
    f(i, int64_t(id));
  }
}

}  // namespace fovea::cpu
