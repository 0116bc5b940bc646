// Arrays as text, against what NumPy printed (tests/golden/numpy_print.txt).
#include <fstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "core/array.h"
#include "core/dispatch.h"
#include "core/print.h"

using namespace fovea;

namespace {

DType dtype_named(const std::string& name) {
  for (int i = 0; i < kDTypes; i++)
    if (name == name_of(DType(i))) return DType(i);
  FAIL("no dtype " << name);
  return f32;
}

Shape shape_named(const std::string& text) {
  Shape s;
  for (size_t at = 0; text != "-" && at < text.size();
       at = text.find(',', at) == text.npos ? text.size() : text.find(',', at) + 1)
    s.push_back(std::stoll(text.substr(at)));
  return s;
}

Array array_named(DType t, const Shape& shape, const std::string& data) {
  Array a = Array::empty(shape, t, default_device());
  if (data == "arange") {
    IotaAttrs attrs;
    attrs.start = 0, attrs.step = 1, attrs.integer_start = 0, attrs.integer_step = 1;
    update(state(), op::iota, nullptr, 0, &attrs, &a, 1);
  } else if (data != "-") {
    auto* to = static_cast<uint8_t*>(a.view().data);
    for (size_t i = 0; 2 * i < data.size(); i++) to[i] = uint8_t(std::stoi(data.substr(2 * i, 2), nullptr, 16));
  }
  return a;
}

// The text less the dtype and shape behind it.
std::string body(const Array& a) {
  std::string s = format_array(a), tail = std::string(" ") + name_of(a.dtype()) + to_string(a.shape());
  REQUIRE(s.size() >= tail.size());
  CHECK(s.substr(s.size() - tail.size()) == tail);
  return s.substr(0, s.size() - tail.size());
}

}  // namespace

TEST_CASE("arrays print as NumPy prints them") {
  const char* other = std::getenv("FOVEA_PRINT_GOLDEN");  // a longer file, made by hand
  std::ifstream file(other ? other : FOVEA_GOLDEN "/numpy_print.txt");
  REQUIRE(file);
  int cases = 0, wrong = 0;
  std::string line, head, expected;
  auto check = [&] {
    if (head.empty()) return;
    size_t a = head.find(' '), b = head.find(' ', a + 1);
    Array x =
        array_named(dtype_named(head.substr(0, a)), shape_named(head.substr(a + 1, b - a - 1)), head.substr(b + 1));
    std::string got = body(x);
    cases++;
    if (got != expected && ++wrong <= 10) FAIL_CHECK(head << "\nNumPy:\n" << expected << "\nFovea:\n" << got);
  };
  while (std::getline(file, line)) {
    if (line[0] == '|') {
      expected += (expected.empty() ? "" : "\n") + line.substr(1);
    } else if (line[0] != '#') {
      check();
      head = line, expected.clear();
    }
  }
  check();
  CHECK(cases > 100);
  CHECK(wrong == 0);
}

TEST_CASE("bf16 prints the fewest digits that read back") {
  auto text = [](float v) {
    Array a = Array::empty(Shape{1}, bf16, default_device());
    *a.mutable_data<BFloat16>() = BFloat16(v);
    return body(a);
  };
  CHECK(text(0.1f) == "[0.1]");
  CHECK(text(1.f / 3) == "[0.334]");
  CHECK(text(256) == "[256.]");
  CHECK(text(4096) == "[4.1e+03]");
  CHECK(text(-3.140625f) == "[-3.14]");
  CHECK(text(1e30f) == "[1.e+30]");
}

TEST_CASE("views print what they show; arrays without data say so") {
  Array a = array_named(i64, {2, 3}, "arange");
  CHECK(format_array(a.transpose(0, 1)) == "[[0 3]\n [1 4]\n [2 5]] i64[3,2]");
  CHECK(format_array(a.slice(1, 2, 3, -1)) == "[[2 1 0]\n [5 4 3]] i64[2,3]");
  CHECK(format_array(a.slice(0, 0, 1).expand({2, 3})) == "[[0 1 2]\n [0 1 2]] i64[2,3]");
  CHECK(format_array(Array::shape_only({4, 5}, f16, default_device())) == "(no data) f16[4,5]");
}

TEST_CASE("precision, edges and threshold") {
  Array a =
      array_named(f64, {3}, std::string("555555555555d53f") + "555555555555e53f" + "000000000000f03f");  // 1/3, 2/3, 1
  CHECK(format_array(a, 3) == "[0.333 0.667 1.   ] f64[3]");
  CHECK(format_array(a, 0) == "[0. 1. 1.] f64[3]");
  CHECK(format_array(array_named(i32, {10}, "arange"), 8, 2, 9) == "[0 1 ... 8 9] i32[10]");
}
