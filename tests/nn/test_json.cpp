#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "nn/io/json.h"
#include "tests/helpers.h"

using fovea::io::Json;

namespace {

std::string json_error(const std::string& text) {
  return fovea::error_of<fovea::FileError>([&] { Json::parse(text, "f.json"); });
}

TEST_CASE("a text and its value are one another's image") {
  for (std::string text : {"null", "true", "-12", "9223372036854775807", "-9223372036854775808", "0.1", "-0.0",
                           "1e+300", "5e-324", "\"\"", "\"a\\\"b\\\\c\\n\\u0001\xC3\xA9\xF0\x9F\x98\x80\"", "[]", "{}",
                           "[1, [2.5, null], {\"b\": 1, \"a\": [false]}]"}) {
    INFO(text);
    Json v = Json::parse(text);
    CHECK(v.dump() == text);
    CHECK(Json::parse(v.dump(2)) == v);
  }
  CHECK(Json::parse("\"\\ud83d\\ude00\"").as_string() == std::string("\xF0\x9F\x98\x80"));
  CHECK(Json::parse(" [1.0, 1] ").dump() == std::string("[1.0, 1]"));
  CHECK(Json::parse("{\"a\": [1, 2], \"b\": {}}").dump(2) ==
        std::string("{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}"));
}

TEST_CASE("what is not strictly JSON is refused, saying where") {
  struct Row {
    std::string text, error;
  };
  for (const Row& row : std::vector<Row>{
           {"{\"a\": 1, \"b\": {\"a\": 2}, \"a\": 3}", "duplicate key \"a\", at offset 27"},
           {std::string(65, '[') + std::string(65, ']'), "nested deeper than 64, at offset 65"},
           {"[NaN]", "at offset 2"},
           {"[1e999]", "number overflow parsing '1e999', at offset"},
           {"[-Infinity]", "at offset 3"},
           {"9223372036854775808", "integer 9223372036854775808 does not fit"},
           {"-9223372036854775809", "integer -9223372036854775809 does not fit"},
           {"123456789012345678901234567890", "does not fit in 64 bits"},
           {"\"\\ud800\"", "surrogate"},
           {"\"\\udc00\"", "surrogate"},
           {"\"\xFF\"", "ill-formed UTF-8"},
           {"\xEF\xBB\xBF{}", "a byte order mark"},
           {"[1,]", "at offset 4"},
           {"{} {}", "at offset 4"},
           {std::string("{}\0{", 4), "a NUL byte, at offset 2"},
           {"", "unexpected end of input"},
           {"{\"a\"", "unexpected end of input"},
           {"[1 /* one */]", "at offset 4"},
           {"01", "at offset 2"},
       }) {
    INFO(row.text);
    std::string error = json_error(row.text);
    INFO(error);
    CHECK(error.starts_with("f.json: not JSON: "));
    CHECK(error.find(row.error) != error.npos);
    CHECK(error.find('\n') == error.npos);
  }
  CHECK(json_error(std::string(64, '[') + std::string(64, ']')).empty());
}

TEST_CASE("a value of the wrong kind, a missing key and what JSON cannot say are errors") {
  Json v = Json::parse("{\"a\": 1, \"s\": \"x\"}");
  CHECK(v["a"].as_real() == 1.0);
  CHECK(v.find("z") == nullptr);
  CHECK_THROWS_WITH_AS(v["z"], "no key \"z\"", fovea::ValueError);
  CHECK_THROWS_WITH_AS(v["s"].as_int(), "expected an integer, found a string", fovea::ValueError);
  CHECK_THROWS_AS(v.as_array(), fovea::ValueError);
  CHECK_THROWS_AS(v.push(1), fovea::ValueError);
  CHECK_THROWS_AS(Json(std::nan("")).dump(), fovea::ValueError);
  CHECK_THROWS_AS(Json(std::numeric_limits<double>::infinity()).dump(), fovea::ValueError);
  CHECK_THROWS_AS(Json("\xC3").dump(), fovea::ValueError);
}

TEST_CASE("building a value") {
  Json v;
  v.set("b", 1);
  v.set("a", Json::Array{true, {}, "x"});
  v.set("b", 2.5);
  CHECK(v.dump() == std::string("{\"b\": 2.5, \"a\": [true, null, \"x\"]}"));
}

}  // namespace
