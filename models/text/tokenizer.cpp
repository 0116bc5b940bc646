#include "models/text/tokenizer.h"

#include <fmt/core.h>
#include <xxhash.h>

#include "core/error.h"
#include "models/text/byte_tokenizer.h"
#include "models/text/char_tokenizer.h"
#include "nn/io/json.h"

namespace fovea::text {

std::string Tokenizer::digest() const {
  std::string json = to_json();
  XXH128_hash_t h = XXH3_128bits(json.data(), json.size());
  return fmt::format("{:016x}{:016x}", h.high64, h.low64);
}

Ref<Tokenizer> Tokenizer::from_json(std::string_view json) {
  io::Json j = io::Json::parse(json, "tokenizer");
  try {
    const std::string& kind = j["kind"].as_string();
    if (kind == "byte") return make_ref<ByteTokenizer>();
    if (kind == "char") return make_ref<CharTokenizer>(j["characters"].as_string());
    throw ValueError("unknown kind \"" + kind + "\" (expected byte or char)");
  } catch (const ValueError& e) {
    throw FileError(std::string("tokenizer: ") + e.what());
  }
}

void detail::bad_id(int32_t id, int32_t vocab_size) {
  throw IndexError(fmt::format("decode: token {} is not in the vocabulary (expected 0 to {})", id, vocab_size - 1));
}

}  // namespace fovea::text
