// JSON as a small value: what configs, tokenizers, manifests and metrics are read from and written to.
// Parsing is strict, since files come from anywhere: refused are duplicate keys, nesting beyond 64, NaN and infinity,
// integers that do not fit in 64 bits, lone surrogates, bad UTF-8, a byte order mark and anything behind the value.
// Only json.cpp sees the library behind it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace fovea::io {

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;  // in the order of the text

  Json() = default;  // null
  Json(bool b) : value_(b) {}
  Json(int i) : value_(int64_t(i)) {}
  Json(int64_t i) : value_(i) {}
  Json(double d) : value_(d) {}
  Json(const char* s) : value_(std::string(s)) {}
  Json(std::string s) : value_(std::move(s)) {}
  Json(Array a) : value_(std::move(a)) {}
  Json(Object o) : value_(std::move(o)) {}

  // FileError `name: not JSON: what, at offset N` (bytes from the start of the text).
  static Json parse(std::string_view text, std::string_view name = "text");
  // The same text for the same value: one line, or indented by `indent` spaces. Reals are written with the fewest
  // digits that read back to the same bits. ValueError for NaN, infinities and bad UTF-8, which JSON cannot say.
  std::string dump(int indent = 0) const;

  bool is_null() const { return value_.index() == 0; }
  bool is_bool() const { return value_.index() == 1; }
  bool is_int() const { return value_.index() == 2; }
  bool is_real() const { return value_.index() == 3; }  // written with a point or an exponent
  bool is_number() const { return is_int() || is_real(); }
  bool is_string() const { return value_.index() == 4; }
  bool is_array() const { return value_.index() == 5; }
  bool is_object() const { return value_.index() == 6; }
  const char* kind() const;  // "null", "a boolean", "an integer", ...

  // ValueError `expected an integer, found a string` when it is of another kind.
  bool as_bool() const;
  int64_t as_int() const;
  double as_real() const;  // integers too
  const std::string& as_string() const;
  const Array& as_array() const;
  const Object& as_object() const;

  const Json* find(std::string_view key) const;        // in an object, from front to back; null where it is absent
  const Json& operator[](std::string_view key) const;  // ValueError naming the key where it is absent
  void set(std::string key, Json value);               // in an object (null becomes one); replaces what was there
  void push(Json value);                               // in an array (null becomes one)

  bool operator==(const Json&) const = default;

 private:
  template <class T> const T& get(const char* expected) const;
  void write(std::string& out, int indent, int depth) const;
  std::variant<std::monostate, bool, int64_t, double, std::string, Array, Object> value_;
};

}  // namespace fovea::io
