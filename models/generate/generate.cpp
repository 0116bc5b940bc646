#include "models/generate/generate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/ops/checks.h"
#include "autograd/ops/view.h"
#include "core/random.h"

namespace fovea {
namespace {

void check(const GptConfig& c, const std::vector<int32_t>& prompt, const GenerateOptions& o) {
  if (o.max_new < 0) throw ValueError("generate: max_new is " + std::to_string(o.max_new) + " (expected 0 or more)");
  if (o.top_k < 0) throw ValueError("generate: top_k is " + std::to_string(o.top_k) + " (expected 0 or more)");
  if (!o.greedy && !(o.temperature > 0 && std::isfinite(o.temperature)))
    throw ValueError("generate: temperature is " + std::to_string(o.temperature) + " (expected above 0, or greedy)");
  if (!(o.top_p > 0 && o.top_p <= 1))
    throw ValueError("generate: top_p is " + std::to_string(o.top_p) + " (expected above 0, at most 1)");
  if (!(o.min_p >= 0 && o.min_p <= 1))
    throw ValueError("generate: min_p is " + std::to_string(o.min_p) + " (expected 0 to 1)");
  if (!(o.repetition_penalty > 0 && std::isfinite(o.repetition_penalty)))
    throw ValueError("generate: repetition_penalty is " + std::to_string(o.repetition_penalty) + " (expected above 0)");
  if (prompt.empty()) throw ValueError("generate: the prompt is empty");
  if (int64_t(prompt.size()) > c.context)
    throw ValueError("generate: the prompt has " + std::to_string(prompt.size()) + " tokens (the model's context is " +
                     std::to_string(c.context) + ")");
  for (int32_t id : prompt)
    if (id < 0 || id >= c.vocab)
      throw ValueError("generate: the prompt has token " + std::to_string(id) + " (expected 0 to " +
                       std::to_string(c.vocab - 1) + ")");
}

// Each token of the text once, however often it is there.
void penalise(std::vector<float>& logits, const std::vector<int32_t>& text, double penalty) {
  std::vector<bool> seen(logits.size());
  for (int32_t id : text) {
    if (seen[size_t(id)]) continue;
    seen[size_t(id)] = true;
    float& x = logits[size_t(id)];
    x = float(x > 0 ? x / penalty : x * penalty);
  }
}

}  // namespace

int32_t sample(const std::vector<float>& logits, const GenerateOptions& o, Generator& generator) {
  for (float x : logits)
    if (std::isnan(x) || x == INFINITY) throw ValueError("generate: the model's logits are not finite");
  int32_t best = int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
  if (logits[size_t(best)] == -INFINITY) throw ValueError("generate: the model gives every token the probability 0");
  if (o.greedy || logits.size() == 1) return best;
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  size_t most = o.top_k > 0 ? std::min(size_t(o.top_k), ids.size()) : ids.size();
  bool choosy = most < ids.size() || o.top_p < 1 || o.min_p > 0;
  auto likelier = [&](int32_t a, int32_t b) {
    return logits[size_t(a)] != logits[size_t(b)] ? logits[size_t(a)] > logits[size_t(b)] : a < b;
  };
  if (choosy) std::partial_sort(ids.begin(), ids.begin() + ptrdiff_t(most), ids.end(), likelier);
  ids.resize(most);
  double total = 0;
  std::vector<double> cumulative;
  for (int32_t id : ids)
    cumulative.push_back(total +=
                         std::exp((double(logits[size_t(id)]) - double(logits[size_t(best)])) / o.temperature));
  size_t kept = 1;  // of `ids`, likeliest first
  while (choosy && kept < ids.size() && cumulative[kept - 1] < o.top_p * total &&
         cumulative[kept] - cumulative[kept - 1] >= o.min_p * cumulative[0])
    kept++;
  if (choosy) ids.resize(kept), cumulative.resize(kept), total = cumulative.back();
  double u = double(random_bits(generator.seed, generator.counter++, 0) >> 11) * 0x1p-53 * total;
  size_t at = size_t(std::upper_bound(cumulative.begin(), cumulative.end(), u) - cumulative.begin());
  return ids[std::min(at, ids.size() - 1)];
}

std::vector<int32_t> generate(Gpt& model, const std::vector<int32_t>& prompt, const GenerateOptions& o,
                              std::source_location where) {
  const GptConfig& c = model.config();
  detail::called("generate", where, [&] { check(c, prompt, o); });
  NoGrad guard;
  Evaluating mode;
  Generator& generator = o.generator ? *o.generator : default_generator();
  nn::KVCache cache = model.make_cache();
  std::vector<int32_t> ids = prompt;
  size_t start = 0;  // the first token that the model still sees
  auto draw_next = [&] {
    if (int64_t(ids.size() - start) > c.context) {
      start = ids.size() - size_t(std::max<int64_t>(c.context / 2, 1));
      cache.clear();
    }
    size_t from = o.use_cache ? start + size_t(cache.length()) : start;
    std::span<const int32_t> fresh(ids.data() + from, ids.size() - from);
    Tensor x = Tensor::of(fresh, {1, int64_t(fresh.size())}, {.device = model.tok.weight->value().device()});
    Tensor logits = model(x, o.use_cache ? &cache : nullptr);
    auto last = select(select(logits, 0, 0), 0, int64_t(fresh.size()) - 1).to_vector<float>();
    if (o.repetition_penalty != 1) penalise(last, ids, o.repetition_penalty);
    return sample(last, o, generator);
  };
  for (int64_t i = 0; i < o.max_new; i++) {
    int32_t next = detail::called("generate", where, draw_next);  // what on_token throws is left as it is
    ids.push_back(next);
    if (o.on_token && !o.on_token(next)) break;
    if (std::find(o.stop.begin(), o.stop.end(), next) != o.stop.end()) break;
  }
  return {ids.begin() + int64_t(prompt.size()), ids.end()};
}

}  // namespace fovea
