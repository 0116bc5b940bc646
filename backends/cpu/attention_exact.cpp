// Attention by its definition, for the rare blocks in which something was not finite: f64, one row at a time, and only
// what a row sees is looked at. What is not finite in k, v, q or g is added as it is (where the sign of its weight is
// open, as NaN); the rest is summed as ever.
#include <cmath>
#include <limits>

#include "backends/cpu/attention.h"

namespace fovea::cpu {
namespace {

// One row's weights, computed anew at each use: no memory for them.
struct Row {
  const float *q, *added;  // added: null, or what is added to the scores
  const Rows& k;
  int64_t d, lo, hi;
  double scale, top = 0, sum = 0;

  Row(const float* q_row, const Rows& keys, const AttentionShape& s, const Intervals& m, const Added& extra, int64_t i)
      : q(q_row), added(extra.p ? extra.at(i) : nullptr), k(keys), d(s.d), lo(m.lo[i]), hi(m.hi[i]), scale(s.scale) {
    double best = -std::numeric_limits<double>::infinity();
    each([&](int64_t j) {
      double x = score(j);
      if (x != x || best != best) best = std::numeric_limits<double>::quiet_NaN();
      else if (x > best) best = x;
    });
    top = best == -std::numeric_limits<double>::infinity() ? 0 : best;
    each([&](int64_t j) { sum += std::exp(score(j) - top); });
  }
  // f(j) for every key that is seen.
  template <class F> void each(const F& f) const {
    for (int64_t j = lo; j < hi; j++)
      if (!added || added[j] != -std::numeric_limits<float>::infinity()) f(j);
  }
  double score(int64_t j) const {
    double x = 0;
    for (int64_t c = 0; c < d; c++) x += double(q[c]) * double(k.at(j)[c]);
    return x * scale + (added ? double(added[j]) : 0);
  }
  double weight(int64_t j) const { return sum == 0 ? 0 : std::exp(score(j) - top) / sum; }
};

double dot(const float* a, const float* b, int64_t n) {
  double x = 0;
  for (int64_t c = 0; c < n; c++) x += double(a[c]) * double(b[c]);
  return x;
}

// weight * x of something finite, x itself of the rest.
double part(double weight, float x) { return std::isfinite(x) ? weight * double(x) : double(x); }
double part_open(double weight, double x) {
  return std::isfinite(x) ? weight * x : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

void attention_rows_exactly(const AttentionForward& t) {
  double* sum = reinterpret_cast<double*>(t.scratch);
  for (int64_t i = 0; i < t.shape.queries; i++) {
    const Row row(t.q.at(i), t.k, t.shape, t.mask, t.added, i);
    for (int64_t c = 0; c < t.shape.dv; c++) sum[c] = 0;
    row.each([&](int64_t j) {
      const double w = row.weight(j);
      for (int64_t c = 0; c < t.shape.dv; c++) sum[c] += part(w, t.v.at(j)[c]);
    });
    for (int64_t c = 0; c < t.shape.dv; c++) t.o[i * t.o_step + c] = float(sum[c]);
    t.lse[i] = row.sum == 0 ? -std::numeric_limits<float>::infinity() : float(std::log(row.sum) + row.top);
  }
}

void attention_group_exactly(const AttentionBackward& t) {
  const int64_t d = t.shape.d, dv = t.shape.dv;
  for (int64_t j = 0; j < t.shape.keys; j++) {
    for (int64_t c = 0; c < d; c++) t.dk[j * t.dk_step + c] = 0;
    for (int64_t c = 0; c < dv; c++) t.dv[j * t.dv_step + c] = 0;
  }
  for (int64_t h = 0; h < t.heads; h++)
    for (int64_t i = 0; i < t.shape.queries; i++) {
      const float *q = t.q[h].at(i), *g = t.g[h].at(i);
      float* dq = t.dq[h] + i * t.dq_step;
      const Row row(q, t.k, t.shape, t.mask, t.added[h], i);
      double drift = 0;
      row.each([&](int64_t j) { drift += row.weight(j) * dot(g, t.v.at(j), dv); });
      for (int64_t c = 0; c < d; c++) dq[c] = 0;
      row.each([&](int64_t j) {
        const double p = row.weight(j), ds = p * (dot(g, t.v.at(j), dv) - drift) * t.shape.scale;
        for (int64_t c = 0; c < d; c++) {
          dq[c] += float(part_open(ds, t.k.at(j)[c]));
          t.dk[j * t.dk_step + c] += float(part_open(ds, q[c]));
        }
        for (int64_t c = 0; c < dv; c++) t.dv[j * t.dv_step + c] += float(part(p, g[c]));
      });
    }
}

}  // namespace fovea::cpu
