// Slots matmul and linear: from views to products with strides. Batches of small products share the threads out among
// themselves, large products use all threads each.
#include <algorithm>

#include "backends/cpu/gemm.h"
#include "backends/cpu/halves.h"
#include "backends/cpu/kernels.h"
#include "backends/cpu/onednn.h"
#include "core/parallel.h"

namespace fovea::cpu {
namespace {

constexpr int64_t kSmall = 4 << 20;  // multiply-adds of a product that one thread does alone when there are many

// A product for every index of the leading axes (up to kMaxRank - 2 of them).
template <class T> struct Batch {
  Gemm<T> g;  // the first
  int rank = 0;
  int64_t count = 1;
  int64_t size[kMaxRank], step_a[kMaxRank], step_b[kMaxRank], step_c[kMaxRank];

  void axis(int64_t n, int64_t a, int64_t b, int64_t c) {
    count *= n;
    if (n == 1) return;
    size[rank] = n, step_a[rank] = a, step_b[rank] = b, step_c[rank++] = c;
  }
  Gemm<T> at(int64_t i) const {
    Gemm<T> r = g;
    for (int d = rank - 1; d >= 0; d--) {
      int64_t k = i % size[d];
      i /= size[d];
      r.a += k * step_a[d], r.b += k * step_b[d], r.c += k * step_c[d];
    }
    return r;
  }
  bool by_item() const { return count > 1 && (g.m * g.n * g.k <= kSmall || count >= 16); }
  int64_t slots() const { return by_item() ? std::min<int64_t>(count, kMaxSlots) : 1; }
  int64_t slot_bytes() const { return (gemm_scratch(g) + 63) / 64 * 64; }

  // Deterministic: our own kernel only, whose bits are the same for any number of threads.
  void run(void* scratch, bool deterministic) const {
    if (count == 0) return;
    if constexpr (std::is_same_v<T, float>)
      if (goes_to_onednn(deterministic)) return by_onednn(scratch);
    if (!by_item()) {
      for (int64_t i = 0; i < count; i++) gemm(at(i), scratch);
      return;
    }
    int64_t bytes = slot_bytes(), n = slots(), work = count * g.m * g.n * g.k;
    auto items = [&](int64_t first, int64_t last) {
      for (int64_t s = first; s < last; s++)
        for (int64_t i = count * s / n; i < count * (s + 1) / n; i++)
          gemm(at(i), static_cast<char*>(scratch) + s * bytes);
    };
    parallel_for(0, n, std::max<int64_t>(n * kAlone / (work + 1), 1), items);
  }

  bool goes_to_onednn(bool deterministic) const {
    constexpr bool small_too = std::is_same_v<T, BFloat16>;  // our kernels would first copy them as f32
    return count > 0 && (small_too || !by_item()) && !deterministic && onednn::is_wanted(g);
  }
  int64_t onednn_scratch() const {
    if constexpr (std::is_same_v<T, BFloat16>)
      if (by_item()) return onednn::scratch_each(g, count);
    return onednn::scratch(g);
  }
  void by_onednn(void* scratch) const {
    if constexpr (std::is_same_v<T, BFloat16>)
      if (by_item()) {
        auto nth = [](const void* of, int64_t i) { return static_cast<const Batch*>(of)->at(i); };
        return void(onednn::gemm_each<T>(g, count, nth, this, scratch));
      }
    for (int64_t i = 0; i < count; i++) onednn::gemm(at(i), scratch);
  }

  static constexpr int64_t kMaxSlots = 64;  // pieces of a batch, whatever the threads: each has scratch of its own
  static constexpr int64_t kAlone = 300'000;
};

template <class T> Batch<T> matmul_of(const Call& c) {
  const View &a = c.x(0), &b = c.x(1), &y = c.y();
  int r = a.rank;
  Batch<T> p;
  p.g = {a.shape[r - 2],   b.shape[r - 1],
         a.shape[r - 1],   a.as<T>(),
         a.strides[r - 2], a.strides[r - 1],
         b.as<T>(),        b.strides[r - 2],
         b.strides[r - 1], y.as<T>(),
         y.strides[r - 2], y.strides[r - 1],
         nullptr,          c.add};
  for (int d = 0; d < r - 2; d++) p.axis(y.shape[d], a.strides[d], b.strides[d], y.strides[d]);
  return p;
}

// y = x weight^T + bias. The rows of x and y are one matrix where their strides allow, else a batch of matrices.
template <class T> Batch<T> linear_of(const Call& c) {
  const View &x = c.x(0), &w = c.x(1), &y = c.y();
  const int last = x.rank - 1;
  Batch<T> p;
  p.g = {1,
         w.shape[0],
         w.shape[1],
         x.as<T>(),
         0,
         x.strides[last],
         w.as<T>(),
         w.strides[1],
         w.strides[0],
         y.as<T>(),
         0,
         y.strides[last],
         c.inputs > 2 && c.x(2).present() ? c.x(2).as<T>() : nullptr,
         c.add};
  int d = last - 1;
  for (; d >= 0 && x.shape[d] == 1; d--) {
  }
  if (d >= 0) p.g.m = x.shape[d], p.g.a_row = x.strides[d], p.g.c_row = y.strides[d];
  for (d--; d >= 0; d--) {
    bool merge = p.count == 1 && x.strides[d] == p.g.m * p.g.a_row && y.strides[d] == p.g.m * p.g.c_row;
    if (x.shape[d] == 1) continue;
    if (merge) p.g.m *= x.shape[d];
    else p.axis(x.shape[d], x.strides[d], 0, y.strides[d]);
  }
  return p;
}

template <class F> Status by_type(DType t, F&& f) {
  if (t == f32) return f.template operator()<float>();
  if (t == f64) return f.template operator()<double>();
  return {Status::unsupported, "no matrix product for this dtype"};
}

constexpr int64_t kOuter = 1 << 14;  // elements of a column times a row from which on memory is what it waits for

// A column times a row: numbers repeated along one axis each, multiplied.
Status outer_product(const Call& c) {
  View sides[2] = {c.x(0), c.x(1)};
  int64_t strides[2][kMaxRank];
  const View* in[2];
  for (int i = 0; i < 2; i++) {
    View& v = sides[i];
    std::copy(v.strides, v.strides + v.rank, strides[i]);
    strides[i][v.rank - 1 - i] = 0;
    v.shape = c.y().shape, v.strides = strides[i], v.dense = v.dense && v.numel == c.y().numel;
    v.numel = c.y().numel, in[i] = &v;
  }
  Call product = c;
  product.in = in, product.kind = uint8_t(Binary::mul);
  return binary(product, {});
}

template <class T> int64_t scratch_of(const Batch<T>& p, const Call& c) {
  if constexpr (std::is_same_v<T, float>)
    if (p.goes_to_onednn(c.deterministic)) return p.onednn_scratch();
  return p.count == 0 ? 0 : p.slots() * p.slot_bytes();
}

// Whether a product of bf16 goes as it is to oneDNN, which sums in f32; the others are computed in f32.
template <auto of> bool is_native(const Call& c) {
  return c.y().dtype == bf16 && of(c).goes_to_onednn(c.deterministic);
}

Status matmul_wide(const Call& c, const NoAttrs&) {
  if (c.x(0).shape[c.x(0).rank - 1] == 1 && !c.add && c.y().numel >= kOuter) return outer_product(c);
  return by_type(c.x(0).dtype, [&]<class T>() { return matmul_of<T>(c).run(c.scratch, c.deterministic), Status{}; });
}
int64_t matmul_wide_scratch(const Call& c, const void*) {
  return c.x(0).dtype == f64 ? scratch_of(matmul_of<double>(c), c) : scratch_of(matmul_of<float>(c), c);
}

Status linear_wide(const Call& c, const NoAttrs&) {
  return by_type(c.x(0).dtype, [&]<class T>() { return linear_of<T>(c).run(c.scratch, c.deterministic), Status{}; });
}
int64_t linear_wide_scratch(const Call& c, const void*) {
  return c.x(0).dtype == f64 ? scratch_of(linear_of<double>(c), c) : scratch_of(linear_of<float>(c), c);
}

template <auto of, auto wide> Status product(const Call& c, const NoAttrs& a) {
  if (!is_native<of>(c)) return in_f32<wide>(c, a);
  of(c).by_onednn(c.scratch);
  return {};
}
template <auto of, auto wide_scratch> int64_t product_scratch(const Call& c, const void* a) {
  return is_native<of>(c) ? of(c).onednn_scratch() : scratch_in_f32<wide_scratch>(c, a);
}

}  // namespace

Status matmul(const Call& c, const NoAttrs& a) { return product<matmul_of<BFloat16>, matmul_wide>(c, a); }
int64_t matmul_scratch(const Call& c, const void* a) {
  return product_scratch<matmul_of<BFloat16>, matmul_wide_scratch>(c, a);
}

Status linear(const Call& c, const NoAttrs& a) { return product<linear_of<BFloat16>, linear_wide>(c, a); }
bool linear_accepts(const Call& c, const void*) {  // a bias without gaps
  return c.inputs < 3 || !c.x(2).present() || c.x(2).numel <= 1 || c.x(2).strides[0] == 1;
}
int64_t linear_scratch(const Call& c, const void* a) {
  return product_scratch<linear_of<BFloat16>, linear_wide_scratch>(c, a);
}

}  // namespace fovea::cpu
