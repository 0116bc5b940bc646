#include "models/data/source.h"

#include <algorithm>

#include "core/random.h"
#include "models/data/grammar_source.h"

namespace fovea::data {
namespace {

constexpr uint64_t kEvaluation = 1ull << 62;  // documents from here on are held out

std::vector<Batch> in_batches(const std::vector<std::vector<int32_t>>& rows, const std::vector<int64_t>& counted,
                              const WindowOptions& o) {
  std::vector<Batch> batches;
  for (size_t at = 0; at < rows.size(); at += size_t(o.batch)) {
    size_t end = std::min(rows.size(), at + size_t(o.batch));
    auto from = ptrdiff_t(at), to = ptrdiff_t(end);
    batches.push_back(
        pack({rows.begin() + from, rows.begin() + to}, {counted.begin() + from, counted.begin() + to}, o.context));
  }
  return batches;
}

const WindowOptions& checked(const WindowOptions& o) {
  if (o.context < 1) throw ValueError("windows: context is " + std::to_string(o.context) + " (expected 1 or more)");
  if (o.batch < 1) throw ValueError("windows: batch is " + std::to_string(o.batch) + " (expected 1 or more)");
  return o;
}

}  // namespace

Batch pack(const std::vector<std::vector<int32_t>>& rows, const std::vector<int64_t>& counted, int64_t context) {
  size_t longest = 0;
  for (auto& r : rows) longest = std::max(longest, r.size());
  int64_t B = int64_t(rows.size()), T = std::min<int64_t>(context, int64_t(longest) - 1);
  std::vector<int32_t> inputs(size_t(B * T), 0), targets(size_t(B * T), kIgnored);
  Batch batch;
  for (int64_t b = 0; b < B; b++) {
    const auto& r = rows[size_t(b)];
    int64_t n = int64_t(r.size()) - 1;
    for (int64_t t = 0; t < n; t++) {
      inputs[size_t(b * T + t)] = r[size_t(t)];
      if (t >= n - counted[size_t(b)]) targets[size_t(b * T + t)] = r[size_t(t + 1)];
    }
    batch.counted += std::min(n, counted[size_t(b)]);
  }
  batch.inputs = Tensor::of(inputs, {B, T});
  batch.targets = Tensor::of(targets, {B, T});
  return batch;
}

void cut(const std::vector<int32_t>& sequence, int64_t context, std::vector<std::vector<int32_t>>& rows,
         std::vector<int64_t>& counted) {
  int64_t n = int64_t(sequence.size()) - 1, stride = std::max<int64_t>(context / 2, 1),
          done = 0;  // targets predicted so far
  for (int64_t start = 0; done < n; start += stride) {
    int64_t end = std::min(start + context, n);
    rows.emplace_back(sequence.begin() + start, sequence.begin() + end + 1);
    counted.push_back(end - done);
    done = end;
  }
}

TextSource::TextSource(std::vector<int32_t> tokens, const WindowOptions& o)
    : o_(checked(o)),
      tokens_(std::move(tokens)),
      split_(split_tokens(tokens_, o.validation, o.context)),
      windows_(split_.train, o.context, o.seed) {}

Batch TextSource::batch(int64_t number) const {
  TokenBatch b = windows_.batch(number * o_.batch, o_.batch);
  Shape shape{b.batch, b.context};
  return {Tensor::of(b.inputs, shape), Tensor::of(b.targets, shape), numel(shape)};
}

std::vector<Batch> TextSource::evaluation() const {
  std::vector<std::vector<int32_t>> rows;
  std::vector<int64_t> counted;
  auto held = split_.validation.first(std::min(split_.validation.size(), size_t(o_.evaluation_tokens)));
  cut({held.begin(), held.end()}, o_.context, rows, counted);
  return in_batches(rows, counted, o_);
}

GrammarSource::GrammarSource(const text::Tokenizer& tokenizer, const WindowOptions& o)
    : o_(checked(o)), tokenizer_(tokenizer) {}

Batch GrammarSource::batch(int64_t number) const {
  std::vector<std::vector<int32_t>> rows;
  size_t length = size_t(o_.context) + 1, span = std::max(grammar_.longest_document(), length);
  // No two rows of a run share a document: a row uses at most one document per character.
  uint64_t documents = span + length;
  for (int64_t b = 0; b < o_.batch; b++) {
    uint64_t row = uint64_t(number) * uint64_t(o_.batch) + uint64_t(b);
    uint64_t draw = random_bits(o_.seed, uint64_t(number), uint64_t(b));
    size_t skip = draw & 1 ? 0 : size_t((draw >> 1) % span);
    std::string text =
        Grammar::kSeparator + grammar_.sample_text(o_.seed, row * documents % kEvaluation, skip + length);
    rows.push_back(tokenizer_.encode(std::string_view(text).substr(skip, length)));
  }
  return pack(rows, std::vector<int64_t>(rows.size(), o_.context), o_.context);
}

std::vector<Batch> GrammarSource::evaluation() const {
  std::vector<std::vector<int32_t>> rows;
  std::vector<int64_t> counted;
  int64_t tokens = 0;
  for (uint64_t i = 0; tokens < o_.evaluation_tokens; i++) {
    std::string text = Grammar::kSeparator + grammar_.sample_document(o_.seed, kEvaluation + i) + Grammar::kSeparator;
    tokens += int64_t(text.size()) - 1;
    cut(tokenizer_.encode(text), o_.context, rows, counted);
  }
  return in_batches(rows, counted, o_);
}

}  // namespace fovea::data
