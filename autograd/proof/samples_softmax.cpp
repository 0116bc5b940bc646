// Samples of softmax and its relatives.
#include <limits>

#include "autograd/apply.h"
#include "autograd/proof/sample.h"

namespace fovea::proof {
namespace {

template <op::Id id> void rows(Samples& s) {
  s.add<id>({reals({3, 5})}, {-1}).sums(5);
  s.add<id>({reals({4, 3})}, {0}).named("columns").sums(4);
  s.add<id>({reals({2, 3, 2})}, {1}).named("middle").sums(3);
  s.add<id>({reals({})}, {0}).named("0-dim");
  s.add<id>({reals({2, 1})}, {-1}).named("single");
  s.add<id>({reals({0, 4})}, {-1}).named("no rows");
  s.add<id>({reals({4, 0})}, {-1}).named("nothing");
  s.add<id>({exactly({2, 3}, {60, -60, 59.5, -500, 500, 499})}, {-1}).named("far apart").sums(3);
  s.add<id>({exactly({3, 3}, {0, -kInf, 1, -kInf, -kInf, 2, 1, kNan, 0})}, {-1})
      .named("special")
      .up_to(0, kForwardOnly);
  s.add<id>({reals({100, 700})}, {-1}).named("threads").sums(700).threaded();
}

// The gradient, and an output as the forward makes it: a row's numbers are any here, since the rule is linear in them.
template <op::Id id, op::Id forward> void backward_rows(Samples& s) {
  struct Complete {
    static void run(const void* attrs, std::vector<Tensor>& x) {
      x[1] = apply(forward, std::span<const Tensor>(&x[1], 1), attrs)[0];
    }
  };
  for (auto& [shape, dim] : std::initializer_list<std::pair<Shape, int64_t>>{
           {{3, 5}, -1}, {{4, 3}, 0}, {{1, 1}, -1}, {{0, 4}, -1}, {{4, 0}, -1}})
    s.add<id>({reals(shape), reals(shape)}, {dim}).completed(&Complete::run).sums(5);
  s.add<id>({reals({100, 700}), reals({100, 700})}, {-1})
      .named("threads")
      .completed(&Complete::run)
      .sums(700)
      .threaded();
}

}  // namespace

void detail::softmax_samples(Samples& s) {
  rows<op::softmax>(s);
  rows<op::log_softmax>(s);
  backward_rows<op::softmax_backward, op::softmax>(s);
  backward_rows<op::log_softmax_backward, op::log_softmax>(s);
  s.add<op::logsumexp>({reals({3, 5})}, {{-1}}).sums(5);
  s.add<op::logsumexp>({reals({3, 4})}, {{}, true}).named("all, kept").sums(12);
  s.add<op::logsumexp>({reals({2, 3, 2})}, {{0, 2}}).named("outer and inner").sums(4);
  s.add<op::logsumexp>({reals({})}, {}).named("0-dim");
  s.add<op::logsumexp>({reals({1, 1})}, {{1}}).named("single");
  s.add<op::logsumexp>({reals({0, 2})}, {{1}}).named("no rows");
  s.add<op::logsumexp>({reals({2, 0})}, {{1}}).named("nothing");
  s.add<op::logsumexp>({exactly({2, 2}, {-kInf, -kInf, -kInf, 1})}, {{1}})
      .named("-inf")
      .up_to(1, "exp(-inf) has no second derivative in the rule");
  s.add<op::logsumexp>({exactly({2, 2}, {kNan, 1, kInf, 1})}, {{1}}).named("special").up_to(0, kForwardOnly);
}

}  // namespace fovea::proof
