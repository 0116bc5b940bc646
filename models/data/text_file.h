// Text files as one string: UTF-8, checked whole, so that everything behind may trust it.
#pragma once
#include <span>
#include <string>

namespace fovea::data {

// The text of a file, or of standard input for `-`; a byte order mark at its start is taken off.
// FileError, one line naming the file: missing, a directory, unreadable, empty, or not UTF-8 (with the byte's offset).
std::string read_text(const std::string& path);

// Several files one after another; each but the last ends with a line break, added where it is missing.
std::string read_texts(std::span<const std::string> paths);

}  // namespace fovea::data
