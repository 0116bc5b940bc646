#include "core/trace.h"

#include <chrono>
#include <string>
#include <vector>

#include "core/array.h"
#include "core/device.h"

namespace fovea {

int64_t trace_clock() { return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Array host_copy(const View& v) {
  Array out = Array::empty(shape_of(v), v.dtype, {});
  const size_t element = size_t(size_of(v.dtype)), bytes = size_t(v.numel) * element;
  char* to = static_cast<char*>(out.view().data);
  if (on_host(v.device)) {
    std::vector<int64_t> at(size_t(v.rank));
    const char* from = static_cast<const char*>(v.data);
    for (int64_t n = 0; n < v.numel; n++, to += element) {
      std::memcpy(to, from, element);
      for (int d = v.rank - 1; d >= 0; d--) {
        from += v.strides[d] * int64_t(element);
        if (++at[size_t(d)] < v.shape[d]) break;
        from -= v.strides[d] * int64_t(element) * v.shape[d];
        at[size_t(d)] = 0;
      }
    }
  } else {
    Backend& b = backend_of(v.device);
    Status s = v.dense ? b.synchronize(v.device.index) : Status{Status::unsupported, "a result that is not dense"};
    if (s) s = b.to_host(v.device.index, to, v.data, bytes);
    if (!s) throw KernelError(std::string("trace: a result cannot be read: ") + (s.text ? s.text : b.name()));
  }
  return out;
}

}  // namespace fovea
