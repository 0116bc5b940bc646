#include "autograd/laid.h"

#include <algorithm>

#include "core/dispatch.h"

namespace fovea {

void Laid::zero(int64_t begin, int64_t end) {
  if (begin >= end) return;
  Array part = whole_.slice(dim_, begin, end - begin);
  fill(part, 0);
}

void Laid::add(const SliceAttrs& slice, Array g) {
  SliceAttrs s = slice;
  if (s.length == 0) return;
  if (s.length == 1) s.step = 1;
  if (s.step < 0) {                                  // the same places, counted up
    whole_.slice(s.dim, s.start, s.length, s.step);  // refuses what leaves the axis
    g = g.slice(s.dim, s.length - 1, s.length, -1);
    s.start += (s.length - 1) * s.step, s.step = -s.step;
  }
  auto place = [&](int64_t from, int64_t to, bool adds) {
    if (from >= to) return;
    Array part = whole_.slice(s.dim, s.start + from * s.step, to - from, s.step),
          mine = g.slice(s.dim, from, to - from);
    if (!adds) return assign(part, mine);
    const View* pair[2] = {&part.view(), &mine.view()};
    launch(state(), Launch{op::add, pair, 2, &kNoAttrs, &part, 1, nullptr, false, Destination::given});
  };
  if (end_ != kAll && (s.step != 1 || (dim_ >= 0 && s.dim != dim_))) {
    const bool first = dim_ < 0;
    finish();
    end_ = kAll;
    if (first) return place(0, s.length, false);
  }
  if (end_ == kAll) return place(0, s.length, true);
  const int64_t start = s.start, end = start + s.length;
  if (dim_ < 0) dim_ = int(s.dim), begin_ = end_ = start;
  if (start > end_) zero(end_, start), end_ = start;
  if (end < begin_) zero(end, begin_), begin_ = end;
  // In front of what is written, within it, behind it.
  place(0, std::min(end, begin_) - start, false);
  place(std::max(begin_ - start, int64_t(0)), std::min(end, end_) - start, true);
  place(std::max(end_ - start, int64_t(0)), s.length, false);
  begin_ = std::min(begin_, start), end_ = std::max(end_, end);
}

void Laid::finish() {
  if (end_ == kAll) return;
  if (dim_ < 0) return void(fill(whole_, 0));
  zero(0, begin_);
  zero(end_, whole_.size(dim_));
}

}  // namespace fovea
