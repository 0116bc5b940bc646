#include "models/data/text_windows.h"

#include "autograd/ops/checks.h"
#include "autograd/ops/view.h"
#include "models/data/text_file.h"
#include "models/text/byte_tokenizer.h"

namespace fovea::data {
namespace {

std::vector<int32_t> bytes_of(const char* path) {
  if (!path)
    throw FileError("text_windows: no file is named (expected a text file, such as the program's first argument)");
  return text::ByteTokenizer().encode(read_text(path));
}

}  // namespace

TextWindows::TextWindows(const char* path, const WindowOptions& o, std::source_location where)
    : source_(at_line(where, [&] { return TextSource(bytes_of(path), o); })) {}

Batches TextWindows::batches(int64_t steps, int64_t from, std::source_location where) const {
  if (steps < 0 || from < 0)
    fovea::detail::fail<ValueError>(
        "text_windows", where,
        std::to_string(steps) + " batches from " + std::to_string(from) + " on (expected 0 or more of both)");
  return {source_, from, steps};
}

Batch TextWindows::first() const {
  Batch b = source_.batch(0);
  return {narrow(b.inputs, 0, 0, 1), narrow(b.targets, 0, 0, 1), b.inputs.size(1)};
}

}  // namespace fovea::data
