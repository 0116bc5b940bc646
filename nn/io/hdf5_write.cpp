#include <sys/stat.h>
#include <xxhash.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/dispatch.h"
#include "nn/io/hdf5.h"
#include "nn/io/hdf5_raii.h"

namespace fovea::io {

using h5::check;
using h5::fail;
using h5::Id;

std::string hdf5_version() {
  unsigned major, minor, release;
  h5::Lock lock;
  H5get_libversion(&major, &minor, &release);
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release);
}

std::string digest(const void* data, size_t bytes) {
  XXH128_hash_t h = XXH3_128bits(data, bytes);
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
  return text;
}

const char* hdf5_name_of(DType t) {
  constexpr const char* names[] = {"float32", "float64", "bfloat16", "float16", "int64",
                                   "int32",   "uint8",   "int8",     "bool"};
  return int(t) < 9 ? names[int(t)] : "";
}

H5Writer::H5Writer(const std::string& path) : path_(path) {
  h5::Lock lock;
  Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, path_, "cannot be created");
  check(H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_LATEST), path_, "cannot be created");
  check(H5Pset_alignment(access, 64 << 10, 4096), path_, "cannot be created");
  h5::use_careful_driver(access, path_);
  Id create(H5Pcreate(H5P_FILE_CREATE), H5Pclose, path_, "cannot be created");
  check(H5Pset_obj_track_times(create, false), path_, "cannot be created");  // equal runs give equal files
  file_ = H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, create, access);
  if (file_ < 0) fail(path_, "cannot be created");
}

H5Writer::~H5Writer() {
  if (file_ < 0) return;
  h5::Lock lock;
  H5Fclose(file_);
}

void H5Writer::check_disk(const char* what) {
  if (int error = h5::careful_driver_error(file_)) throw FileError(path_ + ": " + what + ": " + std::strerror(error));
}

void H5Writer::close() {
  h5::Lock lock;
  int64_t file = std::exchange(file_, -1);
  bool flushed = H5Fflush(file, H5F_SCOPE_GLOBAL) >= 0;
  std::string why = flushed ? "" : h5::last_error();
  int error = h5::careful_driver_sync(file);
  bool closed = H5Fclose(file) >= 0;
  if (!error) error = h5::careful_driver_close_error();
  if (error) throw FileError(path_ + ": writing failed: " + std::strerror(error));
  if (!flushed) throw FileError(path_ + ": writing failed: " + why);
  if (!closed) fail(path_, "closing failed");
}

namespace {

void write_attribute(hid_t object, const std::string& file, const std::string& name, const std::string& value) {
  Id type(H5Tcopy(H5T_C_S1), H5Tclose, file, "writing an attribute failed");
  check(H5Tset_size(type, value.size() + 1), file, "writing an attribute failed");
  check(H5Tset_cset(type, H5T_CSET_UTF8), file, "writing an attribute failed");
  Id space(H5Screate(H5S_SCALAR), H5Sclose, file, "writing an attribute failed");
  Id at(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, file,
        "writing an attribute failed");
  check(H5Awrite(at, type, value.c_str()), file, "writing an attribute failed");
}

}  // namespace

std::string H5Writer::dataset(const std::string& path, DType t, const Shape& shape, const void* data,
                              const H5Attributes& attributes) {
  const std::string what = "writing " + path + " failed";
  const char* text = what.c_str();
  h5::Lock lock;
  hsize_t dims[kMaxRank];
  for (int i = 0; i < shape.rank; i++) dims[i] = hsize_t(shape[i]);
  Id type(h5::file_type(t), H5Tclose, path_, text);
  Id space(shape.rank ? H5Screate_simple(shape.rank, dims, nullptr) : H5Screate(H5S_SCALAR), H5Sclose, path_, text);
  Id create(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, path_, text);
  check(H5Pset_layout(create, H5D_CONTIGUOUS), path_, text);
  check(H5Pset_alloc_time(create, H5D_ALLOC_TIME_EARLY), path_, text);
  check(H5Pset_fill_time(create, H5D_FILL_TIME_NEVER), path_, text);
  check(H5Pset_obj_track_times(create, false), path_, text);
  make_groups(path);
  Id set(H5Dcreate2(file_, path.c_str(), type, space, H5P_DEFAULT, create, H5P_DEFAULT), H5Dclose, path_, text);
  size_t bytes = size_t(numel(shape)) * size_t(size_of(t));
  if (bytes) check(H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), path_, text);
  for (auto& [name, value] : attributes) write_attribute(set, path_, name, value);
  if (!set.close()) fail(path_, what);
  check_disk(text);
  return digest(data, bytes);
}

std::string H5Writer::array(const std::string& path, const Array& a, const H5Attributes& attributes) {
  Array host = on_host(a.device()) ? a : to_device(a, default_device());
  if (host.is_shape_only()) throw ValueError(path_ + ": " + path + " is shape-only and has no data");
  if (!host.dense()) host = dense_copy(host);
  H5Attributes all = attributes;
  all.emplace_back("dtype", hdf5_name_of(host.dtype()));
  return dataset(path, host.dtype(), host.shape(), host.view().data, all);
}

std::string H5Writer::bytes(const std::string& path, std::string_view text) {
  return dataset(path, u8, {int64_t(text.size())}, text.data(), {});
}

void H5Writer::link(const std::string& path, const std::string& existing) {
  h5::Lock lock;
  make_groups(path);
  check(H5Lcreate_hard(file_, existing.c_str(), file_, path.c_str(), H5P_DEFAULT, H5P_DEFAULT), path_,
        "linking failed");
}

// By hand, since groups made on the way would carry the time of day.
void H5Writer::make_groups(const std::string& path) {
  for (auto slash = path.find('/'); slash != path.npos; slash = path.find('/', slash + 1)) {
    std::string name = path.substr(0, slash);
    if (!groups_.insert(name).second) continue;
    Id create(H5Pcreate(H5P_GROUP_CREATE), H5Pclose, path_, "writing a group failed");
    check(H5Pset_obj_track_times(create, false), path_, "writing a group failed");
    Id made(H5Gcreate2(file_, name.c_str(), H5P_DEFAULT, create, H5P_DEFAULT), H5Gclose, path_,
            "writing a group failed");
  }
}

void H5Writer::attribute(const std::string& object, const std::string& name, const std::string& value) {
  h5::Lock lock;
  Id at(H5Oopen(file_, object.c_str(), H5P_DEFAULT), H5Oclose, path_, "writing an attribute failed");
  write_attribute(at, path_, name, value);
}

}  // namespace fovea::io
