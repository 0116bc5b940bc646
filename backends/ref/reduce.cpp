// reduce, scan, arg_reduce. Floating sums and products run in f64, whole numbers in i64 (wrapping), duals in
// themselves. A NaN wins every comparison; of several, the first.
#include <limits>

#include "backends/common/formulas.h"
#include "backends/ref/elements.h"
#include "backends/ref/kernels.h"

namespace fovea::ref {
namespace {

constexpr Status kEmpty{Status::invalid, "no largest, smallest or best of an empty range"};
constexpr Status kDualOut{Status::invalid, "dual numbers go to dual numbers"};

// What runs along the elements of a range: a fold with a binary formula, the mean, the largest or smallest.
template <class V, Binary k> struct Fold {
  using Value = V;
  V acc;
  void take(const V& x) { acc = formulas::binary<k>(acc, x); }
  V result() const { return acc; }
};
template <class V> struct Mean {
  using Value = V;
  V sum;
  int64_t count = 0;
  void take(const V& x) { sum = sum + x, count++; }
  // Of nothing NaN, a constant: it has no slope.
  V result() const { return count ? sum / double(count) : V(std::numeric_limits<double>::quiet_NaN()); }
};
// Equal duals share the slope, as PyTorch's gradient of amax does.
template <class V, bool largest> struct Best {
  using Value = V;
  V best{}, ties{};
  int64_t count = 0;
  void take(const V& x) {
    if (count == 0 || (x != x && best == best) || (largest ? x > best : x < best)) best = ties = x, count = 1;
    else if (x == best) ties = formulas::binary<Binary::add>(ties, x), count++;
  }
  V result() const {
    if constexpr (is_dual_v<V>) return ties / double(count);
    else return best;
  }
};

// The axes of x in two groups: those that y keeps, walked beside y, and those that are left out of it.
struct Kept {
  int kept_rank = 0, left_rank = 0;
  int64_t kept[kMaxRank], kept_x[kMaxRank], kept_y[kMaxRank], left[kMaxRank], left_x[kMaxRank];
  Kept(const View& x, const View& y, const bool* drop, bool keepdim) {
    for (int d = 0; d < x.rank; d++) {
      if (drop[d]) {
        left[left_rank] = x.shape[d], left_x[left_rank++] = x.strides[d];
      } else {
        kept_y[kept_rank] = y.strides[keepdim ? d : kept_rank];
        kept[kept_rank] = x.shape[d], kept_x[kept_rank++] = x.strides[d];
      }
    }
  }
  Loops<2> outer() const { return Loops<2>(kept_rank, kept, {kept_y, kept_x}); }
  Loops<1> inner() const { return Loops<1>(left_rank, left, {left_x}); }
  int64_t count() const {
    int64_t n = 1;
    for (int d = 0; d < left_rank; d++) n *= left[d];
    return n;
  }
};

// y = what the accumulator makes of each range, begun anew for each. Results go to y's dtype, which may be another one:
// sums of i32 in i64, means of integers in f32.
template <class W, class Acc> Status along(const View& x, const View& y, const Kept& axes, const Acc& fresh) {
  Loops<2> outer = axes.outer();
  Loops<1> inner = axes.inner();
  outer.run([&](const int64_t* at, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
      int64_t first = at[1] + i * outer.step(1);
      Acc acc = fresh;
      in_blocks(inner, [&](const int64_t* in, int64_t m) {
        W block[kBlock];
        load(x, first + in[0], inner.step(0), m, block);
        for (int64_t j = 0; j < m; j++) acc.take(convert<typename Acc::Value>(block[j]));
      });
      auto result = acc.result();
      if constexpr (std::is_same_v<decltype(result), bool>) store_one(y, at[0] + i * outer.step(0), W(result));
      else store_one(y, at[0] + i * outer.step(0), result);
    }
  });
  return {};
}

template <class V> Status reduce_kind(Reduce kind, const View& x, const View& y, const Kept& axes) {
  using M = std::conditional_t<is_dual_v<V>, V, double>;
  bool nothing = axes.count() == 0 && y.numel > 0;
  switch (kind) {
    case Reduce::sum: return along<V>(x, y, axes, Fold<V, Binary::add>{V(0)});
    case Reduce::prod: return along<V>(x, y, axes, Fold<V, Binary::mul>{V(1)});
    case Reduce::mean: return along<V>(x, y, axes, Mean<M>{M(0)});
    case Reduce::any: return along<V>(x, y, axes, Fold<bool, Binary::logical_or>{false});
    case Reduce::all: return along<V>(x, y, axes, Fold<bool, Binary::logical_and>{true});
    case Reduce::amax: return nothing ? kEmpty : along<V>(x, y, axes, Best<V, true>{});
    case Reduce::amin: return nothing ? kEmpty : along<V>(x, y, axes, Best<V, false>{});
  }
  return {Status::unsupported, "unknown kind of reduction"};
}

}  // namespace

// y = the reduction of x over a.dim (all axes where the list is empty): sum 0, prod 1, mean NaN, any false, all true of
// nothing.
Status reduce(const Call& c, const ReduceAttrs& a) {
  const View &x = c.x(0), &y = c.y();
  bool drop[kMaxRank] = {};
  for (int d = 0; d < x.rank && a.dim.rank == 0; d++) drop[d] = true;
  for (int64_t dim : a.dim) {
    int d = axis(dim, x.rank);
    if (d < 0) return kBadAxis;
    if (x.rank > 0) drop[d] = true;
  }
  Reduce kind = Reduce(c.kind);
  if (is_dual(x.dtype) && y.dtype != x.dtype && kind != Reduce::any && kind != Reduce::all) return kDualOut;
  Kept axes(x, y, drop, a.keepdim);
  return by_class(x.dtype, [&]<class W>() { return reduce_kind<W>(kind, x, y, axes); });
}

// y[..., i, ...] = the sum or product of x[..., 0 to i, ...].
Status scan(const Call& c, const DimAttrs& a) {
  const View &x = c.x(0), &y = c.y();
  int d = axis(a.dim, x.rank);
  if (d < 0) return kBadAxis;
  if (c.kind > uint8_t(Scan::prod)) return {Status::unsupported, "unknown kind of scan"};
  if (is_dual(x.dtype) && y.dtype != x.dtype) return kDualOut;
  bool drop[kMaxRank] = {}, product = c.kind == uint8_t(Scan::prod);
  drop[d] = true;
  Kept axes(x, y, drop, true);
  int64_t n = size_at(x, d), sx = stride_at(x, d), sy = stride_at(y, d);
  return by_class(x.dtype, [&]<class W>() {
    Loops<2> outer = axes.outer();
    outer.run([&](const int64_t* at, int64_t m) {
      for (int64_t i = 0; i < m; i++) {
        int64_t to = at[0] + i * outer.step(0), from = at[1] + i * outer.step(1);
        W acc(product);
        for (int64_t j = 0; j < n; j++) {
          W v = load_one<W>(x, from + j * sx);
          acc = product ? formulas::binary<Binary::mul>(acc, v) : formulas::binary<Binary::add>(acc, v);
          store_one(y, to + j * sy, acc);
        }
      }
    });
    return Status{};
  });
}

// y (i64) = where the largest or smallest is along a.dim; the first of equals, the first NaN before all.
Status arg_reduce(const Call& c, const DimKeepAttrs& a) {
  const View &x = c.x(0), &y = c.y();
  int d = axis(a.dim, x.rank);
  if (d < 0) return kBadAxis;
  if (y.dtype != i64) return kMixed;
  bool drop[kMaxRank] = {}, largest = c.kind == uint8_t(ArgReduce::max);
  drop[d] = true;
  Kept axes(x, y, drop, a.keepdim);
  int64_t n = size_at(x, d), s = stride_at(x, d);
  if (n == 0 && y.numel > 0) return kEmpty;
  return by_class(x.dtype, [&]<class W>() {
    Loops<2> outer = axes.outer();
    outer.run([&](const int64_t* at, int64_t m) {
      for (int64_t i = 0; i < m; i++) {
        int64_t from = at[1] + i * outer.step(1), place = 0;
        W best{};
        for (int64_t j = 0; j < n; j++) {
          W v = load_one<W>(x, from + j * s);
          if (j == 0 || (v != v && best == best) || (largest ? v > best : v < best)) best = v, place = j;
        }
        y.as<int64_t>()[at[0] + i * outer.step(0)] = place;
      }
    });
    return Status{};
  });
}

}  // namespace fovea::ref
