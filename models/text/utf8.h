// UTF-8: what is well formed (Unicode 15, table 3-7: no surrogates, nothing overlong, nothing beyond U+10FFFF), and
// code points to and from bytes. Tokenizers and readers of text files call it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace fovea::text {

// The offset of the first byte that does not belong to a well-formed code point; npos when there is none.
size_t find_bad_utf8(std::string_view text);

// The code point at byte `at` of well-formed text; moves `at` behind it.
char32_t next_code_point(std::string_view text, size_t& at);

std::string to_utf8(char32_t code_point);

// For messages: 'é' (U+00E9); control characters by number alone.
std::string describe(char32_t code_point);

}  // namespace fovea::text
