// Memory shared with others: DLPack both ways, borrowed and adopted host memory. Nothing is copied unasked, and nothing
// dangles: the owner lives as long as a tensor over it.
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "autograd/dlpack.h"
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
  CHECK(Tensor::borrow<float>(nullptr, {0}, owner).numel() == 0);
}

}  // namespace
