#include "core/error.h"

#include <charconv>
#include <cstdio>
#include <string_view>

namespace fovea {

std::string describe(std::source_location where) {
  std::string_view file = where.file_name();
  if (auto slash = file.rfind('/'); slash != file.npos) file.remove_prefix(slash + 1);
  return std::string(file) + ":" + std::to_string(where.line());
}

std::string text_of(double v) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, v).ptr);
}

void Error::locate(const char* op, std::source_location where, const std::string& module_path) {
  if (located_) return;
  located_ = true;
  std::string name = std::string(op) + ":";
  if (*op && text_.compare(0, name.size(), name) != 0) text_ = name + " " + text_;
  if (where.line() > 0) text_ += " at " + describe(where);
  if (!module_path.empty()) text_ += " (" + module_path + ")";
}

void refuse_unlisted(const char* name, int64_t value, int64_t last) {
  throw ValueError(std::string(name) + " is " + std::to_string(value) +
                   " (expected one of the values of its enum, 0 to " + std::to_string(last) + ")");
}

int report(const std::exception& e) {
  std::fprintf(stderr, "error: %s\n", e.what());
  return 1;
}

}  // namespace fovea
