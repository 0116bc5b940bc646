// Training batches from the embedded corpus (models/data/grammar.h).
#pragma once
#include "models/data/grammar.h"
#include "models/data/source.h"
#include "models/text/tokenizer.h"

namespace fovea::data {

// Endless documents of the embedded grammar, each followed by its separator. Half of the windows begin at a document's
// start. The evaluation runs over whole documents from their start, which is what the entropy is about.
class GrammarSource final : public LmSource {
 public:
  GrammarSource(const text::Tokenizer& tokenizer, const WindowOptions& o);
  Batch batch(int64_t number) const override;
  std::vector<Batch> evaluation() const override;
  double entropy() const override { return grammar_.nats_per_character(); }

 private:
  WindowOptions o_;
  Grammar grammar_;
  const text::Tokenizer& tokenizer_;
};

}  // namespace fovea::data
