#include "nn/io/json.h"

#include <charconv>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/error.h"

namespace fovea::io {
namespace {

constexpr size_t kMaxNesting = 64;

// Bytes of a text that note how far the parser has read.
struct Reader {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;
  const char* at;
  const char** seen;
  reference operator*() const { return *at; }
  Reader& operator++() {
    *seen = ++at;
    return *this;
  }
  bool operator==(const Reader& other) const { return at == other.at; }
  bool operator!=(const Reader& other) const { return at != other.at; }
};

// Builds a Json from the parser's events; `problem` says why it stopped.
class Builder {
 public:
  Json root;
  std::string problem;

  bool null() { return value({}); }
  bool boolean(bool b) { return value(b); }
  bool number_integer(int64_t i) { return value(i); }
  bool number_unsigned(uint64_t u) {
    return u <= uint64_t(INT64_MAX) ? value(int64_t(u)) : too_large(std::to_string(u));
  }
  bool number_float(double d, const std::string& written) {
    return written.find_first_of(".eE") == written.npos ? too_large(written) : value(d);
  }
  bool string(std::string& s) { return value(std::move(s)); }
  bool binary(std::vector<uint8_t>&) { return fail("binary data"); }
  bool start_object(size_t) { return open(false); }
  bool start_array(size_t) { return open(true); }
  bool end_object() { return close(std::move(open_.back().members)); }
  bool end_array() { return close(std::move(open_.back().items)); }
  bool key(std::string& k) {
    if (!open_.back().keys.insert(k).second) return fail("duplicate key \"" + k + "\"");
    open_.back().key = std::move(k);
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& e) {
    std::string what = e.what();  // "[json.exception...] parse error at line 1, column 2: what"
    size_t from = what.find("] "), column = what.find("column ");
    if (column != what.npos && what.find(": ", column) != what.npos) from = what.find(": ", column);
    return fail(from == what.npos ? what : what.substr(from + 2));
  }

 private:
  struct Open {
    bool is_array;
    Json::Array items;
    Json::Object members;
    std::string key;
    std::unordered_set<std::string> keys;
  };

  bool fail(std::string what) {
    problem = std::move(what);
    return false;
  }
  bool too_large(const std::string& written) {
    return fail("integer " + written + " does not fit in 64 bits with a sign");
  }
  bool open(bool is_array) {
    if (open_.size() == kMaxNesting) return fail("nested deeper than " + std::to_string(kMaxNesting));
    open_.push_back({is_array, {}, {}, {}, {}});
    return true;
  }
  bool close(Json done) {
    open_.pop_back();
    return value(std::move(done));
  }
  bool value(Json v) {
    if (open_.empty()) root = std::move(v);
    else if (open_.back().is_array) open_.back().items.push_back(std::move(v));
    else open_.back().members.emplace_back(std::move(open_.back().key), std::move(v));
    return true;
  }

  std::vector<Open> open_;
};

std::string quoted(const std::string& s) {
  try {
    return nlohmann::json(s).dump();
  } catch (const nlohmann::json::exception&) {
    throw ValueError("json: a string that is not UTF-8");
  }
}

}  // namespace

Json::Json() = default;
Json::Json(bool b) : kind_(1), bool_(b) {}
Json::Json(int i) : Json(int64_t(i)) {}
Json::Json(int64_t i) : kind_(2), int_(i) {}
Json::Json(double d) : kind_(3), real_(d) {}
Json::Json(const char* s) : kind_(4), string_(s) {}
Json::Json(std::string s) : kind_(4), string_(std::move(s)) {}
Json::Json(Array a) : kind_(5), array_(std::move(a)) {}
Json::Json(Object o) : kind_(6), object_(std::move(o)) {}
Json::Json(const Json&) = default;
Json::Json(Json&&) noexcept = default;
Json& Json::operator=(const Json&) = default;
Json& Json::operator=(Json&&) noexcept = default;
Json::~Json() = default;

Json Json::parse(std::string_view text, std::string_view name) {
  Builder builder;
  const char* seen = text.data();
  auto fail = [&](const std::string& what) {
    throw FileError(std::string(name) + ": not JSON: " + what + ", at offset " + std::to_string(seen - text.data()));
  };
  if (text.starts_with("\xEF\xBB\xBF")) fail("a byte order mark");
  if (size_t nul = text.find('\0'); nul != text.npos) {  // the library's parser takes it for the end
    seen += nul;
    fail("a NUL byte");
  }
  Reader begin{text.data(), &seen}, end{text.data() + text.size(), &seen};
  if (!nlohmann::json::sax_parse(begin, end, &builder)) fail(builder.problem);
  return std::move(builder.root);
}

const char* Json::kind() const {
  static const char* const kNames[] = {"null",     "a boolean", "an integer", "a real number",
                                       "a string", "an array",  "an object"};
  return kNames[kind_];
}

void Json::expect(int kind, const char* name) const {
  if (kind_ != kind) throw ValueError(std::string("expected ") + name + ", found " + this->kind());
}
bool Json::as_bool() const { return expect(1, "a boolean"), bool_; }
int64_t Json::as_int() const { return expect(2, "an integer"), int_; }
double Json::as_real() const { return is_int() ? double(int_) : (expect(3, "a number"), real_); }
const std::string& Json::as_string() const { return expect(4, "a string"), string_; }
const Json::Array& Json::as_array() const { return expect(5, "an array"), array_; }
const Json::Object& Json::as_object() const { return expect(6, "an object"), object_; }

bool Json::operator==(const Json& o) const {
  return kind_ == o.kind_ && bool_ == o.bool_ && int_ == o.int_ && real_ == o.real_ && string_ == o.string_ &&
         array_ == o.array_ && object_ == o.object_;
}

const Json* Json::find(std::string_view key) const {
  for (const auto& [k, v] : as_object())
    if (k == key) return &v;
  return nullptr;
}

const Json& Json::operator[](std::string_view key) const {
  const Json* v = find(key);
  if (!v) throw ValueError("no key \"" + std::string(key) + "\"");
  return *v;
}

void Json::set(std::string key, Json value) {
  if (is_null()) kind_ = 6;
  if (const Json* v = find(key)) const_cast<Json&>(*v) = std::move(value);
  else object_.emplace_back(std::move(key), std::move(value));
}

void Json::push(Json value) {
  if (is_null()) kind_ = 5;
  as_array();
  array_.push_back(std::move(value));
}

std::string Json::dump(int indent) const {
  std::string out;
  write(out, indent, 0);
  return out;
}

void Json::write(std::string& out, int indent, int depth) const {
  if (is_null()) out += "null";
  if (is_bool()) out += as_bool() ? "true" : "false";
  if (is_int()) out += std::to_string(as_int());
  if (is_string()) out += quoted(as_string());
  if (is_real()) {
    double d = as_real();
    if (!std::isfinite(d)) throw ValueError("json: cannot write " + std::to_string(d) + " (expected a finite number)");
    char digits[32];
    std::string_view text(digits, size_t(std::to_chars(digits, digits + sizeof digits, d).ptr - digits));
    out += text;
    if (text.find_first_of(".e") == text.npos) out += ".0";  // so that it reads back as a real
  }
  if (!is_array() && !is_object()) return;
  auto line = [&](int d) { out += indent ? "\n" + std::string(size_t(indent * d), ' ') : ""; };
  size_t n = is_array() ? as_array().size() : as_object().size();
  out += is_array() ? '[' : '{';
  for (size_t i = 0; i < n; i++) {
    out += i ? (indent ? "," : ", ") : "";
    line(depth + 1);
    if (is_object()) out += quoted(as_object()[i].first) + ": ";
    (is_array() ? as_array()[i] : as_object()[i].second).write(out, indent, depth + 1);
  }
  if (n) line(depth);
  out += is_array() ? ']' : '}';
}

}  // namespace fovea::io
