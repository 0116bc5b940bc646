// GPT: a decoder-only transformer with learned positions (Radford et al., 2019), made of public layers only.
// ids [B, T] -> logits [B, T, V]. Sizes and switches are a GptConfig; `gpt2-small` has exactly 124,439,808 parameters.
#pragma once
#include <optional>

#include "nn/block.h"
#include "nn/embedding.h"
#include "nn/sequential.h"

namespace fovea {

struct ModelConfig;  // models/config.h

struct GptConfig {
  int64_t layers = 2, dim = 64, heads = 4;
  int64_t kv_heads = 0;  // 0: as many as heads
  int64_t context = 128, vocab = 0;
  double ffn_mult = 4;
  nn::NormPosition norm_position = nn::NormPosition::pre;
  nn::Activation activation = nn::Activation::gelu_tanh;
  int64_t window = 0;  // positions a query sees, itself included; 0: all before it
  double dropout = 0;
  bool tie_head = true;  // the head is the token embedding

  // ValueError naming the key, for sizes that make no model.
  void check() const;
  // From the program's keys; `vocab` is the tokenizer's.
  static GptConfig from(const ModelConfig& c, int64_t vocab);
};

// "gpt2-small", "gpt2-medium", "gpt2-large", "gpt2-xl"; ValueError names them.
GptConfig gpt_preset(const std::string& name, std::source_location where = std::source_location::current());

class Gpt final : public nn::Layer<Gpt> {
 public:
  using Options = GptConfig;
  explicit Gpt(const GptConfig& config, Where w = Where::current()) : Gpt(nn::Parent(w), config) {}
  Gpt(nn::Parent parent, const GptConfig& config);
  // With a cache (see make_cache), ids are the positions behind what it has seen.
  Tensor forward(const Tensor& ids, nn::KVCache* cache = nullptr);

  const GptConfig& config() const { return config_; }
  nn::KVCache make_cache() const { return nn::KVCache(config_.layers, config_.context); }

  nn::Embedding tok, pos;
  nn::Dropout drop;
  nn::List<nn::TransformerBlock> blocks;
  std::optional<nn::LayerNorm> norm;  // pre-norm only: the residual stream ends without one
  std::optional<nn::Linear> head;     // untied only

 private:
  const GptConfig& checked(const GptConfig& c) const;

  GptConfig config_;
};

}  // namespace fovea
