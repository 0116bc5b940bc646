// The kernels of the reference backend, one plain function per slot; what each means is said at its definition.
#pragma once
#include "backends/common/loops.h"
#include "backends/common/visit.h"
#include "core/backend.h"

namespace fovea::ref {

Status fill(const Call& c, const FillAttrs& a);
Status iota(const Call& c, const IotaAttrs& a);
Status copy(const Call& c, const NoAttrs&);
Status select(const Call& c, const NoAttrs&);
Status unary(const Call& c, const NoAttrs&);
Status binary(const Call& c, const NoAttrs&);
Status reduce(const Call& c, const ReduceAttrs& a);
Status scan(const Call& c, const DimAttrs& a);
Status arg_reduce(const Call& c, const DimKeepAttrs& a);
Status matmul(const Call& c, const NoAttrs&);
Status gather(const Call& c, const DimAttrs& a);
Status scatter(const Call& c, const ScatterAttrs& a);
int64_t scatter_scratch(const Call& c, const void* attrs);
Status random_bits(const Call& c, const NoAttrs&);
Status sort(const Call& c, const SortAttrs& a);
int64_t sort_scratch(const Call& c, const void* attrs);
Status adamw(const Call& c, const AdamWAttrs& a);

inline constexpr Status kMixed{Status::invalid, "inputs and output differ in dtype"};
inline constexpr Status kBadAxis{Status::invalid, "no such axis"};

// The axis counted from the left, or -1; 0-dim arrays count as having one axis of size 1.
inline int axis(int64_t dim, int rank) {
  int64_t r = rank > 0 ? rank : 1, d = dim < 0 ? dim + r : dim;
  return d >= 0 && d < r ? int(d) : -1;
}
inline int64_t size_at(const View& v, int d) { return v.rank > 0 ? v.shape[d] : 1; }
inline int64_t stride_at(const View& v, int d) { return v.rank > 0 ? v.strides[d] : 1; }

// The strides of a view with some axes left where they begin.
struct Strides {
  int64_t at[kMaxRank] = {};
  explicit Strides(const View& v, int without = -1) {
    for (int d = 0; d < v.rank; d++) at[d] = d == without ? 0 : v.strides[d];
  }
};

// Moves elements without looking at them: f.operator()<a type of that many bytes>().
struct Bytes16 {
  uint64_t b[2];
};
struct Bytes32 {
  uint64_t b[4];
};
template <class F> Status by_size(DType t, F&& f) {
  switch (size_of(t)) {
    case 1: return f.template operator()<uint8_t>();
    case 2: return f.template operator()<uint16_t>();
    case 4: return f.template operator()<uint32_t>();
    case 8: return f.template operator()<uint64_t>();
    case 16: return f.template operator()<Bytes16>();
    default: return f.template operator()<Bytes32>();
  }
}

}  // namespace fovea::ref
