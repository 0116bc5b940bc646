// launch: the only caller of kernels. It finds the slot, allocates outputs and scratch, broadcasts and packs inputs,
// checks the status and the fault word, and tells the trace. It knows nothing of compositions: where no kernel takes
// the call it says so, and apply composes.
#pragma once
#include "core/array.h"
#include "core/device.h"
#include "core/trace.h"

namespace fovea {

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

// The common case, kept small: one fresh output that looks like the first input, all inputs of its shape.
bool launch_same_shape(ThreadState& s, const OpRow& r, const View* const* in, int inputs, const void* attrs,
                       DType result, Array& out);

// Update ops on plain arrays: reads `in`, writes into `out` (any views) and bumps their versions.
// UnsupportedError when the device has no kernel for it.
void update(ThreadState& s, int id, const Array* in, int inputs, const void* attrs, Array* out, int outputs);

// dst = src, cast and copied element by element through any strides; shapes broadcast to dst's. Across devices through
// the host.
void assign(Array& dst, const Array& src);
void fill(Array& dst, double value);
void fill_integer(Array& dst, int64_t value);
// A dense copy on the same device, or a cast, or a copy on another device.
Array dense_copy(const Array& a);
Array cast_copy(const Array& a, DType t);
Array to_device(const Array& a, Device d);

}  // namespace fovea
