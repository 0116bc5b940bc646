#include "models/text/utf8.h"

#include <fmt/core.h>

namespace fovea::text {
namespace {

// Bytes of the well-formed code point at the front of s, 0 when there is none.
size_t code_point_length(std::string_view s) {
  auto byte = [&](size_t i) { return i < s.size() ? uint8_t(s[i]) : 0; };
  auto follows = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  uint8_t lead = byte(0), second = byte(1);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return follows(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F)) return 0;  // overlong, surrogates
    return follows(1) && follows(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if ((lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) return 0;  // overlong, above U+10FFFF
    return follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace

size_t find_bad_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    size_t n = code_point_length(text.substr(at));
    if (n == 0) return at;
    at += n;
  }
  return text.npos;
}

char32_t next_code_point(std::string_view text, size_t& at) {
  uint8_t lead = uint8_t(text[at++]);
  if (lead < 0x80) return lead;
  int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  char32_t c = lead & (0x3F >> more);
  for (; more > 0 && at < text.size(); more--) c = c << 6 | (uint8_t(text[at++]) & 0x3F);
  return c;
}

std::string to_utf8(char32_t c) {
  auto tail = [&](int shift) { return char(0x80 | (c >> shift & 0x3F)); };
  if (c < 0x80) return {char(c)};
  if (c < 0x800) return {char(0xC0 | c >> 6), tail(0)};
  if (c < 0x10000) return {char(0xE0 | c >> 12), tail(6), tail(0)};
  return {char(0xF0 | c >> 18), tail(12), tail(6), tail(0)};
}

std::string describe(char32_t c) {
  bool control = c < 0x20 || (c >= 0x7F && c < 0xA0);
  return control ? fmt::format("U+{:04X}", uint32_t(c)) : fmt::format("'{}' (U+{:04X})", to_utf8(c), uint32_t(c));
}

}  // namespace fovea::text
