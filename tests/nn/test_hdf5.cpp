#include <doctest/doctest.h>
#include <hdf5.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "autograd/tensor.h"
#include "core/error.h"
#include "nn/io/hdf5.h"
#include "nn/io/replace_file.h"
#include "tests/helpers.h"

using namespace fovea;
namespace fs = std::filesystem;

namespace {

std::string refused_file(const std::string& path) {
  return error_of<FileError>([&] { io::H5Reader r(path); });
}
TEST_CASE("arrays of every dtype and layout come back with the same bits") {
  Folder dir;
  std::string path = dir / "all.h5";
  std::vector<double> values = {0, 1, -1, 0.5, 3, 100, -7.25, 2};
  std::vector<std::pair<std::string, Tensor>> all;
  for (DType t : {f32, f64, bf16, f16, i64, i32, u8, i8, boolean}) {
    Tensor x = Tensor::of(values, {2, 4}).to(t);
    all.emplace_back(std::string("g/") + name_of(t), x);
  }
  Tensor wide = Tensor::of(values, {2, 4});
  all.emplace_back("t", Tensor(wide.array().transpose(0, 1)));
  all.emplace_back("scalar", full({}, 4.5));
  all.emplace_back("empty", zeros({0, 3}));
  {
    io::H5Writer w(path);
    for (auto& [name, x] : all) w.array(name, x.array(), {{"role", "weight"}});
    w.bytes("text", "{\"a\": 1}");
    w.link("again/t", "t");
    w.attribute("/", "format", "test");
    w.close();
  }
  io::H5Reader r(path);
  for (auto& [name, x] : all) {
    INFO(name);
    const io::H5Entry& e = r.at(name);
    CHECK(e.dtype == x.dtype());
    CHECK(e.shape == x.shape());
    CHECK(e.attributes.at("dtype") == io::hdf5_name_of(x.dtype()));
    CHECK(e.attributes.at("role") == "weight");
    CHECK(Tensor(r.read(e)).to_vector<double>() == x.to_vector<double>());
  }
  CHECK(r.bytes("text") == "{\"a\": 1}");
  CHECK(r.attributes().at("format") == "test");
  CHECK(r.at("again/t").object == r.at("t").object);
  CHECK(has(error_of<FileError>([&] { r.at("nothing"); }), "has no 'nothing'"));
}

TEST_CASE("truths of a file are 0 or 1") {
  Folder dir;
  const std::string path = dir / "truths.h5";
  {
    io::H5Writer w(path);
    w.array("m", ones({2, 2}, {.dtype = boolean}).array());
    w.close();
  }
  const uint8_t bytes[] = {0, 1, 1, 2};
  hid_t f = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), d = H5Dopen2(f, "m", H5P_DEFAULT);
  H5Dwrite(d, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes);
  H5Dclose(d);
  H5Fclose(f);
  io::H5Reader r(path);
  CHECK(has(error_of<FileError>([&] { r.read(r.at("m")); }), "'m': the byte at [1,1] is 2 (expected 0 or 1)"));
}

TEST_CASE("files that are no HDF5 get one clear line") {
  Folder dir;
  CHECK(has(refused_file(dir / "missing.h5"), "missing.h5: cannot be read: No such file or directory"));
  CHECK(has(refused_file(dir.path), "is a folder"));
  std::ofstream(dir / "empty.h5").flush();
  CHECK(has(refused_file(dir / "empty.h5"), "is empty"));
  std::ofstream(dir / "text.h5") << "this is a text, and long enough";
  CHECK(has(refused_file(dir / "text.h5"), "is not an HDF5 file"));
}

TEST_CASE("every truncation is refused in one line") {
  Folder dir;
  std::string whole = dir / "whole.h5", cut = dir / "cut.h5";
  {
    io::H5Writer w(whole);
    w.array("params/a", ones({64, 64}).array());
    w.array("params/b", ones({3}).array());
    w.close();
  }
  auto size = fs::file_size(whole);
  int refusals = 0;
  for (uint64_t keep = 0; keep < size; keep += size / 97 + 1) {
    fs::copy_file(whole, cut, fs::copy_options::overwrite_existing);
    fs::resize_file(cut, keep);
    std::string text = refused_file(cut);
    INFO(keep);
    CHECK(!text.empty());
    CHECK(text.find('\n') == std::string::npos);
    refusals++;
  }
  CHECK(refusals > 50);
  fs::copy_file(whole, cut, fs::copy_options::overwrite_existing);
  fs::resize_file(cut, size - 100);
  CHECK(has(refused_file(cut), "is truncated"));
}

// Files made by hand with what the gate refuses.
TEST_CASE("the gate refuses links, growing, chunked, external and unknown things") {
  Folder dir;
  hsize_t two = 2, unlimited = H5S_UNLIMITED;
  struct Row {
    const char* name;
    const char* text;
    std::function<void(hid_t)> make;
  };
  auto plain = [&](hid_t f, const char* name) {
    hid_t s = H5Screate_simple(1, &two, nullptr),
          d = H5Dcreate2(f, name, H5T_IEEE_F32LE, s, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    float x[2] = {1, 2};
    H5Dwrite(d, H5T_IEEE_F32LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, x);
    H5Dclose(d);
    H5Sclose(s);
  };
  const Row rows[] = {
      {"soft", "a link that is not hard",
       [&](hid_t f) { plain(f, "a"), H5Lcreate_soft("/a", f, "b", H5P_DEFAULT, H5P_DEFAULT); }},
      {"external", "a link that is not hard",
       [&](hid_t f) { H5Lcreate_external("other.h5", "/a", f, "b", H5P_DEFAULT, H5P_DEFAULT); }},
      {"cycle", "a cycle",
       [&](hid_t f) {
         hid_t g = H5Gcreate2(f, "g", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
         H5Lcreate_hard(f, "g", g, "again", H5P_DEFAULT, H5P_DEFAULT);
         H5Gclose(g);
       }},
      {"chunked", "not contiguous",
       [&](hid_t f) {
         hid_t s = H5Screate_simple(1, &two, &unlimited), p = H5Pcreate(H5P_DATASET_CREATE);
         H5Pset_chunk(p, 1, &two);
         H5Dclose(H5Dcreate2(f, "a", H5T_IEEE_F32LE, s, H5P_DEFAULT, p, H5P_DEFAULT));
         H5Pclose(p);
         H5Sclose(s);
       }},
      {"outside", "in another file",
       [&](hid_t f) {
         hid_t s = H5Screate_simple(1, &two, nullptr), p = H5Pcreate(H5P_DATASET_CREATE);
         H5Pset_external(p, "/etc/hostname", 0, 8);
         H5Dclose(H5Dcreate2(f, "a", H5T_IEEE_F32LE, s, H5P_DEFAULT, p, H5P_DEFAULT));
         H5Pclose(p);
         H5Sclose(s);
       }},
      {"big_endian", "unknown element type",
       [&](hid_t f) {
         hid_t s = H5Screate_simple(1, &two, nullptr);
         H5Dclose(H5Dcreate2(f, "a", H5T_IEEE_F32BE, s, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
         H5Sclose(s);
       }},
      {"never_written", "stored size",
       [&](hid_t f) {
         hid_t s = H5Screate_simple(1, &two, nullptr);
         H5Dclose(H5Dcreate2(f, "a", H5T_IEEE_F32LE, s, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
         H5Sclose(s);
       }},
      {"bomb", "larger than the file",
       [&](hid_t f) {
         hsize_t huge[2] = {1ull << 40, 1ull << 40};
         hid_t s = H5Screate_simple(2, huge, nullptr);
         H5Dclose(H5Dcreate2(f, "a", H5T_IEEE_F32LE, s, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
         H5Sclose(s);
       }},
      {"type", "neither a group nor an array",
       [&](hid_t f) {
         hid_t t = H5Tcopy(H5T_IEEE_F32LE);
         H5Tcommit2(f, "t", t, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
         H5Tclose(t);
       }},
      {"number", "not a short fixed string",
       [&](hid_t f) {
         hid_t s = H5Screate(H5S_SCALAR), a = H5Acreate2(f, "n", H5T_STD_I32LE, s, H5P_DEFAULT, H5P_DEFAULT);
         int x = 1;
         H5Awrite(a, H5T_NATIVE_INT, &x);
         H5Aclose(a);
         H5Sclose(s);
       }},
  };
  for (const Row& row : rows) {
    std::string path = dir / row.name;
    hid_t f = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    row.make(f);
    H5Fclose(f);
    INFO(std::string(row.name));
    CHECK(has(refused_file(path), row.text));
  }
}

TEST_CASE("a file is replaced whole or not at all") {
  Folder dir;
  std::string path = dir / "f";
  auto write = [](const char* text) { return [=](const std::string& t) { std::ofstream(t) << text; }; };
  auto content = [&] {
    std::string s;
    std::getline(std::ifstream(path), s);
    return s;
  };
  io::replace_file(path, 10, write("one"));
  CHECK(content() == "one");
  io::replace_file(path, 10, write("two"));
  CHECK(content() == "two");
  CHECK_THROWS_AS(io::replace_file(path, 10,
                                   [](const std::string& t) {
                                     std::ofstream(t) << "x";
                                     throw ValueError("no");
                                   }),
                  ValueError);
  CHECK(content() == "two");
  CHECK(has(error_of<FileError>([&] { io::replace_file(path, 1ull << 60, write("three")); }), "kB are free"));
  CHECK(has(error_of<FileError>([&] { io::replace_file(dir / "no/f", 1, write("x")); }), "No such file or directory"));
  int files = 0;
  for ([[maybe_unused]] auto& e : fs::directory_iterator(dir.path)) files++;
  CHECK(files == 1);
}

}  // namespace
