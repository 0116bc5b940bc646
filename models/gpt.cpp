#include "models/gpt.h"

#include <cmath>

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "models/config.h"
#include "nn/init.h"

namespace fovea {
namespace {

void require(bool ok, const char* key, const std::string& value, const char* expected) {
  if (!ok) throw ValueError(std::string("model.") + key + " is " + value + " (expected " + expected + ")");
}

nn::TransformerBlockOptions block_options(const GptConfig& c) {
  nn::TransformerBlockOptions o;
  o.dim = c.dim;
  o.heads = c.heads;
  o.kv_heads = c.kv_heads;
  o.ffn_mult = c.ffn_mult;
  o.norm_position = c.norm_position;
  o.activation = c.activation;
  o.dropout = c.dropout;
  o.mask = {.causal = true};
  if (c.window > 0) o.mask.left = c.window - 1;
  return o;
}

}  // namespace

void GptConfig::check() const {
  auto text = [](int64_t x) { return std::to_string(x); };
  auto size = [&](const char* key, int64_t x, int64_t most) {
    if (x < 1 || x > most)
      throw ValueError(std::string("model.") + key + " is " + std::to_string(x) + " (expected 1 to " +
                       std::to_string(most) + ")");
  };
  size("layers", layers, 10000);
  size("dim", dim, 1 << 20);
  size("heads", heads, dim);
  size("context", context, 1 << 30);
  size("vocab", vocab, 1 << 30);
  if (dim % heads)
    throw ValueError("model.heads is " + std::to_string(heads) + ", which does not divide model.dim " +
                     std::to_string(dim));
  require(kv_heads >= 0 && (kv_heads == 0 || heads % kv_heads == 0), "kv_heads", text(kv_heads),
          "0, or a divisor of model.heads");
  require(std::isfinite(ffn_mult) && ffn_mult > 0 && ffn_mult <= 1000, "ffn_mult", std::to_string(ffn_mult),
          "above 0, at most 1000");
  require(std::llround(ffn_mult * double(dim)) >= 1, "ffn_mult", std::to_string(ffn_mult), "at least one hidden unit");
  require(dropout >= 0 && dropout < 1, "dropout", std::to_string(dropout), "0 <= dropout < 1");
  require(window >= 0, "window", text(window), "0 or more");
}

GptConfig GptConfig::from(const ModelConfig& m, int64_t vocab) {
  GptConfig c;
  c.layers = m.layers;
  c.dim = m.dim;
  c.heads = m.heads;
  c.kv_heads = m.kv_heads;
  c.context = m.context;
  c.vocab = vocab;
  c.ffn_mult = m.ffn_mult;
  c.norm_position = m.norm_position == "post" ? nn::NormPosition::post : nn::NormPosition::pre;
  c.activation = nn::activation_of(m.activation);
  c.window = m.window;
  c.dropout = m.dropout;
  c.tie_head = m.tie_head;
  return c;
}

GptConfig gpt_preset(const std::string& name, std::source_location where) {
  struct Preset {
    const char* name;
    int64_t layers, dim, heads;
  };
  std::string known;
  for (const Preset& p : {Preset{"gpt2-small", 12, 768, 12}, Preset{"gpt2-medium", 24, 1024, 16},
                          Preset{"gpt2-large", 36, 1280, 20}, Preset{"gpt2-xl", 48, 1600, 25}}) {
    if (name == p.name) return {.layers = p.layers, .dim = p.dim, .heads = p.heads, .context = 1024, .vocab = 50257};
    known += std::string(known.empty() ? "" : ", ") + p.name;
  }
  detail::fail<ValueError>("preset", where, "unknown '" + name + "' (expected " + known + ")");
}

const GptConfig& Gpt::checked(const GptConfig& c) const try {
  c.check();
  return c;
} catch (const ValueError& e) {
  refuse<ValueError>(e.what());
}

Gpt::Gpt(nn::Parent parent, const GptConfig& config)
    : Module(std::move(parent)),
      tok(this, "tok", checked(config).vocab, config.dim),
      pos(this, "pos", config.context, config.dim),
      drop(this, "drop", config.dropout),
      blocks(this, "blocks", config.layers, block_options(config)),
      config_(config) {
  if (config.norm_position == nn::NormPosition::pre) norm.emplace(this, "norm", config.dim);
  if (!config.tie_head) head.emplace(this, "head", config.dim, config.vocab, nn::LinearOptions{.bias = false});
  nn::init::gpt2(*this, config.layers, {"*.attn.proj.weight", "*.mlp.down.weight"});
}

Tensor Gpt::forward(const Tensor& ids, nn::KVCache* cache) {
  if (ids.dim() != 2) throw ShapeError("gpt: ids " + fovea::to_string(ids.shape()) + " (expected [B, T])");
  int64_t T = ids.size(1), seen = cache ? cache->length() : 0;
  if (seen + T > config_.context)
    throw ShapeError("gpt: position " + std::to_string(seen + T) + " is beyond the model's context of " +
                     std::to_string(config_.context));
  Tensor x = drop(tok(ids) + pos(arange(double(seen), double(seen + T), 1, {.like = ids})));
  for (int64_t i = 0; i < blocks.size(); i++) x = blocks[i](x, cache ? cache->layer(i) : nullptr);
  if (norm) x = (*norm)(x);
  return head ? (*head)(x) : linear(x, tok.weight);
}

}  // namespace fovea
