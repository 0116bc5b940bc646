// SelfAttention: x [B, T, C] -> [B, T, C]. One fused projection gives q, k and v, which are views of it ([B, H, T, D]
// and, for grouped queries, [B, Hkv, T, D]); the op does the rest. With a cache, x holds the newest positions and the
// keys before them come from it.
#pragma once
#include "autograd/ops/attention.h"
#include "nn/dropout.h"
#include "nn/kv_cache.h"
#include "nn/linear.h"

namespace fovea::nn {

struct SelfAttentionOptions {
  int64_t dim = 0, heads = 1;
  int64_t kv_heads = 0;  // 0: as many as heads
  AttentionOptions mask = {.causal = true};
  double dropout = 0;  // of the output
  bool bias = true;
};

class SelfAttention final : public Layer<SelfAttention> {
 public:
  using Options = SelfAttentionOptions;
  SelfAttention(Parent parent, const Options& o);
  SelfAttention(Owner owner, const char* name, const Options& o) : SelfAttention({owner, name}, o) {}
  Tensor forward(const Tensor& x, KVCache::Layer* cache = nullptr);

  Linear qkv, proj;
  Dropout drop;

 private:
  const Options& checked(const Options& o) const;

  int64_t dim_, heads_, kv_heads_;
  AttentionOptions mask_;
};

}  // namespace fovea::nn
