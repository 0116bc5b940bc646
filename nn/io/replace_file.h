// Replaces a file in one step or not at all: what is written goes to another name beside it first. Used by checkpoints
// and tables.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace fovea::io {

// Calls write(temporary name), then fsyncs that file, renames it to `path` and fsyncs the folder. Whatever fails
// (FileError, or what `write` throws) removes the temporary file and leaves `path` as it was. `bytes` is what will be
// written: a full disk is noticed first. A device or a pipe is not replaced, but refused.
void replace_file(const std::string& path, uint64_t bytes,
                  const std::function<void(const std::string& temporary)>& write);
void replace_file(const std::string& path, std::string_view content);

}  // namespace fovea::io
