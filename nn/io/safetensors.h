// safetensors: named arrays in one flat file. The reader is strict: header within bounds and without duplicate keys,
// offsets that begin at 0 and leave neither hole nor overlap, sizes that fit the shapes. Used by the program's `op` and
// `eval logits`, and by imports.
#pragma once
#include <cstdio>
#include <map>
#include <source_location>
#include <string>
#include <utility>
#include <vector>

#include "core/array.h"

namespace fovea::io {

struct Safetensors {
  std::vector<std::pair<std::string, Array>> arrays;  // in the order of the file
  std::map<std::string, std::string> metadata;

  const Array* find(const std::string& name) const;
};

// Dense arrays on the default host device, copied out of the file. FileError in one line for anything malformed, and
// for element types that we do not have.
Safetensors read_safetensors(const std::string& path, std::source_location where = std::source_location::current());
// Replaces the file whole or not at all. Arrays of any layout and device.
void write_safetensors(const std::string& path, const Safetensors& content,
                       std::source_location where = std::source_location::current());
void write_safetensors(FILE* stream, const Safetensors& content);

}  // namespace fovea::io
