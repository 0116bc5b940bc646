#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>

#include "core/device.h"
#include "nn/io/hdf5.h"
#include "nn/io/hdf5_raii.h"

namespace fovea::io {
namespace {

using h5::fail;
using h5::Id;

constexpr int kMaxDepth = 32;
constexpr size_t kMaxObjects = 200000, kMaxAttribute = 64 << 10, kMaxName = 1000;

// Looks at the file before the library does: the commonest mistakes get plain words.
uint64_t check_signature(const std::string& path) {
  struct stat st;
  if (stat(path.c_str(), &st) != 0) throw FileError(path + ": cannot be read: " + std::strerror(errno));
  if (S_ISDIR(st.st_mode)) throw FileError(path + ": is a folder (expected a checkpoint file)");
  if (st.st_size == 0) throw FileError(path + ": is empty (expected an HDF5 file)");
  std::ifstream in(path, std::ios::binary);
  char first[8] = {};
  if (!in.read(first, 8) && in.gcount() == 0) throw FileError(path + ": cannot be read: " + std::strerror(errno));
  if (in.gcount() < 8 || std::memcmp(first, "\211HDF\r\n\032\n", 8) != 0)
    throw FileError(path + ": is not an HDF5 file");
  return uint64_t(st.st_size);
}

// Walks every link before anything is read.
class Gate {
 public:
  Gate(const std::string& path, hid_t file, uint64_t size, std::vector<H5Entry>& entries)
      : path_(path), file_(file), size_(size), entries_(entries) {}

  void walk(const std::string& group, int depth) {
    if (depth > kMaxDepth) refuse(group, "groups are nested more than 32 deep");
    Id id(H5Gopen2(file_, group.empty() ? "/" : group.c_str(), H5P_DEFAULT), H5Gclose, path_, "is damaged");
    std::vector<std::string> names;
    hsize_t at = 0;
    herr_t status = H5Literate(
        id, H5_INDEX_NAME, H5_ITER_NATIVE, &at,
        [](hid_t, const char* name, const H5L_info_t* info, void* out) -> herr_t {
          auto& names = *static_cast<std::vector<std::string>*>(out);
          if (info->type != H5L_TYPE_HARD || names.size() >= kMaxObjects || std::strlen(name) > kMaxName) {
            names.assign(1, info->type != H5L_TYPE_HARD ? "a link that is not hard" : "too many or too long names");
            return 1;
          }
          names.push_back(name);
          return 0;
        },
        &names);
    if (status < 0) fail(path_, "is damaged");
    if (status > 0) refuse(group, names[0].c_str());
    for (const std::string& name : names) {
      std::string full = group.empty() ? name : group + "/" + name;
      if (++objects_ > kMaxObjects) refuse(full, "too many objects");
      H5O_info_t info;
      if (H5Oget_info_by_name(id, name.c_str(), &info, H5P_DEFAULT) < 0) fail(path_, "is damaged at " + full);
      if (info.type == H5O_TYPE_GROUP) {
        if (!groups_.insert(info.addr).second) refuse(full, "a group with two names, or a cycle");
        walk(full, depth + 1);
      } else if (info.type == H5O_TYPE_DATASET) {
        dataset(full, info.addr);
      } else {
        refuse(full, "neither a group nor an array");
      }
    }
  }

  void attributes(hid_t object, const std::string& where, std::map<std::string, std::string>& out) {
    H5O_info_t info;
    if (H5Oget_info(object, &info) < 0) fail(path_, "is damaged at " + where);
    if (info.num_attrs > 64) refuse(where, "too many attributes");
    for (hsize_t i = 0; i < info.num_attrs; i++) {
      Id a(H5Aopen_by_idx(object, ".", H5_INDEX_NAME, H5_ITER_NATIVE, i, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, path_,
           "is damaged");
      char name[128] = {};
      if (H5Aget_name(a, sizeof name, name) < 0) fail(path_, "is damaged at " + where);
      Id type(H5Aget_type(a), H5Tclose, path_, "is damaged");
      Id space(H5Aget_space(a), H5Sclose, path_, "is damaged");
      size_t size = H5Tget_size(type);
      if (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 ||
          H5Sget_simple_extent_npoints(space) != 1 || size > kMaxAttribute)
        refuse(where, "an attribute that is not a short fixed string");
      std::string value(size, '\0');
      if (H5Aread(a, type, value.data()) < 0) fail(path_, "is damaged at " + where);
      value.resize(std::min(value.size(), std::strlen(value.c_str())));
      out[name] = value;
    }
  }

 private:
  [[noreturn]] void refuse(const std::string& where, const char* what) {
    throw FileError(path_ + ": refused: " + (where.empty() ? "" : "'" + where + "': ") + what);
  }

  void dataset(const std::string& full, haddr_t object) {
    Id set(H5Dopen2(file_, full.c_str(), H5P_DEFAULT), H5Dclose, path_, "is damaged");
    Id create(H5Dget_create_plist(set), H5Pclose, path_, "is damaged");
    if (H5Pget_layout(create) != H5D_CONTIGUOUS) refuse(full, "its layout is not contiguous");
    if (H5Pget_external_count(create) != 0) refuse(full, "its data lies in another file");
    Id type(H5Dget_type(set), H5Tclose, path_, "is damaged");
    Id space(H5Dget_space(set), H5Sclose, path_, "is damaged");
    H5Entry e;
    e.path = full;
    e.object = object;
    if (!h5::dtype_of(type, e.dtype)) refuse(full, "an unknown element type");
    H5S_class_t kind = H5Sget_simple_extent_type(space);
    int rank = kind == H5S_SCALAR ? 0 : H5Sget_simple_extent_ndims(space);
    if ((kind != H5S_SCALAR && kind != H5S_SIMPLE) || rank < 0 || rank > kMaxRank)
      refuse(full, "more than eight axes, or none at all");
    hsize_t dims[kMaxRank] = {}, most[kMaxRank] = {};
    if (rank && H5Sget_simple_extent_dims(space, dims, most) < 0) fail(path_, "is damaged at " + full);
    uint64_t n = uint64_t(size_of(e.dtype));
    for (int i = 0; i < rank; i++) {
      if (dims[i] != most[i]) refuse(full, "its size can grow");
      if (dims[i] > size_ || __builtin_mul_overflow(n, uint64_t(dims[i]), &n))
        refuse(full, "its shape is larger than the file");
      e.shape.push_back(int64_t(dims[i]));
    }
    e.bytes = n;
    uint64_t stored = H5Dget_storage_size(set);
    if (stored != n) refuse(full, "its stored size does not fit its shape");
    if (n > 0) {
      haddr_t offset = H5Dget_offset(set);
      if (offset == HADDR_UNDEF || offset > size_ || n > size_ - offset)
        refuse(full, "its data lies beyond the end of the file");
      if (data_.insert(offset).second && (total_ += n) > size_) refuse(full, "its arrays overlap");
    }
    attributes(set, full, e.attributes);
    auto named = e.attributes.find("dtype");
    if (named != e.attributes.end() && named->second != hdf5_name_of(e.dtype)) {
      if (e.dtype != u8 || named->second != "bool") refuse(full, "its attribute dtype contradicts its type");
      e.dtype = boolean;
    }
    entries_.push_back(std::move(e));
  }

  const std::string& path_;
  hid_t file_;
  uint64_t size_, total_ = 0;
  size_t objects_ = 0;
  std::vector<H5Entry>& entries_;
  std::set<haddr_t> groups_, data_;
};

}  // namespace

H5Reader::H5Reader(const std::string& path) : path_(path) {
  uint64_t size = check_signature(path_);
  h5::Lock lock;
  Id access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, path_, "cannot be opened");
#if H5_VERSION_GE(1, 10, 7)
  h5::check(H5Pset_file_locking(access, false, true), path_, "cannot be opened");
#endif
  hid_t file = H5Fopen(path_.c_str(), H5F_ACC_RDONLY, access);
  if (file < 0) {
    std::string why = h5::last_error();
    if (why.find("truncated") != why.npos || why.find("past end of file") != why.npos ||
        why.find("addr overflow") != why.npos)
      throw FileError(path_ + ": is truncated: it has " + std::to_string(size) + " bytes and says it should have more");
    throw FileError(path_ + ": is a damaged HDF5 file: " + why);
  }
  try {
    Gate gate(path_, file, size, entries_);
    gate.walk("", 0);
    Id root(H5Gopen2(file, "/", H5P_DEFAULT), H5Gclose, path_, "is damaged");
    gate.attributes(root, "", root_);
  } catch (...) {
    H5Fclose(file);
    throw;
  }
  file_ = file;
  std::sort(entries_.begin(), entries_.end(), [](const H5Entry& a, const H5Entry& b) { return a.path < b.path; });
}

H5Reader::~H5Reader() { close(); }

void H5Reader::close() {
  if (file_ < 0) return;
  h5::Lock lock;
  H5Fclose(file_);
  file_ = -1;
}

const H5Entry* H5Reader::find(const std::string& path) const {
  auto at = std::lower_bound(entries_.begin(), entries_.end(), path,
                             [](const H5Entry& e, const std::string& p) { return e.path < p; });
  return at != entries_.end() && at->path == path ? &*at : nullptr;
}

const H5Entry& H5Reader::at(const std::string& path) const {
  const H5Entry* e = find(path);
  if (!e) throw FileError(path_ + ": has no '" + path + "'");
  return *e;
}

Array H5Reader::read(const H5Entry& e) const {
  Array a = Array::empty(e.shape, e.dtype, default_device());
  if (e.bytes == 0) return a;
  h5::Lock lock;
  Id set(H5Dopen2(hid_t(file_), e.path.c_str(), H5P_DEFAULT), H5Dclose, path_, "reading failed");
  Id type(H5Dget_type(set), H5Tclose, path_, "reading failed");  // the file's own: no conversion by the library
  if (H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, a.view().data) < 0)
    fail(path_, "reading " + e.path + " failed");
  if (const std::string wrong = wrong_truth(a); !wrong.empty()) throw FileError(path_ + ": '" + e.path + "': " + wrong);
  return a;
}

std::string H5Reader::bytes(const std::string& path) const {
  const H5Entry& e = at(path);
  if (e.dtype != u8 || e.shape.rank != 1) throw FileError(path_ + ": '" + path + "' is not a list of bytes");
  Array a = read(e);
  return std::string(static_cast<const char*>(a.view().data), e.bytes);
}

}  // namespace fovea::io
