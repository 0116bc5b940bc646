// Slots layer_norm and layer_norm_backward. The gradients of weight and bias are sums over rows: each piece of rows
// (how many depends on the shape alone) has its own, and they are added in order, so threads do not change a bit.
#include "backends/cpu/norm.h"

#include <algorithm>
#include <cmath>

#include "backends/cpu/kernels.h"
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
  parallel_for(0, p.count, std::max<int64_t>(kRowGrain * p.count / std::max<int64_t>(p.rows * p.n, 1), 1),
               [&](int64_t b, int64_t e) {
                 for (int64_t q = b; q < e; q++) {
                   T *to_weight = partial + q * 2 * p.n, *to_bias = to_weight + p.n;
                   std::fill(to_weight, to_bias + p.n, T(0));
                   for (int64_t i = p.rows * q / p.count; i < p.rows * (q + 1) / p.count; i++)
                     kernels<T>().layer_norm_backward(p.n, c.x(0).as<T>() + i * p.n, c.x(1).as<T>() + i * p.n,
                                                      weight.present() ? weight.as<T>() : nullptr, c.x(3).as<T>()[i],
                                                      c.x(4).as<T>()[i], c.y(0).as<T>() + i * p.n, to_weight, to_bias);
                 }
               });
  for (int64_t q = 1; q < p.count; q++) kernels<T>().accumulate(2 * p.n, partial + q * 2 * p.n, partial);
  std::copy(partial, partial + p.n, dw.as<T>());
  std::copy(partial + p.n, partial + 2 * p.n, db.as<T>());
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

bool layer_norm_backward_accepts(const Call& c, const void*) {
  for (int i = 0; i < 5; i++)
    if (c.x(i).present() && !c.x(i).dense) return false;
  return c.y(0).dense && c.y(1).dense && c.y(2).dense;
}
int64_t layer_norm_backward_scratch(const Call& c, const void* attrs) {
  const Pieces p(c.x(1), *static_cast<const LayerNormAttrs*>(attrs));
  return p.count * 2 * p.n * size_of(c.x(1).dtype);
}
Status layer_norm_backward(const Call& c, const LayerNormAttrs& a) {
  by_type(c.x(1).dtype, [&]<class T>() { backward<T>(c, a); });
  return {};
}

}  // namespace fovea::cpu
