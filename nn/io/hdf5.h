// HDF5 files of arrays: a writer and a strict reader over the C API. Called by nn/checkpoint and the `ckpt` verbs.
// The library is neither thread-safe nor made for hostile files: one mutex stands round every call, and the reader
// walks the whole file (hard links only, contiguous, known types, sizes that add up) before it gives out a byte.
#pragma once
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/array.h"

namespace fovea::io {

std::string hdf5_version();  // of the library in use

// XXH3-128 of some bytes, as 32 hexadecimal digits.
std::string digest(const void* data, size_t bytes);

using H5Attributes = std::vector<std::pair<std::string, std::string>>;

// Makes a new file; throws FileError for every short write. Groups on the way to a path are made as needed.
class H5Writer {
 public:
  explicit H5Writer(const std::string& path);
  ~H5Writer();  // closes; an error then is lost, so call close()
  H5Writer(const H5Writer&) = delete;
  H5Writer& operator=(const H5Writer&) = delete;

  // A contiguous dataset of any dtype and layout (packed and brought to the host first); returns its digest. The
  // attribute `dtype` is added ("float32", "bfloat16", ...).
  std::string array(const std::string& path, const Array& a, const H5Attributes& attributes = {});
  std::string bytes(const std::string& path, std::string_view text);  // a dataset [n] of unsigned bytes
  void link(const std::string& path, const std::string& existing);    // a second name of a dataset
  void attribute(const std::string& object, const std::string& name,
                 const std::string& value);  // a fixed-length string
  void close();                              // flushes, and brings the file to the disk

 private:
  std::string dataset(const std::string& path, DType t, const Shape& shape, const void* data,
                      const H5Attributes& attributes);
  void make_groups(const std::string& path);  // those in which `path` lies
  void check_disk(const char* what);          // FileError when a write was lost
  std::string path_;
  std::set<std::string> groups_;
  int64_t file_ = -1;
};

// A dataset as the gate found it.
struct H5Entry {
  std::string path;  // "params/tok/weight"
  DType dtype = DType::f32;
  Shape shape;
  uint64_t bytes = 0, object = 0;  // object: equal for two names of one dataset
  std::map<std::string, std::string> attributes;
};

// Opens and checks a file; throws FileError in one line when it is missing, truncated, not HDF5, or has anything the
// gate refuses.
class H5Reader {
 public:
  explicit H5Reader(const std::string& path);
  ~H5Reader();
  H5Reader(const H5Reader&) = delete;
  H5Reader& operator=(const H5Reader&) = delete;

  const std::string& path() const { return path_; }
  const std::vector<H5Entry>& entries() const { return entries_; }                // sorted by path
  const std::map<std::string, std::string>& attributes() const { return root_; }  // of the root group
  const H5Entry* find(const std::string& path) const;
  const H5Entry& at(const std::string& path) const;  // FileError when there is none
  Array read(const H5Entry& e) const;                // dense, on the default host device
  std::string bytes(const std::string& path) const;  // of a dataset of unsigned bytes
  void close();

 private:
  std::string path_;
  int64_t file_ = -1;
  std::vector<H5Entry> entries_;
  std::map<std::string, std::string> root_;
};

const char* hdf5_name_of(DType t);  // "float32", "bfloat16", ...

}  // namespace fovea::io
