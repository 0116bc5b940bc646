// Memory shared with others: DLPack both ways, borrowed and adopted host memory. Nothing is copied unasked, and nothing
// dangles: the owner lives as long as a tensor over it.
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "autograd/dlpack.h"
#include "autograd/ops/advanced_index.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "tests/helpers.h"

using namespace fovea;
using namespace fovea::dlpack;

namespace {

// The other side: a producer that counts how often its deleter was called.
struct Foreign {
  std::vector<float> data{0, 1, 2, 3, 4, 5, 6};
  std::vector<int64_t> shape{2, 3}, strides{3, 1};
  int deleted = 0;
  DLManagedTensorVersioned managed{{1, 3}, this, [](DLManagedTensorVersioned* m) { deleter_of(m); }, 0, {}};
  Foreign() { managed.dl_tensor = {data.data(), {kDLCPU, 0}, 2, {kDLFloat, 32, 1}, shape.data(), nullptr, 4}; }
  static void deleter_of(DLManagedTensorVersioned* m) { static_cast<Foreign*>(m->manager_ctx)->deleted++; }
};

TEST_CASE("from_dlpack: no copy, strides and offset, and the deleter when the last tensor dies") {
  Foreign f;
  {
    Tensor part;
    {
      Tensor x = from_dlpack(&f.managed);
      CHECK(x.data<float>() == f.data.data() + 1);
      CHECK(x.to_vector<float>() == std::vector<float>{1, 2, 3, 4, 5, 6});
      Tensor w = x.requires_grad_();
      sum(w * w).backward();
      CHECK(w.grad().to_vector<float>() == std::vector<float>{2, 4, 6, 8, 10, 12});
      part = x[1];
    }
    CHECK(f.deleted == 0);
    CHECK(part.to_vector<float>() == std::vector<float>{4, 5, 6});
  }
  CHECK(f.deleted == 1);
  f.strides = {-3, 1};  // rows from below
  f.managed.dl_tensor.strides = f.strides.data();
  f.managed.dl_tensor.byte_offset = 16;
  CHECK(from_dlpack(&f.managed).to_vector<float>() == std::vector<float>{4, 5, 6, 1, 2, 3});
  f.managed.flags = kReadOnly;
  Tensor copy = from_dlpack(&f.managed, {.copy = true});
  CHECK(f.deleted == 3);
  f.data.assign(7, 0);
  CHECK(copy.to_vector<float>() == std::vector<float>{4, 5, 6, 1, 2, 3});
}

TEST_CASE("what from_dlpack refuses, by type; the deleter is called all the same") {
  auto check = [](const std::string& part, auto change, auto error) {
    Foreign f;
    change(f.managed);
    const std::string text = error_of<decltype(error)>([&] { from_dlpack(&f.managed); });
    CHECK(has(text, "from_dlpack: "));
    CHECK(has(text, part));
    CHECK(has(text, "at test_dlpack.cpp:"));
    CHECK(f.deleted == 1);
  };
  using M = DLManagedTensorVersioned;
  check(
      "DLPack version 2.0 (expected 1.x)",
      [](M& m) {
        m.version = {2, 0};
      },
      UnsupportedError(""));
  check(
      "read-only. Pass {.copy = true}", [](M& m) { m.flags = kReadOnly; }, ValueError(""));
  check(
      "device type 2:0 (expected 1", [](M& m) { m.dl_tensor.device.device_type = kDLCUDA; }, DeviceError(""));
  check(
      "type code 5 of 64 bits",
      [](M& m) {
        m.dl_tensor.dtype = {kDLComplex, 64, 1};
      },
      DTypeError(""));
  check(
      "4 lanes is none", [](M& m) { m.dl_tensor.dtype.lanes = 4; }, DTypeError(""));
  check(
      "9 axes", [](M& m) { m.dl_tensor.ndim = 9; }, ShapeError(""));
  check(
      "negative size", [](M& m) { m.dl_tensor.shape[0] = -1; }, ShapeError(""));
  check(
      "has the stride 9223372036854775807",
      [](M& m) {
        static int64_t far[] = {INT64_MAX, 1};
        m.dl_tensor.strides = far;
      },
      ShapeError(""));
  check(
      "its shape is null", [](M& m) { m.dl_tensor.shape = nullptr; }, ValueError(""));
  check(
      "its data is null", [](M& m) { m.dl_tensor.data = nullptr; }, ValueError(""));
  check(
      "not aligned for f32", [](M& m) { m.dl_tensor.byte_offset = 3; }, ValueError(""));
  M* none = nullptr;
  CHECK(has(error_of<ValueError>([&] { from_dlpack(none); }), "the pointer is null"));
}

TEST_CASE("to_dlpack: every dtype goes out and comes back, strides and all") {
  for (DType t : {f32, f64, bf16, f16, i64, i32, u8, i8, boolean}) {
    INFO(std::string(name_of(t)));
    Tensor x = Tensor({{1, 0, 3}, {4, 5, 6}}, {.dtype = t}).transpose(0, 1);
    auto* m = to_dlpack(x);
    CHECK(m->version.major == 1);
    CHECK(m->flags == kReadOnly);
    CHECK(m->dl_tensor.data == x.array().view().data);
    CHECK(m->dl_tensor.strides[1] == 3);
    Tensor back = from_dlpack(m, {.copy = true});
    CHECK(back.dtype() == t);
    CHECK(back.to_vector<double>() == x.to_vector<double>());
  }
  auto* number = to_dlpack(full({}, 2.5), {.writable = true});
  CHECK(number->flags == 0);
  CHECK(from_dlpack(number).item() == 2.5);
  DLManagedTensor* old = nullptr;
  {
    Tensor x = arange(1000);
    old = to_dlpack_unversioned(x);
    CHECK(old->dl_tensor.data == x.array().view().data);
  }
  CHECK(static_cast<int64_t*>(old->dl_tensor.data)[999] == 999);  // kept
  CHECK(from_dlpack(old)[999].item<int64_t>() == 999);
}

TEST_CASE("to_dlpack refuses what has a history; memory given out to be written cannot be saved by a graph") {
  Tensor w = ones({2}).requires_grad_();
  CHECK(has(error_of<GradientError>([&] { to_dlpack(w); }), "to_dlpack: the tensor requires gradients"));
  CHECK(has(error_of<ValueError>([&] { to_dlpack(Tensor()); }), "an undefined tensor at test_dlpack.cpp:"));
  Tensor shape = Tensor(Array::shape_only({2}, f32, default_device()));
  CHECK(has(error_of<ValueError>([&] { to_dlpack(shape); }), "shape-only"));
  Tensor y = sum(w * w);
  auto* m = to_dlpack(w.detach(), {.writable = true});
  CHECK(has(error_of<GradientError>([&] { y.backward(); }), "was overwritten after it was saved"));
  m->deleter(m);
}

TEST_CASE("adopted containers live as long as a tensor over them; borrow checks what it is given") {
  std::vector<double> v{1, 2, 3, 4};
  const double* data = v.data();
  Tensor part;
  {
    Tensor x = Tensor::adopt(std::move(v), {2, 2});
    CHECK(x.data<double>() == data);
    part = x[1];
  }
  CHECK(part.to_vector<double>() == std::vector<double>{3, 4});
  auto owner = std::make_shared<std::vector<float>>(std::vector<float>(5));
  auto check = [&](const std::string& text, const std::string& part_of) {
    CHECK(has(text, part_of));
    CHECK(has(text, "at test_dlpack.cpp:"));
    CHECK(owner.use_count() == 1);  // what was refused keeps nothing
  };
  float* at = owner->data();
  auto* askew = reinterpret_cast<float*>(reinterpret_cast<char*>(at) + 2);
  check(error_of<ShapeError>([] { Tensor::adopt(std::vector<float>(3), {2, 2}); }), "3 numbers for shape [2,2]");
  check(error_of<ShapeError>([&] { Tensor::borrow(at, {-1}, owner); }), "-1");
  check(error_of<ValueError>([&] { Tensor::borrow<float>(nullptr, {2}, owner); }), "the memory of [2] f32 is null");
  check(error_of<ValueError>([&] { Tensor::borrow(askew, {2}, owner); }), "not aligned for f32");
}

TEST_CASE("what keeps borrowed memory is there, and a container that keeps it has it inside") {
  const auto check = [](auto call, const std::string& part) {
    const std::string text = error_of<ValueError>(call);
    CHECK(has(text, part));
    CHECK(has(text, "at test_dlpack.cpp:"));
  };
  std::array<float, 6> elsewhere{};
  auto vector = std::make_shared<std::vector<float>>(4);
  auto array = std::make_shared<std::array<float, 6>>();
  const std::string none = "the keeper is empty";
  check([&] { Tensor::borrow(elsewhere.data(), {2}, std::shared_ptr<float>()); }, none);
  check([&] { Tensor::borrow(elsewhere.data(), {2}, std::shared_ptr<void>(nullptr)); }, none);
  check([&] { Tensor::borrow(elsewhere.data(), {2}, std::unique_ptr<float[]>()); }, none);
  const std::string outside = "bytes of [2,2] f32 do not lie in the container";
  check([&] { Tensor::borrow(elsewhere.data(), {2, 2}, vector); }, outside);
  check([&] { Tensor::borrow(elsewhere.data(), {2, 2}, array); }, outside);
  check([&] { Tensor::borrow(vector->data() + 1, {2, 2}, vector); }, outside);
  check([&] { Tensor::borrow(elsewhere.data(), {2, 2}, std::vector<float>(4)); }, outside);
  std::string brief(8, 'x');  // moving it moves its bytes
  check([&, at = reinterpret_cast<int8_t*>(brief.data())] { Tensor::borrow(at, {8}, std::move(brief)); },
        "bytes of [8] i8 do not lie in the container");

  CHECK(Tensor::borrow(vector->data() + 2, {2}, vector).numel() == 2);
  CHECK(vector.use_count() == 1);
  CHECK(Tensor::borrow(array->data(), {2, 3}, array).numel() == 6);
  std::vector<float> numbers{1, 2, 3};
  float* second = numbers.data() + 1;
  CHECK(Tensor::borrow(second, {2}, std::move(numbers)).to_vector<float>() == std::vector<float>{2, 3});
  auto unique = std::make_unique<float[]>(2);
  float* first = unique.get();
  *first = 7;
  CHECK(Tensor::borrow(first, {2}, std::move(unique)).to_vector<float>() == std::vector<float>{7, 0});
  // The rows are not in the outer container: nothing to check.
  auto rows = std::make_shared<std::vector<std::vector<float>>>(2, std::vector<float>{5});
  CHECK(Tensor::borrow((*rows)[1].data(), {1}, rows).item() == 5);
  bool freed = false;
  std::shared_ptr<void> handle(nullptr, [&](void*) { freed = true; });  // it has no address, but it ends
  Tensor x = Tensor::borrow(elsewhere.data(), {6}, std::move(handle));
  CHECK(!freed);
  x = Tensor();
  CHECK(freed);
}

TEST_CASE("memory of no elements may be null: it is an empty tensor, and takes nothing from what it is joined with") {
  Foreign f;
  f.shape = {0, 3};
  f.managed.dl_tensor.data = nullptr;
  const auto keeper = std::make_shared<int>();
  for (const Tensor& x : {Tensor::adopt(std::vector<float>{}, {0, 3}), Tensor::borrow<float>(nullptr, {0, 3}, keeper),
                          from_dlpack(&f.managed), from_dlpack(&f.managed, {.copy = true})}) {
    CHECK(!x.array().is_shape_only());
    CHECK(x.to_string() == zeros({0, 3}).to_string());
    CHECK(sum(x).item() == 0);
    CHECK((x + 1).to_vector<float>().empty());
    Tensor w = ones({2, 3}).requires_grad_();
    sum(square(cat({x, w}, 0))).backward();
    CHECK(w.grad().to_vector<float>() == std::vector<float>(6, 2));
    CHECK(cat({x[Slice{0, 0}], w}, 0).to_vector<float>() == std::vector<float>(6, 1));
    auto* out = to_dlpack(x, {.writable = true});
    CHECK(from_dlpack(out).to_vector<float>().empty());
  }
}

TEST_CASE("bytes of truths are 0 or 1: others are refused, and a copy takes them as true") {
  auto bytes = std::make_shared<std::vector<uint8_t>>(std::vector<uint8_t>{0, 1, 0, 3, 255, 0});
  auto* truths = reinterpret_cast<bool*>(bytes->data());
  std::string text = error_of<ValueError>([&] { Tensor::borrow(truths, {2, 3}, bytes); });
  CHECK(has(text, "the byte at [1,0] is 3 (expected 0 or 1)"));
  CHECK(has(text, "at test_dlpack.cpp:"));
  CHECK(bytes.use_count() == 1);
  CHECK(has(error_of<ValueError>([&] { Tensor::of(std::span(truths, 6)); }), "tensor: the byte at [3] is 3"));
  CHECK(Tensor::borrow(truths, {3}, bytes).to_vector<bool>() == std::vector<bool>{false, true, false});

  Foreign f;
  f.strides = {1, 2};
  DLTensor& t = f.managed.dl_tensor;
  t = {truths, {kDLCPU, 0}, 2, {kDLBool, 8, 1}, f.shape.data(), f.strides.data(), 0};  // {0, 0, 255}, {1, 3, 0}
  text = error_of<ValueError>([&] { from_dlpack(&f.managed); });
  CHECK(has(text, "from_dlpack: the byte at [0,2] is 255"));
  CHECK(has(text, "Pass {.copy = true}"));
  CHECK(f.deleted == 1);
  Tensor x = from_dlpack(&f.managed, {.copy = true});
  CHECK(f.deleted == 2);
  CHECK(x.to_vector<bool>() == std::vector<bool>{false, false, true, true, true, false});
  CHECK(sum(x).item() == 3);
  CHECK(masked_select(ones({2, 3}), x).numel() == 3);
  (*bytes)[3] = (*bytes)[4] = 1;
  CHECK(from_dlpack(&f.managed).to_vector<bool>() == x.to_vector<bool>());
  // One byte, a thousand times over: seen once.
  f.shape = {int64_t(1) << 40, 1};
  f.strides = {0, 0};
  CHECK(from_dlpack(&f.managed).numel() == int64_t(1) << 40);
}

TEST_CASE("memory that is not aligned can be copied") {
  Foreign f;
  float numbers[6] = {1, 2, 3, 4, 5, 6};
  std::memcpy(reinterpret_cast<char*>(f.data.data()) + 1, numbers, sizeof numbers);
  f.managed.dl_tensor.byte_offset = 1;
  CHECK(has(error_of<ValueError>([&] { from_dlpack(&f.managed); }), "not aligned for f32. Pass {.copy = true}"));
  CHECK(from_dlpack(&f.managed, {.copy = true}).to_vector<float>() == std::vector<float>{1, 2, 3, 4, 5, 6});
  f.strides = {-3, 1};
  f.managed.dl_tensor.strides = f.strides.data();
  f.managed.dl_tensor.byte_offset = 13;
  CHECK(from_dlpack(&f.managed, {.copy = true}).to_vector<float>() == std::vector<float>{4, 5, 6, 1, 2, 3});
  CHECK(f.deleted == 3);
}

}  // namespace
