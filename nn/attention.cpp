#include "nn/attention.h"

#include "autograd/ops/view.h"

namespace fovea::nn {
namespace {

int64_t kv_heads(const SelfAttentionOptions& o) { return o.kv_heads ? o.kv_heads : o.heads; }
int64_t fused(const SelfAttentionOptions& o) { return (o.heads + 2 * kv_heads(o)) * (o.dim / o.heads); }

}  // namespace

const SelfAttentionOptions& SelfAttention::checked(const Options& o) const {
  if (o.dim < 1 || o.heads < 1 || o.dim % o.heads)
    refuse<ValueError>("dim " + std::to_string(o.dim) + " with " + std::to_string(o.heads) +
                       " heads (expected heads that divide dim)");
  if (int64_t kv = kv_heads(o); kv < 1 || o.heads % kv)
    refuse<ValueError>(std::to_string(o.heads) + " heads with " + std::to_string(kv) +
                       " kv_heads (expected kv_heads that divide heads)");
  return o;
}

SelfAttention::SelfAttention(Parent parent, const Options& o)
    : Module(std::move(parent)),
      qkv(this, "qkv", checked(o).dim, fused(o), {o.bias}),
      proj(this, "proj", o.dim, o.dim, {o.bias}),
      drop(this, "drop", o.dropout),
      dim_(o.dim),
      heads_(o.heads),
      kv_heads_(kv_heads(o)),
      mask_(o.mask) {
  mask_.heads_inside = true;
}

Tensor SelfAttention::forward(const Tensor& x, KVCache::Layer* cache) {
  if (x.dim() != 3 || x.size(2) != dim_)
    throw ShapeError("self_attention: x " + fovea::to_string(x.shape()) + " (expected [B, T, " + std::to_string(dim_) +
                     "])");
  int64_t B = x.size(0), T = x.size(1), D = dim_ / heads_;
  Tensor heads = view(qkv(x), {B, T, heads_ + 2 * kv_heads_, D});
  Tensor q = narrow(heads, 2, 0, heads_);  // [B, T, H, D]
  Tensor k = narrow(heads, 2, heads_, kv_heads_), v = narrow(heads, 2, heads_ + kv_heads_, kv_heads_);
  if (cache) {
    if ((state().mode & kGrad) && x.requires_grad())
      throw GradientError("self_attention: a cache cannot be differentiated through. Generate inside NoGrad");
    cache->append(transpose(k, 1, 2), transpose(v, 1, 2));
    k = transpose(cache->k(), 1, 2);
    v = transpose(cache->v(), 1, 2);
  }
  return drop(proj(reshape(attention(q, k, v, mask_), {B, T, dim_})));
}

}  // namespace fovea::nn
