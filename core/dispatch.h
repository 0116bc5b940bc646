// launch: the only caller of kernels. It finds the slot, allocates outputs and scratch, broadcasts and packs inputs,
// checks the status and the fault word, and tells the trace. It knows nothing of compositions: where no kernel takes
// the call it says so, and apply composes.
#pragma once
#include "core/array.h"
#include "core/device.h"
#include "core/trace.h"

namespace fovea {

// Pointers to views, on the stack where there are few.
class ViewList {
 public:
  ViewList(ThreadState& s, int n) : state_(s), bytes_(size_t(n) * sizeof(View*)) {
    list_ = n <= kFew ? few_ : static_cast<const View**>(allocate_block(s.blocks, bytes_));
  }
  ~ViewList() {
    if (list_ != few_) free_block(state_.blocks, list_, bytes_);
  }
  ViewList(const ViewList&) = delete;
  ViewList& operator=(const ViewList&) = delete;
  const View*& operator[](int i) { return list_[i]; }
  const View* const* data() const { return list_; }

 private:
  static constexpr int kFew = 16;
  ThreadState& state_;
  size_t bytes_;
  const View** list_;
  const View* few_[kFew];
};

// Where results go: into fresh arrays, into the views given (any strides), or added to them.
enum class Destination : uint8_t { fresh, given, add };

struct Launch {
  int id;
  const View* const* in;
  int inputs;
  const void* attrs;
  Array* out;  // fresh: receives the arrays; given, add: holds them
  int outputs;
  const Meta* meta;        // fresh: what to allocate
  bool broadcast = false;  // elementwise, and some input's shape differs from the output's
  Destination to = Destination::fresh;
};

// False: no kernel takes this call, nothing was done. Throws KernelError, IndexError, MemoryError, UnsupportedError.
bool launch(ThreadState& s, const Launch& l);

// The common case, kept short: an elementwise op without attrs, all inputs of one shape, dtype and device. Undefined:
// no kernel takes the call.
template <int inputs> Array launch_same_shape(ThreadState& s, int id, const View* const (&in)[inputs], DType result);
extern template Array launch_same_shape<1>(ThreadState&, int, const View* const (&)[1], DType);
extern template Array launch_same_shape<2>(ThreadState&, int, const View* const (&)[2], DType);

// a += b of one shape, dtype and device, on arrays that nobody else sees. False: no kernel takes the call. `where` is
// told to traces.
bool add_into(ThreadState& s, const Array& a, const View& b, const std::source_location* where = nullptr);

// Update ops on plain arrays: reads `in`, writes into `out` (any views) and bumps their versions, so that a graph which
// has saved them can name the writer's line. UnsupportedError when the device has no kernel for it.
void update(ThreadState& s, int id, const Array* in, int inputs, const void* attrs, Array* out, int outputs,
            std::source_location where = std::source_location::current());

// dst = src, cast and copied element by element through any strides; shapes broadcast to dst's. Across devices through
// the host.
void assign(Array& dst, const Array& src, std::source_location where = std::source_location::current());
void fill(Array& dst, double value, std::source_location where = std::source_location::current());
void fill_integer(Array& dst, int64_t value, std::source_location where = std::source_location::current());
// A dense copy on the same device, or a cast, or a copy on another device.
Array dense_copy(const Array& a);
Array cast_copy(const Array& a, DType t);
Array to_device(const Array& a, Device d);

}  // namespace fovea
