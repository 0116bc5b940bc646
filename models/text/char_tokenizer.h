// One token per Unicode code point of the text it was learned from, in the order of their numbers.
#pragma once
#include <array>

#include "models/text/tokenizer.h"

namespace fovea::text {

class CharTokenizer final : public Tokenizer {
 public:
  // Every code point that occurs in the text. ValueError for text that is empty or not UTF-8.
  explicit CharTokenizer(std::string_view text);

  // ValueError naming a character that the text did not have, and its position, counted in characters from 0.
  std::vector<int32_t> encode(std::string_view text) const override;
  std::string decode(std::span<const int32_t> ids) const override;
  int32_t vocab_size() const override { return int32_t(characters_.size()); }
  std::string to_json() const override;  // {"kind": "char", "characters": "..."}

 private:
  int32_t find(char32_t c) const;  // -1: unknown

  std::u32string characters_;       // rising
  std::array<int32_t, 128> ascii_;  // token of each ASCII character, -1: unknown
};

}  // namespace fovea::text
