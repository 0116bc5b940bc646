// Slots embedding and embedding_backward. The gradient is summed in the order of the ids, each thread its own columns,
// so the bits do not depend on threads and no row is written twice at once.
#include <algorithm>
#include <cstring>

#include "backends/cpu/elementwise.h"
#include "backends/cpu/kernels.h"
#include "core/parallel.h"

namespace fovea::cpu {
namespace {

constexpr int64_t kGrain = 1 << 13;  // elements that are worth a thread
constexpr int64_t kStripe = 16;      // columns: a cache line of f32

bool columns_dense(const View& v) { return v.strides[1] == 1 || v.shape[1] <= 1; }

// Reads ids, reports and clamps what is out of range. -1 where there is no row at all.
struct Ids {
  const View& ids;
  int64_t rows;
  Fault* fault;
  int64_t operator[](int64_t i) const {
    int64_t id = ids.dtype == i32 ? ids.as<int32_t>()[i] : ids.as<int64_t>()[i];
    if (id >= 0 && id < rows) return id;
    if (fault) fault->raise(i, id, rows);
    return id < 0 && rows > 0 ? 0 : rows - 1;
  }
};

template <class T> void gather_rows(const Call& c) {
  const View &weight = c.x(1), &y = c.y();
  const Ids ids{c.x(0), weight.shape[0], c.fault};
  const int64_t width = weight.shape[1], step = weight.strides[0];
  parallel_for(0, c.x(0).numel, std::max<int64_t>(kGrain / std::max<int64_t>(width, 1), 1), [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; i++)
      if (int64_t id = ids[i]; id >= 0)
        std::memcpy(y.as<T>() + i * width, weight.as<T>() + id * step, size_t(width) * sizeof(T));
  });
}

template <class T> void add_rows(const Call& c, const EmbeddingBackwardAttrs& a) {
  const View &g = c.x(0), &y = c.y();
  const int64_t rows = a.num_embeddings, width = g.shape[g.rank - 1], count = c.x(1).numel;
  const Ids ids{c.x(1), rows, c.fault};
  auto add = elementwise_kernels<T>(isa()).binary[int(Binary::add)];
  const int64_t stripes = (width + kStripe - 1) / kStripe;
  const int64_t grain = kGrain / std::max<int64_t>((rows + count) * kStripe, 1);
  parallel_for(0, stripes, std::max<int64_t>(grain, 1), [&](int64_t b, int64_t e) {
    const int64_t first = b * kStripe, n = std::min(e * kStripe, width) - first;
    for (int64_t r = 0; r < rows; r++) std::memset(y.as<T>() + r * width + first, 0, size_t(n) * sizeof(T));
    for (int64_t i = 0; i < count; i++) {
      int64_t id = ids[i];
      if (id < 0 || id == a.padding_idx) continue;
      T* to = y.as<T>() + id * width + first;
      add(n, to, 1, g.as<T>() + i * width + first, 1, to);
    }
  });
}

}  // namespace

bool embedding_accepts(const Call& c, const void*) {
  return c.x(0).dense && c.y().dense && columns_dense(c.x(1)) && (c.x(0).dtype == i64 || c.x(0).dtype == i32);
}
Status embedding(const Call& c, const EmbeddingAttrs&) {
  if (size_of(c.x(1).dtype) == 2) gather_rows<uint16_t>(c);
  else if (c.x(1).dtype == f32) gather_rows<float>(c);
  else gather_rows<double>(c);
  return {};
}

bool embedding_backward_accepts(const Call& c, const void*) {
  return c.x(0).dense && c.x(1).dense && c.y().dense && (c.x(1).dtype == i64 || c.x(1).dtype == i32);
}
Status embedding_backward(const Call& c, const EmbeddingBackwardAttrs& a) {
  if (c.x(0).dtype == f32) add_rows<float>(c, a);
  else add_rows<double>(c, a);
  return {};
}

}  // namespace fovea::cpu
