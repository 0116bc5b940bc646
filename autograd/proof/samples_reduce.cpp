// Samples of reductions and scans.
#include <limits>

#include "autograd/proof/sample.h"

namespace fovea::proof {
namespace {

Input anywhere(const Shape& s) { return reals(s); }
Input lattice(const Shape& s) { return apart(s); }

// All axes, some, several, kept and dropped; 0-dim, single elements, and empty where nothing has a value.
template <op::Id id> void reduction(Samples& s, Input (*in)(const Shape&), bool of_nothing) {
  s.add<id>({in({3, 4})}, {}).named("all").sums(12);
  s.add<id>({in({3, 4})}, {{1}}).named("rows").sums(4);
  s.add<id>({in({3, 4})}, {{0}, true}).named("columns, kept").sums(3);
  s.add<id>({in({2, 3, 4})}, {{0, -1}}).named("outer and inner").sums(8);
  s.add<id>({in({2, 3, 2})}, {{1}}).named("middle").sums(3);
  s.add<id>({in({})}, {}).named("0-dim");
  s.add<id>({in({1, 1})}, {{0}}).named("single");
  s.add<id>({in({0, 3})}, {{1}}).named("of no rows");
  if (of_nothing) s.add<id>({in({2, 0})}, {{1}}).named("of nothing");
  s.add<id>({exactly({4, 3}, {1, kNan, 2, kInf, 1, 2, kInf, -kInf, 0, -kInf, -1, -2})}, {{1}})
      .named("special")
      .up_to(0, kForwardOnly);
}

template <op::Id id> void scan(Samples& s, const char* name) {
  s.add<id>({reals({3, 4})}, {1}).named(name).sums(4);
  s.add<id>({reals({4, 3})}, {0}).named("columns").sums(4);
  s.add<id>({reals({2, 1})}, {-1}).named("single");
  s.add<id>({reals({})}, {-1}).named("0-dim");
  s.add<id>({reals({2, 0})}, {-1}).named("empty");
}

template <op::Id id> void moments(Samples& s) {
  for (double correction : {1.0, 0.0, 0.5}) {
    s.add<id>({reals({3, 5})}, {{1}, correction}).named("rows").sums(5).conditioned(2);
    s.add<id>({reals({2, 3, 4})}, {{0, -1}, correction, true}).named("outer and inner, kept").sums(8).conditioned(2);
  }
  s.add<id>({reals({4})}, {}).named("all").sums(4).conditioned(2);
  s.add<id>({reals({0, 3})}, {{1}}).named("of no rows");
  s.add<id>({exactly({4}, {1000, 1001, 1002, 1004})}, {})
      .named("mean far from 0")
      .conditioned(1000)
      .only(dtypes(f32, f64), "halves cannot hold these numbers apart");
  s.add<id>({exactly({3, 2}, {1, 2, kNan, 1, kInf, 1})}, {{1}}).named("special").up_to(0, kForwardOnly);
  s.add<id>({reals({2, 0})}, {{1}}).named("of nothing").up_to(0, "NaN");
  s.add<id>({reals({})}, {}).named("0-dim: no freedom left").up_to(0, "0 / 0");
}

void norms_and_moments(Samples& s) {
  moments<op::var_mean>(s);
  moments<op::std_mean>(s);
  s.add<op::var_mean>({reals({1, 1})}, {{1}, 0}).named("single");
  s.add<op::std_mean>({exactly({2, 2}, {1, 1, 3, 3})}, {{1}, 0}).named("no spread").up_to(0, "a norm at 0");
  for (int64_t dim : {0, 1})
    s.add<op::std_mean>({exactly({3, 3}, {1e25, 2e25, 4e25, 3e25, -1e25, 2e25, 5e25, 7e25, 1e26})}, {{dim}})
        .named("squares that overflow")
        .sums(3)
        .conditioned(4)
        .up_to(1, "squares of them overflow")
        .only(dtypes(f32, f64, bf16), "f16 has no such numbers");
  s.add<op::std_mean>({exactly({4}, {1e-30, 2e-30, 4e-30, -3e-30})}, {})
      .named("squares that vanish")
      .sums(4)
      .conditioned(2)
      .up_to(0, "differences do not see steps so small")
      .only(dtypes(f32, f64, bf16), "f16 has no such numbers");
  for (double ord : {2.0, 1.0, 0.0, 3.0, 1.5, 0.5, -1.0, kInf, -kInf}) {
    s.add<op::vector_norm>({apart({3, 5})}, {ord, {1}}).named("rows").sums(5).conditioned(8);
    s.add<op::vector_norm>({apart({2, 3, 2})}, {ord, {0, -1}, true})
        .named("outer and inner, kept")
        .sums(4)
        .conditioned(8);
    s.add<op::vector_norm>({apart({3})}, {ord}).named("all").sums(3).conditioned(8);
    s.add<op::vector_norm>({apart({1, 1})}, {ord, {0}}).named("single").conditioned(4);
    s.add<op::vector_norm>({apart({0, 3})}, {ord, {1}}).named("of no rows");
    s.add<op::vector_norm>({exactly({4, 2}, {1, kNan, kInf, 1, -kInf, 0, kInf, -kInf})}, {ord, {1}})
        .named("special")
        .up_to(0, kForwardOnly);
  }
  for (double ord : {2.0, 1.0, 0.0, 3.0, 0.5})
    s.add<op::vector_norm>({apart({2, 0})}, {ord, {1}}).named("of nothing").up_to(0, "a root at 0");
  for (double ord : {2.0, 3.0, 1.5, kInf, 1.0})
    s.add<op::vector_norm>({exactly({2}, {0, 0})}, {ord}).at_kink("a norm at 0");
  s.add<op::vector_norm>({exactly({3}, {0, 2, -1})}, {3}).named("with a zero").sums(3);
}

template <op::Id id> void best(Samples& s) {
  s.add<id>({apart({3, 5})}, {1});
  s.add<id>({apart({3, 5})}, {0, true}).named("kept");
  s.add<id>({exactly({2, 4}, {1, 3, 3, 0, 2, kNan, 5, kNan})}, {-1}).named("ties and NaN");
  s.add<id>({apart({0, 2})}, {1}).named("of no rows");
  s.add<id>({reals({1})}, {0}).named("single");
  s.add<id>({integers({2, 3}, -5, 5)}, {1}).named("integers");
}

}  // namespace

void detail::reduce_samples(Samples& s) {
  reduction<op::sum>(s, anywhere, true);
  reduction<op::mean>(s, anywhere, true);
  reduction<op::prod>(
      s, [](const Shape& x) { return nonzero(x, 0.5); }, true);
  reduction<op::amax>(s, lattice, false);
  reduction<op::amin>(s, lattice, false);
  s.add<op::sum>({integers({3, 4}, -9, 9, i32)}, {{1}}).named("integers");
  s.add<op::sum>({truths({9})}).named("truths");
  s.add<op::sum>({reals({40, 1000})}, {{1}}).named("threads").sums(1000).threaded();
  s.add<op::sum>({reals({70000})}).named("all, threads").sums(70000).threaded();
  s.add<op::mean>({reals({300, 200})}, {{0}}).named("columns, threads").sums(300).threaded();
  // A product with zeros: its derivative is the product of the others.
  s.add<op::prod>({exactly({3, 3}, {2, 0, 3, 0, 0, 5, 1, 2, 3})}, {{1}}).named("zeros").sums(10);
  s.add<op::prod>({exactly({2, 3, 2}, {2, 0, 3, 1, 0, 5, 1, 2, 3, 4, 2, 0})}, {{0, -1}})
      .named("zeros, outer and inner")
      .sums(30);
  s.add<op::prod>({integers({2, 3}, 1, 5)}, {{1}}).named("integers");
  for (bool keepdim : {false, true}) {
    Input g = keepdim ? reals({1, 3, 1}) : reals({3});
    s.add<op::prod_backward>({g, nonzero({2, 3, 2}, 0.5)}, {{0, -1}, keepdim}).sums(30).conditioned(4);
    s.add<op::prod_backward>({reals(keepdim ? Shape{1, 1} : Shape{}), nonzero({2, 3}, 0.5)}, {{}, keepdim}).sums(20);
  }
  s.add<op::prod_backward>({reals({2, 4}), nonzero({2, 3, 4}, 0.5)}, {{1}}).named("columns").sums(10);
  s.add<op::prod_backward>({reals({3}), exactly({3, 3}, {2, 0, 3, 0, 0, 5, 1, 2, 3})}, {{1}}).named("zeros").sums(10);
  s.add<op::prod_backward>({exactly({1}, {0.5}), exactly({1, 1}, {2})}, {{1}}).named("single");
  s.add<op::prod_backward>({reals({3}), reals({0, 3})}, {{0}}).named("of nothing");
  s.add<op::amax>({exactly({2, 3}, {1, 3, 3, 2, 2, 2})}, {{1}}).at_kink("ties");
  s.add<op::amin>({exactly({2, 3}, {1, 1, 3, 2, 2, 2})}, {{1}}).at_kink("ties");
  s.add<op::amax>({integers({2, 3}, -5, 5)}, {{1}}).named("integers");
  for (const Shape& shape : {Shape{3, 4}, Shape{1, 1}, Shape{2, 0}}) {
    s.add<op::any>({truths(shape)}, {{1}});
    s.add<op::all>({truths(shape)}, {{1}});
  }
  s.add<op::any>({exactly({2, 3}, {0, 0, 0, 0, kNan, 0})}, {{1}}).named("numbers");
  s.add<op::all>({exactly({2, 3}, {1, 2, 0, 1, kNan, 1})}, {{1}}).named("numbers");
  best<op::argmax>(s);
  best<op::argmin>(s);
  scan<op::cumsum>(s, "rows");
  scan<op::cumprod>(s, "rows");
  scan<op::logcumsumexp>(s, "rows");
  s.add<op::cumprod>({exactly({3, 5}, {2, 0, 3, -1, 5, 0, 1, 2, 0, 3, 1, 2, 3, 4, 0})}, {1}).named("zeros").sums(60);
  s.add<op::cumprod>({reals({2, 9})}, {1}).named("longer").sums(9);
  s.add<op::cumprod>({exactly({4}, {1, kNan, kInf, 0})}, {0}).named("special").up_to(0, kForwardOnly);
  s.add<op::cumprod>({integers({5}, -3, 4, i32)}, {0}).named("integers");
  s.add<op::logcumsumexp>({exactly({2, 5}, {60, -60, 59.5, -500, 500, -700, 1, 2, 3, 700})}, {1})
      .named("far apart")
      .sums(5);
  s.add<op::logcumsumexp>({exactly({2, 3}, {2, 2, 1, 0, 0, 0})}, {1}).named("ties").sums(3);
  s.add<op::logcumsumexp>({exactly({2, 4}, {-kInf, -kInf, 1, kInf, 1, kNan, 2, 3})}, {1})
      .named("special")
      .up_to(0, kForwardOnly);
  norms_and_moments(s);
  s.add<op::cumsum>({integers({5}, -9, 9, i32)}, {0}).named("integers");
}

}  // namespace fovea::proof
