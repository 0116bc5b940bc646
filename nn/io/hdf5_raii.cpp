#include "nn/io/hdf5_raii.h"

#include <cstring>

namespace fovea::io::h5 {
namespace {

std::mutex& mutex() {
  static std::mutex m;
  return m;
}

// A float of 16 bits: the precision is set before the size shrinks, else the library refuses.
hid_t half_type(size_t exponent_bits, size_t mantissa_bits, size_t bias) {
  hid_t t = H5Tcopy(H5T_IEEE_F32LE);
  if (t < 0) return t;
  if (H5Tset_fields(t, 15, mantissa_bits, exponent_bits, 0, mantissa_bits) < 0 || H5Tset_precision(t, 16) < 0 ||
      H5Tset_size(t, 2) < 0 || H5Tset_ebias(t, bias) < 0) {
    H5Tclose(t);
    return -1;
  }
  return t;
}

}  // namespace

Lock::Lock() : guard_(mutex()) {
  static bool ready = [] {
    H5open();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    H5PLset_loading_state(0);  // no code from disk
    return true;
  }();
  (void)ready;
  H5Eclear2(H5E_DEFAULT);
}

std::string last_error() {
  std::string text;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned, const H5E_error2_t* e, void* out) -> herr_t {
        auto& text = *static_cast<std::string*>(out);
        if (text.empty() && e->desc) text = e->desc;
        return 0;
      },
      &text);
  // The file driver's texts are long; the system's own words are inside.
  const char* mark = "error message = '";
  if (auto at = text.find(mark); at != text.npos) {
    text.erase(0, at + std::strlen(mark));
    if (auto end = text.find('\''); end != text.npos) text.resize(end);
  }
  return text;
}

void fail(const std::string& path, const std::string& what) {
  std::string why = last_error();
  throw FileError(path + ": " + what + (why.empty() ? "" : ": " + why));
}

hid_t file_type(DType t) {
  switch (t) {
    case DType::f32: return H5Tcopy(H5T_IEEE_F32LE);
    case DType::f64: return H5Tcopy(H5T_IEEE_F64LE);
    case DType::bf16: return half_type(8, 7, 127);
    case DType::f16: return half_type(5, 10, 15);
    case DType::i64: return H5Tcopy(H5T_STD_I64LE);
    case DType::i32: return H5Tcopy(H5T_STD_I32LE);
    case DType::u8:
    case DType::boolean: return H5Tcopy(H5T_STD_U8LE);
    case DType::i8: return H5Tcopy(H5T_STD_I8LE);
    default: return -1;
  }
}

bool dtype_of(hid_t type, DType& t) {
  for (DType candidate : {f32, f64, bf16, f16, i64, i32, u8, i8}) {
    hid_t known = file_type(candidate);
    bool equal = known >= 0 && H5Tequal(known, type) > 0;
    if (known >= 0) H5Tclose(known);
    if (equal) {
      t = candidate;
      return true;
    }
  }
  return false;
}

}  // namespace fovea::io::h5
