// Slots softmax, log_softmax and their gradients along any axis, cross_entropy and its gradient over the last.
#include "backends/cpu/softmax.h"

#include <cmath>

#include "backends/cpu/halves.h"
#include "backends/cpu/kernels.h"
#include "backends/cpu/rows.h"

#define FOVEA_FAMILY "backends/cpu/softmax_kernels.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {
namespace {

template <class T>
constexpr const SoftmaxKernels<T>* kTables[kIsaLevels] = {&sse2::kSoftmaxTable<T>, &avx2::kSoftmaxTable<T>,
                                                          &avx512::kSoftmaxTable<T>};
// f64 serves checks, not training: one level of it is enough code.
template <>
constexpr const SoftmaxKernels<double>* kTables<double>[kIsaLevels] = {
    &sse2::kSoftmaxTable<double>, &sse2::kSoftmaxTable<double>, &sse2::kSoftmaxTable<double>};
template <class T> const SoftmaxKernels<T>& kernels() { return *kTables<T>[int(isa())]; }

template <class F> Status by_type(DType t, F&& f) {
  return t == f32 ? f.template operator()<float>() : f.template operator()<double>();
}

template <class T> Status rows1(const Call& c, void (*kernel)(int64_t, const T*, T*)) {
  const View &x = c.x(0), &y = c.y();
  const int64_t n = x.rank ? x.shape[x.rank - 1] : 1;
  if (n)
    for_rows<2>({&y, &x}, std::max(x.rank - 1, 0), n,
                [&](const int64_t* at, int64_t) { kernel(n, x.as<T>() + at[1], y.as<T>() + at[0]); });
  return {};
}
template <class T> Status rows2(const Call& c, void (*kernel)(int64_t, const T*, const T*, T*)) {
  const View &a = c.x(0), &b = c.x(1), &y = c.y();
  const int64_t n = y.rank ? y.shape[y.rank - 1] : 1;
  if (n)
    for_rows<3>({&y, &a, &b}, std::max(y.rank - 1, 0), n, [&](const int64_t* at, int64_t) {
      kernel(n, a.as<T>() + at[1], b.as<T>() + at[2], y.as<T>() + at[0]);
    });
  return {};
}

// Dense arrays [outer, n, inner] of which n is the axis: f(where a block of columns begins, how many).
struct Columns {
  int64_t outer = 1, n = 1, inner = 1;
  Columns(const View& y, const void* attrs) {
    const int64_t dim = static_cast<const DimAttrs*>(attrs)->dim, axis = dim < 0 ? dim + y.rank : dim;
    for (int d = 0; d < y.rank; d++) (d < axis ? outer : d == axis ? n : inner) *= y.shape[d];
  }
  template <class F> void each_block(const F& f) const {
    const int64_t blocks = (inner + kSoftmaxColumns - 1) / kSoftmaxColumns;
    const int64_t grain = std::max<int64_t>(kRowGrain / std::max<int64_t>(n * std::min(inner, kSoftmaxColumns), 1), 1);
    parallel_for(0, outer * blocks, grain, [&](int64_t b, int64_t e) {
      for (int64_t q = b; q < e; q++) {
        const int64_t first = q % blocks * kSoftmaxColumns;
        f(q / blocks * n * inner + first, std::min(kSoftmaxColumns, inner - first));
      }
    });
  }
};
// Along the last axis by rows, along another by columns.
template <class T>
Status along1(const Call& c, const DimAttrs& a, void (*row)(int64_t, const T*, T*),
              void (*down)(int64_t, int64_t, int64_t, const T*, T*)) {
  if (last_axis(c, &a)) return rows1<T>(c, row);
  const Columns m(c.y(), &a);
  m.each_block(
      [&](int64_t at, int64_t columns) { down(m.n, columns, m.inner, c.x(0).as<T>() + at, c.y().as<T>() + at); });
  return {};
}
template <class T>
Status along2(const Call& c, const DimAttrs& a, void (*row)(int64_t, const T*, const T*, T*),
              void (*down)(int64_t, int64_t, int64_t, const T*, const T*, T*)) {
  if (last_axis(c, &a)) return rows2<T>(c, row);
  const Columns m(c.y(), &a);
  m.each_block([&](int64_t at, int64_t columns) {
    down(m.n, columns, m.inner, c.x(0).as<T>() + at, c.x(1).as<T>() + at, c.y().as<T>() + at);
  });
  return {};
}

// What loss and gradient share: classes, targets, weights, and what the sum of the rows is divided by.
template <class T> struct Classes {
  int64_t rows, n;
  const View& target;
  const T* weight;  // null: ones
  const CrossEntropyAttrs& a;
  Fault* fault;

  Classes(const View& x, const View& y, const View& w, const CrossEntropyAttrs& attrs, Fault* f)
      : rows(x.shape[0]), n(x.shape[1]), target(y), weight(w.present() ? w.as<T>() : nullptr), a(attrs), fault(f) {}

  // The class of a row, or -1 where it is ignored. One out of range is reported and clamped.
  int64_t of(int64_t row) const {
    int64_t at = row * target.strides[0];
    int64_t t = target.dtype == i32 ? target.as<int32_t>()[at] : target.as<int64_t>()[at];
    if (t == a.ignore_index) return -1;
    if (t >= 0 && t < n) return t;
    if (fault) fault->raise(row, t, n);
    return t < 0 ? 0 : n - 1;
  }
  double weight_of(int64_t t) const { return weight ? double(weight[t]) : 1; }
  double weight_sum() const {
    double sum = 0;
    for (int64_t c = 0; c < n; c++) sum += weight_of(c);
    return sum;
  }
  double divisor() const {
    if (a.reduction != Reduction::mean) return 1;
    double sum = 0;
    bool any = false;
    for (int64_t i = 0; i < rows; i++)
      if (int64_t t = of(i); t >= 0) sum += weight_of(t), any = true;
    return any ? sum : 1;
  }
};

template <class T> Status loss_of(const Call& c, const CrossEntropyAttrs& a) {
  const View &x = c.x(0), &y = c.y(), &statistic = c.y(1);
  const Classes<T> classes(x, c.x(1), c.x(2), a, c.fault);
  const double e = a.label_smoothing, total = e > 0 ? classes.weight_sum() : 0;
  double* losses = static_cast<double*>(c.scratch);
  for_rows<1>({&x}, 1, classes.n, [&](const int64_t* at, int64_t i) {
    const T* logits = x.as<T>() + at[0];
    const ExpSum s = kernels<T>().exp_sum(classes.n, logits);
    double* kept = statistic.as<double>() + i * statistic.strides[0];
    kept[0] = s.largest, kept[statistic.strides[1]] = s.sum;
    const double log_sum = std::log(s.sum);
    int64_t t = classes.of(i);
    double loss = 0;
    if (t >= 0) loss = classes.weight_of(t) * (log_sum - (double(logits[t]) - s.largest));
    if (t >= 0 && e > 0) {
      double spread = kernels<T>().spread(classes.n, logits, classes.weight, T(s.largest)) + log_sum * total;
      loss = loss * (1 - e) + spread * (e / double(classes.n));
    }
    losses[i] = loss;
  });
  if (a.reduction == Reduction::none) {
    for (int64_t i = 0; i < classes.rows; i++) y.as<T>()[i * y.strides[0]] = T(losses[i]);
  } else {
    double sum = 0;
    for (int64_t i = 0; i < classes.rows; i++) sum += losses[i];
    *y.as<T>() = T(sum / classes.divisor());
  }
  return {};
}

template <class T> Status loss_backward_of(const Call& c, const CrossEntropyAttrs& a) {
  const View &g = c.x(0), &x = c.x(1), &statistic = c.x(4), &dx = c.y();
  const Classes<T> classes(x, c.x(2), c.x(3), a, c.fault);
  const double e = a.label_smoothing, total = e > 0 ? classes.weight_sum() : 0, divisor = classes.divisor();
  for_rows<2>({&dx, &x}, 1, classes.n, [&](const int64_t* at, int64_t i) {
    T* to = dx.as<T>() + at[0];
    int64_t t = classes.of(i);
    if (t < 0) return std::fill(to, to + classes.n, T(0));
    double scale = double(g.as<T>()[a.reduction == Reduction::none ? i * g.strides[0] : 0]) / divisor;
    double hit = scale * (1 - e) * classes.weight_of(t), spread = scale * e / double(classes.n);
    const double* kept = statistic.as<double>() + i * statistic.strides[0];
    const ExpSum s{kept[0], kept[statistic.strides[1]]};
    kernels<T>().class_slope(classes.n, x.as<T>() + at[1], classes.weight,
                             {T(s.largest), T((hit + spread * total) / s.sum), T(-spread), T(hit), t}, to);
  });
  return {};
}

}  // namespace

template <> const SoftmaxKernels<float>& softmax_kernels(Isa level) { return *kTables<float>[int(level)]; }
template <> const SoftmaxKernels<double>& softmax_kernels(Isa level) { return *kTables<double>[int(level)]; }

bool last_axis(const Call& c, const void* attrs) {
  const View& y = c.y();
  int64_t dim = static_cast<const DimAttrs*>(attrs)->dim;
  return (dim == -1 || dim == y.rank - 1) && rows_dense(y, y.rank > 0);
}

namespace {

bool accepts_wide(const Call& c, const void* attrs) {
  return last_axis(c, attrs) || (all_dense(c, attrs) && c.y().numel > 0);
}
Status softmax_wide(const Call& c, const DimAttrs& a) {
  return by_type(c.y().dtype,
                 [&]<class T>() { return along1<T>(c, a, kernels<T>().softmax, kernels<T>().softmax_down); });
}
Status log_softmax_wide(const Call& c, const DimAttrs& a) {
  return by_type(c.y().dtype,
                 [&]<class T>() { return along1<T>(c, a, kernels<T>().log_softmax, kernels<T>().log_softmax_down); });
}
Status softmax_backward_wide(const Call& c, const DimAttrs& a) {
  return by_type(c.y().dtype, [&]<class T>() {
    return along2<T>(c, a, kernels<T>().softmax_backward, kernels<T>().softmax_backward_down);
  });
}
Status log_softmax_backward_wide(const Call& c, const DimAttrs& a) {
  return by_type(c.y().dtype, [&]<class T>() {
    return along2<T>(c, a, kernels<T>().log_softmax_backward, kernels<T>().log_softmax_backward_down);
  });
}

// Halves along the last axis, a row at a time: each piece of the rows has one row of every input in scratch, as f32.
struct HalfRows {
  int64_t n, rows, pieces, width;
  explicit HalfRows(const View& y) : n(y.rank ? y.shape[y.rank - 1] : 1), rows(n ? y.numel / n : 0) {
    pieces = std::clamp<int64_t>(y.numel / kRowGrain, 1, std::max<int64_t>(std::min<int64_t>(rows, thread_count()), 1));
    width = (n + 15) / 16 * 16;
  }
  static bool take(const Call& c, const void* attrs) {
    for (int i = 0; i < c.inputs; i++)
      if (c.x(i).dtype != c.y().dtype) return false;
    return has_halves(c) && last_axis(c, attrs);
  }
  int64_t bytes(int inputs) const { return pieces * width * inputs * int64_t(sizeof(float)); }

  template <class S, int inputs, class Kernel> void run(const Call& c, Kernel kernel) const {
    const int lead = std::max(c.y().rank - 1, 0);
    const int64_t* strides[inputs + 1] = {c.y().strides};
    for (int i = 0; i < inputs; i++) strides[i + 1] = c.x(i).strides;
    const Loops<inputs + 1> loops(lead, c.y().shape, strides);
    if (rows == 0) return;
    parallel_for(0, pieces, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; p++) {
        float *first = static_cast<float*>(c.scratch) + p * width * inputs, *last = first + (inputs - 1) * width;
        auto each = [&](const int64_t* at, int64_t b, int64_t e, int64_t) {
          for (int64_t i = b; i < e; i++) {
            for (int k = 0; k < inputs; k++)
              widen(n, c.x(k).as<S>() + at[k + 1] + i * loops.step(k + 1), first + k * width);
            if constexpr (inputs == 1) kernel(n, first, first);
            else kernel(n, first, last, first);
            narrow(n, first, c.y().as<S>() + at[0] + i * loops.step(0));
          }
        };
        run_elements(loops, rows * p / pieces, rows * (p + 1) / pieces, each);
      }
    });
  }
};
template <auto wide, int inputs, class Kernel> Status rows_or(const Call& c, const DimAttrs& a, Kernel kernel) {
  if (!HalfRows::take(c, &a)) return in_f32<wide>(c, a);
  const HalfRows rows(c.y());
  c.y().dtype == bf16 ? rows.run<BFloat16, inputs>(c, kernel) : rows.run<Float16, inputs>(c, kernel);
  return {};
}

}  // namespace

bool softmax_accepts(const Call& c, const void* a) {
  return has_halves(c) ? accepts_in_f32<accepts_wide>(c, a) : accepts_wide(c, a);
}
int64_t softmax_scratch(const Call& c, const void* a) {
  return HalfRows::take(c, a) ? HalfRows(c.y()).bytes(c.inputs) : scratch_in_f32<no_scratch>(c, a);
}
Status softmax(const Call& c, const DimAttrs& a) { return rows_or<softmax_wide, 1>(c, a, kernels<float>().softmax); }
Status log_softmax(const Call& c, const DimAttrs& a) {
  return rows_or<log_softmax_wide, 1>(c, a, kernels<float>().log_softmax);
}
Status softmax_backward(const Call& c, const DimAttrs& a) {
  return rows_or<softmax_backward_wide, 2>(c, a, kernels<float>().softmax_backward);
}
Status log_softmax_backward(const Call& c, const DimAttrs& a) {
  return rows_or<log_softmax_backward_wide, 2>(c, a, kernels<float>().log_softmax_backward);
}

int64_t cross_entropy_scratch(const Call& c, const void*) { return c.x(0).shape[0] * int64_t(sizeof(double)); }
Status cross_entropy(const Call& c, const CrossEntropyAttrs& a) {
  return by_type(c.x(0).dtype, [&]<class T>() { return loss_of<T>(c, a); });
}
bool cross_entropy_backward_accepts(const Call& c, const void*) { return rows_dense(c.y(), 1); }
Status cross_entropy_backward(const Call& c, const CrossEntropyAttrs& a) {
  return by_type(c.x(1).dtype, [&]<class T>() { return loss_backward_of<T>(c, a); });
}

}  // namespace fovea::cpu
