#include "core/array.h"

#include <algorithm>

#include "core/array_block.h"

namespace fovea {

using detail::body_bytes, detail::place_body;

namespace {

constexpr int64_t kMostBytes = int64_t(1) << 44;  // of one array: what the arena's classes hold

bool is_dense(const int64_t* shape, const int64_t* strides, int rank) {
  uint64_t expected = 1;  // of empty and of shape-only arrays it may wrap round, as their strides do
  for (int i = rank - 1; i >= 0; i--) {
    if (shape[i] == 0) return true;
    if (shape[i] != 1 && uint64_t(strides[i]) != expected) return false;
    expected *= uint64_t(shape[i]);
  }
  return true;
}

Body* place_all(ThreadState& s, const Meta& m, bool inline_data) {
  return detail::place_all(s, m.rank, m.dtype, m.device, inline_data);
}

}  // namespace

void set_dense(Body& b, const int64_t* dims, int rank) {
  auto* shape = const_cast<int64_t*>(b.view.shape);
  auto* strides = const_cast<int64_t*>(b.view.strides);
  int64_t n = 1;
  for (int i = rank - 1; i >= 0; i--) {
    shape[i] = dims[i];
    strides[i] = n;
    if (uint64_t(dims[i]) - 1 >= (uint64_t(1) << 31) || n >= int64_t(1) << 31)
        [[unlikely]] {  // rare: empty, negative or huge
      b.view.numel = fovea::numel(dims, rank);
      for (int j = 0; j < rank; j++) shape[j] = dims[j];
      dense_strides(dims, rank, strides);
      b.view.dense = true;
      return;
    }
    n *= dims[i];
  }
  b.view.numel = n;
  b.view.dense = true;
}

Body* make_body(ThreadState& s, Storage* storage, int rank) {
  size_t bytes = body_bytes(rank);
  Body* b = place_body(allocate_lines(s.blocks, int(bytes / kLine)), rank);
  b->lines = uint8_t(bytes / kLine);
  b->storage = storage;
  b->view.device = storage->device;
  return b;
}

namespace {

// Bytes of one array; MemoryError for more than the arena's classes hold.
size_t bytes_of(const View& v, DType t) {
  if (v.numel > kMostBytes / size_of(t)) [[unlikely]]
    throw MemoryError(to_string(v.shape, v.rank) + " " + name_of(t) + " takes more than 2^44 bytes");
  return size_t(v.numel) * size_t(size_of(t));
}

// Where a view of the whole storage begins. No elements, and memory that is null: the storage itself, which nobody
// reads, since null means that there is no data (shape-only).
void* address_of(const Body& b) { return b.storage->data || b.view.numel > 0 ? b.storage->data : b.storage; }

// Of the arena; a MemoryError names what it was for.
void* host_block(ThreadState& s, const View& v, DType t, size_t bytes) try {
  return allocate_block(s.blocks, bytes);
} catch (const MemoryError& e) {
  throw MemoryError(to_string(v.shape, v.rank) + " " + name_of(t) + ": " + e.what());
}

[[gnu::noinline]] Array any_empty(ThreadState& s, const Meta& m) {
  int64_t rough = 1;  // decides inline or not; set_dense checks for overflow
  for (int i = 0; i < m.rank; i++) rough = uint64_t(m.dims[i]) > 64 || rough * m.dims[i] > 64 ? 65 : rough * m.dims[i];
  bool host = on_host(m.device), small = host && rough * size_of(m.dtype) <= 64;
  Body* b = place_all(s, m, small);
  Array out(b);
  Storage* st = b->storage;
  set_dense(*b, m.dims, m.rank);
  st->bytes = bytes_of(b->view, m.dtype);
  if (small) {
    st->data = st + 1;
  } else if (host) {
    st->data = host_block(s, b->view, m.dtype, st->bytes);
    st->owner = Storage::arena;
  } else {
    Status ok = backend_of(m.device).allocate(m.device.index, st->bytes, &st->data);
    if (!ok)
      throw MemoryError(std::string(device_name(m.device)) + ": " + (ok.text ? ok.text : "out of memory") + ": " +
                        std::to_string(st->bytes) + " bytes for " + to_string(m.dims, m.rank) + " " + name_of(m.dtype));
    st->owner = Storage::backend;
  }
  b->view.data = address_of(*b);
  return out;
}

}  // namespace

Array Array::empty(ThreadState& s, const Meta& m) {
  int64_t few = 1;  // elements of a small array, else above 64
  for (int i = 0; i < m.rank; i++) few = uint64_t(m.dims[i]) - 1 < 64 && few <= 64 ? few * m.dims[i] : 65;
  if (m.rank <= 4 && few * size_of(m.dtype) <= 64 && on_host(m.device)) [[likely]] {
    const View v{.shape = m.dims, .numel = few, .rank = m.rank, .device = m.device};
    return Array(detail::small_like(s, v, m.dtype));
  }
  return any_empty(s, m);
}

Array Array::like(ThreadState& s, const View& v, DType t) {
  if (v.rank > 4 || uint64_t(v.numel - 1) >= kMostBytes / 64 || !on_host(v.device)) [[unlikely]]
    return empty(s, Meta(t, v.device, shape_of(v)));
  if (detail::is_small(v, t)) return Array(detail::small_like(s, v, t));
  Body* b = detail::place_all(s, 4, t, v.device, false);
  detail::set_like(b, v);
  Array out(b);
  Storage* st = b->storage;
  st->bytes = size_t(v.numel) * size_t(size_of(t));
  b->view.data = st->data = host_block(s, v, t, st->bytes);
  st->owner = Storage::arena;
  return out;
}

Array Array::empty(const Shape& shape, DType dtype, Device device) {
  check_listed(dtype, "dtype");
  return empty(state(), Meta(dtype, device, shape));
}

Array Array::shape_only(const Shape& shape, DType dtype, Device device) {
  check_listed(dtype, "dtype");
  ThreadState& s = state();
  Body* b = place_all(s, Meta(dtype, device, shape), false);
  Array out(b);
  set_dense(*b, shape.dims, shape.rank);
  b->storage->bytes = bytes_of(b->view, dtype);
  b->storage->owner = Storage::shape_only;
  s.blocks.planned.take(b->storage->bytes);
  return out;
}

Array Array::adopt(void* data, const Shape& shape, const Shape& strides, DType dtype, Device device,
                   void (*release)(void*), void* context) {
  check_listed(dtype, "dtype");
  Body* b = place_all(state(), Meta(dtype, device, shape), false);
  Array out(b);
  set_dense(*b, shape.dims, shape.rank);
  Storage* st = b->storage;
  st->data = data;
  b->view.data = address_of(*b);
  st->bytes = size_t(b->view.numel) * size_t(size_of(dtype));
  st->owner = release ? Storage::adopted : Storage::borrowed;
  st->release = release;
  st->context = context;
  if (strides.rank) {
    std::memcpy(const_cast<int64_t*>(b->view.strides), strides.dims, sizeof(int64_t) * size_t(shape.rank));
    b->view.dense = is_dense(b->view.shape, b->view.strides, shape.rank);
  }
  return out;
}

std::string wrong_truth(const Array& a) {
  const View& v = a.view();
  if (v.dtype != DType::boolean || v.numel == 0) return "";
  const auto* bytes = v.as<const uint8_t>();
  if (v.dense) {
    uint64_t bits = 0, eight = 0;
    int64_t i = 0;
    for (; i + 8 <= v.numel; i += 8) std::memcpy(&eight, bytes + i, 8), bits |= eight;
    for (; i < v.numel; i++) bits |= bytes[i];
    if ((bits & 0xfefefefefefefefe) == 0) return "";
  }
  Shape shape = a.shape(), at = shape;
  for (int i = 0; i < v.rank; i++) {
    at[i] = 0;
    if (v.strides[i] == 0) shape[i] = 1;  // the same bytes again
  }
  for (int axis = 0; axis >= 0;) {
    int64_t offset = 0;
    for (int i = 0; i < v.rank; i++) offset += at[i] * v.strides[i];
    if (bytes[offset] > 1)
      return "the byte at " + to_string(at) + " is " + std::to_string(bytes[offset]) + " (expected 0 or 1)";
    for (axis = v.rank - 1; axis >= 0 && ++at[axis] == shape[axis]; axis--) at[axis] = 0;
  }
  return "";
}

namespace {

[[gnu::noinline]] void free_data(BlockCache& blocks, Storage* s) {
  switch (s->owner) {
    case Storage::arena: free_block(blocks, s->data, s->bytes); break;
    case Storage::backend: backend_of(s->device).free(s->device.index, s->data, s->bytes); break;
    case Storage::adopted: s->release(s->context); break;
    case Storage::shape_only: blocks.planned.give(s->bytes); break;
    case Storage::inline_data:
    case Storage::borrowed: break;
  }
}

}  // namespace

[[gnu::always_inline]] static inline void free_storage(BlockCache& blocks, Storage* s) {
  if (s->owner != Storage::inline_data) free_data(blocks, s);
  free_lines(blocks, s->block, s->block_lines);
}

void destroy_storage(Storage* s) { free_storage(state().blocks, s); }

void Array::destroy(Body* b) {
  BlockCache& blocks = state().blocks;
  Storage* s = b->storage;
  if (!b->embedded) free_lines(blocks, b, b->lines);  // else the block goes with the storage
  if (s->refs.load(std::memory_order_acquire) == 1 || s->refs.fetch_sub(1, std::memory_order_acq_rel) == 1)
    free_storage(blocks, s);
}

const void* Array::readable(DType t) const {
  if (t != dtype())
    throw DTypeError(std::string("data: array is ") + name_of(dtype()) + " (asked for " + name_of(t) + ")");
  if (is_shape_only()) throw ValueError("data: array " + to_string(shape()) + " is shape-only: it has no data");
  if (!on_host(device()))
    throw DeviceError("data: array is on " + device_name(device()) +
                      " (expected host memory). Copy it with to(\"cpu\")");
  return view().data;
}

Array Array::alias(const Shape& shape, const Shape& strides, int64_t offset) const {
  storage()->refs.fetch_add(1, std::memory_order_relaxed);
  Body* b = make_body(state(), storage(), shape.rank);
  b->view.dtype = dtype();
  uint64_t n = 1;
  for (int i = 0; i < shape.rank; i++) {
    const_cast<int64_t*>(b->view.shape)[i] = shape[i];
    const_cast<int64_t*>(b->view.strides)[i] = strides[i];
    n *= uint64_t(shape[i]);
  }
  b->view.numel = int64_t(n);
  b->view.dense = is_dense(b->view.shape, b->view.strides, shape.rank);
  b->view.data = view().data ? static_cast<char*>(view().data) + offset * size_of(dtype()) : nullptr;
  return Array(b);
}

Array Array::reshape_view(const Shape& wanted) const {
  // Which old axes merge or split into which new ones: walk both from the right, cutting the old shape into runs that
  // are dense in themselves.
  Shape shape = wanted, strides;
  strides.rank = shape.rank;
  if (numel() == 0 || dense()) {
    dense_strides(shape.dims, shape.rank, strides.dims);
    return alias(shape, strides);
  }
  const View& v = view();
  int n = shape.rank - 1;
  int64_t run = 1, filled = 1;  // elements in the current old run, and how many new axes have used
  int64_t base = rank() ? v.strides[rank() - 1] : 1;
  for (int o = rank() - 1; o >= 0; o--) {
    run *= v.shape[o];
    bool cut = o == 0 || (v.shape[o - 1] != 1 && uint64_t(v.strides[o - 1]) != uint64_t(run) * uint64_t(base));
    if (!cut) continue;
    while (n >= 0 && (filled < run || shape[n] == 1)) {
      strides[n] = int64_t(uint64_t(filled) * uint64_t(base));
      filled *= shape[n--];
    }
    if (filled != run) return Array();
    if (o > 0) base = v.strides[o - 1], run = filled = 1;
  }
  return n == -1 ? alias(shape, strides) : Array();
}

Array Array::permute(const Shape& dims) const {
  if (dims.rank != rank())
    throw ShapeError(to_string(dims) + " has " + std::to_string(dims.rank) + " axes (expected " +
                     std::to_string(rank()) + " for " + to_string(shape()) + ")");
  Shape shape, strides;
  uint32_t seen = 0;
  for (int i = 0; i < rank(); i++) {
    int d = wrap_dim(dims[i], rank());
    if (seen >> d & 1) throw ShapeError("axis " + std::to_string(d) + " appears twice in " + to_string(dims));
    seen |= 1u << d;
    shape.push_back(view().shape[d]);
    strides.push_back(view().strides[d]);
  }
  return alias(shape, strides);
}

Array Array::transpose(int64_t a, int64_t b) const {
  int i = wrap_dim(a, rank()), j = wrap_dim(b, rank());
  Shape shape = this->shape(), strides = this->strides();
  if (rank() == 0) return alias(shape, strides);
  std::swap(shape[i], shape[j]);
  std::swap(strides[i], strides[j]);
  return alias(shape, strides);
}

Array Array::expand(const Shape& wanted) const {
  Shape shape = wanted, strides;
  strides.rank = shape.rank;
  int lead = shape.rank - rank();
  if (lead < 0) throw ShapeError(to_string(this->shape()) + " has more axes than " + to_string(wanted));
  for (int i = 0; i < shape.rank; i++) {
    int64_t size = i < lead ? 1 : view().shape[i - lead];
    if (shape[i] == -1 && i >= lead) shape[i] = size;
    if (shape[i] != size && size != 1)
      throw ShapeError(to_string(this->shape()) + " does not broadcast to " + to_string(wanted) + " (" +
                       std::to_string(size) + " against " + std::to_string(shape[i]) + " at axis " + std::to_string(i) +
                       ")");
    strides[i] = shape[i] == size && i >= lead ? view().strides[i - lead] : 0;
  }
  fovea::numel(shape);
  return alias(shape, strides);
}

Array Array::diagonal(int64_t offset, int64_t dim1, int64_t dim2) const {
  if (rank() < 2) throw ShapeError(to_string(this->shape()) + " (expected two axes or more)");
  int a = wrap_dim(dim1, rank()), b = wrap_dim(dim2, rank());
  if (a == b) throw ShapeError("both axes are " + std::to_string(a));
  const View& v = view();
  int64_t rows = v.shape[a], columns = v.shape[b];
  bool outside = offset >= columns || offset <= -rows;
  int64_t length = outside ? 0 : offset >= 0 ? std::min(rows, columns - offset) : std::min(rows + offset, columns);
  Shape shape, strides;
  for (int i = 0; i < rank(); i++)
    if (i != a && i != b) shape.push_back(v.shape[i]), strides.push_back(v.strides[i]);
  shape.push_back(length);
  strides.push_back(v.strides[a] + v.strides[b]);
  int64_t first = length == 0 ? 0 : offset >= 0 ? offset * v.strides[b] : -offset * v.strides[a];
  return alias(shape, strides, first);
}

Array Array::unfold(int64_t dim, int64_t size, int64_t step) const {
  int d = wrap_dim(dim, rank());
  const View& v = view();
  int64_t extent = v.rank ? v.shape[d] : 1, stride = v.rank ? v.strides[d] : 1;
  if (size < 0 || size > extent || step < 1)
    throw ShapeError("size " + std::to_string(size) + ", step " + std::to_string(step) + " for axis " +
                     std::to_string(d) + " of " + to_string(this->shape()) +
                     " (expected 0 <= size <= " + std::to_string(extent) + ", step >= 1)");
  Shape shape = this->shape(), strides(v.strides, size_t(v.rank));
  if (v.rank) shape[d] = (extent - size) / step + 1, strides[d] = shape[d] > 1 ? stride * step : stride;
  shape.push_back(size);
  strides.push_back(stride);
  return alias(shape, strides);
}

Array Array::slice(int64_t dim, int64_t start, int64_t length, int64_t step) const {
  int d = wrap_dim(dim, rank());
  if (rank() == 0) throw ShapeError("a 0-dim array has no axis to slice");
  int64_t size = view().shape[d], way = 0, last = 0;
  bool far =
      length > 1 && (__builtin_mul_overflow(length - 1, step, &way) || __builtin_add_overflow(start, way, &last));
  if (length == 1) last = start;
  if (step == 0 || length < 0 || start < 0 || start > size ||
      (length > 0 && (far || start >= size || last < 0 || last >= size)))
    throw IndexError("start " + std::to_string(start) + ", length " + std::to_string(length) + ", step " +
                     std::to_string(step) + " leave axis " + std::to_string(d) + " of " + to_string(shape()));
  Shape shape = this->shape(), strides = this->strides();
  auto times = [](int64_t a, int64_t b) { return int64_t(uint64_t(a) * uint64_t(b)); };  // too large: nothing is there
  int64_t offset = length > 0 ? times(start, strides[d]) : 0;
  shape[d] = length;
  if (length > 1) strides[d] = times(strides[d], step);
  return alias(shape, strides, offset);
}

}  // namespace fovea
