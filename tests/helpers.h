// Shared by the tests of every folder.
#pragma once
#include <doctest/doctest.h>

#include <string>

#include "core/error.h"

namespace fovea {

// A folder of its own for a test's files, removed with all it holds.
struct Folder {
  std::string path;
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return path + "/" + name; }
};

std::string content(const std::string& path);  // of a file

// The text of the E that f throws; empty when it throws none.
template <class E = Error> std::string error_of(auto&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "";
}

// `text` is one line, and has `part` in it.
inline bool has(const std::string& text, const std::string& part) {
  INFO(text);
  return text.find(part) != std::string::npos && text.find('\n') == std::string::npos;
}

}  // namespace fovea
