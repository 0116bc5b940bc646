// Samples of losses.
#include "autograd/apply.h"
#include "autograd/proof/sample.h"

namespace fovea::proof {
namespace {

// Inputs g, input, target, weight, lse.
void run_cross_entropy(const void* attrs, std::vector<Tensor>& x) {
  x[4] = apply(op::cross_entropy, std::vector<Tensor>{x[1], x[2], x[3]}, attrs)[1];
}

}  // namespace

void detail::loss_samples(Samples& s) {
  auto add = [&](int64_t n, int64_t classes, const Input& target, const CrossEntropyAttrs& a, bool weighted,
                 const std::string& name) {
    Input weight = weighted ? reals({classes}, 0.5, 2) : none();
    s.add<op::cross_entropy>({reals({n, classes}, -3, 3), target, weight}, a)
        .named(name)
        .sums(n * classes)
        .conditioned(4);
    Input g = a.reduction == Reduction::none ? reals({n}) : reals({});
    s.add<op::cross_entropy_backward>({g, reals({n, classes}, -3, 3), target, weight, none()}, a)
        .completed(run_cross_entropy)
        .named(name)
        .sums(n * classes)
        .conditioned(4);
  };
  for (bool weighted : {false, true})
    for (Reduction r : {Reduction::none, Reduction::mean, Reduction::sum}) {
      const char* names[] = {"none", "mean", "sum"};
      std::string name = std::string(names[int(r)]) + (weighted ? ", weights" : "");
      add(4, 5, ids({4}, 5), {-100, r, 0}, weighted, name);
      add(4, 3, exactly({4}, {0, -100, 2, 1}, i64), {-100, r, 0.1}, weighted, name + ", ignored, smoothed");
    }
  add(3, 4, exactly({3}, {0, 2, 3}, i64), {2, Reduction::mean, 0}, false, "a class ignored");
  add(2, 3, exactly({2}, {-100}, i64), {}, false, "all ignored");
  add(1, 1, ids({1}, 1), {}, false, "single");
  add(0, 3, ids({0}, 3), {}, false, "nothing");
  add(0, 3, ids({0}, 3), {-100, Reduction::none, 0}, false, "nothing, none");
  add(2, 4, integers({2}, 0, 4, i32), {}, false, "i32");
  s.add<op::cross_entropy>({reals({200, 300}), ids({200}, 300), none()}).named("threads").sums(300).threaded();
}

}  // namespace fovea::proof
