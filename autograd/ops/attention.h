// Attention over q [B, H, Tq, D], k [B, Hkv, Tk, D], v [B, Hkv, Tk, Dv] -> [B, H, Tq, Dv]; H is a multiple of Hkv
// (grouped queries). The mask's formula is in the design: visible(q, k). A row that sees nothing gives 0 and gradient
// 0.
#pragma once
#include "autograd/apply.h"

namespace fovea {

struct AttentionOptions {
  bool causal = false;            // aligned to the end of the keys
  bool top_left = false;          // causal aligned to the start instead
  int64_t left = -1, right = -1;  // window, inclusive, counting neither side when -1
  int64_t prefix = 0, sinks = 0, global = 0;
  double scale = 0;                       // 0: 1/sqrt(D)
  Tensor documents = {};                  // [n, 4] i32: q_begin, q_end, k_begin, k_end
  Tensor k_lengths = {}, q_lengths = {};  // [B] i32
};
Tensor attention(const Operand& q, const Operand& k, const Operand& v, const AttentionOptions& o = {});

}  // namespace fovea
