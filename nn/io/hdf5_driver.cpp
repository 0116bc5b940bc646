// The file driver of our writer. HDF5 crashes at exit when it could not flush a file (a full disk is enough), so to the
// library no write of this driver ever fails: the first error is remembered, later writes are dropped, and the writer
// asks before it trusts the file.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "nn/io/hdf5_raii.h"
#if H5_VERSION_GE(1, 14, 0)
#include <H5FDdevelop.h>
#endif

namespace fovea::io::h5 {
namespace {

struct Driver {
  H5FD_t base;  // the library's part comes first
  int fd = -1, error = 0;
  haddr_t eoa = 0, eof = 0;
};

Driver* of(H5FD_t* f) { return reinterpret_cast<Driver*>(f); }
const Driver* of(const H5FD_t* f) { return reinterpret_cast<const Driver*>(f); }

H5FD_t* open_file(const char* name, unsigned, hid_t, haddr_t) {
  int fd = ::open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) {
    H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_FILE, H5E_CANTOPENFILE, "%s",
             std::strerror(errno));
    return nullptr;
  }
  auto* d = new Driver{};
  d->fd = fd;
  return &d->base;
}

int close_error = 0;  // of the file that was closed last; h5::Lock guards it

herr_t close_file(H5FD_t* f) {
  close_error = ::close(of(f)->fd) == 0 ? of(f)->error : errno;  // closing writes, too
  delete of(f);
  return 0;
}

herr_t query(const H5FD_t*, unsigned long* flags) {
  *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
           H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

haddr_t get_eoa(const H5FD_t* f, H5FD_mem_t) { return of(f)->eoa; }
herr_t set_eoa(H5FD_t* f, H5FD_mem_t, haddr_t at) {
  of(f)->eoa = at;
  return 0;
}
haddr_t get_eof(const H5FD_t* f, H5FD_mem_t) { return of(f)->eof; }
herr_t get_handle(H5FD_t* f, hid_t, void** handle) {
  *handle = f;
  return 0;
}

// What lies beyond the file's end, or was dropped, reads as zeros.
herr_t read(H5FD_t* f, H5FD_mem_t, hid_t, haddr_t at, size_t size, void* to) {
  char* p = static_cast<char*>(to);
  while (size > 0) {
    ssize_t n = ::pread(of(f)->fd, p, size, off_t(at));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && !of(f)->error) of(f)->error = errno;
    if (n <= 0) break;
    p += n;
    at += haddr_t(n);
    size -= size_t(n);
  }
  std::memset(p, 0, size);
  return 0;
}

herr_t write(H5FD_t* f, H5FD_mem_t, hid_t, haddr_t at, size_t size, const void* from) {
  Driver& d = *of(f);
  if (at + size > d.eof) d.eof = at + size;
  const char* p = static_cast<const char*>(from);
  while (size > 0 && !d.error) {
    ssize_t n = ::pwrite(d.fd, p, size, off_t(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) d.error = n < 0 ? errno : ENOSPC;
    else p += n, at += haddr_t(n), size -= size_t(n);
  }
  return 0;
}

herr_t truncate(H5FD_t* f, hid_t, hbool_t) {
  Driver& d = *of(f);
  if (!d.error && d.eoa != d.eof && ::ftruncate(d.fd, off_t(d.eoa)) != 0) d.error = errno;
  d.eof = d.eoa;
  return 0;
}

const H5FD_class_t* driver_class() {
  static const H5FD_class_t made = [] {
    H5FD_class_t c{};
#if H5_VERSION_GE(1, 14, 0)
    c.version = H5FD_CLASS_VERSION;
    c.value = H5FD_class_value_t(600);  // of the range for private drivers
#endif
    c.name = "fovea";
    c.maxaddr = haddr_t(std::numeric_limits<off_t>::max());
    c.fc_degree = H5F_CLOSE_WEAK;
    c.open = open_file;
    c.close = close_file;
    c.query = query;
    c.get_eoa = get_eoa;
    c.set_eoa = set_eoa;
    c.get_eof = get_eof;
    c.get_handle = get_handle;
    c.read = read;
    c.write = write;
    c.truncate = truncate;
    H5FD_mem_t map[] = H5FD_FLMAP_DICHOTOMY;
    std::memcpy(c.fl_map, map, sizeof map);
    return c;
  }();
  return &made;
}

}  // namespace

void use_careful_driver(hid_t access, const std::string& path) {
  static const hid_t driver = H5FDregister(driver_class());
  if (driver < 0 || H5Pset_driver(access, driver, nullptr) < 0) fail(path, "cannot be created");
}

namespace {
Driver* driver_of(hid_t file) {
  void* handle = nullptr;
  return H5Fget_vfd_handle(file, H5P_DEFAULT, &handle) < 0 ? nullptr : static_cast<Driver*>(handle);
}
}  // namespace

int careful_driver_error(hid_t file) {
  Driver* d = driver_of(file);
  return d ? d->error : EIO;
}

int careful_driver_sync(hid_t file) {
  Driver* d = driver_of(file);
  if (!d) return EIO;
  if (!d->error && ::fsync(d->fd) != 0) d->error = errno;
  return d->error;
}

int careful_driver_close_error() { return close_error; }

}  // namespace fovea::io::h5
