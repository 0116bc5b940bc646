// Samples of matrix products.
#include "autograd/proof/sample.h"

namespace fovea::proof {

void detail::matmul_samples(Samples& s) {
  s.add<op::matmul>({reals({3, 4}), reals({4, 5})}).sums(4);
  s.add<op::matmul>({reals({2, 3, 4}), reals({2, 4, 2})}).named("batch").sums(4);
  s.add<op::matmul>({reals({2, 2, 1, 3}), reals({2, 2, 3, 1})}).named("two batch axes").sums(3);
  s.add<op::matmul>({reals({1, 1}), reals({1, 1})}).named("single");
  s.add<op::matmul>({reals({2, 0}), reals({0, 3})}).named("no inner size");
  s.add<op::matmul>({reals({0, 3}), reals({3, 2})}).named("no rows");
  s.add<op::matmul>({reals({0, 2, 3}), reals({0, 3, 2})}).named("no batch");
  s.add<op::matmul>({integers({2, 3}, -9, 9), integers({3, 2}, -9, 9)}).named("integers");
  s.add<op::matmul>({reals({131, 97}), reals({97, 113})}).named("threads").sums(131).threaded();
  for (bool bias : {false, true}) {
    const char* name = bias ? "bias" : "no bias";
    auto b = [&](int64_t n) { return bias ? reals({n}) : none(); };
    s.add<op::linear>({reals({3, 4}), reals({2, 4}), b(2)}).named(name).sums(4);
    s.add<op::linear>({reals({2, 3, 4}), reals({5, 4}), b(5)}).named(name).named("batch").sums(6);
    s.add<op::linear>({reals({4}), reals({3, 4}), b(3)}).named(name).named("vector").sums(4);
    s.add<op::linear>({reals({1, 1}), reals({1, 1}), b(1)}).named(name).named("single");
    s.add<op::linear>({reals({0, 2}), reals({3, 2}), b(3)}).named(name).named("no rows");
    s.add<op::linear>({reals({2, 0}), reals({3, 0}), b(3)}).named(name).named("no inner size");
  }
  s.add<op::linear>({reals({150, 70}), reals({90, 70}), reals({90})}).named("threads").sums(150).threaded();
}

}  // namespace fovea::proof
