#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>

#include "core/error.h"
#include "models/data/text_file.h"
#include "models/data/windows.h"
#include "tests/helpers.h"

using namespace fovea::data;

namespace {

std::string file(const fovea::Folder& folder, const std::string& name, const std::string& content) {
  std::ofstream(folder / name, std::ios::binary) << content;
  return folder / name;
}

std::string read_error(const std::string& path) {
  return fovea::error_of<fovea::FileError>([&] { read_text(path); });
}

TEST_CASE("text files are read whole and joined") {
  fovea::Folder folder;
  std::string large(3'000'000, 'x');
  std::vector<std::string> paths{file(folder, "a", "one"), file(folder, "b", "\xEF\xBB\xBFtwo\n"),
                                 file(folder, "c", "thr\xC3\xA9")};
  CHECK(read_texts(paths) == std::string("one\ntwo\nthr\xC3\xA9"));
  CHECK(read_text(file(folder, "large", large)) == large);
}

TEST_CASE("files that are no text are refused in one line that names them") {
  fovea::Folder folder;
  std::string missing = folder / "missing", empty = file(folder, "empty", ""), mark = file(folder, "m", "\xEF\xBB\xBF");
  CHECK(read_error(missing) == missing + ": cannot be opened: No such file or directory");
  CHECK(read_error(empty + "/x") == empty + "/x: cannot be opened: Not a directory");
  CHECK(read_error(folder.path) == folder.path + ": is a directory (expected a text file)");
  CHECK(read_error(empty) == empty + ": is empty (expected text)");
  CHECK(read_error(mark) == mark + ": is empty (expected text)");
  CHECK(read_error("/proc/self/mem") == std::string("/proc/self/mem: cannot be read: Input/output error"));
  std::string latin = file(folder, "latin", "caf\xE9 au lait");
  CHECK(read_error(latin) == latin + ": is not UTF-8: byte 0xE9 at offset 3 (expected text in UTF-8)");
}

TEST_CASE("an epoch's order is a permutation of its own") {
  for (uint64_t n : {1, 2, 3, 4, 5, 63, 64, 65, 1000, 4096, 5000}) {
    INFO(n);
    std::vector<bool> hit(n);
    for (uint64_t i = 0; i < n; i++) {
      uint64_t to = permuted(i, n, 1, 2);
      REQUIRE(to < n);
      REQUIRE(!hit[to]);
      hit[to] = true;
    }
  }
  // Of 10 entries, each goes everywhere equally often: chi-square with 9 degrees of freedom, 99.9 % below 27.9.
  for (uint64_t i : {0, 4, 9}) {
    std::array<double, 10> count{};
    for (uint64_t epoch = 0; epoch < 20'000; epoch++) count[permuted(i, 10, 5, epoch)]++;
    double chi_square = 0;
    for (double c : count) chi_square += (c - 2000) * (c - 2000) / 2000;
    INFO(i);
    CHECK(chi_square < 27.9);
  }
  // All orders of 4 entries occur.
  std::set<std::array<uint64_t, 4>> orders;
  for (uint64_t seed = 0; seed < 2000; seed++) {
    std::array<uint64_t, 4> order;
    for (uint64_t i = 0; i < 4; i++) order[i] = permuted(i, 4, seed, 0);
    orders.insert(order);
  }
  CHECK(orders.size() == 24);
  uint64_t huge = uint64_t(1) << 62;
  CHECK(permuted(huge - 1, huge, 1, 1) < huge);
  CHECK_THROWS_AS(permuted(5, 5, 1, 1), fovea::IndexError);
  CHECK_THROWS_AS(permuted(0, 0, 1, 1), fovea::IndexError);
}

std::vector<int32_t> counting(size_t n) {
  std::vector<int32_t> tokens(n);
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

TEST_CASE("windows of an epoch cover the text once, and a position says which one comes") {
  for (size_t n : {9, 10, 15, 16, 17, 24, 25, 100, 1003}) {
    auto tokens = counting(n);
    TokenWindows windows(tokens, 8, 3);
    int64_t count = windows.windows_per_epoch();
    INFO(n, " tokens, ", count, " windows");
    CHECK(count == std::max<int64_t>(1, int64_t(n) / 8 - 1));
    std::set<int64_t> offsets;
    for (int64_t epoch = 0; epoch < 200; epoch++) {
      std::set<int64_t> starts;
      for (int64_t i = 0; i < count; i++) starts.insert(windows.start(epoch * count + i));
      REQUIRE(int64_t(starts.size()) == count);
      REQUIRE(*starts.rbegin() - *starts.begin() == 8 * (count - 1));
      for (int64_t s : starts) REQUIRE((s - *starts.begin()) % 8 == 0);
      REQUIRE(*starts.begin() >= 0);
      REQUIRE(size_t(*starts.rbegin()) + 8 + 1 <= n);
      offsets.insert(*starts.begin());
    }
    if (count > 1) CHECK(offsets.size() == 8);  // every alignment is met
  }
  auto tokens = counting(1003);
  TokenWindows windows(tokens, 8, 3), again(tokens, 8, 3), other(tokens, 8, 4);
  TokenBatch a = windows.batch(120, 10), b = again.batch(125, 10);
  CHECK(std::vector(a.inputs.begin() + 40, a.inputs.end()) == std::vector(b.inputs.begin(), b.inputs.begin() + 40));
  CHECK(other.batch(120, 10).inputs != a.inputs);
  for (size_t i = 0; i < a.inputs.size(); i++) CHECK(a.targets[i] == a.inputs[i] + 1);
  for (size_t i = 0; i < a.inputs.size(); i++) CHECK(a.inputs[i] == a.inputs[i / 8 * 8] + int32_t(i % 8));
}

TEST_CASE("windows in order, and the part kept for validation") {
  auto tokens = counting(26);
  TokenWindows windows(tokens, 8, 0);
  CHECK(windows.in_order_count() == 3);
  CHECK(windows.in_order(1, 2).inputs.front() == 8);
  CHECK(windows.in_order(1, 2).targets.back() == 24);
  CHECK_THROWS_AS(windows.in_order(2, 2), fovea::IndexError);
  CHECK_THROWS_AS(windows.start(-1), fovea::IndexError);

  auto hundred = counting(100);
  Split split = split_tokens(hundred, 0.2, 8);
  CHECK(split.train.size() == 80);
  CHECK(split.validation.front() == 80);
  CHECK(split_tokens(hundred, 0.01, 8).validation.size() == 9);
  CHECK(split_tokens(hundred, 0, 8).validation.empty());
  CHECK_THROWS_WITH_AS(
      split_tokens(counting(17), 0.1, 8),
      "the text is too short: 17 tokens (expected at least 18 for a context of 8 in training and validation)",
      fovea::ValueError);
  CHECK(split_tokens(tokens, 0.1, 8).train.size() == 17);
  CHECK_THROWS_AS(split_tokens(hundred, 0.95, 8), fovea::ValueError);
  CHECK_THROWS_AS(split_tokens(hundred, 1, 8), fovea::ValueError);
  CHECK_THROWS_AS(split_tokens(hundred, -0.1, 8), fovea::ValueError);
  CHECK_THROWS_WITH_AS(TokenWindows(std::span<const int32_t>(tokens).first(8), 8, 0),
                       "the text is too short: 8 tokens (expected at least 9 for a context of 8)", fovea::ValueError);
}

}  // namespace
