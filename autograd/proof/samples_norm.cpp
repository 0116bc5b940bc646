// Samples of normalisation.
#include "autograd/apply.h"
#include "autograd/proof/sample.h"

namespace fovea::proof {
namespace {

// Inputs g, x, weight, mean, rstd: the statistics are those of x.
void run_layer_norm(const void* attrs, std::vector<Tensor>& x) {
  std::vector<Tensor> y = apply(op::layer_norm, std::vector<Tensor>{x[1], x[2], Tensor()}, attrs);
  x[3] = y[1], x[4] = y[2];
}

}  // namespace

void detail::norm_samples(Samples& s) {
  for (int present = 0; present < 4; present++) {
    auto affine = [&](int which, const Shape& shape) { return present >> which & 1 ? reals(shape) : none(); };
    const char* name = present == 0 ? "plain" : present == 1 ? "weight" : present == 2 ? "bias" : "weight and bias";
    auto add = [&](const Shape& x, const Shape& normalized) -> Sample& {
      return s.add<op::layer_norm>({reals(x), affine(0, normalized), affine(1, normalized)}, {normalized.rank, 1e-5})
          .named(name)
          .conditioned(8);
    };
    add({3, 5}, {5}).sums(5);
    add({2, 2, 3}, {2, 3}).named("two axes").sums(6);
    add({4}, {4}).named("one row").sums(4).conditioned(128);
    add({0, 4}, {4}).named("no rows");
    if (present >= 2) continue;
    auto back = [&](const Shape& x, const Shape& normalized) -> Sample& {
      return s
          .add<op::layer_norm_backward>({reals(x), reals(x), affine(0, normalized), none(), none()},
                                        {normalized.rank, 1e-5})
          .completed(run_layer_norm)
          .named(name)
          .conditioned(32);
    };
    back({3, 5}, {5}).sums(5);
    back({2, 2, 3}, {2, 3}).named("two axes").sums(6);
    back({4}, {4}).named("one row").sums(4).conditioned(128);
    back({0, 4}, {4}).named("no rows");
  }
  const char* constant = "a row without spread: 1/sqrt(eps) magnifies rounding";
  s.add<op::layer_norm>({reals({2, 1}), reals({1}), reals({1})}, {1, 1e-5}).named("single").conditioned(1000);
  s.add<op::layer_norm>({exactly({2, 4}, {1000, 1001, 1002, 1003, -500, -501, -500.5, -499}), reals({4}), reals({4})},
                        {1, 1e-5})
      .named("mean far from 0")
      .conditioned(4000)
      .only(dtypes(f32, f64), "halves cannot hold these numbers apart");
  s.add<op::layer_norm_backward>({reals({2, 1}), reals({2, 1}), reals({1}), none(), none()}, {1, 1e-5})
      .completed(run_layer_norm)
      .named("single")
      .conditioned(1000)
      .up_to(0, constant);
  s.add<op::layer_norm>({reals({60, 300}), reals({300}), reals({300})}, {1, 1e-5})
      .named("threads")
      .conditioned(8)
      .sums(300)
      .threaded();
}

}  // namespace fovea::proof
