// Slots reduce and sum_to: sum, mean, prod, amax, amin of f32 and f64, any and all of booleans, sum, amax and amin of
// whole numbers along contiguous rows or down columns; everything else is the reference's. Long ranges are cut into
// pieces of fixed size, so the bits do not depend on the number of threads.
#include "backends/cpu/reduce.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include "backends/common/loops.h"
#include "backends/cpu/elementwise.h"
#include "backends/cpu/halves.h"
#include "backends/cpu/kernels.h"
#include "backends/ref/kernels.h"
#include "core/parallel.h"

#define FOVEA_FAMILY "backends/cpu/reduce_kernels.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {

template <> const ReduceKernels<float>& reduce_kernels(Isa level) {
  static constexpr const ReduceKernels<float>* tables[] = {&sse2::kReduceTable<float>, &avx2::kReduceTable<float>,
                                                           &avx512::kReduceTable<float>};
  return *tables[int(level)];
}
// f64 serves checks, not training: one level of it is enough code.
template <> const ReduceKernels<double>& reduce_kernels(Isa) { return sse2::kReduceTable<double>; }

const RowKernels& row_kernels(Isa level) {
  static constexpr RowKernels tables[] = {{sse2::deviation_sums, sse2::max_pool},
                                          {avx2::deviation_sums, avx2::max_pool},
                                          {avx512::deviation_sums, avx512::max_pool}};
  return tables[int(level)];
}

namespace {

constexpr int64_t kLong = 1 << 15;   // elements of a row that are one piece
constexpr int64_t kTall = 1 << 10;   // rows of a matrix that are one piece
constexpr int64_t kGrain = 1 << 14;  // elements that are worth a thread
constexpr int64_t kWorth = 16;       // elements that are worth a piece of scratch

// A reduction as walks over kept axes and one range of `count` elements a `step` apart, and, when the elements of the
// result lie side by side in x, `columns` of them at a time. The range is cut into `pieces`; of several ranges that
// are not one behind the other, each place of the slower ones is pieces of its own.
struct Plan {
  bool ok = false;
  int64_t count = 1, step = 1, columns = 0, cuts = 1, pieces = 1, all = 1;
  int kept_rank = 0, slow_rank = 0;
  int64_t slow[kMaxRank], slow_x[kMaxRank];
  int64_t kept[kMaxRank], kept_x[kMaxRank], kept_y[kMaxRank];

  Plan(const View& x, const View& y, const bool* drop, bool keepdim) {
    struct Axis {
      int64_t size, x, y;
      bool drop;
    } axes[kMaxRank];
    int n = 0;
    if (x.numel == 0) return;
    for (int d = 0, k = 0; d < x.rank; d++) {
      int64_t to = drop[d] ? 0 : y.strides[keepdim ? d : k];
      if (!drop[d]) k++;
      if (x.shape[d] == 1) continue;
      if (x.strides[d] <= 0) return;
      int at = n++;  // from the smallest step in x to the largest
      for (; at > 0 && axes[at - 1].x > x.strides[d]; at--) axes[at] = axes[at - 1];
      axes[at] = {x.shape[d], x.strides[d], to, drop[d]};
    }
    // Neighbours that lie one behind the other become one.
    int merged = 0;
    for (int i = 0; i < n; i++) {
      Axis* last = merged ? &axes[merged - 1] : nullptr;
      bool joins = last && last->drop == axes[i].drop && axes[i].x == last->x * last->size &&
                   (last->drop || axes[i].y == last->y * last->size);
      if (joins) last->size *= axes[i].size;
      else axes[merged++] = axes[i];
    }
    int ranges = 0;
    for (int i = 0; i < merged; i++) {
      if (axes[i].drop) all *= axes[i].size;
      if (axes[i].drop && ranges++ > 0) slow[slow_rank] = axes[i].size, slow_x[slow_rank++] = axes[i].x;
      else if (axes[i].drop) count = axes[i].size, step = axes[i].x;
      else if (i == 0 && axes[i].x == 1 && axes[i].y == 1) columns = axes[i].size;
      else kept[kept_rank] = axes[i].size, kept_x[kept_rank] = axes[i].x, kept_y[kept_rank++] = axes[i].y;
    }
    if (columns == 0 && step != 1) return;
    if (slow_rank && count * std::max<int64_t>(columns, 1) < kWorth) return;
    std::reverse(kept, kept + kept_rank);
    std::reverse(kept_x, kept_x + kept_rank);
    std::reverse(kept_y, kept_y + kept_rank);
    cuts = columns ? (count + kTall - 1) / kTall : (count + kLong - 1) / kLong;
    pieces = cuts * (all / count);
    ok = true;
  }
  // Where piece q begins in x, and how long it is.
  std::pair<int64_t, int64_t> piece(int64_t q) const {
    const int64_t length = (count + cuts - 1) / cuts, first = q % cuts * length;
    int64_t at = first * step;
    q /= cuts;
    for (int d = 0; d < slow_rank; d++) at += q % slow[d] * slow_x[d], q /= slow[d];
    return {at, std::max<int64_t>(std::min(length, count - first), 0)};
  }
  Loops<2> outer() const { return Loops<2>(kept_rank, kept, {kept_y, kept_x}); }
  int64_t outputs() const {
    int64_t n = columns ? columns : 1;
    for (int d = 0; d < kept_rank; d++) n *= kept[d];
    return n;
  }
};

// Any is the largest of booleans, all the smallest.
template <bool any> double flag_row(int64_t n, const uint8_t* x) {
  return (std::memchr(x, any, size_t(n)) != nullptr) == any;
}
template <bool any> void flag_down(int64_t rows, int64_t n, const uint8_t* x, int64_t stride, uint8_t* to) {
  for (int64_t j = 0; j < n; j += 64) {
    uint64_t all[8], row[8] = {};
    const size_t width = size_t(std::min<int64_t>(n - j, 64));
    std::memset(all, any ? 0 : 1, sizeof all);
    for (int64_t i = 0; i < rows; i++) {
      std::memcpy(row, x + i * stride + j, width);
      for (int k = 0; k < 8; k++) all[k] = any ? all[k] | row[k] : all[k] & row[k];
    }
    std::memcpy(to + j, all, width);
  }
}

template <class A> A join(Fold f, A a, A b) {
  if (f == Fold::sum) return a + b;
  if (f == Fold::product) return a * b;
  return a != a || (f == Fold::largest ? a > b : a < b) ? a : b;
}

// Of whole numbers; sums wrap. Four at a time, so that one needs not wait for the other.
template <Fold f> int64_t join_whole(int64_t a, int64_t b) {
  return f == Fold::sum ? int64_t(uint64_t(a) + uint64_t(b)) : join(f, a, b);
}
template <class T, Fold f> int64_t whole_row(int64_t n, const T* x) {
  int64_t acc[4] = {int64_t(x[0]), 0, 0, 0}, i = 1;
  if constexpr (sizeof(T) == 1)  // truths: bytes of 0 and 1, eight at a time
    for (uint64_t eight; i + 8 <= n; i += 8)
      std::memcpy(&eight, x + i, 8), acc[1] += int64_t(eight * 0x0101010101010101u >> 56);
  else if (f != Fold::sum) std::fill(acc + 1, acc + 4, acc[0]);
  for (; i + 4 <= n; i += 4)
    for (int k = 0; k < 4; k++) acc[k] = join_whole<f>(acc[k], int64_t(x[i + k]));
  for (; i < n; i++) acc[0] = join_whole<f>(acc[0], int64_t(x[i]));
  return join_whole<f>(join_whole<f>(acc[0], acc[1]), join_whole<f>(acc[2], acc[3]));
}
template <class T, class Out, Fold f> void whole_down(int64_t rows, int64_t n, const T* x, int64_t stride, Out* to) {
  for (int64_t j = 0; j < n; j++) to[j] = Out(x[j]);
  for (int64_t i = 1; i < rows; i++)
    for (int64_t j = 0; j < n; j++) to[j] = Out(join_whole<f>(int64_t(to[j]), int64_t(x[i * stride + j])));
}

// Halves, by the kernels of f32 on what stays in the nearest cache; sums of bf16 have their own.
template <class S, Fold f> double half_row(int64_t n, const S* x) {
  if constexpr (std::is_same_v<S, BFloat16> && f == Fold::sum) return reduce_kernels<float>(isa()).bf16.row(n, x);
  constexpr int64_t kBlock = 2048;  // of which a row of f32 is summed too
  alignas(64) float some[kBlock];
  double total = 0;
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t count = std::min(n - i, kBlock);
    widen(count, x + i, some);
    const double block = reduce_kernels<float>(isa()).row[int(f)](count, some);
    total = i == 0 ? block : join(f, total, block);
  }
  return total;
}
template <class S, Fold f> void half_down(int64_t rows, int64_t n, const S* x, int64_t stride, float* to) {
  const ReduceKernels<float>& k = reduce_kernels<float>(isa());
  if constexpr (std::is_same_v<S, BFloat16> && f == Fold::sum) return k.bf16.down(rows, n, x, stride, to);
  constexpr int64_t kSome = 8;
  alignas(64) float some[kSome + 1][kDownColumns];  // what there is so far, and more rows
  for (int64_t i = 0; i < rows; i += kSome) {
    const int64_t count = std::min(rows - i, kSome);
    for (int64_t r = 0; r < count; r++) widen(n, x + (i + r) * stride, some[r + 1]);
    k.down[int(f)](count + (i > 0), n, some[i == 0], kDownColumns, some[0]);
  }
  std::copy_n(some[0], n, to);
}

// Of numbers kept as T; columns are folded as Sum, the results of pieces are joined as A.
template <class T, class Out = T, class A = double, class Sum = Out> struct Reduction {
  const Plan& p;
  Fold fold;
  bool mean;
  A (*row)(int64_t n, const T* x);
  void (*down)(int64_t rows, int64_t n, const T* x, int64_t stride, Sum* to);
  A* partial;  // [outputs, pieces], columns last, where there is more than one piece
  void (*short_rows)(int64_t rows, int64_t k, const T* x, Out* to) = nullptr;

  Out finished(A value) const { return Out(mean ? value / A(p.all) : value); }

  // f(y, x, n, index of the first output): n ranges a step of `outer` apart; every range once, in any order.
  template <class F> void each_rows(const View& x, const View& y, const Loops<2>& outer, const F& f) const {
    int64_t inner = outer.inner(), rows = outer.rows(), each = p.all * std::max<int64_t>(p.columns, 1);
    auto cut = [&](const int64_t* at, int64_t begin, int64_t end, int64_t row) {
      f(y.as<Out>() + at[0] + begin * outer.step(0), x.as<T>() + at[1] + begin * outer.step(1), end - begin,
        row * inner + begin);
    };
    const int64_t zero[2] = {};
    if (rows * inner < thread_count()) {  // whoever is called shares the work out
      outer.run([&, row = int64_t(0)](const int64_t* at, int64_t n) mutable { cut(at, 0, n, row++); });
    } else if (rows == 1) {
      parallel_for(0, inner, std::max<int64_t>(kGrain / each, 1), [&](int64_t b, int64_t e) { cut(zero, b, e, 0); });
    } else {
      parallel_for(0, rows, std::max<int64_t>(kGrain / (each * inner), 1), [&](int64_t b, int64_t e) {
        int64_t row = b;
        outer.run(b, e, [&](const int64_t* at, int64_t n) { cut(at, 0, n, row++); });
      });
    }
  }

  // f(y, x, index of the output)
  template <class F> void each_row(const View& x, const View& y, const F& f) const {
    const Loops<2> outer = p.outer();
    each_rows(x, y, outer, [&](Out* to, const T* from, int64_t n, int64_t k) {
      for (int64_t i = 0; i < n; i++) f(to + i * outer.step(0), from + i * outer.step(1), k + i);
    });
  }

  void rows(const View& x, const View& y) const {
    const Loops<2> outer = p.outer();
    if constexpr (std::is_same_v<Sum, Out>)
      if (short_rows && p.pieces == 1 && p.count <= kShort && outer.step(0) == 1 && outer.step(1) == p.count)
        return each_rows(x, y, outer, [&](Out* to, const T* from, int64_t n, int64_t) {
          short_rows(n, p.count, from, to);
          for (int64_t i = 0; mean && i < n; i++) to[i] /= Out(p.all);
        });
    each_row(x, y, [&](Out* to, const T* from, int64_t k) {
      if (p.pieces == 1) return void(*to = finished(row(p.count, from)));
      A* part = partial + k * p.pieces;
      parallel_for(0, p.pieces, std::max<int64_t>(kGrain / p.count, 1), [&](int64_t b, int64_t e) {
        for (int64_t q = b; q < e; q++) {
          auto [at, n] = p.piece(q);
          part[q] = row(n, from + at);
        }
      });
      A total = part[0];
      for (int64_t q = 1; q < p.pieces; q++) total = join(fold, total, part[q]);
      *to = finished(total);
    });
  }

  // Tasks are blocks of columns of a piece. Few rows are folded at once; the results of more are joined.
  void columns(const View& x, const View& y) const {
    const int64_t blocks = (p.columns + kDownColumns - 1) / kDownColumns;
    const int64_t width = ((p.columns + blocks - 1) / blocks + 15) / 16 * 16;
    each_row(x, y, [&](Out* to, const T* from, int64_t k) {
      A* part = p.pieces > 1 ? partial + k * p.pieces * p.columns : nullptr;
      auto task = [&](int64_t b, int64_t e) {
        for (int64_t t = b; t < e; t++) {
          const int64_t q = t / blocks, j = t % blocks * width, n = std::min(width, p.columns - j);
          if (n <= 0) continue;
          auto [at, height] = p.piece(q);
          const T* x0 = from + at + j;
          if (!part && height <= kDownRows) {
            Sum few[kDownColumns], *sums = few;
            if constexpr (std::is_same_v<Sum, Out>) sums = to + j;
            down(height, n, x0, p.step, sums);
            for (int64_t c = 0; mean && c < n; c++) sums[c] /= Sum(p.all);
            if constexpr (!std::is_same_v<Sum, Out>) narrow(n, sums, to + j);
            continue;
          }
          A acc[kDownColumns];
          for (int64_t r = 0; r < height; r += kDownRows) {
            Sum some[kDownColumns];
            down(std::min(kDownRows, height - r), n, x0 + r * p.step, p.step, some);
            for (int64_t c = 0; c < n; c++) acc[c] = r == 0 ? A(some[c]) : join(fold, acc[c], A(some[c]));
          }
          for (int64_t c = 0; c < n; c++)
            if (part) part[q * p.columns + j + c] = acc[c];
            else to[j + c] = finished(acc[c]);
        }
      };
      parallel_for(0, blocks * p.pieces, std::max<int64_t>(kGrain / (p.count * width), 1), task);
      for (int64_t j = 0; part && j < p.columns; j++) {
        A total = part[j];
        for (int64_t q = 1; q < p.pieces; q++) total = join(fold, total, part[q * p.columns + j]);
        to[j] = finished(total);
      }
    });
  }

  void run(const View& x, const View& y) const { p.columns ? columns(x, y) : rows(x, y); }
};

// The axes along which y is a broadcast of nothing: those it lacks, and those of size 1.
Plan plan_to(const View& x, const View& y) {
  bool drop[kMaxRank] = {};
  int64_t strides[kMaxRank] = {};
  const int lead = x.rank - y.rank;
  for (int d = 0; d < x.rank; d++) {
    drop[d] = d < lead || (y.shape[d - lead] == 1 && x.shape[d] != 1);
    if (d >= lead) strides[d] = y.strides[d - lead];
  }
  View wide = y;
  wide.rank = x.rank, wide.strides = strides;
  return Plan(x, wide, drop, true);
}

Plan plan(const Call& c, const ReduceAttrs& a) {
  const View &x = c.x(0), &y = c.y();
  bool drop[kMaxRank] = {};
  for (int d = 0; d < x.rank && a.dim.rank == 0; d++) drop[d] = true;
  for (int64_t dim : a.dim) {
    int d = ref::axis(dim, x.rank);
    if (d >= 0 && x.rank > 0) drop[d] = true;
  }
  return Plan(x, y, drop, a.keepdim);
}

int64_t scratch_of(const Plan& p) {
  return p.ok && p.pieces > 1 ? p.pieces * p.outputs() * int64_t(sizeof(double)) : 0;
}

template <class T, class Out> void run_whole(const Call& c, const Plan& p, Fold fold) {
  Reduction<T, Out, int64_t> r{
      p, fold, false, whole_row<T, Fold::sum>, whole_down<T, Out, Fold::sum>, static_cast<int64_t*>(c.scratch)};
  if constexpr (std::is_same_v<T, Out>) {
    if (fold == Fold::largest) r.row = whole_row<T, Fold::largest>, r.down = whole_down<T, T, Fold::largest>;
    if (fold == Fold::smallest) r.row = whole_row<T, Fold::smallest>, r.down = whole_down<T, T, Fold::smallest>;
  }
  r.run(c.x(0), c.y());
}

void run(const Call& c, const Plan& p, Fold fold, bool mean) {
  double* partial = static_cast<double*>(c.scratch);
  const View &x = c.x(0), &y = c.y();
  if (x.dtype == boolean && y.dtype == boolean) {
    bool any = fold == Fold::largest;
    return Reduction<uint8_t>{
        p, fold, false, any ? flag_row<true> : flag_row<false>, any ? flag_down<true> : flag_down<false>, partial}
        .run(x, y);
  }
  auto by_kernels = [&]<class T>() {
    const ReduceKernels<T>& k = reduce_kernels<T>(isa());
    Reduction<T>{p, fold, mean, k.row[int(fold)], k.down[int(fold)], partial, k.short_rows[int(fold)]}.run(x, y);
  };
  auto by_halves = [&]<class S>() {
    auto go = [&]<Fold f>() {
      Reduction<S, S, double, float>{p, f, mean, half_row<S, f>, half_down<S, f>, partial}.run(x, y);
    };
    if (fold == Fold::sum) go.template operator()<Fold::sum>();
    else if (fold == Fold::product) go.template operator()<Fold::product>();
    else fold == Fold::largest ? go.template operator()<Fold::largest>() : go.template operator()<Fold::smallest>();
  };
  if (x.dtype == f32) by_kernels.operator()<float>();
  else if (x.dtype == bf16) by_halves.operator()<BFloat16>();
  else if (x.dtype == f16) by_halves.operator()<Float16>();
  else if (x.dtype == f64) by_kernels.operator()<double>();
  else if (x.dtype == boolean) run_whole<uint8_t, int64_t>(c, p, fold);
  else if (x.dtype == i64) run_whole<int64_t, int64_t>(c, p, fold);
  else if (y.dtype == i64) run_whole<int32_t, int64_t>(c, p, fold);
  else run_whole<int32_t, int32_t>(c, p, fold);
}

Fold fold_of(Reduce k) {
  if (k == Reduce::prod) return Fold::product;
  if (k == Reduce::amax || k == Reduce::any) return Fold::largest;
  return k == Reduce::amin || k == Reduce::all ? Fold::smallest : Fold::sum;
}

bool known(const Call& c) {
  const View &x = c.x(0), &y = c.y();
  Reduce k = Reduce(c.kind);
  if (x.numel == 0 || c.kind > uint8_t(Reduce::all)) return false;
  if (k == Reduce::any || k == Reduce::all) return x.dtype == boolean && y.dtype == boolean;
  if (is_floating(x.dtype)) return y.dtype == x.dtype && !is_dual(x.dtype);
  const bool whole = x.dtype == i64 || x.dtype == i32;
  if (k == Reduce::sum) return y.dtype == i64 && (whole || x.dtype == boolean);
  return whole && y.dtype == x.dtype && (k == Reduce::amax || k == Reduce::amin);
}

int64_t reduce_in_place_scratch(const Call& c, const void* attrs) {
  return known(c) ? scratch_of(plan(c, *static_cast<const ReduceAttrs*>(attrs))) : 0;
}
Status reduce_in_place(const Call& c, const ReduceAttrs& a) {
  if (!known(c)) return ref::reduce(c, a);
  Plan p = plan(c, a);
  if (!p.ok) return ref::reduce(c, a);
  run(c, p, fold_of(Reduce(c.kind)), Reduce(c.kind) == Reduce::mean);
  return {};
}
// Halves that lie well need no scratch; others, and short rows, are put in order by in_f32.
bool reads_halves(const Plan& p) { return p.ok && (p.columns || p.count > kShort); }
bool is_direct(const Call& c, const ReduceAttrs& a) { return !has_halves(c) || (known(c) && reads_halves(plan(c, a))); }
bool sums_in_place(const Call& c, const void*) { return c.x(0).numel > 0 && plan_to(c.x(0), c.y()).ok; }
int64_t sum_in_place_scratch(const Call& c, const void*) { return scratch_of(plan_to(c.x(0), c.y())); }
Status sum_in_place(const Call& c, const ShapeAttrs&) {
  run(c, plan_to(c.x(0), c.y()), Fold::sum, false);
  return {};
}
bool sums_in_f32(const Call& c) {
  return has_halves(c) && (c.x(0).dtype != c.y().dtype || !reads_halves(plan_to(c.x(0), c.y())));
}
}  // namespace

int64_t reduce_scratch(const Call& c, const void* a) {
  return is_direct(c, *static_cast<const ReduceAttrs*>(a)) ? reduce_in_place_scratch(c, a)
                                                           : scratch_in_f32<reduce_in_place_scratch>(c, a);
}
Status reduce(const Call& c, const ReduceAttrs& a) {
  return is_direct(c, a) ? reduce_in_place(c, a) : in_f32<reduce_in_place>(c, a);
}

bool sum_to_accepts(const Call& c, const void* a) {
  return sums_in_f32(c) ? accepts_in_f32<sums_in_place>(c, a) : sums_in_place(c, a);
}
int64_t sum_to_scratch(const Call& c, const void* a) {
  return sums_in_f32(c) ? scratch_in_f32<sum_in_place_scratch>(c, a) : sum_in_place_scratch(c, a);
}
Status sum_to(const Call& c, const ShapeAttrs& a) {
  return sums_in_f32(c) ? in_f32<sum_in_place>(c, a) : sum_in_place(c, a);
}

}  // namespace fovea::cpu
