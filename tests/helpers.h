// Shared by the tests of every folder.
#pragma once
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "core/error.h"

namespace fovea {

// A folder of its own for a test's files, removed with all it holds.
struct Folder {
  std::filesystem::path path;
  Folder() {
    static int made = 0;
    std::string name = "fovea_test_" + std::to_string(getpid()) + "_" + std::to_string(made++);
    path = std::filesystem::temp_directory_path() / name;
    std::filesystem::create_directories(path);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return (path / name).string(); }
};

inline std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

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
