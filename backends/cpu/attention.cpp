#include "backends/cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backends/cpu/kernels.h"
#include "backends/cpu/rows.h"
#include "core/parallel.h"

#define FOVEA_FAMILY "backends/cpu/attention_backward.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {
namespace {

constexpr int64_t kAlone = 100'000;  // multiply-adds below which one thread does it all
constexpr int64_t kAlign = 16;       // floats
constexpr int kMaxGroup = 64;        // query heads of one key head

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// The strides of [B, H, T, D] or [B, T, H, D].
struct Heads {
  float* p;
  int64_t b, h, t;
  Heads(const View& v, bool inside)
      : p(v.as<float>()), b(v.strides[0]), h(v.strides[inside ? 2 : 1]), t(v.strides[inside ? 1 : 2]) {}
  float* at(int64_t batch, int64_t head) const { return p + batch * b + head * h; }
  Rows rows(int64_t batch, int64_t head) const { return {at(batch, head), t}; }
};

// The strides of a dense mask [B or 1, H or 1, Tq or 1, Tk].
struct DenseMask {
  const float* p = nullptr;
  int64_t b = 0, h = 0, t = 0;
  explicit DenseMask(const View& v) {
    if (!v.present()) return;
    auto step = [&](int d) { return v.shape[d] == 1 ? 0 : v.strides[d]; };
    p = v.as<float>(), b = step(0), h = step(1), t = step(2);
  }
  Added rows(int64_t batch, int64_t head, int64_t first = 0) const {
    return {p ? p + batch * b + head * h + first * t : nullptr, t};
  }
};

constexpr int64_t kBeyondMemory = int64_t(1) << 60;

struct Views {
  Heads q, k, v;
  DenseMask dense;
  const View *documents, *k_lengths, *q_lengths;  // null: absent
  int64_t batch, heads, kv_heads;
  AttentionShape shape;

  Views(const Call& c, int first, int mask, const AttentionAttrs& a)
      : q(c.x(first), a.heads_inside),
        k(c.x(first + 1), a.heads_inside),
        v(c.x(first + 2), a.heads_inside),
        dense(c.x(mask)),
        documents(optional(c, first + 3)),
        k_lengths(optional(c, first + 4)),
        q_lengths(optional(c, first + 5)),
        batch(c.x(first).shape[0]),
        heads(c.x(first).shape[a.heads_inside ? 2 : 1]),
        kv_heads(c.x(first + 1).shape[a.heads_inside ? 2 : 1]),
        shape{c.x(first).shape[a.heads_inside ? 1 : 2], c.x(first + 1).shape[a.heads_inside ? 1 : 2],
              c.x(first).shape[3], c.x(first + 2).shape[3],
              float(a.scale != 0 ? a.scale : 1 / std::sqrt(double(c.x(first).shape[3])))} {}
  static const View* optional(const Call& c, int i) { return c.x(i).present() ? &c.x(i) : nullptr; }

  // Of an array without numbers, larger than any memory: its scratch is not counted, but refused.
  bool beyond_memory() const {
    const double sizes[] = {double(batch),      double(heads),   double(shape.queries),
                            double(shape.keys), double(shape.d), double(shape.dv)};
    bool beyond = double(batch) * double(heads) * double(shape.queries) > 0x1p44;
    for (double n : sizes) beyond |= n > 0x1p40;
    return beyond;
  }
  int64_t masks() const { return k_lengths || q_lengths ? batch : 1; }  // sets of intervals
  int64_t mask_rows() const { return round_up(shape.queries, kAttentionLanes); }
  int64_t mask_floats() const { return round_up(masks() * mask_rows() * 2, kAlign); }
  Intervals mask(const float* intervals, int64_t b) const {
    const int32_t* lo = reinterpret_cast<const int32_t*>(intervals) + (masks() > 1 ? b : 0) * 2 * mask_rows();
    return {lo, lo + mask_rows()};
  }
  double work() const {
    return double(batch) * double(heads) * double(shape.queries) * double(shape.keys) * double(shape.d);
  }
};

int64_t document(const View& d, int64_t i, int field) {
  return d.as<int32_t>()[i * d.strides[0] + field * d.strides[1]];
}

// The intervals of one batch entry: DESIGN's visible(q, k) where it is one interval per row (see accepts).
void intervals_of(const Views& x, const AttentionAttrs& a, int64_t b, int32_t* lo, int32_t* hi) {
  std::fill(lo, lo + x.mask_rows(), 0);
  std::fill(hi, hi + x.mask_rows(), 0);
  const int64_t queries = x.shape.queries, keys = x.shape.keys, documents = x.documents ? x.documents->shape[0] : 1;
  for (int64_t n = 0; n < documents; n++) {
    int64_t q0 = 0, q1 = queries, k0 = 0, k1 = keys;
    if (x.documents) {
      q0 = document(*x.documents, n, 0), q1 = document(*x.documents, n, 1);
      k0 = document(*x.documents, n, 2), k1 = document(*x.documents, n, 3);
    }
    if (x.q_lengths) q1 = std::min<int64_t>(q1, x.q_lengths->as<int32_t>()[b * x.q_lengths->strides[0]]);
    if (x.k_lengths) k1 = std::min<int64_t>(k1, x.k_lengths->as<int32_t>()[b * x.k_lengths->strides[0]]);
    const int64_t length = k1 - k0, shift = a.top_left ? 0 : length - (q1 - q0);
    for (int64_t i = std::max<int64_t>(q0, 0); i < std::min(q1, queries); i++) {
      const int64_t at = i - q0 + shift;
      int64_t from = 0, to = length;
      if (a.left >= 0) from = std::max(from, at - a.left);
      if (a.right >= 0) to = std::max(std::min(to, at + a.right + 1), std::min(a.sinks, length));
      if (a.causal) to = std::min(to, at + 1);
      if (a.prefix > 0 && to < length) to = std::max(to, std::min(a.prefix, length));
      from = std::max(from + k0, int64_t(0)), to = std::min(to + k0, keys);
      if (from < to) lo[i] = int32_t(from), hi[i] = int32_t(to);
    }
  }
}

void all_intervals(const Views& x, const AttentionAttrs& a, float* to) {
  int32_t* lo = reinterpret_cast<int32_t*>(to);
  for (int64_t b = 0; b < x.masks(); b++, lo += 2 * x.mask_rows()) intervals_of(x, a, b, lo, lo + x.mask_rows());
}

// One interval per row: a left window goes with neither sinks nor prefix, and a query is in one document at most.
bool one_interval(const Views& x, const AttentionAttrs& a) {
  if (a.global > 0 || (a.left >= 0 && (a.sinks > 0 || a.prefix > 0))) return false;
  if (x.documents)
    for (int64_t n = 1; n < x.documents->shape[0]; n++)
      if (document(*x.documents, n, 0) < document(*x.documents, n - 1, 1)) return false;
  return x.shape.keys < (1 << 30) && x.shape.queries < (1 << 30);
}

bool dense_rows(const View& v) { return !v.present() || v.strides[3] == 1 || v.shape[3] <= 1; }

int64_t forward_tasks(const Views& x) {
  return x.batch * x.heads * ((x.shape.queries + kQueryBlock - 1) / kQueryBlock);
}
int64_t backward_floats(const Views& x) {
  return round_up(attention_backward_scratch(x.shape, x.kv_heads ? x.heads / x.kv_heads : 0), kAlign);
}

}  // namespace

const AttentionKernels& attention_kernels(Isa level) {
  static constexpr const AttentionKernels* tables[] = {&sse2::kAttentionTable, &avx2::kAttentionTable,
                                                       &avx512::kAttentionTable};
  return *tables[int(level)];
}

int64_t attention_forward_scratch(const AttentionShape& s) {
  const int64_t width = round_up(s.dv, kAttentionLanes),
                panels = std::min(kQueryBlock, round_up(s.queries, kAttentionLanes)) / kAttentionLanes;
  return kKeyBlock * (2 * kAttentionLanes + width) + panels * kAttentionLanes * (s.d + 3 + width);
}
int64_t attention_backward_scratch(const AttentionShape& s, int64_t heads) {
  const int64_t d = round_up(s.d, kAttentionLanes), dv = round_up(s.dv, kAttentionLanes);
  return kBackwardKeys * (s.d + s.dv + 2 * d + dv + 2 * kQueryBlock) + kQueryBlock * (d + dv) +
         2 * (heads * s.queries + s.queries / kQueryBlock + 1);
}

bool attention_accepts(const Call& c, const void* attrs) {
  const auto& a = *static_cast<const AttentionAttrs*>(attrs);
  return one_interval(Views(c, 0, 6, a), a) && dense_rows(c.x(6)) && dense_rows(c.y(0)) && c.y(1).dense;
}
int64_t attention_scratch(const Call& c, const void* attrs) {
  const Views x(c, 0, 6, *static_cast<const AttentionAttrs*>(attrs));
  if (x.beyond_memory()) return kBeyondMemory;
  return 4 * (x.mask_floats() + std::min(forward_tasks(x), kMaxSlots) * attention_forward_scratch(x.shape));
}

// Inputs q, k, v, documents, k_lengths, q_lengths, dense mask; outputs o and the log-sum-exp.
Status attention(const Call& c, const AttentionAttrs& a) {
  const Views x(c, 0, 6, a);
  float *intervals = static_cast<float*>(c.scratch), *scratch = intervals + x.mask_floats();
  all_intervals(x, a, intervals);
  const int64_t tasks = forward_tasks(x), all_heads = x.batch * x.heads, size = attention_forward_scratch(x.shape);
  const AttentionKernels& kernels = attention_kernels(isa());
  const Heads y(c.y(0), a.heads_inside);
  // Late blocks first: under a causal mask they see most.
  take_tasks(tasks, x.work() < kAlone, [&](int64_t task, int64_t slot) {
    const int64_t first = (tasks - 1 - task) / all_heads * kQueryBlock, b = task % all_heads / x.heads,
                  h = task % x.heads;
    const int64_t kv = h / (x.heads / x.kv_heads);
    const Rows q = x.q.rows(b, h);
    AttentionForward t{x.shape,
                       {q.at(first), q.step},
                       x.k.rows(b, kv),
                       x.v.rows(b, kv),
                       y.at(b, h) + first * y.t,
                       y.t,
                       c.y(1).as<float>() + (b * x.heads + h) * x.shape.queries + first,
                       x.mask(intervals, b),
                       x.dense.rows(b, h, first),
                       scratch + slot * size};
    t.shape.queries = std::min(kQueryBlock, x.shape.queries - first);
    t.mask.lo += first, t.mask.hi += first;
    if (!kernels.forward(t)) attention_rows_exactly(t);
  });
  return {};
}

bool attention_backward_accepts(const Call& c, const void* attrs) {
  const auto& a = *static_cast<const AttentionAttrs*>(attrs);
  const Views x(c, 1, 9, a);
  bool dense = dense_rows(c.x(9)) && dense_rows(c.y(0)) && dense_rows(c.y(1)) && dense_rows(c.y(2));
  return dense && c.x(8).dense && one_interval(x, a) && x.kv_heads > 0 && x.heads / x.kv_heads <= kMaxGroup;
}
int64_t attention_backward_scratch_bytes(const Call& c, const void* attrs) {
  const Views x(c, 1, 9, *static_cast<const AttentionAttrs*>(attrs));
  if (x.beyond_memory()) return kBeyondMemory;
  return 4 * (x.mask_floats() + std::min(x.batch * x.kv_heads, kMaxSlots) * backward_floats(x));
}

// Inputs g, q, k, v, documents, k_lengths, q_lengths, o, lse, dense mask; outputs dq, dk, dv.
Status attention_backward(const Call& c, const AttentionAttrs& a) {
  const Views x(c, 1, 9, a);
  const bool in = a.heads_inside;
  const Heads g(c.x(0), in), o(c.x(7), in), dq(c.y(0), in), dk(c.y(1), in), dv(c.y(2), in);
  float *intervals = static_cast<float*>(c.scratch), *scratch = intervals + x.mask_floats();
  all_intervals(x, a, intervals);
  const int64_t group = x.heads / x.kv_heads, size = backward_floats(x);
  const AttentionKernels& kernels = attention_kernels(isa());
  take_tasks(x.batch * x.kv_heads, x.work() < kAlone, [&](int64_t task, int64_t slot) {
    const int64_t b = task / x.kv_heads, kv = task % x.kv_heads;
    Rows q[kMaxGroup], gs[kMaxGroup], os[kMaxGroup];
    Added added[kMaxGroup];
    const float* lse[kMaxGroup];
    float* dqs[kMaxGroup];
    for (int64_t i = 0; i < group; i++) {
      const int64_t h = kv * group + i;
      q[i] = x.q.rows(b, h), gs[i] = g.rows(b, h), os[i] = o.rows(b, h), dqs[i] = dq.at(b, h);
      added[i] = x.dense.rows(b, h);
      lse[i] = c.x(8).as<float>() + (b * x.heads + h) * x.shape.queries;
    }
    const AttentionBackward t{x.shape,
                              group,
                              q,
                              gs,
                              os,
                              lse,
                              dqs,
                              dq.t,
                              x.k.rows(b, kv),
                              x.v.rows(b, kv),
                              dk.at(b, kv),
                              dv.at(b, kv),
                              dk.t,
                              dv.t,
                              x.mask(intervals, b),
                              added,
                              scratch + slot * size};
    if (!kernels.backward(t)) attention_group_exactly(t);
  });
  return {};
}

}  // namespace fovea::cpu
