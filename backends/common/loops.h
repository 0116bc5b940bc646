// Walks N strided views of one shape together. Axes of size 1 are dropped and axes that lie one behind the other in
// every view are merged, so most calls end up as one row. The order is always row-major: a counter kept by the caller
// is the element's flat index.
#pragma once
#include <algorithm>

#include "core/backend.h"

namespace fovea {

template <int N> class Loops {
 public:
  // All views have the shape of the first.
  explicit Loops(const View* const (&v)[N]) {
    bool dense = true;
    const int64_t* strides[N];
    for (int k = 0; k < N; k++) dense &= v[k]->dense, strides[k] = v[k]->strides;
    if (!dense) {
      plan(v[0]->rank, v[0]->shape, strides);
      return;
    }
    rank_ = 1;
    size_[0] = v[0]->numel;
    rows_ = size_[0] > 0;
    for (int k = 0; k < N; k++) stride_[k][0] = 1;
  }
  Loops(int rank, const int64_t* shape, const int64_t* const (&strides)[N]) { plan(rank, shape, strides); }

  int64_t rows() const { return rows_; }
  int64_t inner() const { return size_[0]; }                 // elements of a row
  int64_t step(int view) const { return stride_[view][0]; }  // from one element of a row to the next

  // f(offsets, n): the first element of each view's row, counted from its data, and how many follow.
  template <class F> void run(F&& f) const { run(0, rows_, f); }
  template <class F> void run(int64_t first, int64_t last, F&& f) const {
    int64_t index[kMaxRank] = {}, offset[N] = {};
    for (int64_t d = 1, rest = first; d < rank_ && rest; d++) {
      index[d] = rest % size_[d];
      rest /= size_[d];
      for (int k = 0; k < N; k++) offset[k] += index[d] * stride_[k][d];
    }
    for (int64_t row = first; row < last; row++) {
      f(offset, size_[0]);
      for (int d = 1; d < rank_; d++) {
        for (int k = 0; k < N; k++) offset[k] += stride_[k][d];
        if (++index[d] < size_[d]) break;
        for (int k = 0; k < N; k++) offset[k] -= stride_[k][d] * size_[d];
        index[d] = 0;
      }
    }
  }

 private:
  // Innermost axis first.
  void plan(int rank, const int64_t* shape, const int64_t* const (&strides)[N]) {
    rank_ = 0;
    rows_ = std::find(shape, shape + rank, 0) == shape + rank;
    if (rows_ == 0) rank = 0;  // the product of the other axes need not be a number
    for (int d = rank - 1; d >= 0; d--) {
      if (shape[d] == 1) continue;
      bool merge = rank_ > 0;
      for (int k = 0; merge && k < N; k++) merge = strides[k][d] == stride_[k][rank_ - 1] * size_[rank_ - 1];
      if (merge) {
        size_[rank_ - 1] *= shape[d];
        continue;
      }
      for (int k = 0; k < N; k++) stride_[k][rank_] = strides[k][d];
      size_[rank_++] = shape[d];
    }
    if (rank_ == 0) {
      rank_ = 1, size_[0] = rows_;
      for (int k = 0; k < N; k++) stride_[k][0] = 1;
    }
    for (int d = 1; d < rank_; d++) rows_ *= size_[d];
  }

  int rank_ = 0;  // after merging, at least 1
  int64_t rows_ = 0;
  int64_t size_[kMaxRank];
  int64_t stride_[N][kMaxRank];
};

}  // namespace fovea
