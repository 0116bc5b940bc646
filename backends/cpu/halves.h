// bf16 and f16 by the kernels of f32: inputs are widened into scratch, the results rounded once at the end. So a half
// op accumulates in f32, gives what its f32 kernel gives, and costs what that costs and the conversions. For kernels
// whose arithmetic is worth the scratch; elementwise ones convert in chunks on the stack (elementwise.cpp).
#pragma once
#include "backends/cpu/isa.h"
#include "core/backend.h"
#include "core/half.h"

namespace fovea::cpu {

// Contiguous rows; the bits are those of core/half.h, but for the payload of a NaN.
struct HalfKernels {
  void (*widen_bf16)(int64_t n, const BFloat16* x, float* y);
  void (*narrow_bf16)(int64_t n, const float* x, BFloat16* y);
  void (*widen_f16)(int64_t n, const Float16* x, float* y);
  void (*narrow_f16)(int64_t n, const float* x, Float16* y);
};
const HalfKernels& half_kernels(Isa level);

inline void widen(int64_t n, const BFloat16* x, float* y) { half_kernels(isa()).widen_bf16(n, x, y); }
inline void widen(int64_t n, const Float16* x, float* y) { half_kernels(isa()).widen_f16(n, x, y); }
inline void narrow(int64_t n, const float* x, BFloat16* y) { half_kernels(isa()).narrow_bf16(n, x, y); }
inline void narrow(int64_t n, const float* x, Float16* y) { half_kernels(isa()).narrow_f16(n, x, y); }

// neg and abs, of both: the sign is a bit.
void negate_halves(int64_t n, const uint16_t* x, uint16_t* y);
void clear_signs(int64_t n, const uint16_t* x, uint16_t* y);

constexpr DTypeSet kHalves = dtypes(bf16, f16);
inline bool has_halves(const Call& c) {
  return contains(kHalves, c.y().dtype) || (c.inputs > 0 && contains(kHalves, c.x(0).dtype));
}

// A call in which every view of halves is a dense one of f32, in `scratch` (null: to be measured or asked about only).
class Widened {
 public:
  Widened(const Call& c, void* scratch);
  const Call& call() const { return call_; }
  int64_t bytes() const { return bytes_; }  // of scratch; the kernel's own comes behind
  void load() const;                        // the inputs, and outputs that are added to
  void store() const;

 private:
  static constexpr int kMost = 16;  // views of a call; no op of these has more
  const View* take(const View& v, char* scratch);
  const Call& from_;
  Call call_;
  int64_t bytes_ = 0;
  int used_ = 0;
  const View* in_[kMost];
  const View* out_[kMost];
  View views_[kMost];
  int64_t strides_[kMost][kMaxRank];
};

// The three functions of a slot, for halves too.
template <auto kernel, class A> Status in_f32(const Call& c, const A& a) {
  if (!has_halves(c)) return kernel(c, a);
  Widened w(c, c.scratch);
  w.load();
  Status s = kernel(w.call(), a);
  if (s) w.store();
  return s;
}
template <auto accepts> bool accepts_in_f32(const Call& c, const void* a) {
  return has_halves(c) ? accepts(Widened(c, nullptr).call(), a) : accepts(c, a);
}
inline int64_t no_scratch(const Call&, const void*) { return 0; }
inline bool all_accepted(const Call&, const void*) { return true; }
template <auto scratch> int64_t scratch_in_f32(const Call& c, const void* a) {
  if (!has_halves(c)) return scratch(c, a);
  Widened w(c, nullptr);
  return w.bytes() + scratch(w.call(), a);
}

// table.set<id, kernel>(...) for every floating dtype that `o` names and both halves.
template <op::Id id, auto kernel, auto accepts = all_accepted, auto scratch = no_scratch>
void set_with_halves(Kernels& table, SlotOptions o) {
  o.dtypes |= kHalves;
  if (accepts != all_accepted) o.accepts = accepts_in_f32<accepts>;
  o.scratch = scratch_in_f32<scratch>;
  table.set<id, in_f32<kernel, Attrs<id>>>(o);
}

}  // namespace fovea::cpu
