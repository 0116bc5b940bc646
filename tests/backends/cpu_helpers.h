// What the tests of the CPU kernels share: numbers, memory with guard bands, every instruction set, several thread
// counts.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "backends/cpu/isa.h"
#include "core/backend.h"
#include "core/parallel.h"

namespace fovea::cpu_test {

// Numbers in [-1, 1), the same on every machine.
inline double number(uint64_t i, uint64_t seed = 0) {
  uint64_t x = i * 0x9e3779b97f4a7c15 + (seed + 1) * 0xd1b54a32d192ed03;
  x ^= x >> 32, x *= 0xd6e8feb86659fd93, x ^= x >> 32;
  return double(x >> 11) * 0x1p-52 - 1;
}
template <class T> std::vector<T> numbers(int64_t n, uint64_t seed = 0, double scale = 1) {
  std::vector<T> v(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; i++) v[size_t(i)] = T(scale * number(uint64_t(i), seed));
  return v;
}

// Runs f(level) at every level this CPU has, and puts back what was.
template <class F> void at_every_isa(F&& f) {
  struct Restore {
    cpu::Isa before = cpu::isa();
    ~Restore() { cpu::set_isa(before); }
  } restore;
  for (int i = 0; i <= int(cpu::best_isa()); i++) {
    cpu::set_isa(cpu::Isa(i));
    INFO("level ", std::string(cpu::kIsaNames[i]));
    f(cpu::Isa(i));
  }
}
template <class F> void with_threads(int n, F&& f) {
  struct Restore {
    int before = thread_count();
    ~Restore() { set_thread_count(before); }
  } restore;
  set_thread_count(n);
  f();
}

// Memory of n elements between two bands, all filled with one value; broken() says whether a band was written.
template <class T> class Guarded {
 public:
  explicit Guarded(int64_t n, T fill = T(-12345)) : n_(n), fill_(fill), all_(new T[size_t(n + 2 * kBand)]) {
    for (int64_t i = 0; i < n + 2 * kBand; i++) all_[size_t(i)] = fill;
  }
  T* data() { return &all_[kBand]; }
  T& operator[](int64_t i) { return all_[size_t(i + kBand)]; }
  bool broken() const {
    for (int64_t i = 0; i < kBand; i++)
      if (all_[size_t(i)] != fill_ || all_[size_t(n_ + kBand + i)] != fill_) return true;
    return false;
  }

 private:
  static constexpr int64_t kBand = 67;
  int64_t n_;
  T fill_;
  std::unique_ptr<T[]> all_;
};

// A kernel's scratch as the host gives it, 64-byte aligned, between two bands.
class Scratch {
 public:
  explicit Scratch(int64_t bytes) : bytes_(bytes), all_(size_t(bytes) / sizeof(Line) + 3) {
    std::memset(all_.data(), kFill, all_.size() * sizeof(Line));
  }
  void* data() { return &all_[1]; }
  bool broken() const {
    const auto* bytes = reinterpret_cast<const unsigned char*>(all_.data());
    for (size_t i = 0; i < all_.size() * sizeof(Line); i++)
      if ((i < sizeof(Line) || i >= sizeof(Line) + size_t(bytes_)) && bytes[i] != kFill) return true;
    return false;
  }

 private:
  struct alignas(64) Line {
    unsigned char bytes[64];
  };
  static constexpr unsigned char kFill = 0xa5;
  int64_t bytes_;
  std::vector<Line> all_;
};

// A view over numbers with its own shape and strides.
struct Strided {
  std::vector<int64_t> shape, strides;
  View view;
  Strided(void* data, DType t, std::vector<int64_t> s, std::vector<int64_t> st)
      : shape(std::move(s)), strides(std::move(st)) {
    int64_t dense = 1;
    view.data = data, view.dtype = t, view.rank = int8_t(shape.size()), view.numel = 1;
    for (size_t d = shape.size(); d-- > 0;) {
      if (strides[d] != dense && shape[d] != 1) view.dense = false;
      dense *= shape[d];
    }
    view.numel = dense;
    view.shape = shape.data(), view.strides = strides.data();
  }
  Strided(const Strided&) = delete;
};

inline std::vector<int64_t> offsets(const Strided& s) {
  std::vector<int64_t> all{0};
  for (size_t d = 0; d < s.shape.size(); d++) {
    std::vector<int64_t> next;
    for (int64_t o : all)
      for (int64_t i = 0; i < s.shape[d]; i++) next.push_back(o + i * s.strides[d]);
    all = next;
  }
  return all;
}

// Equal bits, NaN included.
template <class T> bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace fovea::cpu_test
