#include "nn/io/replace_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "core/error.h"

namespace fovea::io {
namespace {

void sync(const std::string& path, int flags, const std::string& told) {
  int fd = open(path.c_str(), flags | O_CLOEXEC);
  int status = fd < 0 ? -1 : fsync(fd);
  int error = errno;
  if (fd >= 0) close(fd);
  if (status != 0) throw FileError(told + ": cannot be brought to the disk: " + std::strerror(error));
}

}  // namespace

void replace_file(const std::string& path, uint64_t bytes, const std::function<void(const std::string&)>& write) {
  struct stat there;
  if (stat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode))
    throw FileError(path + ": is a " + (S_ISDIR(there.st_mode) ? "folder" : "device or a pipe") +
                    " (expected the name of a file)");
  auto slash = path.rfind('/');
  std::string folder = slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  struct statvfs space;
  if (statvfs(folder.c_str(), &space) != 0)
    throw FileError(path + ": cannot be written: " + folder + ": " + std::strerror(errno));
  uint64_t available = uint64_t(space.f_bavail) * space.f_frsize;
  if (available < bytes)
    throw FileError(path + ": cannot be written: it needs " + std::to_string((bytes >> 10) + 1) + " kB and " +
                    std::to_string(available >> 10) + " kB are free");
  // One name for all attempts: what a killed one left is overwritten by the next.
  std::string temporary = path + ".tmp";
  try {
    write(temporary);
    sync(temporary, O_RDONLY, path);
    if (std::rename(temporary.c_str(), path.c_str()) != 0)
      throw FileError(path + ": cannot be replaced: " + std::strerror(errno));
  } catch (const FileError& e) {  // which names the file that its user knows
    unlink(temporary.c_str());
    std::string text = e.what();
    if (text.starts_with(temporary)) text.replace(0, temporary.size(), path);
    throw FileError(text);
  } catch (...) {
    unlink(temporary.c_str());
    throw;
  }
  sync(folder, O_RDONLY | O_DIRECTORY, path);
}

void replace_file(const std::string& path, std::string_view content) {
  replace_file(path, content.size(), [&](const std::string& temporary) {
    FILE* file = std::fopen(temporary.c_str(), "wb");
    bool written = file && std::fwrite(content.data(), 1, content.size(), file) == content.size();
    int why = errno;
    if (file && std::fclose(file) != 0 && written) written = false, why = errno;
    if (!written) throw FileError(path + ": cannot be written: " + std::strerror(why));
  });
}

}  // namespace fovea::io
