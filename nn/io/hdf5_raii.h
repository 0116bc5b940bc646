// What the HDF5 writer and reader share: identifiers that close themselves, the mutex, error texts and types. Internal
// to nn/io.
#pragma once
#include <hdf5.h>

#include <mutex>
#include <string>

#include "core/dtype.h"
#include "core/error.h"

namespace fovea::io::h5 {

// Held by every public member of the writer and the reader. Sets the library up at first use: no printing, no plugins.
class Lock {
 public:
  Lock();

 private:
  std::unique_lock<std::mutex> guard_;
};

// What the library said last, in a few words ("No space left on device").
std::string last_error();
[[noreturn]] void fail(const std::string& path, const std::string& what);

class Id {
 public:
  Id(hid_t id, herr_t (*close)(hid_t), const std::string& path, const char* what) : id_(id), close_(close) {
    if (id < 0) fail(path, what);
  }
  ~Id() {
    if (id_ >= 0) close_(id_);
  }
  Id(const Id&) = delete;
  Id& operator=(const Id&) = delete;
  operator hid_t() const { return id_; }
  // Closes now and says whether that worked.
  bool close() {
    hid_t id = id_;
    id_ = -1;
    return close_(id) >= 0;
  }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

inline void check(herr_t status, const std::string& path, const char* what) {
  if (status < 0) fail(path, what);
}

// Makes files opened with these access properties use the driver of hdf5_driver.cpp. The others are an errno, 0 for
// none: what went wrong so far, what goes wrong on the way to the disk, and at the close before.
void use_careful_driver(hid_t access, const std::string& path);
int careful_driver_error(hid_t file);
int careful_driver_sync(hid_t file);
int careful_driver_close_error();

// The file type of a dtype: little-endian; bf16 and f16 as custom floats, bool as a byte. The caller closes it.
hid_t file_type(DType t);
// The dtype of a file type, boolean never; false for a type we do not know.
bool dtype_of(hid_t type, DType& t);

}  // namespace fovea::io::h5
