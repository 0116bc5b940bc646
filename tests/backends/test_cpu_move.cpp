// Copies, joins, fills and bounds of whole numbers against loops over their elements.
#include <algorithm>

#include "backends/cpu/kernels.h"
#include "tests/backends/cpu_helpers.h"

using namespace fovea;
using namespace fovea::cpu_test;

namespace {

using Sizes = std::vector<int64_t>;

Sizes dense_strides(const Sizes& shape) {
  Sizes s(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;) s[d - 1] = s[d] * shape[d];
  return s;
}

template <class T> std::vector<T> counted(int64_t n) {
  std::vector<T> v(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; i++) v[size_t(i)] = T(i * 7 + 1);
  return v;
}

// y = x, both of any strides; x begins at `first` of its numbers.
template <class T> void check_copy(DType t, const Sizes& shape, const Sizes& from, int64_t first, const Sizes& to) {
  std::vector<T> numbers = counted<T>(1 << 14);
  const Strided x(numbers.data() + first, t, shape, from);
  Guarded<T> out(1 << 14, T(3));
  const Strided y(out.data(), t, shape, to);
  const View *in[] = {&x.view}, *result[] = {&y.view};
  REQUIRE(cpu::copy({.in = in, .out = result, .inputs = 1, .outputs = 1}, {}));
  std::vector<T> expected(1 << 14, T(3));
  const std::vector<int64_t> a = offsets(x), b = offsets(y);
  for (size_t i = 0; i < a.size(); i++) expected[size_t(b[i])] = numbers[size_t(first + a[i])];
  CHECK(!out.broken());
  CHECK(std::equal(expected.begin(), expected.end(), out.data()));
}

template <class F> void at_all_sizes(F&& f) {
  f.template operator()<uint8_t>(u8);
  f.template operator()<uint16_t>(f16);
  f.template operator()<float>(f32);
  f.template operator()<double>(f64);
}

}  // namespace

TEST_CASE("copies of every kind of view, at every level and element size") {
  at_every_isa([&](cpu::Isa) {
    for (int threads : {1, 3})
      with_threads(threads, [&] {
        at_all_sizes([&]<class T>(DType t) {
          for (int64_t n : {1, 3, 16, 37, 130}) {
            INFO(int(t), " ", n, " ", threads);
            check_copy<T>(t, {3, n}, {n + 5, 1}, 2, dense_strides({3, n}));                    // rows
            check_copy<T>(t, {3, n}, {n, 1}, 0, {n + 3, 1});                                   // into rows
            check_copy<T>(t, {3, n}, {n + 1, -1}, n, dense_strides({3, n}));                   // backwards
            check_copy<T>(t, {n}, {3}, 1, {2});                                                // steps
            check_copy<T>(t, {3, n, 2, 1}, {2 * n, 1, n, 1}, 0, dense_strides({3, n, 2, 1}));  // two zipped
            check_copy<T>(t, {2, n, 4}, {4 * n, 1, n}, 0, dense_strides({2, n, 4}));           // four
            check_copy<T>(t, {n, 2}, {1, 0}, 5, dense_strides({n, 2}));                        // each twice
            check_copy<T>(t, {2, n, 19}, {19 * n, 1, n}, 0, dense_strides({2, n, 19}));        // transposed
            check_copy<T>(t, {2, n, 19}, dense_strides({2, n, 19}), 0, {19 * n, 1, n});        // into a transposed one
            check_copy<T>(t, {2, n, 4}, dense_strides({2, n, 4}), 0, {4 * n, 1, n});
            check_copy<T>(t, {2, n, 19}, {0, 0, 0}, 3, dense_strides({2, n, 19}));
          }
        });
      });
  });
}

TEST_CASE("joined tensors of every width, at every level and element size") {
  at_every_isa([&](cpu::Isa) {
    at_all_sizes([&]<class T>(DType t) {
      for (const Sizes& widths : {Sizes{1, 1}, {1, 1, 1, 1}, {0, 2}, {1, 1, 1}, {5}, {33, 0, 900}, {400, 400}})
        for (int64_t tail : {1, 3})
          for (int64_t rows : {1, 70}) {
            std::vector<std::vector<T>> data;
            std::vector<std::unique_ptr<Strided>> views;
            std::vector<const View*> in;
            int64_t width = 0;
            for (int64_t w : widths) {
              width += w;
              data.push_back(counted<T>(rows * w * tail + 1));
              for (T& x : data.back()) x = T(x + T(data.size()));
              const Sizes shape{rows, w, tail};
              views.push_back(std::make_unique<Strided>(data.back().data(), t, shape, dense_strides(shape)));
              in.push_back(&views.back()->view);
            }
            Guarded<T> out(rows * width * tail, T(3));
            const Strided y(out.data(), t, {rows, width, tail}, dense_strides({rows, width, tail}));
            const View* result[] = {&y.view};
            const Call call{.in = in.data(), .out = result, .inputs = int32_t(in.size()), .outputs = 1};
            REQUIRE(cpu::cat_accepts(call, nullptr));
            REQUIRE(cpu::cat(call, {.dim = 1}));
            std::vector<T> expected;
            for (int64_t r = 0; r < rows; r++)
              for (size_t k = 0; k < widths.size(); k++)
                for (int64_t i = 0; i < widths[k] * tail; i++)
                  expected.push_back(data[k][size_t(r * widths[k] * tail + i)]);
            INFO(int(t), " ", rows, " rows of ", width, " x ", tail);
            CHECK(!out.broken());
            CHECK(std::equal(expected.begin(), expected.end(), out.data()));
          }
    });
  });
}

TEST_CASE("what is larger than the caches is copied and filled past them") {
  const int64_t n = (int64_t(1) << 23) + 13;
  std::vector<float> x(static_cast<size_t>(n + 1));
  for (int64_t i = 0; i <= n; i++) x[size_t(i)] = float(i % 8191);
  Guarded<float> out(n, -1.0f);
  const Strided from(x.data() + 1, f32, {n}, {1}), to(out.data(), f32, {n}, {1});
  const View *in[] = {&from.view}, *result[] = {&to.view};
  REQUIRE(cpu::copy({.in = in, .out = result, .inputs = 1, .outputs = 1}, {}));
  CHECK(!out.broken());
  CHECK(std::equal(x.begin() + 1, x.end(), out.data()));
  REQUIRE(cpu::fill({.out = result, .outputs = 1}, {.value = 2.5, .integer = 2}));
  CHECK(!out.broken());
  CHECK(std::all_of(out.data(), out.data() + n, [](float v) { return v == 2.5f; }));
}

TEST_CASE("fills of rows and steps") {
  at_all_sizes([&]<class T>(DType t) {
    for (int64_t n : {1, 5, 64, 700}) {
      for (int64_t step : {1, 2}) {
        Guarded<T> out(1 << 14, T(3));
        const Strided y(out.data(), t, {3, n}, {n * step + 7, step});
        const View* result[] = {&y.view};
        T value{};
        const Strided one(&value, t, {}, {});
        const View* single[] = {&one.view};
        REQUIRE(cpu::fill({.out = single, .outputs = 1}, {.value = 5, .integer = 5}));
        CHECK(value != T(0));
        REQUIRE(cpu::fill({.out = result, .outputs = 1}, {.value = 5, .integer = 5}));
        std::vector<T> expected(1 << 14, T(3));
        for (int64_t at : offsets(y)) expected[size_t(at)] = value;
        CHECK(!out.broken());
        CHECK(std::equal(expected.begin(), expected.end(), out.data()));
      }
    }
  });
}

TEST_CASE("whole numbers between two bounds, at every level") {
  at_every_isa([&](cpu::Isa) {
    std::vector<int64_t> x(5000), low(5000), high{700};
    for (size_t i = 0; i < x.size(); i++)
      x[i] = int64_t(2000 * number(i, 1)) + (int64_t(1) << 40) * int64_t(i % 7 == 0),
      low[i] = int64_t(900 * number(i, 2));
    Guarded<int64_t> out(5000);
    Strided y(out.data(), i64, {5000}, {1}), a(x.data(), i64, {5000}, {1}), b(low.data(), i64, {5000}, {1}),
        c(high.data(), i64, {5000}, {0});
    c.view.dense = false;
    const View *in[] = {&a.view, &b.view, &c.view}, *to[] = {&y.view};
    CHECK(cpu::clamp_between({.in = in, .out = to, .inputs = 3, .outputs = 1}, {}));
    int wrong = 0;
    for (size_t i = 0; i < x.size(); i++) wrong += out[int64_t(i)] != std::min(std::max(x[i], low[i]), int64_t(700));
    CHECK(wrong == 0);
    CHECK(!out.broken());
  });
}
