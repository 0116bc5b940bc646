// What every tokenizer does: text to numbers and back, and itself to JSON, which travels in the checkpoint so that a
// model is never used with another vocabulary than it was trained with.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/ref.h"

namespace fovea::text {

class Tokenizer : public Counted {
 public:
  virtual ~Tokenizer() = default;
  // ValueError naming the place of what cannot be encoded. encode then decode gives the same text.
  virtual std::vector<int32_t> encode(std::string_view text) const = 0;
  // IndexError for a number that is not in the vocabulary.
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
  virtual int32_t vocab_size() const = 0;
  // {"kind": "char", ...}; the same text for equal tokenizers.
  virtual std::string to_json() const = 0;
  // XXH3-128 of to_json, 32 hexadecimal digits.
  std::string digest() const;

  // The tokenizer that wrote this; FileError when it is none.
  static Ref<Tokenizer> from_json(std::string_view json);
};

namespace detail {
[[noreturn]] void bad_id(int32_t id, int32_t vocab_size);
}

}  // namespace fovea::text
