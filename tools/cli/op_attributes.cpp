#include "tools/cli/op_attributes.h"

#include <cmath>

#include "core/edit_distance.h"
#include "tools/cli/verb.h"

namespace fovea::cli {

using io::Json;

Attributes::Attributes(std::string op, Json json) : op_(std::move(op)), json_(std::move(json)) {
  if (!json_.is_null() && !json_.is_object()) fail("--attrs is " + std::string(json_.kind()) + " (expected an object)");
}

void Attributes::fail(const std::string& text) const { throw UsageError(op_ + ": " + text); }

bool Attributes::has(const char* name) const {
  const Json* j = json_.is_null() ? nullptr : json_.find(name);
  return j && !j->is_null();
}

// Names what nobody asked for so far: it may be what was meant.
void Attributes::missing(const char* name) const {
  std::string others;
  if (!json_.is_null())
    for (auto& [other, value] : json_.as_object())
      if (!asked_.count(other)) others += (others.empty() ? "" : ", ") + other;
  fail(std::string("the attribute ") + name + " is missing" + (others.empty() ? "" : " (given: " + others + ")"));
}

const Json* Attributes::find(const char* name) {
  asked_.insert(name);
  return has(name) ? json_.find(name) : nullptr;
}

const Json* Attributes::json(const char* name) { return find(name); }

int64_t Attributes::integer(const char* name, int64_t otherwise) {
  const Json* j = find(name);
  if (!j) return otherwise;
  if (!j->is_int()) fail(std::string(name) + " is " + j->dump() + " (expected an integer)");
  return j->as_int();
}
int64_t Attributes::integer(const char* name) {
  if (!has(name)) missing(name);
  return integer(name, 0);
}
double Attributes::real(const char* name, double otherwise) {
  const Json* j = find(name);
  if (!j) return otherwise;
  if (j->is_string() && (j->as_string() == "inf" || j->as_string() == "-inf"))  // JSON has no infinities
    return j->as_string() == "inf" ? HUGE_VAL : -HUGE_VAL;
  if (!j->is_number()) fail(std::string(name) + " is " + j->dump() + " (expected a number)");
  return j->as_real();
}
bool Attributes::flag(const char* name, bool otherwise) {
  const Json* j = find(name);
  if (!j) return otherwise;
  if (!j->is_bool()) fail(std::string(name) + " is " + j->dump() + " (expected true or false)");
  return j->as_bool();
}
std::string Attributes::text(const char* name, const std::string& otherwise) {
  const Json* j = find(name);
  if (!j) return otherwise;
  if (!j->is_string()) fail(std::string(name) + " is " + j->dump() + " (expected a text)");
  return j->as_string();
}
Shape Attributes::list(const char* name, const Shape& otherwise) {
  const Json* j = find(name);
  if (!j) return otherwise;
  Shape s;
  if (j->is_int()) return Shape{j->as_int()};
  bool good = j->is_array() && j->as_array().size() <= size_t(kMaxRank);
  if (good)
    for (const Json& d : j->as_array()) {
      if (good &= d.is_int(); good) s.push_back(d.as_int());
    }
  if (!good) fail(std::string(name) + " is " + j->dump() + " (expected an integer, or a list of up to 8)");
  return s;
}
Shape Attributes::required_list(const char* name) {
  if (!has(name)) missing(name);
  return list(name);
}
Reduction Attributes::reduction() {
  std::string t = text("reduction", "mean");
  if (t == "mean") return Reduction::mean;
  if (t == "sum") return Reduction::sum;
  if (t != "none") fail("reduction is '" + t + "' (expected none, mean or sum)");
  return Reduction::none;
}
std::optional<DType> Attributes::dtype_if_given() {
  if (has("dtype")) return dtype("dtype");
  json("dtype");  // null
  return {};
}
DType Attributes::dtype(const char* name) {
  std::string t = text(name, "");
  const std::pair<const char*, DType> other_names[] = {
      {"float32", f32}, {"float", f32}, {"float64", f64}, {"double", f64}, {"bfloat16", bf16},
      {"float16", f16}, {"half", f16},  {"int64", i64},   {"long", i64},   {"int32", i32},
      {"int", i32},     {"uint8", u8},  {"int8", i8}};
  std::string bare = t.rfind("torch.", 0) == 0 ? t.substr(6) : t;
  for (auto& [n, d] : other_names)
    if (bare == n) return d;
  for (int d = 0; d < fovea::kDTypes; d++)
    if (bare == name_of(DType(d)) && !is_dual(DType(d))) return DType(d);
  fail(std::string(name) + " is '" + t + "' (expected f32, f64, bf16, f16, i64, i32, u8, i8 or bool)");
}

void Attributes::all_used() const {
  if (json_.is_null()) return;
  static const std::set<std::string> kPresence = {"weight", "bias",     "pos_weight", "attn_mask",
                                                  "mask",   "t5_table", "base",       "elementwise_affine"};
  std::vector<std::string_view> known(asked_.begin(), asked_.end());
  for (auto& [name, value] : json_.as_object()) {
    if (asked_.count(name) || value.is_null() || (value.is_bool() && kPresence.count(name))) continue;
    std::string all;
    for (std::string_view k : known) all += (all.empty() ? "" : ", ") + std::string(k);
    std::string_view near = text::nearest(name, known);
    fail("unknown attribute '" + name + "' (expected " + (all.empty() ? "none" : all) + ")" +
         (near.empty() ? "" : "; did you mean " + std::string(near) + "?"));
  }
}

}  // namespace fovea::cli
