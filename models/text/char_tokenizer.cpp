#include "models/text/char_tokenizer.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/error.h"
#include "models/text/utf8.h"
#include "nn/io/json.h"

namespace fovea::text {
namespace {

void check_utf8(std::string_view text) {
  size_t bad = find_bad_utf8(text);
  if (bad != text.npos)
    throw ValueError(fmt::format("text is not UTF-8: byte 0x{:02X} at offset {}", uint8_t(text[bad]), bad));
}

}  // namespace

CharTokenizer::CharTokenizer(std::string_view text) {
  check_utf8(text);
  if (text.empty()) throw ValueError("a character tokenizer needs text to learn from: it is empty");
  std::vector<bool> seen(0x110000);
  for (size_t at = 0; at < text.size();) seen[next_code_point(text, at)] = true;
  for (char32_t c = 0; c < seen.size(); c++)
    if (seen[c]) characters_ += c;
  ascii_.fill(-1);
  for (size_t i = 0; i < characters_.size() && characters_[i] < 128; i++) ascii_[characters_[i]] = int32_t(i);
}

int32_t CharTokenizer::find(char32_t c) const {
  if (c < 128) return ascii_[c];
  auto it = std::lower_bound(characters_.begin(), characters_.end(), c);
  return it != characters_.end() && *it == c ? int32_t(it - characters_.begin()) : -1;
}

std::vector<int32_t> CharTokenizer::encode(std::string_view text) const {
  check_utf8(text);
  std::vector<int32_t> ids;
  ids.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    char32_t c = next_code_point(text, at);
    int32_t id = find(c);
    if (id < 0)
      throw ValueError(fmt::format("the character {} at position {} is not one of the {} that the model knows",
                                   describe(c), ids.size(), characters_.size()));
    ids.push_back(id);
  }
  return ids;
}

std::string CharTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (int32_t id : ids) {
    if (id < 0 || id >= vocab_size()) detail::bad_id(id, vocab_size());
    text += to_utf8(characters_[size_t(id)]);
  }
  return text;
}

std::string CharTokenizer::to_json() const {
  std::string all;
  for (char32_t c : characters_) all += to_utf8(c);
  io::Json j;
  j.set("kind", "char");
  j.set("characters", all);
  return j.dump();
}

}  // namespace fovea::text
