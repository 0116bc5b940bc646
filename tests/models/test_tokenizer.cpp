#include <doctest/doctest.h>

#include "core/error.h"
#include "models/text/byte_tokenizer.h"
#include "models/text/char_tokenizer.h"
#include "models/text/utf8.h"

using namespace fovea::text;

namespace {

TEST_CASE("every code point goes to UTF-8 and back, and nothing else is well formed") {
  for (char32_t c = 0; c < 0x110000; c++) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string s = to_utf8(c);
    size_t at = 0;
    bool same = find_bad_utf8(s) == s.npos && next_code_point(s, at) == c && at == s.size();
    INFO(uint32_t(c));
    if (!same) CHECK(same);
  }
  struct Row {
    std::string text;
    size_t bad;
  };
  for (const Row& row : std::vector<Row>{{"ab\xFF", 2},                   // no such byte
                                         {"\x80", 0},                     // a second byte first
                                         {"a\xC3", 1},                    // cut short
                                         {"a\xE2\x82", 1},                //
                                         {"\xF0\x9F\x98", 0},             //
                                         {"a\xC3(", 1},                   // no second byte
                                         {"\xE2(\xA1", 0},                //
                                         {"\xE2\x82(", 0},                //
                                         {"\xC0\x80", 0},                 // overlong
                                         {"\xC1\xBF", 0},                 //
                                         {"\xE0\x9F\xBF", 0},             //
                                         {"\xF0\x8F\xBF\xBF", 0},         //
                                         {"ok\xED\xA0\x80", 2},           // a surrogate
                                         {"\xF4\x90\x80\x80", 0},         // above U+10FFFF
                                         {"\xF5\x80\x80\x80", 0},         //
                                         {"\xC3\xA9\xC3\xA9\xA9", 4}}) {  // good ones before
    INFO(row.text);
    CHECK(find_bad_utf8(row.text) == row.bad);
  }
  CHECK(find_bad_utf8("") == std::string::npos);
}

TEST_CASE("characters of a text are its tokens") {
  std::string text =
      "b\xC3\xA9"
      "a\n\xF0\x9F\x98\x80"
      "a";
  CharTokenizer t(text);
  CHECK(t.vocab_size() == 5);
  CHECK(t.encode(text) == std::vector<int32_t>{2, 3, 1, 0, 4, 1});
  CHECK(t.decode(t.encode(text)) == text);
  CHECK(t.encode("").empty());

  CHECK_THROWS_WITH_AS(t.encode("ab\xC3\xB6"),
                       "the character '\xC3\xB6' (U+00F6) at position 2 is not one of the 5 that the model knows",
                       fovea::ValueError);
  CHECK_THROWS_WITH_AS(t.encode("\xC3\xA9\t"),
                       "the character U+0009 at position 1 is not one of the 5 that the model knows",
                       fovea::ValueError);
  CHECK_THROWS_WITH_AS(t.encode("a\xFF"), "text is not UTF-8: byte 0xFF at offset 1", fovea::ValueError);
  CHECK_THROWS_WITH_AS(t.decode(std::vector<int32_t>{0, 5}),
                       "decode: token 5 is not in the vocabulary (expected 0 to 4)", fovea::IndexError);
  CHECK_THROWS_AS(t.decode(std::vector<int32_t>{-1}), fovea::IndexError);
  CHECK_THROWS_AS(CharTokenizer(""), fovea::ValueError);
  CHECK_THROWS_AS(CharTokenizer("a\xC3"), fovea::ValueError);
}

TEST_CASE("bytes are tokens of any text") {
  ByteTokenizer t;
  std::string all;
  for (int i = 0; i < 256; i++) all += char(i);
  CHECK(t.vocab_size() == 256);
  CHECK(t.encode(all)[255] == 255);
  CHECK(t.decode(t.encode(all)) == all);
  CHECK_THROWS_AS(t.decode(std::vector<int32_t>{256}), fovea::IndexError);
}

TEST_CASE("a tokenizer comes back from its JSON, and its digest tells vocabularies apart") {
  CharTokenizer t("say \"\xC3\xA9\"\n\\");
  auto back = Tokenizer::from_json(t.to_json());
  CHECK(back->to_json() == t.to_json());
  CHECK(back->digest() == t.digest());
  CHECK(back->encode("say") == t.encode("say"));
  CHECK(CharTokenizer("ab").digest() == CharTokenizer("ba").digest());
  CHECK(CharTokenizer("ab").digest() != CharTokenizer("ac").digest());
  CHECK(t.digest().size() == 32);
  CHECK(Tokenizer::from_json(ByteTokenizer().to_json())->vocab_size() == 256);
  for (std::string bad : {"", "{}", "[]", "{\"kind\": \"bpe\"}", "{\"kind\": \"char\"}",
                          "{\"kind\": \"char\", \"characters\": 3}", "{\"kind\": \"char\", \"characters\": \"\"}"}) {
    INFO(bad);
    CHECK_THROWS_AS(Tokenizer::from_json(bad), fovea::FileError);
  }
}

}  // namespace
