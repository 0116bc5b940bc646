#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "autograd/tensor.h"
#include "nn/io/safetensors.h"
#include "tests/helpers.h"

using namespace fovea;

namespace {

std::string file_of(const std::string& header, const std::string& data) {
  uint64_t n = header.size();
  return std::string(reinterpret_cast<const char*>(&n), 8) + header + data;
}

std::string refused_bytes(const std::string& bytes) {
  Folder dir;
  std::ofstream(dir / "f", std::ios::binary) << bytes;
  std::string text = error_of<FileError>([&] { io::read_safetensors(dir / "f"); });
  return text.empty() ? text : text.substr((dir / "f").size() + 2);
}

TEST_CASE("arrays of every dtype and layout come back with the same bits") {
  Folder dir;
  io::Safetensors out;
  std::vector<double> values = {0, 1, -1, 0.5, 3, 100, -7.25, 2};
  for (DType t : {f32, f64, bf16, f16, i64, i32, u8, i8, boolean})
    out.arrays.emplace_back(name_of(t), Tensor::of(values, {2, 4}).to(t).array());
  out.arrays.emplace_back("t", Tensor::of(values, {2, 4}).array().transpose(0, 1));
  out.arrays.emplace_back("scalar", full({}, 4.5).array());
  out.arrays.emplace_back("empty", zeros({0, 3}).array());
  out.metadata["format"] = "pt";
  io::write_safetensors(dir / "f", out);
  io::Safetensors in = io::read_safetensors(dir / "f");
  CHECK(in.arrays.size() == out.arrays.size());
  CHECK(in.metadata == out.metadata);
  for (auto& [name, a] : out.arrays) {
    INFO(name);
    const Array* b = in.find(name);
    REQUIRE(b);
    CHECK(b->dtype() == a.dtype());
    CHECK(b->shape() == a.shape());
    CHECK(Tensor(*b).to_vector<double>() == Tensor(a).to_vector<double>());
  }
}

TEST_CASE("a file made by hand is read") {
  Folder dir;
  float x[2] = {1.5f, -2};
  std::ofstream(dir / "f", std::ios::binary) << file_of(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   )",
                                                        std::string(reinterpret_cast<char*>(x), 8));
  CHECK(Tensor(*io::read_safetensors(dir / "f").find("a")).to_vector<float>() == std::vector<float>{1.5f, -2});
}

TEST_CASE("what is malformed gets one clear line") {
  const std::string eight(8, '\0');
  auto entry = [](const char* name, const char* dtype, const char* shape, const char* offsets) {
    return std::string("\"") + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
           offsets + "}";
  };
  struct Row {
    std::string bytes, text;
  };
  std::string a = entry("a", "F32", "[2]", "[0,8]");
  const Row rows[] = {
      {"abc", "is too short"},
      {file_of("{}", "").substr(0, 9), "truncated"},
      {std::string("\xff\xff\xff\xff\xff\xff\xff\x7f{}", 10), "truncated"},
      {file_of(" {" + a + "}", eight), "does not begin with {"},
      {file_of("{" + a + "}", eight + "x"), "has 9 bytes of data"},
      {file_of("{" + a + "}", "1234"), "outside the file"},
      {file_of("{" + a + "," + a + "}", eight), "duplicate key"},
      {file_of("{" + entry("a", "F32", "[2]", "[4,12]") + "}", eight + "1234"), "leaves a hole"},
      {file_of("{" + a + "," + entry("b", "F32", "[2]", "[4,12]") + "}", eight + "1234"), "overlaps"},
      {file_of("{" + entry("a", "F32", "[3]", "[0,8]") + "}", eight), "do not fit its shape"},
      {file_of("{" + entry("a", "F32", "[4294967296,4294967296,4]", "[0,8]") + "}", eight), "too large"},
      {file_of("{" + entry("a", "F32", "[-2]", "[0,8]") + "}", eight), "negative"},
      {file_of("{" + entry("a", "C64", "[1]", "[0,8]") + "}", eight), "element type C64 is not supported"},
      {file_of("{" + entry("a", "F32", "[2.0]", "[0,8]") + "}", eight), "'a'"},
      {file_of(R"({"a":{"dtype":"F32"}})", ""), "'a'"},
      {file_of(R"({"a":3})", ""), "is no object"},
      {file_of(R"({"__metadata__":{"k":1}})", ""), "is no text"},
      {file_of("{" + entry("a", "BOOL", "[8]", "[0,8]") + "}", std::string(8, '\2')),
       "'a': the byte at [0] is 2 (expected 0 or 1)"},
      {file_of("{", ""), "not JSON"},
  };
  for (const Row& r : rows) {
    std::string text = refused_bytes(r.bytes);
    INFO(text);
    INFO(r.text);
    CHECK(text.find(r.text) != std::string::npos);
    CHECK(text.find('\n') == std::string::npos);
  }
}

}  // namespace
