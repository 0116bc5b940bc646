#include "models/text/byte_tokenizer.h"

namespace fovea::text {

std::vector<int32_t> ByteTokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids(text.size());
  for (size_t i = 0; i < text.size(); i++) ids[i] = uint8_t(text[i]);
  return ids;
}

std::string ByteTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (int32_t id : ids) {
    if (id < 0 || id > 255) detail::bad_id(id, 256);
    text += char(id);
  }
  return text;
}

}  // namespace fovea::text
