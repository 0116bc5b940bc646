// Slots layer_norm, rms_norm, group_norm and their gradients, vector_norm, var_mean and std_mean over the last axes.
// The gradients of weight and bias are sums over rows: each piece of rows (how many depends on the shape alone) has its
// own, and they are added in order, so threads do not change a bit.
#include "backends/cpu/norm.h"

#include <algorithm>
#include <cmath>

#include "backends/cpu/halves.h"
#include "backends/cpu/kernels.h"
#include "backends/cpu/reduce.h"
#include "backends/cpu/rows.h"

#define FOVEA_FAMILY "backends/cpu/norm_kernels.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {
namespace {

template <class T>
constexpr const NormKernels<T>* kTables[kIsaLevels] = {&sse2::kNormTable<T>, &avx2::kNormTable<T>,
                                                       &avx512::kNormTable<T>};
// f64 serves checks, not training: one level of it is enough code.
template <>
constexpr const NormKernels<double>* kTables<double>[kIsaLevels] = {
    &sse2::kNormTable<double>, &sse2::kNormTable<double>, &sse2::kNormTable<double>};
template <class T> const NormKernels<T>& kernels() { return *kTables<T>[int(isa())]; }

struct Pieces {
  int64_t rows, n, count;  // rows of x, elements of a row, pieces
  Pieces(const View& x, const LayerNormAttrs& a) : rows(1), n(row_size(x, int(a.normalized_dims))) {
    for (int d = 0; d < x.rank - a.normalized_dims; d++) rows *= x.shape[d];
    count = std::clamp<int64_t>(rows / 16, 1, 64);
  }
  // f(row, piece), the rows of a piece in order.
  template <class F> void each(const F& f) const {
    parallel_for(0, count, std::max<int64_t>(kRowGrain * count / std::max<int64_t>(rows * n, 1), 1),
                 [&](int64_t b, int64_t e) {
                   for (int64_t q = b; q < e; q++)
                     for (int64_t i = rows * q / count; i < rows * (q + 1) / count; i++) f(i, q);
                 });
  }
};

template <class T> void forward(const Call& c, const LayerNormAttrs& a) {
  const View &x = c.x(0), &weight = c.x(1), &bias = c.x(2), &y = c.y();
  const int tail = int(a.normalized_dims);
  const int64_t n = row_size(x, tail);
  for_rows<4>({&x, &y, &c.y(1), &c.y(2)}, x.rank - tail, n, [&](const int64_t* at, int64_t) {
    kernels<T>().layer_norm(n, x.as<T>() + at[0], weight.present() ? weight.as<T>() : nullptr,
                            bias.present() ? bias.as<T>() : nullptr, a.eps, y.as<T>() + at[1], c.y(1).as<T>() + at[2],
                            c.y(2).as<T>() + at[3]);
  });
}

// Rows of g, x and dx a fixed step apart (what the layout asks for), statistics dense.
template <class T> void backward(const Call& c, const LayerNormAttrs& a) {
  const View &weight = c.x(2), &dw = c.y(1), &db = c.y(2);
  const Pieces p(c.x(1), a);
  T* partial = static_cast<T*>(c.scratch);  // [pieces, 2, n]
  std::fill(partial, partial + p.count * 2 * p.n, T(0));
  p.each([&](int64_t i, int64_t q) {
    T *to_weight = partial + q * 2 * p.n, *to_bias = to_weight + p.n;
    kernels<T>().layer_norm_backward(p.n, c.x(0).as<T>() + i * p.n, c.x(1).as<T>() + i * p.n,
                                     weight.present() ? weight.as<T>() : nullptr, c.x(3).as<T>()[i], c.x(4).as<T>()[i],
                                     c.y(0).as<T>() + i * p.n, to_weight, to_bias);
  });
  for (int64_t q = 1; q < p.count; q++) kernels<T>().accumulate(2 * p.n, partial + q * 2 * p.n, partial);
  std::copy(partial, partial + p.n, dw.as<T>());
  std::copy(partial + p.n, partial + 2 * p.n, db.as<T>());
}

template <class T> void rms_backward(const Call& c, const LayerNormAttrs& a) {
  const View &weight = c.x(2), &dw = c.y(1);
  const Pieces p(c.x(1), a);
  T* partial = static_cast<T*>(c.scratch);  // [pieces, n]
  std::fill(partial, partial + p.count * p.n, T(0));
  p.each([&](int64_t i, int64_t q) {
    kernels<T>().rms_norm_backward(p.n, c.x(0).as<T>() + i * p.n, c.x(1).as<T>() + i * p.n,
                                   weight.present() ? weight.as<T>() : nullptr, c.x(3).as<T>()[i],
                                   c.y(0).as<T>() + i * p.n, partial + q * p.n);
  });
  for (int64_t q = 1; q < p.count; q++) kernels<T>().accumulate(p.n, partial + q * p.n, partial);
  std::copy(partial, partial + p.n, dw.as<T>());
}

// Dense arrays [N, C, ...] as rows, which are groups of channels.
struct Groups {
  int64_t batch, all, groups, channels, size;  // channels in all and of a group, elements of one
  Groups(const View& x, const GroupNormAttrs& a)
      : batch(x.shape[0]),
        all(x.shape[1]),
        groups(a.num_groups),
        channels(all / groups),
        size(row_size(x, x.rank - 2)) {}
  // f(group, its first element, its first channel).
  template <class F> void each(const F& f) const {
    const int64_t n = channels * size;
    parallel_for(0, batch * groups, std::max<int64_t>(kRowGrain / std::max<int64_t>(n, 1), 1),
                 [&](int64_t b, int64_t e) {
                   for (int64_t i = b; i < e; i++) f(i, i * n, i % groups * channels);
                 });
  }
};

template <class T> void group_forward(const Call& c, const GroupNormAttrs& a) {
  const Groups s(c.x(0), a);
  const T* weight = c.x(1).present() ? c.x(1).as<T>() : nullptr;
  const T* bias = c.x(2).present() ? c.x(2).as<T>() : nullptr;
  s.each([&](int64_t i, int64_t at, int64_t first) {
    const T* x = c.x(0).as<T>() + at;
    T high, low, rstd = kernels<T>().statistics(s.channels * s.size, x, a.eps, &high, &low);
    c.y(1).as<T>()[i] = high, c.y(2).as<T>()[i] = rstd;
    for (int64_t k = 0; k < s.channels; k++)
      kernels<T>().channel(s.size, x + k * s.size, high, low, rstd, weight ? weight[first + k] : T(1),
                           bias ? bias[first + k] : T(0), c.y().as<T>() + at + k * s.size);
  });
}

// As layer_norm's, with the sums of the channels kept [N, C, 3] for weight and bias.
template <class T> void group_backward(const Call& c, const GroupNormAttrs& a) {
  const Groups s(c.x(1), a);
  const T* weight = c.x(2).present() ? c.x(2).as<T>() : nullptr;
  double* sums = static_cast<double*>(c.scratch);
  s.each([&](int64_t i, int64_t at, int64_t first) {
    const T *g = c.x(0).as<T>() + at, *x = c.x(1).as<T>() + at, mean = c.x(3).as<T>()[i], rstd = c.x(4).as<T>()[i];
    double* own = sums + (i / s.groups * s.all + first) * 3;
    double gw = 0, gwh = 0, rest = 0;
    const double n = double(s.channels * s.size);
    for (int64_t k = 0; k < s.channels; k++) {
      double* to = own + 3 * k;
      kernels<T>().channel_sums(s.size, g + k * s.size, x + k * s.size, mean, rstd, to);
      const double w = weight ? double(weight[first + k]) : 1;
      gw += w * to[0], gwh += w * to[1], rest += to[2];
    }
    rest /= n;  // the mean was rounded
    const T shift = T(rest), m = T(gw / n), slope = T((gwh - rest * gw) / n);
    for (int64_t k = 0; k < s.channels; k++) {
      own[3 * k + 1] -= rest * own[3 * k];
      kernels<T>().channel_backward(s.size, g + k * s.size, x + k * s.size, weight ? weight[first + k] : T(1), mean,
                                    rstd, shift, m, slope, c.y(0).as<T>() + at + k * s.size);
    }
  });
  for (int64_t k = 0; k < s.all; k++) {
    double dweight = 0, dbias = 0;
    for (int64_t i = 0; i < s.batch; i++) dbias += sums[(i * s.all + k) * 3], dweight += sums[(i * s.all + k) * 3 + 1];
    c.y(1).as<T>()[k] = T(dweight), c.y(2).as<T>()[k] = T(dbias);
  }
}

template <class F> void by_type(DType t, F&& f) {
  t == f32 ? f.template operator()<float>() : f.template operator()<double>();
}

}  // namespace

template <> const NormKernels<float>& norm_kernels(Isa level) { return *kTables<float>[int(level)]; }
template <> const NormKernels<double>& norm_kernels(Isa level) { return *kTables<double>[int(level)]; }

bool layer_norm_accepts(const Call& c, const void* attrs) {
  const int tail = int(static_cast<const LayerNormAttrs*>(attrs)->normalized_dims);
  auto affine = [&](const View& v) { return !v.present() || rows_dense(v, tail); };
  return rows_dense(c.x(0), tail) && rows_dense(c.y(), tail) && affine(c.x(1)) && affine(c.x(2));
}
Status layer_norm(const Call& c, const LayerNormAttrs& a) {
  by_type(c.x(0).dtype, [&]<class T>() { forward<T>(c, a); });
  return {};
}

bool all_dense(const Call& c, const void*) {
  bool dense = true;
  for (int i = 0; i < c.inputs; i++) dense = dense && (!c.x(i).present() || c.x(i).dense);
  for (int k = 0; k < c.outputs; k++) dense = dense && c.y(k).dense;
  return dense;
}
int64_t layer_norm_backward_scratch(const Call& c, const void* attrs) {
  const Pieces p(c.x(1), *static_cast<const LayerNormAttrs*>(attrs));
  return p.count * 2 * p.n * size_of(c.x(1).dtype);
}
Status layer_norm_backward(const Call& c, const LayerNormAttrs& a) {
  by_type(c.x(1).dtype, [&]<class T>() { backward<T>(c, a); });
  return {};
}

bool rms_norm_accepts(const Call& c, const void* attrs) {
  const int tail = int(static_cast<const LayerNormAttrs*>(attrs)->normalized_dims);
  return rows_dense(c.x(0), tail) && rows_dense(c.y(), tail) && (!c.x(1).present() || rows_dense(c.x(1), tail));
}
Status rms_norm(const Call& c, const LayerNormAttrs& a) {
  by_type(c.x(0).dtype, [&]<class T>() {
    const View &x = c.x(0), &weight = c.x(1);
    const int tail = int(a.normalized_dims);
    const int64_t n = row_size(x, tail);
    for_rows<3>({&x, &c.y(), &c.y(1)}, x.rank - tail, n, [&](const int64_t* at, int64_t) {
      kernels<T>().rms_norm(n, x.as<T>() + at[0], weight.present() ? weight.as<T>() : nullptr, a.eps,
                            c.y().as<T>() + at[1], c.y(1).as<T>() + at[2]);
    });
  });
  return {};
}
int64_t rms_norm_backward_scratch(const Call& c, const void* attrs) {
  const Pieces p(c.x(1), *static_cast<const LayerNormAttrs*>(attrs));
  return p.count * p.n * size_of(c.x(1).dtype);
}
Status rms_norm_backward(const Call& c, const LayerNormAttrs& a) {
  by_type(c.x(1).dtype, [&]<class T>() { rms_backward<T>(c, a); });
  return {};
}

// How many of the last axes `dim` names; -1 where it names another.
int last_axes(const Shape& dim, int rank) {
  uint32_t axes = 0;
  for (int64_t d : dim) axes |= 1u << (d < 0 ? d + rank : d);
  for (int k = 0; k < dim.rank; k++)
    if (!(axes >> (rank - 1 - k) & 1)) return -1;
  return dim.rank ? dim.rank : rank;
}

// Few long rows are cut into pieces, the norms of which have a norm. Not in f64, since squares are added in f64.
constexpr int64_t kNormPiece = 1 << 14;
int64_t norm_pieces(const View& x, const View& y) {
  const bool cut = x.dtype != f64 && x.dense && y.numel < 16;
  return cut && x.numel > 0 ? (x.numel / y.numel + kNormPiece - 1) / kNormPiece : 1;
}
int64_t vector_norm_scratch(const Call& c, const void*) {
  const int64_t pieces = norm_pieces(c.x(0), c.y());
  return pieces == 1 ? 0 : pieces * c.y().numel * int64_t(sizeof(double));
}

// The norm of what has the norms a, of order 2 its square, and b.
double joined(double ord, double a, double b) {
  if (ord > 2) return b > a || b != b ? b : a;  // a NaN is not less than any
  return a + (ord == 1 ? b : b * b);
}
double finished(double ord, double total) { return ord == 2 ? std::sqrt(total) : total; }

// f16 is widened a few at a time, which stay in the nearest cache.
template <class S> double norm_of_row(int64_t n, const S* x, double ord) {
  if constexpr (sizeof(S) > 2) {
    return kernels<S>().vector_norm(n, x, ord);
  } else if constexpr (std::is_same_v<S, BFloat16>) {
    return kernels<float>().vector_norm_bf16(n, x, ord);
  } else {
    constexpr int64_t kSome = 2048;
    alignas(64) float some[kSome];
    double total = 0;
    for (int64_t i = 0; i < n; i += kSome) {
      const int64_t count = std::min(n - i, kSome);
      widen(count, x + i, some);
      total = joined(ord, total, kernels<float>().vector_norm(count, some, ord));
    }
    return finished(ord, total);
  }
}
template <class S> void norms(const Call& c, const VectorNormAttrs& a) {
  const View &x = c.x(0), &y = c.y();
  const int64_t pieces = norm_pieces(x, y);
  if (pieces == 1) {
    const int tail = a.dim.rank ? a.dim.rank : x.rank;
    const int64_t n = row_size(x, tail);
    return for_rows<1>({&x}, x.rank - tail, n, [&](const int64_t* at, int64_t row) {
      y.as<S>()[row] = S(norm_of_row(n, x.as<S>() + at[0], a.ord));
    });
  }
  const int64_t n = x.numel / y.numel;
  double* part = static_cast<double*>(c.scratch);
  parallel_for(0, y.numel * pieces, 1, [&](int64_t b, int64_t e) {
    for (int64_t q = b; q < e; q++) {
      const int64_t first = q % pieces * kNormPiece;
      part[q] = norm_of_row(std::min(kNormPiece, n - first), x.as<S>() + q / pieces * n + first, a.ord);
    }
  });
  for (int64_t row = 0; row < y.numel; row++, part += pieces) {
    double total = 0;
    for (int64_t q = 0; q < pieces; q++) total = joined(a.ord, total, part[q]);
    y.as<S>()[row] = S(finished(a.ord, total));
  }
}

bool vector_norm_accepts(const Call& c, const void* attrs) {
  const auto& a = *static_cast<const VectorNormAttrs*>(attrs);
  const View &x = c.x(0), &y = c.y();
  if (x.rank == 0) return false;
  const int tail = last_axes(a.dim, x.rank);
  const bool good = tail > 0 && (a.ord == 1 || a.ord == 2 || (std::isinf(a.ord) && a.ord > 0));
  const bool few = y.numel < 16 && x.numel > 16 * kNormPiece;  // better cut, by the composition
  return good && y.dense && y.dtype == x.dtype && rows_dense(x, tail) && (!few || norm_pieces(x, y) > 1);
}
Status vector_norm(const Call& c, const VectorNormAttrs& a) {
  const DType t = c.x(0).dtype;
  if (t == bf16) norms<BFloat16>(c, a);
  else if (t == f16) norms<Float16>(c, a);
  else by_type(t, [&]<class T>() { norms<T>(c, a); });
  return {};
}

namespace {

// Rows of n numbers, each cut into pieces, whose sums of deviations from the row's first number are added up.
struct MomentRows {
  static constexpr int64_t kPiece = 1 << 15;
  int64_t rows, n, pieces;
  MomentRows(const View& x, const View& y)
      : rows(y.numel), n(rows ? x.numel / rows : 0), pieces(rows < 64 ? (n + kPiece - 1) / kPiece : 1) {}

  template <class F> void run(const Call& c, const F& finish) const {
    const auto sums = row_kernels(isa()).deviation_sums;
    const float* x = c.x(0).as<float>();
    double* partial = static_cast<double*>(c.scratch);
    auto shift_of = [&](int64_t row) {
      const float first = x[row * n];
      return std::isfinite(first) ? double(first) : 0;
    };
    parallel_for(0, rows * pieces, std::max<int64_t>(kRowGrain / n, 1), [&](int64_t b, int64_t e) {
      for (int64_t q = b; q < e; q++) {
        const int64_t row = q / pieces, first = q % pieces * kPiece;
        double own[2];
        double* to = pieces == 1 ? own : partial + 2 * q;
        sums(pieces == 1 ? n : std::min(kPiece, n - first), x + row * n + first, shift_of(row), to);
        if (pieces == 1) finish(row, shift_of(row), to);
      }
    });
    for (int64_t row = 0; pieces > 1 && row < rows; row++, partial += 2 * pieces) {
      for (int64_t q = 1; q < pieces; q++) partial[0] += partial[2 * q], partial[1] += partial[2 * q + 1];
      finish(row, shift_of(row), partial);
    }
  }
};

template <bool root> Status moments(const Call& c, const VarAttrs& a) {
  const MomentRows all(c.x(0), c.y());
  const double n = double(all.n), freedom = std::max(0.0, n - a.correction);
  all.run(c, [&](int64_t row, double shift, const double* sums) {
    const double rest = sums[1] - sums[0] * sums[0] / n, variance = (rest < 0 ? 0 : rest) / freedom;
    c.y(0).as<float>()[row] = float(root ? std::sqrt(variance) : variance);
    c.y(1).as<float>()[row] = float(shift + sums[0] / n);
  });
  return {};
}

}  // namespace

bool moments_accept(const Call& c, const void* attrs) {
  const View& x = c.x(0);
  return all_dense(c, attrs) && x.numel > 0 && x.rank > 0 &&
         last_axes(static_cast<const VarAttrs*>(attrs)->dim, x.rank) > 0;
}
int64_t moments_scratch(const Call& c, const void*) {
  const MomentRows all(c.x(0), c.y());
  return all.pieces == 1 ? 0 : all.rows * all.pieces * 2 * int64_t(sizeof(double));
}
Status var_mean(const Call& c, const VarAttrs& a) { return moments<false>(c, a); }
Status std_mean(const Call& c, const VarAttrs& a) { return moments<true>(c, a); }

bool group_norm_accepts(const Call& c, const void* attrs) { return c.x(0).numel > 0 && all_dense(c, attrs); }
Status group_norm(const Call& c, const GroupNormAttrs& a) {
  by_type(c.x(0).dtype, [&]<class T>() { group_forward<T>(c, a); });
  return {};
}
int64_t group_norm_backward_scratch(const Call& c, const void*) {
  return c.x(1).shape[0] * c.x(1).shape[1] * 3 * int64_t(sizeof(double));
}
Status group_norm_backward(const Call& c, const GroupNormAttrs& a) {
  by_type(c.x(1).dtype, [&]<class T>() { group_backward<T>(c, a); });
  return {};
}

}  // namespace fovea::cpu
