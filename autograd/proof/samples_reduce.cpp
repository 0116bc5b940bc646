// Samples of reductions and scans.
#include <limits>

#include "autograd/proof/sample.h"

namespace fovea::proof {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();

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
      .up_to(0, "NaN and infinities: the forward only");
}

template <op::Id id> void scan(Samples& s, const char* name) {
  s.add<id>({reals({3, 4})}, {1}).named(name).sums(4);
  s.add<id>({reals({4, 3})}, {0}).named("columns").sums(4);
  s.add<id>({reals({2, 1})}, {-1}).named("single");
  s.add<id>({reals({})}, {-1}).named("0-dim");
  s.add<id>({reals({2, 0})}, {-1}).named("empty");
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
  s.add<op::prod>({exactly({3, 3}, {2, 0, 3, 0, 0, 5, 1, 2, 3})}, {{1}})
      .named("zeros")
      .up_to(1, "the rule divides by x");
  s.add<op::prod>({integers({2, 3}, 1, 5)}, {{1}}).named("integers");
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
  s.add<op::cumsum>({integers({5}, -9, 9, i32)}, {0}).named("integers");
}

}  // namespace fovea::proof
