// reduce, scan, arg_reduce. Floating sums and products run in f64, whole numbers in i64 (wrapping), duals in themselves. A NaN wins every
// comparison; of several, the first.
#include "backends/common/formulas.h"
#include "backends/ref/kernels.h"

namespace fovea::ref {
namespace {

constexpr Status kEmpty{Status::invalid, "no largest, smallest or best of an empty range"};
constexpr Status kDualOut{Status::invalid, "dual numbers go to dual numbers"};

template <class A>
constexpr A plus(const A& a, const A& b) { return formulas::binary<Binary::add>(a, b); }
template <class A>
constexpr A times(const A& a, const A& b) { return formulas::binary<Binary::mul>(a, b); }

// The best so far. Equal duals share the slope, as PyTorch's gradient of amax does.
template <class A, bool largest>
struct Best {
  A best{}, ties{};
  int64_t count = 0;
  void take(const A& x) {
    if (count == 0 || (x != x && best == best) || (largest ? x > best : x < best)) best = ties = x, count = 1;
    else if (x == best) ties = plus(ties, x), count++;
  }
  A result() const {
    if constexpr (is_dual_v<A>) return ties / double(count);
    else return best;
  }
};

// Writes a result in the output's dtype, which may be another one: sums of i32 in i64, means of integers in f32.
template <class A>
void store(const View& y, int64_t at, const A& a) {
  visit(EveryType{}, y.dtype, [&]<class T>() {
    if constexpr (!is_dual_v<A> || std::is_same_v<A, T> || std::is_same_v<T, bool>) y.as<T>()[at] = convert<T>(a);
    return Status{};
  });
}

// Calls row(flat position in y, start in x) once per output and hands over the axes that are left out.
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

template <class T, class A, class Start, class Step, class Finish>
void reduce_with(const View& x, const View& y, const Kept& axes, Start start, Step step, Finish finish) {
  Loops<2> outer = axes.outer();
  Loops<1> inner = axes.inner();
  outer.run([&](const int64_t* at, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
      const T* from = x.as<T>() + at[1] + i * outer.step(1);
      A acc = start;
      inner.run([&](const int64_t* in, int64_t m) {
        for (int64_t j = 0; j < m; j++) step(acc, from[in[0] + j * inner.step(0)]);
      });
      store(y, at[0] + i * outer.step(0), finish(acc));
    }
  });
}

template <class T, class A>
Status reduce_kind(Reduce kind, const View& x, const View& y, const Kept& axes) {
  using W = std::conditional_t<std::is_integral_v<T>, double, A>;  // means
  auto as_is = [](const auto& a) { return a; };
  int64_t n = axes.count();
  switch (kind) {
    case Reduce::sum: reduce_with<T, A>(x, y, axes, A(0), [](A& a, const T& v) { a = plus(a, convert<A>(v)); }, as_is); break;
    case Reduce::prod: reduce_with<T, A>(x, y, axes, A(1), [](A& a, const T& v) { a = times(a, convert<A>(v)); }, as_is); break;
    case Reduce::mean:
      reduce_with<T, W>(x, y, axes, W(0), [](W& a, const T& v) { a = a + convert<W>(v); }, [&](const W& a) { return a / double(n); });
      break;
    case Reduce::any: reduce_with<T, bool>(x, y, axes, false, [](bool& a, const T& v) { a |= convert<bool>(v); }, as_is); break;
    case Reduce::all: reduce_with<T, bool>(x, y, axes, true, [](bool& a, const T& v) { a &= convert<bool>(v); }, as_is); break;
    case Reduce::amax:
    case Reduce::amin:
      if (n == 0 && y.numel > 0) return kEmpty;
      if (kind == Reduce::amax)
        reduce_with<T, Best<A, true>>(x, y, axes, Best<A, true>{}, [](auto& b, const T& v) { b.take(convert<A>(v)); }, [](auto& b) { return b.result(); });
      else
        reduce_with<T, Best<A, false>>(x, y, axes, Best<A, false>{}, [](auto& b, const T& v) { b.take(convert<A>(v)); }, [](auto& b) { return b.result(); });
      break;
    default: return {Status::unsupported, "unknown kind of reduction"};
  }
  return {};
}

}  // namespace

// y = the reduction of x over a.dim (all axes where the list is empty): sum 0, prod 1, mean NaN, any false, all true of nothing.
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
  return visit(EveryType{}, x.dtype, [&]<class T>() { return reduce_kind<T, Sum<T>>(kind, x, y, axes); });
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
  return visit(EveryType{}, x.dtype, [&]<class T>() {
    using A = Sum<T>;
    Loops<2> outer = axes.outer();
    outer.run([&](const int64_t* at, int64_t m) {
      for (int64_t i = 0; i < m; i++) {
        int64_t to = at[0] + i * outer.step(0), from = at[1] + i * outer.step(1);
        A acc(product);
        for (int64_t j = 0; j < n; j++) {
          A v = convert<A>(x.as<T>()[from + j * sx]);
          acc = product ? times(acc, v) : plus(acc, v);
          store(y, to + j * sy, acc);
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
  return visit(EveryType{}, x.dtype, [&]<class T>() {
    Loops<2> outer = axes.outer();
    outer.run([&](const int64_t* at, int64_t m) {
      for (int64_t i = 0; i < m; i++) {
        const T* from = x.as<T>() + at[1] + i * outer.step(1);
        int64_t best = 0;
        for (int64_t j = 1; j < n; j++) {
          const T &v = from[j * s], &b = from[best * s];
          if ((v != v && b == b) || (largest ? v > b : v < b)) best = j;
        }
        y.as<int64_t>()[at[0] + i * outer.step(0)] = best;
      }
    });
    return Status{};
  });
}

}  // namespace fovea::ref
