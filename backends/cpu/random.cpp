// Slots random_bits, dropout and randperm. Each element's bits are its own, so threads share them as they like, from
// even places.
#include "backends/cpu/random.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "backends/cpu/kernels.h"
#include "backends/ref/kernels.h"
#include "core/parallel.h"
#include "core/random.h"

#define FOVEA_FAMILY "backends/cpu/random_kernels.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {
namespace {

constexpr int64_t kPiece = 1 << 10;  // elements; even

// f(first element, how many), with the draw's two words at hand.
template <class F> void pieces(int64_t n, const F& f) {
  parallel_for(0, (n + kPiece - 1) / kPiece, 4,
               [&](int64_t b, int64_t e) { f(b * kPiece, std::min(n, e * kPiece) - b * kPiece); });
}

}  // namespace

const RandomKernels& random_kernels(Isa level) {
  constexpr const RandomKernels* tables[kIsaLevels] = {&sse2::kRandomTable, &avx2::kRandomTable, &avx512::kRandomTable};
  return *tables[int(level)];
}

Status random_bits(const Call& c, const NoAttrs& a) {
  const View &x = c.x(0), &y = c.y();
  if (!y.dense || !x.dense || y.dtype != i64 || x.dtype != i64 || x.rank != 1 || x.numel != 2)
    return ref::random_bits(c, a);
  const uint64_t base = uint64_t(x.as<int64_t>()[0]), number = uint64_t(x.as<int64_t>()[1]);
  pieces(y.numel, [&](int64_t first, int64_t n) {
    random_kernels(isa()).bits(n, base, number, uint64_t(first) / 2, y.as<int64_t>() + first);
  });
  return {};
}

Status dropout(const Call& c, const DropoutAttrs& a) {
  const View &x = c.x(0), &draw = c.x(1), &y = c.y();
  const uint64_t base = uint64_t(draw.as<int64_t>()[0]), number = uint64_t(draw.as<int64_t>()[1]);
  const int32_t from = int32_t(std::ceil(std::ldexp(a.p, 24)));
  const float scale = a.p < 1 ? float(1 / (1 - a.p)) : 0.0f;
  pieces(y.numel, [&](int64_t first, int64_t n) {
    random_kernels(isa()).dropout(n, base, number, uint64_t(first) / 2, from, scale, x.as<float>() + first,
                                  y.as<float>() + first);
  });
  return {};
}

namespace {

// randperm sorts what random_bits draws. Keys are even, so nothing is looked at beforehand: their leading bits make
// buckets of some 50, in which places are counted without a branch.
constexpr int64_t kPart = 1 << 12;                // keys that are worth a thread
constexpr int kMostParts = 32, kBucketBits = 11;  // at most

int bucket_bits(int64_t n) { return std::clamp(int(std::bit_width(uint64_t(n))) - 6, 1, kBucketBits); }

uint64_t unsigned_key(int64_t bits) { return uint64_t(bits) ^ uint64_t(1) << 63; }

void count_keys(const int64_t* keys, int64_t n, int bits, uint32_t* counts) {
  for (int64_t i = 0; i < n; i++) counts[unsigned_key(keys[i]) >> (64 - bits)]++;
}
// An item is the 32 bits of a key behind those of its bucket, then its place. `to` is where each bucket goes on.
void place_keys(const int64_t* keys, int64_t begin, int64_t end, int bits, uint32_t* to, uint64_t* items) {
  for (int64_t i = begin; i < end; i++) {
    const uint64_t key = unsigned_key(keys[i]);
    items[to[key >> (64 - bits)]++] = key << bits >> 32 << 32 | uint64_t(i);
  }
}

struct ItemOrder {
  uint64_t base, number;

  bool operator()(uint64_t p, uint64_t q) const {  // keys that agree as far as items tell are drawn again
    auto key = [&](uint64_t item) { return int64_t(fovea::random_bits(base, number, uint32_t(item))); };
    return p >> 32 != q >> 32 || key(p) == key(q) ? p < q : key(p) < key(q);
  }

  // Writes the places of n items, whose first `skip` bits agree, in their order. Items are moved.
  void write(uint64_t* items, int64_t n, int skip, int64_t* y) const {
    if (n > kMostRanked && skip + bucket_bits(n) <= 16) return split(items, n, skip, y);
    if (n <= kMostRanked && random_kernels(isa()).rank(n, items, skip, y)) return;
    for (int64_t i = 0; i < n; i++) {  // nearly all is in order
      const uint64_t item = items[i];
      int64_t at = i;
      for (; at > 0 && (*this)(item, items[at - 1]); at--) items[at] = items[at - 1];
      items[at] = item;
    }
    for (int64_t i = 0; i < n; i++) y[i] = uint32_t(items[i]);
  }
  void split(uint64_t* items, int64_t n, int skip, int64_t* y) const {
    const int bits = bucket_bits(n), buckets = 1 << bits;
    uint32_t ends[1 << kBucketBits], begin = 0;
    std::fill(ends, ends + buckets, 0);
    for (int64_t i = 0; i < n; i++) ends[items[i] << skip >> (64 - bits)]++, y[i] = int64_t(items[i]);
    for (int k = 0; k < buckets; k++) begin += std::exchange(ends[k], begin);
    for (int64_t i = 0; i < n; i++) items[ends[uint64_t(y[i]) << skip >> (64 - bits)]++] = uint64_t(y[i]);
    for (int k = begin = 0; k < buckets; begin = ends[k++])
      write(items + begin, ends[k] - begin, skip + bits, y + begin);
  }
};

}  // namespace

bool randperm_accepts(const Call& c, const void* attrs) {
  return c.x(0).dense && c.y().dense && static_cast<const CountAttrs*>(attrs)->count <= UINT32_MAX;
}
// Items, and where each part's keys of each bucket go.
int64_t randperm_scratch(const Call&, const void* attrs) {
  const int64_t n = static_cast<const CountAttrs*>(attrs)->count;
  return n * int64_t(sizeof(uint64_t)) + (kMostParts << bucket_bits(n)) * int64_t(sizeof(uint32_t));
}

Status randperm(const Call& c, const CountAttrs& a) {
  const uint64_t base = uint64_t(c.x(0).as<int64_t>()[0]), number = uint64_t(c.x(0).as<int64_t>()[1]);
  const int64_t n = a.count, parts = std::clamp<int64_t>(n / kPart, 1, std::min(2 * thread_count(), kMostParts));
  const int bits = bucket_bits(n), buckets = 1 << bits;
  int64_t* y = c.y().as<int64_t>();  // keys, then places
  uint64_t* items = static_cast<uint64_t*>(c.scratch);
  uint32_t* counts = reinterpret_cast<uint32_t*>(items + n);
  auto each_part = [&](auto f) {
    parallel_for(0, parts, 1, [&](int64_t b, int64_t e) {
      for (int64_t p = b; p < e; p++)
        f(n * p / parts & ~int64_t(1), p + 1 < parts ? n * (p + 1) / parts & ~int64_t(1) : n, counts + (p << bits));
    });
  };
  each_part([&](int64_t begin, int64_t end, uint32_t* count) {
    std::fill(count, count + buckets, 0);
    for (int64_t i = begin, some; i < end; i += some) {
      some = std::min(kPiece, end - i);
      random_kernels(isa()).bits(some, base, number, uint64_t(i) / 2, y + i);
      count_keys(y + i, some, bits, count);
    }
  });
  uint32_t at = 0;
  for (int k = 0; k < buckets; k++)
    for (int64_t p = 0; p < parts; p++) at += std::exchange(counts[(p << bits) + k], at);
  each_part([&](int64_t begin, int64_t end, uint32_t* to) { place_keys(y, begin, end, bits, to, items); });
  const uint32_t* ends = counts + ((parts - 1) << bits);
  parallel_for(0, buckets, std::max<int64_t>(buckets * kPart / (n + 1), 1), [&](int64_t b, int64_t e) {
    int64_t begin = b ? ends[b - 1] : 0;
    for (int64_t k = b; k < e; begin = ends[k++])
      ItemOrder{base, number}.write(items + begin, ends[k] - begin, 0, y + begin);
  });
  return {};
}

}  // namespace fovea::cpu
