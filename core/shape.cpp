#include "core/shape.h"

#include "core/error.h"
#include "core/mode.h"

namespace fovea {

void Shape::too_long(size_t n, const Where& w) {
  ShapeError e(std::to_string(n) + " dimensions (expected at most " + std::to_string(kMaxRank) + ")");
  ThreadState& s = state();
  if (w.line() > 0 && s.depth == 0) e.locate(s.op ? s.op : "shape", s.where ? *s.where : w, s.module ? s.module : "");
  throw e;
}

int64_t numel(const int64_t* dims, int rank) {
  int64_t n = 1;
  bool empty = false;
  for (int i = 0; i < rank; i++) {
    if (dims[i] < 0) throw ShapeError("negative size in shape " + to_string(dims, rank));
    empty |= dims[i] == 0;
  }
  if (empty) return 0;
  for (int i = 0; i < rank; i++)
    if (__builtin_mul_overflow(n, dims[i], &n) || n > int64_t(1) << 62)
      throw ShapeError("shape " + to_string(dims, rank) + " has more than 2^62 elements");
  return n;
}

void dense_strides(const int64_t* dims, int rank, int64_t* strides) {
  uint64_t s = 1;  // of empty arrays it may wrap round
  for (int i = rank - 1; i >= 0; i--) {
    strides[i] = int64_t(s);
    s *= dims[i] > 0 ? uint64_t(dims[i]) : 1;
  }
}

std::string to_string(const int64_t* dims, int rank) {
  std::string text = "[";
  for (int i = 0; i < rank; i++) text += (i ? "," : "") + std::to_string(dims[i]);
  return text + "]";
}

Shape broadcast(const Shape& a, const Shape& b) {
  Shape out;
  out.rank = a.rank > b.rank ? a.rank : b.rank;
  for (int i = 1; i <= out.rank; i++) {
    int64_t x = i <= a.rank ? a[a.rank - i] : 1, y = i <= b.rank ? b[b.rank - i] : 1;
    if (x != y && x != 1 && y != 1)
      throw ShapeError("shapes do not broadcast: " + to_string(a) + " and " + to_string(b) + " (" + std::to_string(x) +
                       " against " + std::to_string(y) + " at axis " + std::to_string(-i) +
                       "; expected equal sizes or 1)");
    out[out.rank - i] = x == 1 ? y : x;
  }
  return out;
}

int wrap_dim(int64_t dim, int rank) {
  int64_t n = rank > 0 ? rank : 1;
  if (dim < -n || dim >= n)
    throw ShapeError("axis out of range: " + std::to_string(dim) + " (expected " + std::to_string(-n) + " to " +
                     std::to_string(n - 1) + ")");
  return int(dim < 0 ? dim + n : dim);
}

}  // namespace fovea
