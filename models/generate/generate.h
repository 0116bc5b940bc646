// Text, one token at a time: greedy, or drawn with a temperature from the k likeliest. Draws come from a Generator, so
// a seed gives the same text on every machine that computes the same logits. Cached and uncached runs follow the same
// positions and agree.
#pragma once
#include <functional>

#include "autograd/ops/random.h"
#include "models/gpt.h"

namespace fovea {

struct GenerateOptions {
  int64_t max_new = 200;
  bool greedy = false;
  double temperature = 1;
  int64_t top_k = 0;  // 0: all
  bool use_cache = true;
  std::vector<int32_t> stop = {};  // ends after one of these, which is kept
  Generator* generator = nullptr;  // default_generator() when null
  std::function<void(int32_t)> on_token = {};
};

// The new tokens. Beyond the model's context the older half of what was seen is forgotten. ValueError for an empty
// prompt, one longer than the context, or logits that are not finite.
std::vector<int32_t> generate(Gpt& model, const std::vector<int32_t>& prompt, const GenerateOptions& o = {});

// One draw from logits; ties go to the smaller id.
int32_t sample(const std::vector<float>& logits, const GenerateOptions& o, Generator& generator);

}  // namespace fovea
