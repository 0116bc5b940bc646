#include "backends/ref/elements.h"

namespace fovea::ref {

template <class W> void load(const View& v, int64_t at, int64_t step, int64_t n, W* to) {
  visit(EveryType{}, v.dtype, [&]<class T>() {
    if constexpr (!is_dual_v<T> || std::is_same_v<T, W> || std::is_same_v<Dual<T>, W>) {
      const T* from = v.as<T>() + at;
      for (int64_t i = 0; i < n; i++) to[i] = convert<W>(from[i * step]);
    }
    return Status{};
  });
}

template <class W> void store(const View& v, int64_t at, int64_t step, int64_t n, const W* from) {
  visit(EveryType{}, v.dtype, [&]<class T>() {
    if constexpr (!is_dual_v<W> || std::is_integral_v<T> || std::is_same_v<T, W> || std::is_same_v<T, Dual<W>>) {
      T* to = v.as<T>() + at;
      for (int64_t i = 0; i < n; i++) to[i * step] = convert<T>(from[i]);
    }
    return Status{};
  });
}

#define FOVEA_WIDE(W)                                                \
  template void load<W>(const View&, int64_t, int64_t, int64_t, W*); \
  template void store<W>(const View&, int64_t, int64_t, int64_t, const W*);
FOVEA_WIDE(double)
FOVEA_WIDE(int64_t)
FOVEA_WIDE(Dual1)
FOVEA_WIDE(Dual2)
#undef FOVEA_WIDE

}  // namespace fovea::ref
