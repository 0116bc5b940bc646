// Samples of views, joining, and what views leave to their gradients.
#include "autograd/ops/view.h"
#include "autograd/proof/sample.h"

namespace fovea::proof {
namespace {

using In = const std::vector<Tensor>&;
using Out = Sample::Outputs;

// Those that are other ops under another name, each with a sample that has nothing in it.
void functions(Samples& s) {
  auto shaped = [](In x) -> Out { return {reshape(x[0], {-1, 2}), reshape(transpose(x[0], 0, -1), {2, -1})}; };
  s.add("reshape", {reals({3, 4})}, shaped);
  s.add("reshape", {reals({2, 0, 2})}, [](In x) -> Out { return {reshape(x[0], {0, 3})}; }).named("empty");
  s.add("reshape", {reals({})}, [](In x) -> Out { return {reshape(x[0], {1, -1})}; }).named("0-dim");
  auto flat = [](In x) -> Out { return {flatten(x[0]), flatten(x[0], 1, -1)}; };
  s.add("flatten", {reals({2, 3, 2})}, flat);
  s.add("flatten", {reals({2, 0})}, flat).named("empty");
  s.add("flatten", {reals({})}, [](In x) -> Out { return {flatten(x[0])}; }).named("0-dim");
  auto wider = [](In x) -> Out { return {unsqueeze(x[0], 0), unsqueeze(x[0], -1)}; };
  for (const Shape& shape : {Shape{2, 3}, Shape{}, Shape{0}}) s.add("unsqueeze", {reals(shape)}, wider);
  auto stacked = [](In x) -> Out { return {stack(x, 0), stack(x, -1)}; };
  s.add("stack", {reals({2, 3}), reals({2, 3}), reals({2, 3})}, stacked);
  s.add("stack", {reals({}), reals({})}, stacked).named("0-dim");
  s.add("stack", {reals({0, 2})}, stacked).named("empty");
  s.add("split", {reals({5, 2})}, [](In x) -> Out { return split(x[0], 2); });
  s.add("split", {reals({2, 3})}, [](In x) -> Out { return split(x[0], 9, -1); }).named("in one");
  s.add("split", {reals({2, 7})}, [](In x) -> Out { return split(x[0], {3, 0, 4}, -1); }).named("by sizes");
  s.add("split", {reals({0, 3})}, [](In x) -> Out { return split(x[0], 2); }).named("nothing");
  s.add("chunk", {reals({2, 7})}, [](In x) -> Out { return chunk(x[0], 3, 1); });
  s.add("chunk", {reals({2})}, [](In x) -> Out { return chunk(x[0], 5); }).named("fewer");
  s.add("chunk", {reals({0, 3})}, [](In x) -> Out { return chunk(x[0], 2); }).named("nothing");
  s.add("narrow", {reals({2, 5})}, [](In x) -> Out { return {narrow(x[0], 1, -4, 3)}; });
  s.add("narrow", {reals({2, 0})}, [](In x) -> Out { return {narrow(x[0], 1, 0, 0)}; }).named("nothing");
  s.add("select", {reals({2, 3, 2})}, [](In x) -> Out { return {select(x[0], 1, -1), select(x[0], -1, 0)}; });
  s.add("select", {reals({2, 0})}, [](In x) -> Out { return {select(x[0], 0, 1)}; }).named("of nothing");
}

}  // namespace

void detail::view_samples(Samples& s) {
  functions(s);
  s.add<op::view>({reals({2, 6})}, {{3, 4}});
  s.add<op::view>({reals({1})}, {Shape{}}).named("to 0-dim");
  s.add<op::view>({reals({})}, {{1, 1}}).named("from 0-dim");
  s.add<op::view>({reals({0, 3})}, {{3, 0, 2}}).named("empty");
  s.add<op::permute>({reals({2, 3, 4})}, {{2, 0, 1}});
  s.add<op::permute>({reals({2, 1, 0})}, {{-1, 1, 0}}).named("empty");
  s.add<op::permute>({reals({})}, {}).named("0-dim");
  s.add<op::transpose>({reals({2, 3, 4})}, {0, -1});
  s.add<op::transpose>({reals({3, 3})}, {0, 1});
  s.add<op::transpose>({reals({1, 1})}, {0, 1}).named("single");
  s.add<op::transpose>({reals({1, 0})}, {0, 1}).named("empty");
  s.add<op::expand>({reals({3, 1})}, {{2, 3, 4}}).sums(8);
  s.add<op::expand>({reals({})}, {{5}}).named("0-dim").sums(5);
  s.add<op::expand>({reals({1, 2})}, {{0, 2}}).named("to nothing");
  s.add<op::expand>({reals({0, 1})}, {{2, 0, 3}}).named("of nothing");
  s.add<op::expand>({reals({1, 1})}, {{1, 1}}).named("single");
  s.add<op::slice>({reals({5, 4})}, {0, 1, 3, 1});
  s.add<op::slice>({reals({5, 4})}, {0, 0, 3, 2}).named("steps");
  s.add<op::slice>({reals({2, 7})}, {1, 6, 3, -3}).named("backwards");
  s.add<op::slice>({reals({1})}, {0, 0, 1, 1}).named("single");
  s.add<op::slice>({reals({4, 1})}, {0, 0, 0, 1}).named("nothing");
  s.add<op::slice>({reals({0, 2})}, {1, 0, 1, 1}).named("of nothing");
  s.add<op::slice_backward>({reals({3, 4})}, {0, 1, 1, 6});
  s.add<op::slice_backward>({reals({2, 3})}, {1, 6, -3, 8}).named("backwards");
  s.add<op::slice_backward>({reals({0, 2})}, {0, 0, 1, 3}).named("of nothing");
  s.add<op::slice_backward>({reals({1})}, {0, 0, 1, 1}).named("single");
  s.add<op::diagonal>({reals({4, 3})}, {0, 0, 1});
  s.add<op::diagonal>({reals({2, 3, 5})}, {1, 1, -1}).named("above, of the last axes");
  s.add<op::diagonal>({reals({4, 2, 3})}, {-2, 2, 0}).named("below, axes swapped");
  s.add<op::diagonal>({reals({2, 3})}, {3, 0, 1}).named("outside");
  s.add<op::diagonal>({reals({1, 1})}, {0, 0, 1}).named("single");
  s.add<op::diagonal>({reals({0, 2})}, {0, 0, 1}).named("of nothing");
  s.add<op::diagonal_backward>({reals({2, 3})}, {{2, 3, 5}, 1, 1, 2});
  s.add<op::diagonal_backward>({reals({1})}, {{1, 1}, 0, 0, 1}).named("single");
  s.add<op::diagonal_backward>({reals({0})}, {{2, 3}, 3, 0, 1}).named("of nothing");
  s.add<op::unfold>({reals({7, 2})}, {0, 3, 1}).named("overlapping").sums(3);
  s.add<op::unfold>({reals({2, 7})}, {-1, 2, 3}).named("apart");
  s.add<op::unfold>({reals({2, 5, 2})}, {1, 3, 2}).named("middle").sums(2);
  s.add<op::unfold>({reals({3})}, {0, 0, 1}).named("windows of nothing");
  s.add<op::unfold>({reals({0, 3})}, {1, 2, 1}).named("of nothing");
  s.add<op::unfold>({reals({1})}, {0, 1, 1}).named("single");
  s.add<op::unfold>({reals({})}, {0, 1, 1}).named("0-dim");
  s.add<op::unfold_backward>({reals({5, 2, 3})}, {0, 7, 1}).named("overlapping").sums(3);
  s.add<op::unfold_backward>({reals({2, 2, 2})}, {1, 7, 3}).named("apart");
  s.add<op::unfold_backward>({reals({4, 0})}, {0, 3, 1}).named("windows of nothing");
  s.add<op::unfold_backward>({reals({1, 1})}, {0, 1, 1}).named("single");
  s.add<op::unfold_backward>({reals({1})}, {0, 1, 1}).named("of 0-dim");
  s.add<op::sum_to>({reals({2, 3, 4})}, {{3, 1}}).sums(8);
  s.add<op::sum_to>({reals({2, 3})}, {Shape{}}).named("to 0-dim").sums(6);
  s.add<op::sum_to>({reals({0, 3})}, {{1, 3}}).named("empty");
  s.add<op::sum_to>({reals({1, 1})}, {{1}}).named("single");
  s.add<op::cat>({reals({2, 3}), reals({1, 3}), reals({4, 3})}, {0});
  s.add<op::cat>({reals({2, 3}), reals({2, 0}), reals({2, 1})}, {1}).named("with nothing");
  s.add<op::cat>({reals({1})}, {0}).named("one alone");
  s.add<op::cat>({integers({2}, 0, 9), integers({3}, 0, 9)}, {0}).named("integers");
}

}  // namespace fovea::proof
