// Compiled once: <filesystem> costs every file that includes it.
#include "tests/helpers.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace fovea {

Folder::Folder() {
  static int made = 0;
  std::string name = "fovea_test_" + std::to_string(getpid()) + "_" + std::to_string(made++);
  path = (std::filesystem::temp_directory_path() / name).string();
  std::filesystem::create_directories(path);
}
Folder::~Folder() { std::filesystem::remove_all(path); }

std::string content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

}  // namespace fovea
