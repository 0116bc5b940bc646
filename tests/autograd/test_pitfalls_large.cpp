// Mistakes that were made elsewhere, each once, as in test_pitfalls.cpp: more elements than 31 and 32 bits count.
// Arrays of gigabytes take a few megabytes here: between its first and its last megabyte, an array is one window of
// memory over and over.
#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

#include <doctest/doctest.h>
#include "autograd/ops/advanced_index.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/view.h"
#include "core/dispatch.h"
#include "core/host_backend.h"
#include "tests/autograd/pitfalls.h"

using namespace fovea;

namespace {

constexpr size_t kEnd = size_t(1) << 20, kWindow = size_t(1) << 24;

// The CPU's kernels over such memory. What is written in the middle is lost, and overwrites what is read there.
class FoldedBackend final : public HostBackend {
 public:
  const char* name() const override { return "folded"; }
  bool host_memory() const override { return false; }  // or the host's arena served it
  void kernels(Kernels&) override {}
  Status allocate(int device, size_t bytes, void** data) override {
    if (bytes < 4 * kWindow) return HostBackend::allocate(device, bytes, data);
    auto map = [](void* at, size_t n, int flags, int file) {
      return mmap(at, n, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, file, 0);
    };
    auto* p = static_cast<char*>(map(nullptr, bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1));
    const int file = memfd_create("window", 0);
    bool good = p != MAP_FAILED && file >= 0 && ftruncate(file, kWindow) == 0;
    const size_t end = (bytes - kEnd) / 4096 * 4096;
    for (size_t at = kEnd; good && at < end; at += kWindow)
      good = map(p + at, std::min(kWindow, end - at), MAP_SHARED | MAP_FIXED, file) != MAP_FAILED;
    close(file);
    *data = p;
    return good ? Status{} : Status{Status::out_of_memory, "no addresses left"};
  }
  void free(int device, void* data, size_t bytes) override {
    if (bytes < 4 * kWindow) HostBackend::free(device, data, bytes);
    else munmap(data, bytes);
  }
};
Device folded() {
  static const Device d = [] {
    (void)default_device();  // stays what it is
    static FoldedBackend backend;
    const int place = register_backend(backend);
    *fovea::detail::backends[place].table = kernels_of(device("cpu"));
    return Device{uint8_t(place), 0};
  }();
  return d;
}

std::vector<float> last_row(const Tensor& x) { return narrow(x, 0, x.size(0) - 1, 1).contiguous().to_vector<float>(); }

}  // namespace

TEST_CASE("pitfall 24: rows of a table of more than 2^31 elements, pt#165095, pt#188467") {
  const int64_t rows = (int64_t(1) << 21) + 8, width = 1024;
  const Device at = folded();
  Tensor ids = Tensor::of(std::vector<int64_t>{rows - 1, 0, rows - 1}, {3}, {.device = at});
  Tensor column = full({2, 1}, width - 1, {.dtype = i64, .device = at}), wide = expand(ids.unsqueeze(1), {3, width});
  for (DType t : {f32, f16, u8}) {
    Array numbers = Array::empty({rows, width}, t, at), last = numbers.narrow(0, rows - 1, 1);
    fill(last, 9);
    Tensor table(numbers);
    INFO(std::string(name_of(t)));
    const std::vector<float> expected{9, 0, 9};
    auto check = [&](const Tensor& picked) {
      REQUIRE(picked.shape() == Shape{3, width});
      for (int64_t k : {int64_t(0), width - 1}) CHECK(select(picked, 1, k).to_vector<float>() == expected);
    };
    check(index_select(table, 0, ids));
    check(gather(table, 0, wide));
    check(index(table, {ids}));
    if (t != u8) check(embedding(ids, table));
    CHECK(gather(narrow(table, 0, rows - 2, 2), 1, column).to_vector<float>() == std::vector<float>{0, 9});
  }
}

TEST_SUITE("slow") {
  TEST_CASE("pitfall 24: gradients of a table of more than 2^31 elements, pt#165095, pt#188467") {
    const int64_t rows = (int64_t(1) << 21) + 8, width = 1024;
    const Device at = folded();
    Tensor ids = Tensor::of(std::vector<int64_t>{rows - 1, 0, rows - 1, 5}, {4}, {.device = at});
    auto check = [&](DType t, auto pick) {
      Tensor w = expand(zeros({1, width}, {.dtype = t, .device = at}), {rows, width}).requires_grad_();
      Tensor dw = grad({pick(w)}, {w}, {full({4, width}, 3, {.dtype = t, .device = at})})[0];
      INFO(std::string(name_of(t)));
      REQUIRE(dw.shape() == Shape{rows, width});
      CHECK(last_row(dw) == std::vector<float>(width, 6));
      CHECK(narrow(narrow(dw, 0, 0, 7), 1, width - 1, 1).contiguous().to_vector<float>() ==
            std::vector<float>{3, 0, 0, 0, 0, 3, 0});
    };
    check(bf16, [&](const Tensor& w) { return embedding(ids, w); });
    check(f32, [&](const Tensor& w) { return index_select(w, 0, ids); });
  }

  TEST_CASE("pitfall 25: sums, scans, copies and places of more than 2^32 elements, pt#167086, mlx#4303") {
    const int64_t n = (int64_t(1) << 32) + 8;
    const Device at = folded();
    CHECK(sum(expand(ones({1}, {.dtype = f32, .device = at}), {n})).item() == double(float(n)));
    Array numbers = Array::empty({n}, f32, at);  // zeros, but for the ends
    for (int64_t i : {int64_t(3), n - 2}) {
      Array place = numbers.narrow(0, i, 1);
      fill(place, 7);
    }
    Tensor total = cumsum(Tensor(numbers), 0);
    for (int64_t i : {int64_t(2), int64_t(3), n - 3, n - 2}) CHECK(total[i].item() == (i < 3 ? 0 : i < n - 2 ? 7 : 14));
    Tensor tail = Tensor::of(std::vector<int64_t>{0, 1, 1}, {3}, {.dtype = boolean, .device = at});
    Tensor joined = cat({expand(zeros({1}, {.dtype = boolean, .device = at}), {n}), tail});
    CHECK(joined.shape() == Shape{n + 3});
    CHECK(nonzero(joined).to_vector<int64_t>() == std::vector<int64_t>{n + 1, n + 2});
    Tensor again = repeat(tail, {n / 3 + 1});
    CHECK(narrow(again, 0, again.numel() - 3, 3).contiguous().to_vector<int>() == std::vector<int>{0, 1, 1});
  }
}

TEST_CASE("pitfall 8: 40000 keys, with a window, lengths and a dense mask, forward and backward, mlx#3361") {
  const int64_t keys = 40000, queries = 3;
  for (const char* d : kDevices) {
    Tensor q = noise_leaf({1, 1, queries, 4}, 1, d), k = noise_leaf({1, 1, keys, 4}, 2, d),
           v = noise_leaf({1, 1, keys, 4}, 3, d);
    const Tensor place = arange(keys, {.device = device(d)}), row = arange(queries, {.device = device(d)}).unsqueeze(1);
    const Tensor back = row + (keys - queries) - place;  // how far behind the query
    struct Case {
      const char* name;
      AttentionOptions o;
      Tensor sees;
    };
    const Case cases[] = {
        {"causal", {.causal = true}, back >= 0},
        {"window", {.causal = true, .left = 33000}, logical_and(back >= 0, back <= 33000)},
        {"lengths",
         {.k_lengths = Tensor::of(std::vector<int64_t>{35000}, {1}, {.device = device(d)})},
         expand(place < 35000, {queries, keys})},
    };
    for (const Case& c : cases) {
      // In f64 and by hand.
      Tensor q64 = q.detach().to(f64).requires_grad_(), k64 = k.detach().to(f64).requires_grad_(),
             v64 = v.detach().to(f64).requires_grad_();
      Tensor weight = where(c.sees, exp(sum(unsqueeze(q64[0][0], 1) * k64[0][0], -1) * 0.5), 0.0);
      weight = weight / sum(weight, -1, {.keepdim = true});
      Tensor exact = sum(unsqueeze(weight, 2) * v64[0][0], 1), g = noise_leaf({queries, 4}, 4, d).detach();
      std::vector<Tensor> expected = grad({exact}, {q64, k64, v64}, {g.to(f64)});
      for (const Tensor& y :
           {attention(q, k, v, c.o)[0][0], scaled_dot_product_attention(q, k, v, {.attn_mask = c.sees})[0][0]}) {
        INFO(std::string(d), " ", std::string(c.name));
        CHECK(gap(y, exact) < 1e-6);
        std::vector<Tensor> got = grad({y}, {q, k, v}, {g});
        for (size_t i = 0; i < 3; i++) CHECK(gap(got[i], expected[i]) < 1e-6);
      }
    }
  }
}
