// Samples of normalisation.
#include <string>

#include "autograd/apply.h"
#include "autograd/proof/sample.h"

namespace fovea::proof {
namespace {

// Inputs g, x, weight, mean, rstd: the statistics are those of x.
void run_layer_norm(const void* attrs, std::vector<Tensor>& x) {
  std::vector<Tensor> y = apply(op::layer_norm, std::vector<Tensor>{x[1], x[2], Tensor()}, attrs);
  x[3] = y[1], x[4] = y[2];
}

// Inputs g, x, weight, rstd.
void run_rms_norm(const void* attrs, std::vector<Tensor>& x) {
  x[3] = apply(op::rms_norm, std::vector<Tensor>{x[1], x[2]}, attrs)[1];
}

void rms_norm_samples(Samples& s) {
  struct Case {
    Shape x, normalized;
    const char* name;
  };
  for (const Case& c : {Case{{3, 5}, {5}, ""}, Case{{2, 2, 3}, {2, 3}, "two axes"}, Case{{1}, {1}, "single"},
                        Case{{0, 4}, {4}, "no rows"}, Case{{2, 0}, {0}, "empty rows"}})
    for (bool weighted : {false, true}) {
      const LayerNormAttrs a{c.normalized.rank, 1e-5};
      const std::string name = std::string(weighted ? "weight" : "plain") + (*c.name ? ", " : "") + c.name;
      const int64_t n = numel(c.normalized);
      Input weight = weighted ? reals(c.normalized) : none();
      s.add<op::rms_norm>({nonzero(c.x), weight}, a).named(name).conditioned(n == 1 ? 1000 : 8).sums(n);
      s.add<op::rms_norm_backward>({reals(c.x), nonzero(c.x), weight, none()}, a)
          .completed(run_rms_norm)
          .named(name)
          .conditioned(n == 1 ? 1000 : 32)
          .sums(n);
    }
  s.add<op::rms_norm>({exactly({2, 2}, {1e30, -2e30, 4e30, 3e30}), reals({2})}, {1, 1e-6})
      .named("squares that overflow")
      .only(dtypes(f32, f64, bf16), "beyond f16")
      .up_to(1, "1 / x^2 underflows");
  s.add<op::rms_norm>({reals({60, 300}), reals({300})}, {1, 1e-6}).named("threads").conditioned(8).sums(300).threaded();
}

// Inputs g, x, weight, mean, rstd.
void run_group_norm(const void* attrs, std::vector<Tensor>& x) {
  std::vector<Tensor> y = apply(op::group_norm, std::vector<Tensor>{x[1], x[2], Tensor()}, attrs);
  x[3] = y[1], x[4] = y[2];
}

void group_norm_samples(Samples& s) {
  auto back = [&](const Shape& x, bool weighted, int64_t groups) -> Sample& {
    Input weight = weighted ? reals({x[1]}) : none();
    return s.add<op::group_norm_backward>({reals(x), reals(x), weight, none(), none()}, {groups, 1e-5})
        .completed(run_group_norm)
        .conditioned(32);
  };
  for (bool weighted : {false, true}) back({2, 4, 3}, weighted, 2).sums(6);
  back({2, 4}, true, 1).named("no further axes").sums(4).conditioned(128);
  back({1, 1}, true, 1).named("single").conditioned(1000).up_to(0, "a group without spread magnifies rounding");
  back({0, 4, 2}, true, 2).named("no batch");
  back({2, 4, 0}, true, 4).named("no places");
  s.add<op::group_norm>({reals({4, 60, 5, 30}), reals({60}), reals({60})}, {6, 1e-5})
      .named("threads")
      .conditioned(8)
      .sums(1500)
      .threaded();
  for (int present = 0; present < 4; present++) {
    auto affine = [&](int bit, int64_t channels) { return present >> bit & 1 ? reals({channels}) : none(); };
    s.add<op::group_norm>({reals({2, 4, 3}), affine(0, 4), affine(1, 4)}, {2, 1e-5}).sums(6).conditioned(32);
  }
  s.add<op::group_norm>({reals({2, 3}), reals({3}), reals({3})}, {1, 1e-5})
      .named("no further axes")
      .sums(3)
      .conditioned(128);
  s.add<op::group_norm>({reals({1, 1, 1}), reals({1}), reals({1})}, {1, 1e-5}).named("single").conditioned(1000);
  s.add<op::group_norm>({reals({0, 4, 2}), reals({4}), reals({4})}, {2, 1e-5}).named("no batch");
  s.add<op::group_norm>({reals({2, 4, 0}), reals({4}), reals({4})}, {4, 1e-5}).named("no places");
}

}  // namespace

void detail::norm_samples(Samples& s) {
  rms_norm_samples(s);
  group_norm_samples(s);
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
