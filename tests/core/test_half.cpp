// bf16, f16 and casts: against a model that finds the nearest half by looking at its neighbours, over all 65536 halves.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "core/array.h"
#include "core/dispatch.h"
#include "core/dtype.h"

using namespace fovea;

namespace {

template <class H> H from_bits(uint32_t bits) {
  H h;
  h.bits = uint16_t(bits);
  return h;
}
// The value of positive finite bits, by the definition of the format; for the bits of infinity what the next number
// would be.
template <class H> double value(uint32_t bits) {
  constexpr int fraction = std::is_same_v<H, BFloat16> ? 7 : 10, bias = std::is_same_v<H, BFloat16> ? 127 : 15;
  int e = int(bits >> fraction), m = int(bits & ((1u << fraction) - 1));
  return e == 0 ? std::ldexp(m, 1 - bias - fraction) : std::ldexp(m + (1 << fraction), e - bias - fraction);
}
template <class H> constexpr uint32_t kInfinity = std::is_same_v<H, BFloat16> ? 0x7f80 : 0x7c00;

// The halves that tell how a cast rounds: each one itself, the middle to the next one, and just beside the middle.
template <class H, class F> void each_interesting(F&& f) {
  for (uint32_t b = 0; b < kInfinity<H>; b++) {
    double low = value<H>(b), high = value<H>(b + 1), middle = (low + high) / 2;
    f(low, b);
    f(middle, b + (b & 1));
    f(std::nextafter(middle, 0.0), b);
    f(std::nextafter(middle, INFINITY), b + 1);
  }
}

Array one_row(DType t, const void* data, int64_t n, Device d) {
  Array a = Array::empty(Shape{n}, t, d);
  std::memcpy(a.view().data, data, size_t(n * size_of(t)));
  return a;
}

template <class H> void check_casts(Device d) {
  std::vector<double> x;
  std::vector<uint16_t> expected;
  each_interesting<H>([&](double v, uint32_t bits) {
    for (double s : {v, -v}) x.push_back(s), expected.push_back(uint16_t(bits | (std::signbit(s) ? 0x8000 : 0)));
  });
  Array wide = one_row(f64, x.data(), int64_t(x.size()), d), half = cast_copy(wide, dtype_of<H>());
  int64_t wrong = 0;
  for (size_t i = 0; i < x.size(); i++) wrong += half.data<H>()[i].bits != expected[i];
  CHECK(wrong == 0);
  // From f32 the same, where f32 holds the number.
  wrong = 0;
  std::vector<float> narrow;
  std::vector<uint16_t> wanted;
  for (size_t i = 0; i < x.size(); i++)
    if (double(float(x[i])) == x[i]) narrow.push_back(float(x[i])), wanted.push_back(expected[i]);
  half = cast_copy(one_row(f32, narrow.data(), int64_t(narrow.size()), d), dtype_of<H>());
  for (size_t i = 0; i < narrow.size(); i++) wrong += half.data<H>()[i].bits != wanted[i];
  CHECK(wrong == 0);
  CHECK(narrow.size() >= 4 * kInfinity<H>);  // each half and each middle, both signs
  // And back: widening is exact, NaN stays NaN, infinity and the sign of zero stay.
  std::vector<uint16_t> all(65536);
  for (uint32_t b = 0; b < 65536; b++) all[b] = uint16_t(b);
  Array halves = one_row(dtype_of<H>(), all.data(), 65536, d);
  Array floats = cast_copy(halves, f32), doubles = cast_copy(halves, f64), again = cast_copy(floats, dtype_of<H>());
  wrong = 0;
  for (uint32_t b = 0; b < 65536; b++) {
    uint32_t a = b & 0x7fff;
    double v = a > kInfinity<H> ? NAN : a == kInfinity<H> ? INFINITY : value<H>(a), s = b & 0x8000 ? -v : v;
    float f = floats.data<float>()[b];
    if (std::isnan(v))
      wrong += !std::isnan(f) || !std::isnan(doubles.data<double>()[b]) || !std::isnan(float(again.data<H>()[b]));
    else
      wrong += double(f) != s || std::signbit(f) != std::signbit(s) || doubles.data<double>()[b] != s ||
               again.data<H>()[b].bits != b;
  }
  CHECK(wrong == 0);
}

std::vector<Device> devices() { return {device("ref"), device("cpu")}; }

}  // namespace

TEST_CASE("casts to halves round to nearest, ties to even, once: also from f64") {
  for (Device d : devices()) {
    INFO("on ", device_name(d));
    check_casts<Float16>(d);
    check_casts<BFloat16>(d);
  }
}

TEST_CASE("whole numbers become the nearest half") {
  for (Device d : devices()) {
    INFO("on ", device_name(d));
    // Between 2^24 and 2^25 a float has even numbers only: 0x1010001 lies just above the middle of two bf16.
    std::vector<int64_t> x{2049,      2051,     65519, 65520, -65520, 0x1010000, 0x1010001, (int64_t(0x101) << 50) + 1,
                           INT64_MIN, INT64_MAX};
    std::vector<float> f16s{2048, 2052, 65504, INFINITY, -INFINITY, INFINITY, INFINITY, INFINITY, -INFINITY, INFINITY};
    std::vector<float> bf16s{2048, 2048, 65536, 65536, -65536, 0x1.00p24f, 0x1.02p24f, 0x1.02p58f, -0x1p63f, 0x1p63f};
    Array a = one_row(i64, x.data(), int64_t(x.size()), d);
    Array to16 = cast_copy(a, f16), tob = cast_copy(a, bf16);
    for (size_t i = 0; i < x.size(); i++) {
      INFO(x[i]);
      CHECK(float(to16.data<Float16>()[i]) == f16s[i]);
      CHECK(float(tob.data<BFloat16>()[i]) == bf16s[i]);
    }
  }
}

TEST_CASE("casts to whole numbers truncate, and wrap round as PyTorch's do") {
  for (Device d : devices()) {
    INFO("on ", device_name(d));
    std::vector<double> x{300.7, -1.5, -129, 2.9, -2.9, 0.5, -0.0, 4294967301.0};
    Array a = one_row(f64, x.data(), int64_t(x.size()), d);
    auto as = [&]<class T>(T) {
      Array y = cast_copy(a, dtype_of<T>());
      std::vector<int64_t> v;
      for (size_t i = 0; i < x.size(); i++) v.push_back(int64_t(y.data<T>()[i]));
      return v;
    };
    CHECK(as(int64_t()) == std::vector<int64_t>{300, -1, -129, 2, -2, 0, 0, 4294967301});
    CHECK(as(int8_t()) == std::vector<int64_t>{44, -1, 127, 2, -2, 0, 0, 5});
    CHECK(as(uint8_t()) == std::vector<int64_t>{44, 255, 127, 2, 254, 0, 0, 5});
    CHECK(as(int32_t()) == std::vector<int64_t>{300, -1, -129, 2, -2, 0, 0, 5});
    CHECK(as(bool()) == std::vector<int64_t>{1, 1, 1, 1, 1, 1, 0, 1});
    std::vector<int64_t> w{-1, 256, 128, -129, int64_t(1) << 40};
    Array b = one_row(i64, w.data(), int64_t(w.size()), d), n = cast_copy(b, i8), u = cast_copy(b, u8),
          t = cast_copy(b, boolean);
    for (size_t i = 0; i < w.size(); i++) {
      CHECK(n.data<int8_t>()[i] == int8_t(w[i]));
      CHECK(u.data<uint8_t>()[i] == uint8_t(w[i]));
      CHECK(t.data<bool>()[i]);
    }
    // NaN and what no i64 holds: 0 (C++ leaves it open, PyTorch's answer depends on the machine).
    std::vector<float> odd{NAN, INFINITY, -INFINITY, 1e20f};
    Array c = one_row(f32, odd.data(), 4, d);
    for (DType to : {i64, i32, i8, u8}) {
      Array y = cast_copy(cast_copy(c, to), i64);
      for (int i = 0; i < 4; i++) CHECK(y.data<int64_t>()[i] == 0);
    }
    Array truth = cast_copy(c, boolean);
    CHECK(truth.data<bool>()[0]);  // NaN is not zero
  }
}

TEST_CASE("f64 to f32 rounds to nearest, overflows to infinity and keeps denormals") {
  for (Device d : devices()) {
    std::vector<double> x{1 + 0x1p-24, 1 + 0x1p-24 + 0x1p-50, 1e300,         -1e300, 0x1p-149,
                          0x1p-151,    0x1.fffffefp127,       0x1.ffffffp127};
    std::vector<float> y{1, 1 + 0x1p-23f, INFINITY, -INFINITY, 0x1p-149f, 0, 0x1.fffffep127f, INFINITY};
    Array a = cast_copy(one_row(f64, x.data(), int64_t(x.size()), d), f32);
    for (size_t i = 0; i < x.size(); i++) CHECK(a.data<float>()[i] == y[i]);
  }
}
