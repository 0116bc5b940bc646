// Text, one token at a time: greedy, or drawn with a temperature from the likeliest. Draws come from a Generator, so a
// seed gives the same text on every machine that computes the same logits. Cached and uncached runs follow the same
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
  // What is drawn from: the k likeliest (0: all), of these the fewest whose probabilities reach top_p, and of these the
  // ones at least min_p times as likely as the likeliest.
  int64_t top_k = 0;
  double top_p = 1, min_p = 0;
  // Above 1, tokens that are in the text already become less likely: positive logits are divided by it, others
  // multiplied (Keskar et al., 2019).
  double repetition_penalty = 1;
  bool use_cache = true;
  std::vector<int32_t> stop = {};              // ends after one of these, which is kept
  Generator* generator = nullptr;              // default_generator() when null
  std::function<bool(int32_t)> on_token = {};  // sees each token; false ends
};

// The new tokens. Beyond the model's context the older half of what was seen is forgotten. ValueError for an empty
// prompt, one longer than the context, or logits that are not finite.
std::vector<int32_t> generate(Gpt& model, const std::vector<int32_t>& prompt, const GenerateOptions& o = {},
                              std::source_location where = std::source_location::current());

// One draw from logits; ties go to the smaller id.
int32_t sample(const std::vector<float>& logits, const GenerateOptions& o, Generator& generator);

}  // namespace fovea
