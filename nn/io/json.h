// JSON as a small value: what configs, tokenizers, manifests and metrics are read from and written to.
// Parsing is strict, since files come from anywhere: refused are duplicate keys, nesting beyond 64, NaN and infinity,
// integers that do not fit in 64 bits, lone surrogates, bad UTF-8, a byte order mark and anything behind the value.
// Only json.cpp sees the library behind it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fovea::io {

class Json {
 public:
  using Array = std::vector<Json>;
  using Object = std::vector<std::pair<std::string, Json>>;  // in the order of the text

  // None of these is inline: whoever writes a JSON value down would compile dozens of them.
  Json();  // null
  Json(bool b);
  Json(int i);
  Json(int64_t i);
  Json(double d);
  Json(const char* s);
  Json(std::string s);
  Json(Array a);
  Json(Object o);
  Json(const Json&);
  Json(Json&&) noexcept;
  Json& operator=(const Json&);
  Json& operator=(Json&&) noexcept;
  ~Json();

  // FileError `name: not JSON: what, at offset N` (bytes from the start of the text).
  static Json parse(std::string_view text, std::string_view name = "text");
  // The same text for the same value: one line, or indented by `indent` spaces. Reals are written with the fewest
  // digits that read back to the same bits. ValueError for NaN, infinities and bad UTF-8, which JSON cannot say.
  std::string dump(int indent = 0) const;

  bool is_null() const { return kind_ == 0; }
  bool is_bool() const { return kind_ == 1; }
  bool is_int() const { return kind_ == 2; }
  bool is_real() const { return kind_ == 3; }  // written with a point or an exponent
  bool is_number() const { return is_int() || is_real(); }
  bool is_string() const { return kind_ == 4; }
  bool is_array() const { return kind_ == 5; }
  bool is_object() const { return kind_ == 6; }
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

  bool operator==(const Json& o) const;

 private:
  void expect(int kind, const char* name) const;
  void write(std::string& out, int indent, int depth) const;
  // One of these by kind, the others empty. A std::variant would be smaller, and dearer for every file that includes
  // this.
  uint8_t kind_ = 0;
  bool bool_ = false;
  int64_t int_ = 0;
  double real_ = 0;
  std::string string_;
  Array array_;
  Object object_;
};

}  // namespace fovea::io
