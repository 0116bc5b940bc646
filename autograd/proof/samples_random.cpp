// Samples of ops that draw. The draw, seed and number, is an input, so every run sees the same one.
#include "autograd/proof/sample.h"

namespace fovea::proof {

void detail::random_samples(Samples& s) {
  for (double p : {0.5, 0.1, 0.0, 1.0})
    s.add<op::dropout>({reals({4, 5}), exactly({2}, {7, 3}, i64)}, {p}).named("p = " + std::to_string(p).substr(0, 3));
  s.add<op::dropout>({reals({}), exactly({2}, {1, 0}, i64)}, {0.5}).named("0-dim");
  s.add<op::dropout>({reals({1}), exactly({2}, {1, 0}, i64)}, {0.5}).named("single");
  s.add<op::dropout>({reals({3, 0}), exactly({2}, {1, 0}, i64)}, {0.5}).named("empty");
  s.add<op::dropout>({reals({80, 700}), exactly({2}, {1, 5}, i64)}, {0.3}).named("threads").threaded();
}

}  // namespace fovea::proof
