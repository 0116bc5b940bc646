// 256 tokens, one per byte: any text, with nothing to learn.
#pragma once
#include "models/text/tokenizer.h"

namespace fovea::text {

class ByteTokenizer final : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text) const override;
  std::string decode(std::span<const int32_t> ids) const override;  // may end within a code point
  int32_t vocab_size() const override { return 256; }
  std::string to_json() const override { return "{\"kind\": \"byte\"}"; }
};

}  // namespace fovea::text
