#include "nn/io/replace_file.h"

#include <fcntl.h>
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
  auto slash = path.rfind('/');
  std::string folder = slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  struct statvfs space;
  if (statvfs(folder.c_str(), &space) != 0)
    throw FileError(path + ": cannot be written: " + folder + ": " + std::strerror(errno));
  uint64_t available = uint64_t(space.f_bavail) * space.f_frsize;
  if (available < bytes)
    throw FileError(path + ": cannot be written: it needs " + std::to_string((bytes >> 20) + 1) + " MB and " +
                    std::to_string(available >> 20) + " MB are free");
  // One name for all attempts: what a killed one left is overwritten by the next.
  std::string temporary = path + ".tmp";
  try {
    write(temporary);
    sync(temporary, O_RDONLY, path);
    if (std::rename(temporary.c_str(), path.c_str()) != 0)
      throw FileError(path + ": cannot be replaced: " + std::strerror(errno));
  } catch (...) {
    unlink(temporary.c_str());
    throw;
  }
  sync(folder, O_RDONLY | O_DIRECTORY, path);
}

}  // namespace fovea::io
