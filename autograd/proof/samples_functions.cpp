// Samples of functions made of ops: products, clamping, topk. They have no row and no rule; the graph of their ops must
// be the right one.
#include <limits>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/linalg.h"
#include "autograd/proof/sample.h"

namespace fovea::proof {
namespace {

using In = const std::vector<Tensor>&;
using Out = std::vector<Tensor>;

constexpr double kInf = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();

Out both(const std::pair<Tensor, Tensor>& p) { return {p.first, p.second}; }

void products(Samples& s) {
  auto einsum_bmm = [](In x) -> Out { return {einsum("bij,bjk->kbi", x)}; };
  s.add("einsum", {reals({2, 3, 4}), reals({2, 4, 2})}, einsum_bmm).sums(4);
  s.add("einsum", {reals({2, 3, 0}), reals({2, 0, 2})}, einsum_bmm).named("no inner size");
  s.add("einsum", {reals({0, 3, 4}), reals({0, 4, 2})}, einsum_bmm).named("no batch");
  s.add("einsum", {reals({3, 2, 3}), reals({2, 4})}, [](In x) -> Out { return {einsum("iji,jk->ki", x)}; })
      .named("diagonal")
      .sums(2);
  s.add("einsum", {reals({2, 3}), reals({3, 4}), reals({4, 2})}, [](In x) -> Out { return {einsum("ab,bc,ca->", x)}; })
      .named("to a number")
      .sums(24);
  s.add("einsum", {reals({2, 1, 3}), reals({4, 3})}, [](In x) -> Out { return {einsum("...i,...i->...", x)}; })
      .named("leading axes")
      .sums(3);
  for (const Shape& a : {Shape{2, 3, 4}, Shape{1, 1, 4}, Shape{0, 3, 4}})
    s.add("bmm", {reals(a), reals({a[0], 4, 2})}, [](In x) -> Out { return {bmm(x[0], x[1])}; }).sums(4);
  auto add = [](In x) -> Out { return {addmm(x[0], x[1], x[2], {.beta = 0.5, .alpha = -2})}; };
  s.add("addmm", {reals({2}), reals({3, 4}), reals({4, 2})}, add).sums(8);
  s.add("addmm", {reals({1, 1}), reals({0, 4}), reals({4, 2})}, add).named("no rows");
  for (int64_t n : {5, 1, 0})
    s.add("dot", {reals({n}), reals({n})}, [](In x) -> Out { return {dot(x[0], x[1])}; }).sums(n);
  for (int64_t n : {3, 1, 0})
    s.add("outer", {reals({n}), reals({4})}, [](In x) -> Out { return {outer(x[0], x[1])}; }).sums(4);
  auto two = [](In x) -> Out { return {bilinear(x[0], x[1], x[2], x[3])}; };
  s.add("bilinear", {reals({2, 3}), reals({2, 4}), reals({2, 3, 4}), reals({2})}, two).sums(12);
  s.add("bilinear", {reals({3}), reals({4}), reals({2, 3, 4}), none()}, two).named("vectors, no bias").sums(12);
  s.add("bilinear", {reals({0, 3}), reals({0, 4}), reals({2, 3, 4}), reals({2})}, two).named("no rows");
}

void elements(Samples& s) {
  auto clamped = [](In x) -> Out { return {clamp(x[0], -1.0, 1.5)}; };
  s.add("clamp", {apart({3, 5})}, clamped);
  s.add("clamp", {reals({0, 2})}, clamped).named("empty");
  s.add("clamp", {exactly({4}, {kNan, kInf, -kInf, 1})}, clamped)
      .named("special")
      .up_to(0, "NaN and infinities: the forward only");
  auto product = [](In x) -> Out { return {addcmul(x[0], x[1], x[2], 0.5)}; };
  s.add("addcmul", {reals({3, 4}), reals({4}), reals({3, 1})}, product).sums(4);
  s.add("addcmul", {reals({0}), reals({1}), reals({1})}, product).named("empty");
  s.add("nan_to_num", {reals({3, 4})}, [](In x) -> Out { return {nan_to_num(x[0])}; });
  s.add("nan_to_num", {exactly({4}, {kNan, kInf, -kInf, 1})}, [](In x) -> Out { return {nan_to_num(x[0], 3, 4, -5)}; })
      .named("special")
      .up_to(0, "NaN and infinities: the forward only");
}

void places(Samples& s) {
  auto best = [](In x) -> Out { return both(topk(x[0], 2)); };
  s.add("topk", {apart({3, 5})}, best);
  s.add("topk", {apart({0, 2})}, best).named("no rows");
  s.add("topk", {apart({4, 3})}, [](In x) -> Out {
     return both(topk(x[0], 3, 0, {.largest = false}));
   }).named("smallest");
  s.add("topk", {apart({2, 4})}, [](In x) -> Out { return both(topk(x[0], 0, 1)); }).named("none");
  auto chosen = [](In x) -> Out { return {index_select(x[0], 1, x[1])}; };
  s.add("index_select", {reals({2, 4, 3}), ids({5}, 4)}, chosen).sums(5);
  s.add("index_select", {reals({2, 4}), ids({0}, 4)}, chosen).named("nothing");
}

}  // namespace

void detail::function_samples(Samples& s) {
  products(s);
  elements(s);
  places(s);
}

}  // namespace fovea::proof
