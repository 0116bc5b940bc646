// A gradient laid together from parts: what is cut into slices gets one array that every part is written into, and
// zeros only where none came.
#pragma once
#include "core/array.h"

namespace fovea {

class Laid {
 public:
  // Of `whole` only what add() has written holds anything yet.
  explicit Laid(Array whole) : whole_(std::move(whole)) {}
  // The sum so far, dense and held by nobody else.
  static Laid onto(Array sum) {
    Laid l(std::move(sum));
    l.end_ = kAll;
    return l;
  }

  // whole[slice] += g, of whole's device.
  void add(const SliceAttrs& slice, Array g);
  // Zeros where no part came.
  void finish();
  const Array& array() const { return whole_; }

 private:
  static constexpr int64_t kAll = INT64_MAX;
  void zero(int64_t begin, int64_t end);

  Array whole_;
  int dim_ = -1;                 // along which the parts lie; -1: there are none
  int64_t begin_ = 0, end_ = 0;  // written; kAll: everything is
};

}  // namespace fovea
