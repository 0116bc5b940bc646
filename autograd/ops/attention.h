// Attention over q [B, H, Tq, D], k [B, Hkv, Tk, D], v [B, Hkv, Tk, Dv] -> [B, H, Tq, Dv]: softmax(scale q k^T) v over
// the keys a query sees. H is a multiple of Hkv: query head h uses key head h Hkv / H (grouped queries). A row that
// sees nothing gives 0 and gradient 0; NaN and inf in what is not seen reach neither outputs nor gradients.
#pragma once
#include "autograd/apply.h"

namespace fovea {

// visible(q, k) = same document, both within their lengths, and
//   (q < global or k < global or k < prefix or (causal(q, k) and (k < sinks or window(q, k)))).
// Positions count from the start of the document's own ranges (without documents: the whole axes). Lengths shorten the
// ranges. With at = q + (length of the k range) - (length of the q range), or at = q for top_left:
//   causal: k <= at;   window: at - left <= k <= at + right, each side only where it is not -1.
struct AttentionOptions {
  bool causal = false;
  bool top_left = false;
  int64_t left = -1, right = -1;
  int64_t prefix = 0, sinks = 0, global = 0;
  double scale = 0;                       // 0: 1/sqrt(D)
  bool heads_inside = false;              // q, k, v and the result are [B, T, H, D], as projections leave them
  Tensor documents = {};                  // [n, 4] i32: q_begin, q_end, k_begin, k_end; the same for every batch entry
  Tensor k_lengths = {}, q_lengths = {};  // [B] i32
};
// ShapeError, DTypeError, ValueError.
Tensor attention(const Operand& q, const Operand& k, const Operand& v, const AttentionOptions& o = {});

// PyTorch's function, for masks that are no intervals. attn_mask broadcasts to [B, H, Tq, Tk]: boolean (true takes
// part) or floating (added to the scores, has a gradient). is_causal is aligned at the top left. [N, T, D] and [T, D]
// are taken too. A row without visible keys gives 0 (PyTorch too, since 2.5).
struct SdpaOptions {
  Tensor attn_mask = {};
  double dropout_p = 0;
  bool is_causal = false;
  std::optional<double> scale = {};  // 1/sqrt(D) where it is not given
  bool enable_gqa = false;
};
Tensor scaled_dot_product_attention(const Operand& query, const Operand& key, const Operand& value,
                                    const SdpaOptions& o = {});

}  // namespace fovea
