// What a user does with a single tensor: making, reading, converting, indexing; and what a mistake says.
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <sstream>

#include <doctest/doctest.h>
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "tests/helpers.h"

using namespace fovea;

namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

}  // namespace

TEST_CASE("tensors from lists, as deep as they are written") {
  CHECK(Tensor({1, 2.5, -3}).to_vector<float>() == std::vector<float>{1, 2.5f, -3});
  CHECK(Tensor({1, 2, 3}).dtype() == f32);
  Tensor m{{1, 2, 3}, {4, 5, 6}};
  CHECK(m.shape() == Shape{2, 3});
  CHECK(m.to_vector<double>() == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(Tensor({{1}, {2}}).shape() == Shape{2, 1});
  CHECK(Tensor({{{1, 2}}, {{3, 4}}, {{5, 6}}}).shape() == Shape{3, 1, 2});
  CHECK(Tensor({{2.5}}).shape() == Shape{1, 1});
  int n = 3;
  CHECK(Tensor({n, n + 1}).to_vector<int>() == std::vector<int>{3, 4});
  Tensor big({{(int64_t(1) << 62) + 1, -1}}, {.dtype = i64});
  CHECK(big.to_vector<int64_t>() == std::vector<int64_t>{(int64_t(1) << 62) + 1, -1});
  CHECK(Tensor({0.5, 0, -1}, {.dtype = boolean}).to_vector<bool>() == std::vector<bool>{true, false, true});
  CHECK(Tensor({0.1}, {.dtype = f64}).item() == 0.1);
  CHECK(Tensor({1, 2}, {.requires_grad = true}).requires_grad());
  CHECK(Tensor({1, 2}, {.like = big}).dtype() == i64);
  CHECK(Tensor({1, 2}, {.dtype = u8, .like = big}).dtype() == u8);
  CHECK_THROWS_AS((Tensor{{1, 2}, {3}}), ShapeError);
  CHECK_THROWS_AS((Tensor{{1, 2}, 3}), ShapeError);
  CHECK_THROWS_AS((Tensor{1, {2, 3}}), ShapeError);
  CHECK_THROWS_AS((Tensor{{{1}, {2}}, {{3}}}), ShapeError);
  CHECK(contains(error_of<ShapeError>([] { Tensor{{1, 2}, {3}}; }), "rows of 2 and of 1 elements"));
}

TEST_CASE("tensors from and to vectors, arrays and spans of every dtype") {
  auto round_trip = [](auto v, DType t) {
    Tensor x = Tensor::of(v);
    CHECK(x.dtype() == t);
    CHECK(x.shape() == Shape{int64_t(v.size())});
    CHECK(x.to_vector<typename decltype(v)::value_type>() == v);
  };
  round_trip(std::vector<float>{1.5f, -2}, f32);
  round_trip(std::vector<double>{0.1, 1e300}, f64);
  round_trip(std::vector<int64_t>{INT64_MIN, INT64_MAX}, i64);
  round_trip(std::vector<long long>{1, 2}, i64);
  round_trip(std::vector<int32_t>{INT32_MIN, INT32_MAX}, i32);
  round_trip(std::vector<uint8_t>{0, 255}, u8);
  round_trip(std::vector<int8_t>{-128, 127}, i8);
  round_trip(std::vector<bool>{true, false, true}, boolean);
  CHECK(Tensor::of(std::vector<BFloat16>{BFloat16(1.5f)}).dtype() == bf16);
  CHECK(float(Tensor::of(std::vector<Float16>{Float16(1.5f)}).to_vector<Float16>()[0]) == 1.5f);
  CHECK(Tensor::of(std::array<int, 4>{1, 2, 3, 4}, {2, 2}).to_vector<int>() == std::vector<int>{1, 2, 3, 4});
  const float raw[3] = {1, 2, 3};
  CHECK(Tensor::of(raw).numel() == 3);
  CHECK(Tensor::of(std::span(raw).subspan(1), {2, 1}, {.dtype = f64}).to_vector<double>() == std::vector<double>{2, 3});
  CHECK(Tensor::of<int64_t>({1, 2, 3}).dtype() == i64);
  CHECK(Tensor::of<float>({1, 2}, {1, 2}).shape() == Shape{1, 2});
  CHECK(Tensor::of(std::vector<float>{7}, {}).dim() == 0);
  CHECK(Tensor::of(std::vector<float>{}).shape() == Shape{0});
  CHECK(Tensor::of(std::vector<float>{}, {3, 0}).to_vector<float>().empty());
  CHECK_THROWS_AS(Tensor::of(std::vector<float>{1, 2, 3}, {2, 2}), ShapeError);
  // Conversion on the way out: a view is read row by row.
  Tensor m{{1.9, -2.9}, {3, 0.5}};
  CHECK(m.transpose(0, 1).to_vector<int>() == std::vector<int>{1, 3, -2, 0});
  CHECK(m.to_vector<bool>() == std::vector<bool>{true, true, true, true});  // 0.5 is not zero
  CHECK(Tensor::of<int64_t>({3}).to_vector<float>() == std::vector<float>{3});
}

TEST_CASE("borrowed memory is not copied, and its owner lives as long as a tensor over it") {
  auto owner = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3, 4});
  std::weak_ptr<std::vector<float>> watch = owner;
  float* data = owner->data();
  Tensor part;
  {
    Tensor x = Tensor::borrow(data, {2, 2}, std::move(owner));
    CHECK(x.data<float>() == data);
    part = x[1];
  }
  CHECK(!watch.expired());
  CHECK(part.to_vector<float>() == std::vector<float>{3, 4});
  part = Tensor();
  CHECK(watch.expired());
}

TEST_CASE("item is exact, and refuses what does not fit") {
  CHECK(Tensor::of<int64_t>({(int64_t(1) << 53) + 1}).item<int64_t>() == (int64_t(1) << 53) + 1);
  CHECK(Tensor::of<int64_t>({INT64_MIN}).item<int64_t>() == INT64_MIN);
  CHECK(Tensor({2.75}).item() == 2.75);
  CHECK(Tensor({-2.75}).item<int>() == -2);
  CHECK(Tensor({0.5}).item<bool>());
  CHECK(Tensor({3}).item<size_t>() == 3);
  CHECK(full({}, true).item<bool>());
  CHECK(full({}, 2.5).item<float>() == 2.5f);
  CHECK(std::isnan(Tensor({NAN}).item()));
  CHECK(Tensor({{{4}}}).item<uint8_t>() == 4);
  CHECK_THROWS_AS(Tensor({NAN}).item<int>(), ValueError);
  CHECK_THROWS_AS(Tensor({1e20}).item<int64_t>(), ValueError);
  CHECK_THROWS_AS(Tensor({300}).item<int8_t>(), ValueError);
  CHECK_THROWS_AS(Tensor({-1}).item<uint8_t>(), ValueError);
  CHECK_THROWS_AS(Tensor({-1}).item<size_t>(), ValueError);
  CHECK_THROWS_AS(Tensor({1, 2}).item(), ValueError);
  CHECK_THROWS_AS(zeros({0}).item(), ValueError);
}

TEST_CASE("data gives the very memory, of the very dtype") {
  Tensor x({1, 2, 3});
  CHECK(x.data<float>()[2] == 3);
  CHECK_THROWS_AS(x.data<double>(), DTypeError);
  CHECK_THROWS_AS(x.data<int32_t>(), DTypeError);
  CHECK_THROWS_AS(Tensor(Array::shape_only({2}, f32, default_device())).data<float>(), ValueError);
  CHECK_THROWS_AS(Tensor(Array::shape_only({2}, f32, default_device())).to_vector<float>(), ValueError);
  CHECK(x.slice(0, {.step = -1}).data<float>() == x.data<float>() + 2);
  CHECK(x.slice(0, {.step = -1}).strides() == Shape{-1});
}

TEST_CASE("making: dtypes follow the number, the options and what they are like") {
  CHECK(full({2}, 1).dtype() == i64);
  CHECK(full({2}, true).dtype() == boolean);
  CHECK(full({2}, 1.0).dtype() == f32);
  CHECK(full({2}, 0.5, {.dtype = boolean}).to_vector<bool>() == std::vector<bool>{true, true});
  CHECK(full({1}, int64_t(1) << 60 | 1).item<int64_t>() == (int64_t(1) << 60 | 1));
  CHECK(zeros({2}).dtype() == f32);
  CHECK(ones({2}, {.dtype = f16}).to_vector<float>() == std::vector<float>{1, 1});
  Tensor like = zeros({3}, {.dtype = bf16, .device = device("ref")});
  CHECK(ones({2}, {.like = like}).dtype() == bf16);
  CHECK(ones({2}, {.like = like}).device() == device("ref"));
  CHECK(ones({2}, {.device = device("cpu"), .like = like}).device() == device("cpu"));
  CHECK(arange(5).to_vector<int64_t>() == std::vector<int64_t>{0, 1, 2, 3, 4});
  CHECK(arange(5).dtype() == i64);
  CHECK(arange(2, 5).to_vector<int>() == std::vector<int>{2, 3, 4});
  CHECK(arange(5, 0, -2).to_vector<int>() == std::vector<int>{5, 3, 1});
  CHECK(arange(0, 1, 0.25).dtype() == f32);
  CHECK(arange(0, 1, 0.25).to_vector<float>() == std::vector<float>{0, 0.25f, 0.5f, 0.75f});
  CHECK(arange(3, {.dtype = f64}).to_vector<double>() == std::vector<double>{0, 1, 2});
  CHECK(arange((int64_t(1) << 60) + 1, (int64_t(1) << 60) + 4, 2).to_vector<int64_t>() ==
        std::vector<int64_t>{(int64_t(1) << 60) + 1, (int64_t(1) << 60) + 3});
  CHECK(arange(3, 3).numel() == 0);
  CHECK_THROWS_AS(arange(3, 0), ValueError);
  CHECK_THROWS_AS(arange(0, 3, 0), ValueError);
  CHECK_THROWS_AS(arange(0.0, NAN), ValueError);
  CHECK_THROWS_AS(arange(0, 1, 1e-30), ValueError);
  CHECK_THROWS_AS(zeros({-1}), ShapeError);
}

TEST_CASE("slices follow Python's rules, for every start, stop and step") {
  for (int64_t n : {0, 1, 5}) {
    Tensor x = arange(n);
    for (int64_t step : {1, 2, 3, 7, -1, -2, -3, -7})
      for (int64_t start = -n - 3; start <= n + 3; start++)
        for (int64_t stop = -n - 3; stop <= n + 3; stop++) {
          // The definition: walk from the start while before the stop; both wrapped once and clamped.
          auto place = [&](int64_t p) {
            if (p < 0) p += n;
            return step > 0 ? std::min(std::max<int64_t>(p, 0), n) : std::min(std::max<int64_t>(p, -1), n - 1);
          };
          std::vector<int64_t> expected;
          for (int64_t i = place(start); step > 0 ? i < place(stop) : i > place(stop); i += step) expected.push_back(i);
          INFO(n, ": ", start, ":", stop, ":", step);
          CHECK(x.slice(0, {start, stop, step}).to_vector<int64_t>() == expected);
        }
  }
  Tensor x = arange(5);
  CHECK(x[Slice{.step = -1}].to_vector<int>() == std::vector<int>{4, 3, 2, 1, 0});
  CHECK(x[Slice{3}].to_vector<int>() == std::vector<int>{3, 4});
  CHECK(x[Slice{.stop = -1}].to_vector<int>() == std::vector<int>{0, 1, 2, 3});
  CHECK(x[Slice{1, {}, -1}].to_vector<int>() == std::vector<int>{1, 0});
  CHECK(x[Slice{.step = INT64_MAX}].to_vector<int>() == std::vector<int>{0});
  CHECK(x[Slice{.step = INT64_MIN}].to_vector<int>() == std::vector<int>{4});
  CHECK(x[Slice{INT64_MIN, INT64_MAX}].numel() == 5);
  CHECK_THROWS_AS((x[Slice{.step = 0}]), IndexError);
  CHECK_THROWS_AS((full({}, 1)[Slice{}]), ShapeError);
}

TEST_CASE("indexing and methods read as their functions") {
  Tensor x = arange(24).reshape({2, 3, 4});
  CHECK(x[1].shape() == Shape{3, 4});
  CHECK(x[-1][0][-1].item<int>() == 15);
  CHECK(x.select(2, -1).to_vector<int>() == std::vector<int>{3, 7, 11, 15, 19, 23});
  CHECK(x.flatten(0, 1).shape() == Shape{6, 4});
  CHECK(x.flatten().shape() == Shape{24});
  CHECK(x.size(-1) == 4);
  CHECK(x.permute({2, 0, 1}).shape() == Shape{4, 2, 3});
  CHECK(x.unsqueeze(-1).squeeze(-1).shape() == x.shape());
  CHECK(x.narrow(1, -2, 2).shape() == Shape{2, 2, 4});
  CHECK(x.diagonal(1, 1, 2).to_vector<int>() == std::vector<int>{1, 6, 11, 13, 18, 23});
  CHECK(x[0].diagonal(-1).to_vector<int>() == std::vector<int>{4, 9});
  CHECK(x[0].diagonal(4).shape() == Shape{0});
  CHECK(x[0].diagonal(-3).shape() == Shape{0});
  CHECK(x.view({-1, 8}).shape() == Shape{3, 8});
  CHECK(!x.transpose(0, 2).array().dense());
  CHECK(x.transpose(0, 2).contiguous().array().dense());
  CHECK(x[0][0].unsqueeze(0).expand({2, -1}).shape() == Shape{2, 4});
  CHECK_THROWS_AS(x[2], IndexError);
  CHECK_THROWS_AS(x[-3], IndexError);
  CHECK_THROWS_AS(full({}, 1)[0], IndexError);
  CHECK_THROWS_AS(x.narrow(1, 2, 2), IndexError);
  CHECK_THROWS_AS(x.narrow(1, 1, INT64_MAX), IndexError);
  CHECK_THROWS_AS(x.transpose(0, 2).view({24}), ShapeError);
  CHECK_THROWS_AS(x.reshape({5, -1}), ShapeError);
  CHECK_THROWS_AS(zeros({0, 3}).reshape({0, -1}), ShapeError);
  CHECK_THROWS_AS(x.reshape({int64_t(1) << 40, int64_t(1) << 40, -1}), ShapeError);
}

TEST_CASE("mistakes name the caller's line") {
  std::string line;
  auto at = [&](int add = 0, std::source_location here = std::source_location::current()) {
    line = "test_tensor.cpp:" + std::to_string(int(here.line()) + add);
    return line;
  };
  Tensor x({1, 2}), none;
  // clang-format off
  CHECK(contains(error_of<ValueError>([&] { at(); x.item(); }), at()));
  CHECK(contains(error_of<DTypeError>([&] { x.data<double>(); }), at()));
  CHECK(contains(error_of<ShapeError>([&] { x.size(1); }), at()));
  CHECK(contains(error_of<IndexError>([&] { x[5]; }), at()));
  CHECK(contains(error_of<IndexError>([&] { x[Slice{.step = 0}]; }), at()));
  CHECK(contains(error_of<ShapeError>([&] { x.reshape({3}); }), at()));
  CHECK(contains(error_of<ShapeError>([&] { x + Tensor({1, 2, 3}); }), at()));
  CHECK(contains(error_of<ShapeError>([&] { x.permute({0, 0}); }), at()));
  CHECK(contains(error_of<ValueError>([&] { none.shape(); }), at()));
  CHECK(contains(error_of<ValueError>([&] { none.to_vector<float>(); }), at()));
  CHECK(contains(error_of<ValueError>([&] { none + 1; }), at()));
  CHECK(contains(error_of<ValueError>([&] { none.flatten(); }), at()));
  CHECK(contains(error_of<ValueError>([&] { (void)none.to(f64); }), at()));
  CHECK(contains(error_of<ValueError>([&] { none.permute({0}); }), at()));
  CHECK(contains(error_of<GradientError>([&] { x.backward(); }), at()));
  CHECK(contains(error_of<GradientError>([&] { x.grad(); }), at()));
  CHECK(contains(error_of<GradientError>([&] { grad({x}, {x}); }), at()));
  CHECK(contains(error_of<DTypeError>([&] { (void)arange(3).requires_grad_(); }), at()));
  // clang-format on
  CHECK(error_of<ShapeError>([&] { x.reshape({3}); }).rfind("reshape: ", 0) == 0);
}

TEST_CASE("devices: copies are recorded, so gradients come back") {
  Tensor x = Tensor({{1, 2}, {3, 4}}).requires_grad_(), y = (x * 2).to(device("ref"));
  CHECK(y.device() == device("ref"));
  CHECK(y.to_vector<float>() == std::vector<float>{2, 4, 6, 8});
  CHECK(y.requires_grad());
  sum(y * y).backward();
  CHECK(x.grad().device() == device("cpu"));
  CHECK(x.grad().to_vector<float>() == std::vector<float>{8, 16, 24, 32});
  CHECK_THROWS_AS(x + y, DeviceError);
  CHECK(x.to(device("cpu")).is_leaf());  // there already: itself
}

TEST_CASE("tensors print to streams") {
  std::ostringstream out;
  out << Tensor({{1, 2.5}, {-3, 4}}) << " " << Tensor();
  CHECK(out.str() == "[[ 1.   2.5]\n [-3.   4. ]] f32[2,2] tensor(undefined)");
}
