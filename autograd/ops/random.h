// Random numbers from generators {seed, counter}: each draw takes the next counter value, element i uses Philox(seed,
// counter, i), whatever the threads. The counter array a draw used is saved like any input, so backward, recompute and
// second order see the same draw.
#pragma once
#include "autograd/apply.h"

namespace fovea {

struct Generator {
  uint64_t seed = 0, counter = 0;
  // The i64 array [2] for one draw on `device`: seed and counter; the counter moves on.
  Tensor draw(Device device);
};
Generator& default_generator();   // of this thread
void manual_seed(uint64_t seed);  // of this thread's default generator

struct RandomOptions {
  TensorOptions tensor = {};
  Generator* generator = nullptr;  // default_generator() when null
};
Tensor rand(const Shape& shape, const RandomOptions& o = {});  // uniform in [0, 1)
Tensor uniform(const Shape& shape, double low, double high, const RandomOptions& o = {});
Tensor randn(const Shape& shape, const RandomOptions& o = {});  // standard normal (Box-Muller)
Tensor normal(double mean, double std, const Shape& shape, const RandomOptions& o = {});
Tensor randint(int64_t low, int64_t high, const Shape& shape, const RandomOptions& o = {});  // i64 in [low, high)
Tensor bernoulli(const Operand& p, Generator* generator = nullptr);                          // 0 or 1, of p's dtype
// Zeroes elements with probability p and scales the others by 1/(1-p); identity where not training or p = 0.
struct DropoutOptions {
  bool training = true;
  Generator* generator = nullptr;
};
Tensor dropout(const Operand& x, double p, DropoutOptions o = {});

}  // namespace fovea
