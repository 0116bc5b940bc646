#include "models/data/text_file.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "core/error.h"
#include "models/text/utf8.h"

namespace fovea::data {

std::string read_text(const std::string& path) {
  bool standard_input = path == "-";
  std::string name = standard_input ? "standard input" : path;
  auto fail = [&](const std::string& why) { throw FileError(name + ": " + why); };
  std::error_code ignored;
  if (!standard_input && std::filesystem::is_directory(path, ignored)) fail("is a directory (expected a text file)");
  std::unique_ptr<FILE, int (*)(FILE*)> opened(standard_input ? nullptr : std::fopen(path.c_str(), "rb"), &std::fclose);
  FILE* file = standard_input ? stdin : opened.get();
  if (!file) fail(fmt::format("cannot be opened: {}", std::strerror(errno)));
  if (!standard_input && std::filesystem::is_character_file(path, ignored) && !isatty(fileno(file)))
    fail("is a device (expected a text file)");  // some never end
  std::string text;
  for (;;) {
    constexpr size_t kPiece = 1 << 20;
    size_t had = text.size();
    text.resize(had + kPiece);
    size_t got = std::fread(text.data() + had, 1, kPiece, file);
    text.resize(had + got);
    if (got == 0) break;
  }
  if (std::ferror(file)) fail(fmt::format("cannot be read: {}", std::strerror(errno)));
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  if (text.empty()) fail("is empty (expected text)");
  size_t bad = text::find_bad_utf8(text);
  if (bad != text.npos)
    fail(fmt::format("is not UTF-8: byte 0x{:02X} at offset {} (expected text in UTF-8)", uint8_t(text[bad]), bad));
  return text;
}

std::string read_texts(std::span<const std::string> paths) {
  std::string all;
  for (const std::string& path : paths) {
    if (!all.empty() && all.back() != '\n') all += '\n';
    all += read_text(path);
  }
  return all;
}

}  // namespace fovea::data
