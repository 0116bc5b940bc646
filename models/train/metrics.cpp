#include "models/train/metrics.h"

#include <fmt/core.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/error.h"

namespace fovea::train {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw FileError(fmt::format("{}: {}: {}", path, what, std::strerror(errno)));
}

std::string read_all(const std::string& path) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) fail(path, "cannot be opened");
  std::string text;
  char piece[1 << 16];
  while (size_t got = std::fread(piece, 1, sizeof piece, file.get())) text.append(piece, got);
  if (std::ferror(file.get())) fail(path, "cannot be read");
  return text;
}

// Calls visit(record, offset behind its line) for each whole line. A last line without its end is no line yet.
template <class Visit> void for_each_record(const std::string& path, const std::string& text, Visit visit) {
  size_t number = 1;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != text.npos; begin = end + 1, number++) {
    std::string name = fmt::format("{}, line {}", path, number);
    io::Json record = io::Json::parse(std::string_view(text).substr(begin, end - begin), name);
    const io::Json* step = record.is_object() ? record.find("step") : nullptr;
    if (!step || !step->is_int())
      throw FileError(name + ": no integer \"step\" (expected one record of metrics a line)");
    visit(record, end + 1);
  }
}

}  // namespace

std::vector<io::Json> read_metrics(const std::string& path) {
  std::vector<io::Json> records;
  for_each_record(path, read_all(path), [&](io::Json& record, size_t) { records.push_back(std::move(record)); });
  return records;
}

MetricsWriter::MetricsWriter(std::string path, int64_t last_step) : path_(std::move(path)) {
  size_t keep = 0;
  bool kept_all = true;
  std::error_code none;
  if (std::filesystem::is_regular_file(path_, none)) {
    try {
      for_each_record(path_, read_all(path_), [&](io::Json& record, size_t behind) {
        if (!record.find("loss"))
          throw FileError(path_ + ": has a record without a loss, so it is none of a training run");
        kept_all = kept_all && record["step"].as_int() <= last_step;
        if (kept_all) keep = behind;
      });
    } catch (const FileError& e) {
      throw FileError(std::string(e.what()) + ". Move the file away to go on without the curve so far");
    }
  }
  file_.reset(std::fopen(path_.c_str(), "ab"));
  if (!file_) fail(path_, "cannot be opened for writing");
  if (std::filesystem::is_regular_file(path_, none)) {
    std::filesystem::resize_file(path_, keep, none);
    if (none) throw FileError(fmt::format("{}: cannot be cut off: {}", path_, none.message()));
  }
}

void MetricsWriter::write(const io::Json& record) {
  std::string line = record.dump() + "\n";
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() || std::fflush(file_.get()) != 0)
    fail(path_, "cannot be written");
}

}  // namespace fovea::train
