// The loops whose instructions per op are capped: `dispatch_count VARIANT ITERATIONS`, one-element f32 tensors, one
// thread. tools/dev/count_instructions.py runs it twice under cachegrind, so that starting up cancels out.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "autograd/ops/elementwise.h"
#include "autograd/tensor.h"
#include "core/mode.h"

using namespace fovea;

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: dispatch_count nograd|grad|fwdbwd ITERATIONS\n", stderr), 2;
  const std::string_view variant = argv[1];
  const long iterations = std::atol(argv[2]);
  Tensor x = Tensor({1.0f}), y = Tensor({1.0f});
  double last = 0;
  if (variant == "nograd") {  // 1 op
    NoGrad guard;
    for (long i = 0; i < iterations; i++) last = (x + y).numel();
  } else if (variant == "grad") {  // 2 ops
    x = x.requires_grad_();
    for (long i = 0; i < iterations; i++) last = (x * y + y).numel();
  } else if (variant == "fwdbwd") {  // 10 ops
    Tensor w = Tensor({0.5f}).requires_grad_(), c = Tensor({1.0f}).requires_grad_();
    for (long i = 0; i < iterations; i++) {
      Tensor z = y;
      for (int k = 0; k < 5; k++) z = z * w + c;
      z.backward();
      if (i + 1 == iterations) last = c.grad().item();  // 1 + w + w^2 + w^3 + w^4
      w.clear_grad();
      c.clear_grad();
    }
  } else {
    return 2;
  }
  const double expected = variant == "fwdbwd" ? 1.9375 : 1.0;
  return last == expected ? 0 : 1;
}
