// Slots reduce and sum_to: sum, mean, prod, amax, amin of f32 and f64, any and all of booleans along contiguous rows or
// down columns; everything else is the reference's. Long ranges are cut into pieces of fixed size, so the bits
// do not depend on the number of threads.
#include "backends/cpu/reduce.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "backends/common/loops.h"
#include "backends/cpu/elementwise.h"
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

namespace {

constexpr int64_t kLong = 1 << 15;  // elements of a row that are one piece
constexpr int64_t kTall = 1 << 12;  // rows of a matrix that are one piece
constexpr int64_t kFewColumns = 512;
constexpr int64_t kGrain = 1 << 14;  // elements that are worth a thread

// A reduction as walks over kept axes and one range of `count` elements a `step` apart, and, when the elements of the
// result lie side by side in x, `columns` of them at a time.
struct Plan {
  bool ok = false;
  int64_t count = 1, step = 1, columns = 0, pieces = 1;
  int kept_rank = 0;
  int64_t kept[kMaxRank], kept_x[kMaxRank], kept_y[kMaxRank];

  Plan(const View& x, const View& y, const bool* drop, bool keepdim) {
    struct Axis {
      int64_t size, x, y;
      bool drop;
    } axes[kMaxRank];
    int n = 0;
    for (int d = 0, k = 0; d < x.rank; d++) {
      int64_t to = drop[d] ? 0 : y.strides[keepdim ? d : k];
      if (!drop[d]) k++;
      if (x.shape[d] == 1) continue;
      if (x.strides[d] <= 0) return;
      axes[n++] = {x.shape[d], x.strides[d], to, drop[d]};
    }
    // From the smallest step in x to the largest; neighbours that lie one behind the other become one.
    std::stable_sort(axes, axes + n, [](const Axis& a, const Axis& b) { return a.x < b.x; });
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
      if (axes[i].drop) ranges++, count = axes[i].size, step = axes[i].x;
      else if (i == 0 && axes[i].x == 1 && axes[i].y == 1) columns = axes[i].size;
      else kept[kept_rank] = axes[i].size, kept_x[kept_rank] = axes[i].x, kept_y[kept_rank++] = axes[i].y;
    }
    if (ranges > 1 || (columns == 0 && step != 1)) return;
    std::reverse(kept, kept + kept_rank);
    std::reverse(kept_x, kept_x + kept_rank);
    std::reverse(kept_y, kept_y + kept_rank);
    pieces = columns ? (count + kTall - 1) / kTall : (count + kLong - 1) / kLong;
    ok = true;
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
template <bool any> void flag_down(int64_t rows, int64_t n, const uint8_t* x, int64_t stride, double* acc) {
  uint64_t all[8], row[8] = {};
  std::memset(all, any ? 0 : 1, sizeof all);
  for (int64_t i = 0; i < rows; i++, x += stride) {
    std::memcpy(row, x, size_t(n));
    for (int k = 0; k < 8; k++) all[k] = any ? all[k] | row[k] : all[k] & row[k];
  }
  uint8_t flags[64];
  std::memcpy(flags, all, sizeof flags);
  for (int64_t j = 0; j < n; j++)
    acc[j] = any ? std::max(acc[j], double(flags[j])) : std::min(acc[j], double(flags[j]));
}

double join(Fold f, double a, double b) {
  if (f == Fold::sum) return a + b;
  if (f == Fold::product) return a * b;
  return a != a || (f == Fold::largest ? a > b : a < b) ? a : b;
}
double first_of(Fold f) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  return f == Fold::sum ? 0 : f == Fold::product ? 1 : f == Fold::largest ? -inf : inf;
}

template <class T> struct Reduction {
  const Plan& p;
  Fold fold;
  bool mean;
  double (*row)(int64_t n, const T* x);
  void (*down)(int64_t rows, int64_t n, const T* x, int64_t stride, double* acc);
  int64_t width;    // columns that `down` takes at once
  double* partial;  // [outputs, pieces] where there is more than one piece

  void put(T* y, double value) const { *y = T(mean ? value / double(p.count) : value); }

  // f(y, x, index of the output): every range once, in any order.
  template <class F> void each_row(const View& x, const View& y, const F& f) const {
    Loops<2> outer = p.outer();
    int64_t inner = outer.inner(), rows = outer.rows();
    auto cut = [&](const int64_t* at, int64_t begin, int64_t end, int64_t row) {
      for (int64_t i = begin; i < end; i++)
        f(y.as<T>() + at[0] + i * outer.step(0), x.as<T>() + at[1] + i * outer.step(1), row * inner + i);
    };
    const int64_t zero[2] = {};
    if (rows == 1) {
      parallel_for(0, inner, std::max<int64_t>(kGrain / p.count, 1), [&](int64_t b, int64_t e) { cut(zero, b, e, 0); });
    } else {
      parallel_for(0, rows, std::max<int64_t>(kGrain / (p.count * inner), 1), [&](int64_t b, int64_t e) {
        int64_t row = b;
        outer.run(b, e, [&](const int64_t* at, int64_t n) { cut(at, 0, n, row++); });
      });
    }
  }

  void rows(const View& x, const View& y) const {
    if (p.pieces == 1) return each_row(x, y, [&](T* to, const T* from, int64_t) { put(to, row(p.count, from)); });
    // Few long ranges: their pieces are the tasks.
    const int64_t length = (p.count + p.pieces - 1) / p.pieces;
    Loops<2> outer = p.outer();
    outer.run([&](const int64_t* at, int64_t n) {
      for (int64_t i = 0; i < n; i++) {
        const T* from = x.as<T>() + at[1] + i * outer.step(1);
        parallel_for(0, p.pieces, 1, [&](int64_t b, int64_t e) {
          for (int64_t q = b; q < e; q++) partial[q] = row(std::min(length, p.count - q * length), from + q * length);
        });
        double total = partial[0];
        for (int64_t q = 1; q < p.pieces; q++) total = join(fold, total, partial[q]);
        put(y.as<T>() + at[0] + i * outer.step(0), total);
      }
    });
  }

  // Few long rows are folded one into the other by the elementwise kernels, in f32 like the others' 64 rows at a time.
  void few_rows(const View& x, const View& y) const {
    const auto& table = elementwise_kernels<T>(isa()).binary;
    auto two = table[int(fold == Fold::sum       ? Binary::add
                         : fold == Fold::product ? Binary::mul
                         : fold == Fold::largest ? Binary::maximum
                                                 : Binary::minimum)];
    const T n = T(p.count);
    Loops<2> outer = p.outer();
    outer.run([&](const int64_t* at, int64_t m) {
      for (int64_t i = 0; i < m; i++)
        parallel_for(0, p.columns, std::max<int64_t>(kGrain / p.count, kFewColumns), [&](int64_t b, int64_t e) {
          for (int64_t j = b; j < e; j += kFewColumns) {
            const T* from = x.as<T>() + at[1] + i * outer.step(1) + j;
            T* to = y.as<T>() + at[0] + i * outer.step(0) + j;
            const int64_t width = std::min(kFewColumns, e - j);
            std::copy(from, from + width, to);
            for (int64_t k = 1; k < p.count; k++) two(width, to, 1, from + k * p.step, 1, to);
            if (mean) table[int(Binary::div)](width, to, 1, &n, 0, to);
          }
        });
    });
  }

  // Tasks are blocks of columns, or where the matrix is tall, those of each piece of rows.
  void columns(const View& x, const View& y) const {
    const int64_t blocks = (p.columns + width - 1) / width;
    const int64_t height = (p.count + p.pieces - 1) / p.pieces;
    Loops<2> outer = p.outer();
    outer.run([&](const int64_t* at, int64_t n) {
      for (int64_t i = 0; i < n; i++) {
        const T* from = x.as<T>() + at[1] + i * outer.step(1);
        T* to = y.as<T>() + at[0] + i * outer.step(0);
        auto task = [&](int64_t b, int64_t e) {
          for (int64_t t = b; t < e; t++) {
            int64_t j = t % blocks * width, piece = t / blocks, m = std::min(width, p.columns - j);
            double acc[64];
            std::fill(acc, acc + m, first_of(fold));
            down(std::min(height, p.count - piece * height), m, from + piece * height * p.step + j, p.step, acc);
            for (int64_t k = 0; k < m; k++) {
              if (p.pieces == 1) put(to + j + k, acc[k]);
              else partial[piece * p.columns + j + k] = acc[k];
            }
          }
        };
        parallel_for(0, blocks * p.pieces, std::max<int64_t>(kGrain / (height * width), 1), task);
        for (int64_t j = 0; p.pieces > 1 && j < p.columns; j++) {
          double total = partial[j];
          for (int64_t q = 1; q < p.pieces; q++) total = join(fold, total, partial[q * p.columns + j]);
          put(to + j, total);
        }
      }
    });
  }
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
  if (!p.ok || p.pieces == 1) return 0;
  return p.pieces * std::max<int64_t>(p.columns, 1) * int64_t(sizeof(double));
}

template <class T> void run_by(const Call& c, const Reduction<T>& r) {
  if constexpr (!std::is_same_v<T, uint8_t>)
    if (r.p.columns >= kFewColumns && r.p.count <= 64) return r.few_rows(c.x(0), c.y());
  if (r.p.columns) r.columns(c.x(0), c.y());
  else r.rows(c.x(0), c.y());
}
void run(const Call& c, const Plan& p, Fold fold, bool mean) {
  double* partial = static_cast<double*>(c.scratch);
  if (c.x(0).dtype == boolean) {
    bool any = fold == Fold::largest;
    return run_by<uint8_t>(c, {p, fold, false, any ? flag_row<true> : flag_row<false>,
                               any ? flag_down<true> : flag_down<false>, 64, partial});
  }
  auto by_kernels = [&]<class T>() {
    const ReduceKernels<T>& k = reduce_kernels<T>(isa());
    run_by<T>(c, {p, fold, mean, k.row[int(fold)], k.down[int(fold)], k.columns, partial});
  };
  if (c.x(0).dtype == f32) by_kernels.operator()<float>();
  else by_kernels.operator()<double>();
}

Fold fold_of(Reduce k) {
  if (k == Reduce::prod) return Fold::product;
  if (k == Reduce::amax || k == Reduce::any) return Fold::largest;
  return k == Reduce::amin || k == Reduce::all ? Fold::smallest : Fold::sum;
}

bool known(const Call& c) {
  const View &x = c.x(0), &y = c.y();
  Reduce k = Reduce(c.kind);
  if (y.dtype != x.dtype || x.numel == 0 || c.kind > uint8_t(Reduce::all)) return false;
  if (k == Reduce::any || k == Reduce::all) return x.dtype == boolean;
  return x.dtype == f32 || x.dtype == f64;
}

}  // namespace

int64_t reduce_scratch(const Call& c, const void* attrs) {
  if (!known(c)) return 0;
  return scratch_of(plan(c, *static_cast<const ReduceAttrs*>(attrs)));
}

Status reduce(const Call& c, const ReduceAttrs& a) {
  if (!known(c)) return ref::reduce(c, a);
  Plan p = plan(c, a);
  if (!p.ok) return ref::reduce(c, a);
  run(c, p, fold_of(Reduce(c.kind)), Reduce(c.kind) == Reduce::mean);
  return {};
}

bool sum_to_accepts(const Call& c, const void*) { return c.x(0).numel > 0 && plan_to(c.x(0), c.y()).ok; }
int64_t sum_to_scratch(const Call& c, const void*) { return scratch_of(plan_to(c.x(0), c.y())); }
Status sum_to(const Call& c, const ShapeAttrs&) {
  run(c, plan_to(c.x(0), c.y()), Fold::sum, false);
  return {};
}

}  // namespace fovea::cpu
