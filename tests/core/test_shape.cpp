// Shapes, broadcasting, and what is too large. Views are tested with their gradients in tests/autograd/test_views.cpp.
#include <string>

#include <doctest/doctest.h>
#include "core/array.h"
#include "core/device.h"
#include "core/shape.h"

using namespace fovea;

TEST_CASE("pitfall 25: products of sizes never overflow in silence, pt#42582, pt#43755, mlx#4303") {
  int64_t p31 = int64_t(1) << 31, p32 = int64_t(1) << 32;
  CHECK(numel(Shape{p31 - 1}) == p31 - 1);
  CHECK(numel(Shape{p31, 2}) == p32);
  CHECK(numel(Shape{p32, p31 / 2}) == int64_t(1) << 62);
  CHECK_THROWS_AS(numel(Shape{p32, p31}), ShapeError);  // 2^63
  CHECK_THROWS_AS(numel(Shape{p32, p32}), ShapeError);  // 2^64 = 0
  CHECK_THROWS_AS(numel(Shape{p32, p32, 3, 5}), ShapeError);
  CHECK_THROWS_AS(numel(Shape{3037000500, 3037000500}), ShapeError);
  CHECK_THROWS_AS(numel(Shape{-1}), ShapeError);
  CHECK_THROWS_AS(numel(Shape{0, -1}), ShapeError);
  CHECK(numel(Shape{p32, p32, 0}) == 0);
  Device d = default_device();
  for (Shape s : {Shape{p32, p32}, Shape{p32, p31}, Shape{int64_t(1) << 62, 2}}) {
    INFO(to_string(s));
    CHECK_THROWS_AS(Array::empty(s, f32, d), ShapeError);
    CHECK_THROWS_AS(Array::shape_only(s, f32, d), ShapeError);
  }
  // As many bytes as no machine has: a MemoryError, not a block of what the product wrapped round to.
  for (Shape s : {Shape{int64_t(1) << 62}, Shape{int64_t(1) << 61}, Shape{p32, 1 << 13}, Shape{p31, p31}}) {
    INFO(to_string(s));
    CHECK_THROWS_AS(Array::empty(s, f64, d), MemoryError);
  }
  Array one = Array::empty(Shape{1}, u8, d);
  CHECK_THROWS_AS(one.expand({p32, p32}), ShapeError);
  CHECK(one.expand({p32, 2}).numel() == 2 * p32);
  CHECK_THROWS_AS(one.slice(0, 0, 2, INT64_MAX), IndexError);
  CHECK(one.slice(0, 0, 1, INT64_MAX).numel() == 1);
}

TEST_CASE("shapes broadcast as NumPy's") {
  CHECK(broadcast({3, 1}, {4}) == Shape{3, 4});
  CHECK(broadcast({}, {2, 3}) == Shape{2, 3});
  CHECK(broadcast({0}, {1}) == Shape{0});
  CHECK(broadcast({1}, {0}) == Shape{0});
  CHECK(broadcast({2, 1, 5}, {7, 1}) == Shape{2, 7, 5});
  CHECK_THROWS_AS(broadcast({2}, {3}), ShapeError);
  CHECK_THROWS_AS(broadcast({0}, {2}), ShapeError);
}

TEST_CASE("axes count from both ends, and no further") {
  for (int rank = 0; rank <= kMaxRank; rank++) {
    int n = rank ? rank : 1;
    for (int64_t d = -n - 2; d <= n + 1; d++) {
      INFO("axis ", d, " of rank ", rank);
      if (d >= -n && d < n) CHECK(wrap_dim(d, rank) == (d < 0 ? d + n : d));
      else CHECK_THROWS_AS(wrap_dim(d, rank), ShapeError);
    }
    CHECK_THROWS_AS(wrap_dim(INT64_MIN, rank), ShapeError);
    CHECK_THROWS_AS(wrap_dim(INT64_MAX, rank), ShapeError);
  }
}

TEST_CASE("ranks end at eight") {
  Shape s{1, 1, 1, 1, 1, 1, 1, 1};
  CHECK_THROWS_AS(s.push_back(1), ShapeError);
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), ShapeError);
  CHECK(Array::empty(s, f32, default_device()).rank() == 8);
  CHECK_THROWS_AS(Array::empty(Shape{2}, f32, default_device()).expand(Shape(std::vector<int64_t>(9, 2))), ShapeError);
}
