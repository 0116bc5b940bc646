// The attributes of `fovea op`, as PyTorch names them: read from JSON, each once, and what is left over is an error.
#pragma once
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/op_attrs.h"
#include "nn/io/json.h"

namespace fovea::cli {

class Attributes {
 public:
  // `op` is named by errors. Null counts as absent; UsageError for anything else that is no object.
  Attributes(std::string op, io::Json json);

  bool has(const char* name) const;
  int64_t integer(const char* name);  // UsageError where it is absent
  int64_t integer(const char* name, int64_t otherwise);
  double real(const char* name, double otherwise);
  bool flag(const char* name, bool otherwise);
  std::string text(const char* name, const std::string& otherwise);
  // One integer or a list of them.
  Shape list(const char* name, const Shape& otherwise = {});
  Shape required_list(const char* name);
  Reduction reduction();
  DType dtype(const char* name);
  std::optional<DType> dtype_if_given();   // "dtype"
  const io::Json* json(const char* name);  // null where it is absent

  // UsageError for an attribute that nobody asked for, naming those that were. Booleans that only say which optional
  // inputs are there ("weight": true) are let pass.
  void all_used() const;
  [[noreturn]] void fail(const std::string& text) const;

 private:
  const io::Json* find(const char* name);
  [[noreturn]] void missing(const char* name) const;
  std::string op_;
  io::Json json_;
  std::set<std::string> asked_;
};

}  // namespace fovea::cli
