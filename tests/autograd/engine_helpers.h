// Shared by the engine's tests.
#pragma once
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "core/allocator.h"
#include "tests/helpers.h"

namespace fovea {

// Nothing that a scope made is left behind: the arena's live bytes are back where they were.
class NoLeak {
 public:
  NoLeak() : before_(memory_stats().live) {}
  ~NoLeak() { CHECK(memory_stats().live == before_); }

 private:
  int64_t before_;
};

inline Tensor floats(std::vector<float> values) { return Tensor::of(values, {int64_t(values.size())}); }
inline Tensor leaf(std::vector<float> values) { return floats(std::move(values)).requires_grad_(); }
inline std::vector<double> numbers(const Tensor& t) { return t.to_vector<double>(); }

}  // namespace fovea
