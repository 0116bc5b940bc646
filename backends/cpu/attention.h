// Attention of this backend, f32: softmax(scale q k^T) v over the keys that a query sees, without an array of Tq x Tk
// (Dao and others, 2022; the running maximum is Milakov and Gimelshein's, 2018). The mask is an interval of keys per
// query. Called by the slots attention and attention_backward, and by tests.
#pragma once
#include <cstdint>

#include "backends/cpu/isa.h"

namespace fovea::cpu {

// Rows a fixed step apart, dense inside.
struct Rows {
  const float* p = nullptr;
  int64_t step = 0;
  const float* at(int64_t i) const { return p + i * step; }
};

// Query i sees the keys lo[i] <= j < hi[i]; both arrays may be read up to the next multiple of kAttentionLanes, where
// nothing is seen. A row that sees nothing has lo = hi = 0.
struct Intervals {
  const int32_t *lo = nullptr, *hi = nullptr;
};
inline constexpr int64_t kAttentionLanes = 16;  // queries or keys that lie along the lanes
inline constexpr int64_t kQueryBlock = 96;      // queries of one task of the forward, and of a step of the backward
inline constexpr int64_t kKeyBlock = 192;       // keys of a step of the forward
inline constexpr int64_t kBackwardKeys = 96;    // keys of a step of the backward

// What a mask adds to the scores of a head, a row per query and a number per key; -inf hides the key. p is null where
// there is none.
using Added = Rows;

struct AttentionShape {
  int64_t queries, keys, d, dv;  // d: of q and k, dv: of v and o
  float scale;
};

// One block of at most kQueryBlock queries of a head. All of it begins at the block's first query but k and v.
struct AttentionForward {
  AttentionShape shape;  // queries: of the block
  Rows q, k, v;
  float* o;
  int64_t o_step;
  float* lse;  // log-sum-exp of the visible scores, dense; -inf where nothing is seen
  Intervals mask;
  Added added;
  float* scratch;
};
// All queries of a group of heads that share one key head, and all of its keys.
struct AttentionBackward {
  AttentionShape shape;
  int64_t heads;  // of the group; arrays of rows per head
  const Rows *q, *g, *o;
  const float* const* lse;
  float* const* dq;
  int64_t dq_step;
  Rows k, v;
  float *dk, *dv;
  int64_t dk_step, dv_step;
  Intervals mask;
  const Added* added;  // per head
  float* scratch;
};

struct AttentionKernels {
  // Returns false when something that is not finite came out: rows of the block may then have caught a NaN that their
  // mask hides, and are to be done by attention_rows_exactly(). The backward does so too when a log-sum-exp is so far
  // from 0 that weights cannot be told from it.
  bool (*forward)(const AttentionForward&);
  bool (*backward)(const AttentionBackward&);
};
const AttentionKernels& attention_kernels(Isa level);
int64_t attention_forward_scratch(const AttentionShape& s);  // floats, whatever the level
int64_t attention_backward_scratch(const AttentionShape& s, int64_t heads);

// The definition, row by row in f64: a NaN or an infinity reaches what sees it and nothing else.
void attention_rows_exactly(const AttentionForward& t);
void attention_group_exactly(const AttentionBackward& t);

}  // namespace fovea::cpu
