// Every array and every piece of scratch of the CPU's kernels, in memory of its own between bands that nobody may write
// to. (The host's arena rounds sizes up, and what is written behind an array may be nobody's.) The address sanitizer,
// which does not see into the arena, sees reads too here.
#include <cstdlib>
#include <cstring>
#include <string>

#include <doctest/doctest.h>
#include "autograd/ops/advanced_index.h"
#include "autograd/proof/properties.h"
#include "core/device.h"
#include "core/host_backend.h"
#include "tests/helpers.h"

using namespace fovea;
using namespace fovea::proof;

namespace {

class BandedBackend final : public HostBackend {
 public:
  int64_t blocks = 0, broken = 0;
  const char* name() const override { return "banded"; }
  bool host_memory() const override { return false; }
  void kernels(Kernels&) override {}
  Status allocate(int, size_t bytes, void** data) override {
    void* p = nullptr;
    if (posix_memalign(&p, 64, bytes + 2 * kBand)) return {Status::out_of_memory, "out of memory"};
    auto* all = static_cast<unsigned char*>(p);
    std::memset(all, kFill, bytes + 2 * kBand);
    *data = all + kBand;
    blocks++;
    return {};
  }
  void free(int, void* data, size_t bytes) override {
    auto* all = static_cast<unsigned char*>(data) - kBand;
    bool good = true;
    for (size_t i = 0; i < kBand; i++) good &= all[i] == kFill && all[kBand + bytes + i] == kFill;
    broken += !good;
    std::free(all);
  }

 private:
#if defined(__SANITIZE_ADDRESS__)
  static constexpr size_t kBand = 0;  // the sanitizer's own
#else
  static constexpr size_t kBand = 256;
#endif
  static constexpr unsigned char kFill = 0xa5;
};

BandedBackend& banded() {
  static BandedBackend& b = *[] {
    (void)default_device();          // stays what it is
    auto* made = new BandedBackend;  // of all arrays that there will ever be
    *fovea::detail::backends[register_backend(*made)].table = kernels_of(device("cpu"));
    return made;
  }();
  return b;
}

void check_bounds(DType t) {
  BandedBackend& b = banded();
  const int64_t before = b.blocks;
  for (const Sample& s : all_samples()) {
    if (s.large || s.op >= op::count) continue;
    const int64_t broken = b.broken;
    for (const Problem& p : check_properties(s, device("banded"), t)) {
      INFO(p.to_string());
      CHECK(false);
    }
    INFO(s.name << " " << std::string(name_of(t)));
    CHECK(b.broken == broken);
  }
  CHECK(b.blocks - before > 10000);
}

}  // namespace

TEST_CASE("a write behind an array is seen") {
  BandedBackend& b = banded();
  const int64_t broken = b.broken;
#if !defined(__SANITIZE_ADDRESS__)
  static_cast<char*>(Array::empty({3}, u8, device("banded")).view().data)[3] = 1;
  CHECK(b.broken == broken + 1);
#endif
  (void)Array::empty({3}, u8, device("banded"));
  b.broken = broken;
}
TEST_CASE("places of several axes are each within their own, on memory that is not the host's too") {
  banded();
  const Tensor x = zeros({2, 3}, {.device = device("banded")});
  auto at = [&](int64_t i) { return Tensor::of(std::vector<int64_t>{i}).to(x.device()); };
  CHECK(index(x, {at(1), at(-3)}).to_vector<float>() == std::vector<float>{0});
  const std::string text = error_of([&] { index(x, {at(0), at(5)}).to_vector<float>(); });  // 5 is x[1, 2]
  CHECK(has(text, "index 5 at position 0 is out of range (expected 0 to 2)"));
}
TEST_CASE("no kernel writes outside of its arrays and its scratch, f32") { check_bounds(f32); }
TEST_SUITE("slow") {
  TEST_CASE("no kernel writes outside of its arrays and its scratch, f64, bf16 and f16") {
    check_bounds(f64), check_bounds(bf16), check_bounds(f16);
  }
}
