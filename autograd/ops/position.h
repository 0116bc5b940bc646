// Positions: what makes attention see an order.
#pragma once
#include "autograd/apply.h"

namespace fovea {

// Rotary embedding (Su et al., 2021). Channels are turned in pairs, pair i of a token by the angle
// position * scale * base^(-2 i / dims): (a, b) -> (a cos - b sin, b cos + a sin), so that products of two tokens' rows
// depend on the difference of their positions. Angles are f64, from whole positions, in every dtype.
struct RopeOptions {
  int64_t dims = 0;  // how many channels, from the first, are turned: even; 0: all
  bool interleaved =
      false;  // pairs are channels 2i and 2i + 1 (GPT-J), else i and i + dims / 2 (GPT-NeoX, Hugging Face)
  double base = 10000;
  double scale = 1;           // of positions
  int64_t offset = 0;         // tokens stand at offset, offset + 1, ..., where there is no `positions`
  Tensor positions = {};      // i64 or i32: [T], or [B, T] with B the first axis of x
  bool heads_inside = false;  // x is [..., T, H, D], as in attention()
};
// x [..., T, D], of one dtype and shape with the result.
Tensor rope(const Operand& x, const RopeOptions& o = {});

}  // namespace fovea
