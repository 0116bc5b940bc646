// TransformerBlock: self-attention and a feed-forward layer, each inside a residual with its norm. x [B, T, C] -> [B,
// T, C].
#pragma once
#include "nn/attention.h"
#include "nn/feed_forward.h"
#include "nn/residual.h"

namespace fovea::nn {

struct TransformerBlockOptions {
  int64_t dim = 0, heads = 1;
  int64_t kv_heads = 0;  // 0: as many as heads
  double ffn_mult = 4;
  NormPosition norm_position = NormPosition::pre;
  Activation activation = Activation::gelu;
  AttentionOptions mask = {.causal = true};
  double dropout = 0;
  bool bias = true;
  double eps = 1e-5;
};

class TransformerBlock final : public Layer<TransformerBlock> {
 public:
  using Options = TransformerBlockOptions;
  TransformerBlock(Parent parent, const Options& o)
      : Module(std::move(parent)),
        attn(this, "attn", {o.dim, o.norm_position, o.eps, o.bias},
             {o.dim, o.heads, o.kv_heads, o.mask, o.dropout, o.bias}),
        mlp(this, "mlp", {o.dim, o.norm_position, o.eps, o.bias},
            {o.dim, o.ffn_mult, o.activation, o.dropout, o.bias}) {}
  TransformerBlock(Owner owner, const char* name, const Options& o) : TransformerBlock({owner, name}, o) {}

  Tensor forward(const Tensor& x, KVCache::Layer* cache = nullptr) { return mlp(attn(x, cache)); }

  Residual<SelfAttention> attn;
  Residual<FeedForward> mlp;
};

}  // namespace fovea::nn
