// Samples of functions made of ops: products, clamping, topk. They have no row and no rule; the graph of their ops must
// be the right one.
#include <limits>

#include "autograd/ops/advanced_index.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/moments.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/view.h"
#include "autograd/proof/sample.h"

namespace fovea::proof {
namespace {

using In = const std::vector<Tensor>&;
using Out = Sample::Outputs;

constexpr const char* kPlaces = "the results are integers";

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
  s.add("clamp by tensors", {apart({3, 5}), reals({5}, -1, 0), reals({3, 1}, 0.1, 1)}, [](In x) -> Out {
     return {clamp(x[0], x[1], x[2])};
   }).sums(5);
  s.add("clamp of integers", {integers({4}, -9, 9)}, [](In x) -> Out { return {clamp(x[0], -3, 5)}; });
  auto quotients = [](In x) -> Out {
    return {div(x[0], x[1], {Rounding::trunc}), div(x[0], x[1], {Rounding::floor}), div(x[0], 0.75, {Rounding::none})};
  };
  s.add("div by modes", {apart({3, 5}), reals({5}, 0.3, 0.45)}, quotients);
  s.add("div by modes", {reals({0, 2}), reals({2})}, quotients).named("nothing");
  auto tenths = [](In x) -> Out { return {round(x[0], {.decimals = 1})}; };
  s.add("round to decimals", {reals({3, 5})}, tenths);
  s.add("round to decimals", {reals({3, 5}, -70, 70)}, [](In x) -> Out { return {round(x[0], {.decimals = -1})}; });
  s.add("round to decimals", {exactly({4}, {kNan, kInf, 250, -0.0})}, tenths).named("special").up_to(0, kForwardOnly);
  for (const Shape& shape : {Shape{2, 3}, Shape{}, Shape{0}})
    s.add("clone", {reals(shape)}, [](In x) -> Out { return {clone(x[0]), clone(expand(x[0], x[0].shape()))}; });
  s.add("addcmul of integers", {integers({4}, -9, 9), integers({4}, -9, 9)},
        [](In x) -> Out { return {addcmul(x[0], x[1], x[1], 2)}; });
}

void places(Samples& s) {
  auto best = [](In x) -> Out { return topk(x[0], 2); };
  s.add("topk", {apart({3, 5})}, best);
  s.add("topk", {apart({0, 2})}, best).named("no rows");
  s.add("topk", {apart({4, 3})}, [](In x) -> Out { return topk(x[0], 3, 0, {.largest = false}); }).named("smallest");
  s.add("topk", {apart({2, 4})}, [](In x) -> Out { return topk(x[0], 0, 1); }).named("none");
  for (const Input& x : {apart({3, 5}), exactly({2, 3}, {1, kNan, 1, -1, 0, -0.0}), reals({0, 2}), reals({})})
    s.add("argsort", {x}, [](In x) -> Out {
       return {argsort(x[0], 0), argsort(x[0], -1, {.descending = true})};
     }).up_to(0, kPlaces);
  auto chosen = [](In x) -> Out { return {index_select(x[0], 1, x[1])}; };
  s.add("index_select", {reals({2, 4, 3}), ids({5}, 4)}, chosen).sums(5);
  s.add("index_select", {reals({2, 4}), ids({0}, 4)}, chosen).named("nothing");
}

void statistics(Samples& s) {
  auto deviation = [](In x) -> Out { return {std(x[0], 1)}; };
  s.add("std", {reals({3, 5})}, deviation).sums(5).conditioned(2);
  s.add("std", {reals({0, 3})}, deviation).named("of no rows");
  s.add("std", {exactly({2, 2}, {1, 1, 1, kNan})}, deviation).named("special").up_to(0, kForwardOnly);
  auto unit = [](In x) -> Out { return {normalize(x[0], 2, -1)}; };
  s.add("normalize", {nonzero({3, 5})}, unit).sums(5).conditioned(2);
  s.add("normalize", {exactly({2, 3}, {0, 0, 0, 1, 2, 2})}, unit).named("of 0").up_to(0, "the slope is 1 / eps");
  s.add("normalize", {reals({0, 3})}, unit).named("of no rows");
  s.add("normalize", {apart({2, 3, 2})}, [](In x) -> Out { return {normalize(x[0], 1)}; })
      .named("order 1")
      .sums(3)
      .conditioned(4);
  auto spread = [](In x) -> Out { return {var(x[0], 1), var(x[0], {}, {.correction = 0})}; };
  s.add("var", {reals({3, 4})}, spread).sums(12).conditioned(2);
  s.add("var", {exactly({2, 3}, {2, 2, 2, 5, 5, 5})}, spread).named("of one number").sums(6).conditioned(8);
  s.add("var", {reals({2, 1})}, spread).named("of single ones").up_to(0, "a division by 0");
  s.add("norm", {reals({3, 4})},
        [](In x) -> Out {
          return {norm(x[0]), norm(x[0], 1, -1, {.keepdim = true})};
        })
      .sums(12)
      .conditioned(2);
  s.add("norm", {reals({0, 4})}, [](In x) -> Out { return {norm(x[0], 3, 1)}; }).named("of no rows");
  auto count = [](In x) -> Out { return {count_nonzero(x[0], 1)}; };
  s.add("count_nonzero", {exactly({2, 3}, {0, 1, kNan, 0, 0, -1})}, count).up_to(0, kPlaces);
  for (bool keepdim : {false, true}) {
    auto largest = keepdim ? [](In x) -> Out { return max(x[0], 1, {.keepdim = true}); }
                           : [](In x) -> Out { return max(x[0], 1); };
    s.add("max", {apart({3, 5})}, largest);
    s.add("max", {exactly({2, 3}, {1, 3, 3, kNan, 5, kNan})}, largest).named("ties and NaN").up_to(0, "ties");
    s.add("max", {reals({0, 2})}, largest).named("of no rows");
  }
  s.add("max", {apart({2, 3})}, [](In x) -> Out { return {max(x[0])}; }).named("all");
  for (const Shape& shape : {Shape{3, 4}, Shape{0, 3}}) {
    auto in_f64 = [&](const char* name, Sample::Function f) {
      s.add(name, {nonzero(shape)}, f).sums(12).conditioned(2);
    };
    in_f64("sum in f64", [](In x) -> Out { return {sum(x[0], 1, {.dtype = f64})}; });
    in_f64("mean in f64", [](In x) -> Out { return {mean(x[0], 1, {.dtype = f64})}; });
    in_f64("prod in f64", [](In x) -> Out { return {prod(x[0], 0, {.dtype = f64})}; });
    in_f64("vector_norm in f64", [](In x) -> Out { return {vector_norm(x[0], 2, 1, {.dtype = f64})}; });
    in_f64("cumsum in f64", [](In x) -> Out { return {cumsum(x[0], 0, {f64})}; });
    in_f64("cumprod in f64", [](In x) -> Out { return {cumprod(x[0], -1, {f64})}; });
    in_f64("softmax in f64", [](In x) -> Out { return {softmax(x[0], 1, {f64})}; });
    in_f64("log_softmax in f64", [](In x) -> Out { return {log_softmax(x[0], 1, {f64})}; });
  }
  s.add("min", {apart({4, 3})}, [](In x) -> Out { return min(x[0], 0); });
  s.add("min", {apart({})}, [](In x) -> Out { return min(x[0], -1); }).named("0-dim");
  auto place = [](In x) -> Out { return {argmax(x[0], {}, {.keepdim = true}), argmax(x[0])}; };
  s.add("argmax of all", {apart({3, 4})}, place).up_to(0, kPlaces);
}

template <PadMode mode> Out padded(In x) { return {pad(x[0], {2, 1, -1, 2}, {.mode = mode})}; }

void arrangements(Samples& s) {
  auto reversed = [](In x) -> Out { return {flip(x[0], {0, -1})}; };
  s.add("flip", {reals({3, 4, 2})}, reversed);
  s.add("flip", {reals({0, 2})}, reversed).named("empty");
  auto rolled = [](In x) -> Out { return {roll(x[0], {5, -1}, {1, 0}), roll(x[0], -2)}; };
  s.add("roll", {reals({3, 4})}, rolled);
  s.add("roll", {reals({0, 1})}, rolled).named("empty");
  for (int64_t shift : {0, 1, -2, 7}) s.add<op::roll>({reals({2, 3, 4})}, {shift, -2});
  s.add<op::roll>({reals({1})}, {3, 0});
  s.add<op::roll>({reals({2, 0})}, {3, 1}).named("empty");
  for (int64_t diagonal : {-1, 0, 2, -9, 9}) {
    s.add<op::tril>({reals({2, 3, 4})}, {diagonal});
    s.add<op::triu>({reals({2, 3, 4})}, {diagonal});
  }
  s.add<op::tril>({reals({1, 1})}, {});
  s.add<op::triu>({reals({1, 1})}, {});
  s.add<op::tril>({reals({0, 2})}, {}).named("empty");
  s.add<op::triu>({reals({2, 0})}, {}).named("empty");
  s.add<op::tril>({exactly({2, 2}, {kNan, kInf, -kInf, 1})}, {}).named("special").up_to(0, kForwardOnly);
  s.add<op::triu>({truths({3, 3})}, {1}).named("booleans");
  s.add<op::tril>({reals({70, 500})}, {100}).named("threads").threaded();
  s.add("pad", {reals({3, 4})}, padded<PadMode::constant>);
  s.add("pad", {reals({3, 4})}, padded<PadMode::reflect>).named("reflect").sums(3);
  s.add("pad", {reals({3, 4})}, padded<PadMode::replicate>).named("replicate").sums(4);
  s.add("pad", {reals({2, 3, 4})}, padded<PadMode::circular>).named("circular").sums(4);
  s.add("pad", {reals({1, 0})}, padded<PadMode::constant>).named("of nothing");
  auto tiled = [](In x) -> Out { return {repeat(x[0], {2, 1, 3})}; };
  s.add("repeat", {reals({3, 2})}, tiled).sums(6);
  s.add("repeat", {reals({})}, tiled).named("0-dim").sums(6);
  s.add("repeat", {reals({2, 0, 1})}, tiled).named("empty");
  auto laid = [](In x) -> Out { return {tile(x[0], 2), tile(x[0], {2, 1, 1}), tile(x[0], {})}; };
  for (const Shape& shape : {Shape{3, 2}, Shape{}, Shape{2, 0}}) s.add("tile", {reals(shape)}, laid).sums(4);
  auto each = [](In x) -> Out { return {repeat_interleave(x[0], 2, 1), repeat_interleave(x[0], 3)}; };
  s.add("repeat_interleave", {reals({3, 2})}, each).sums(3);
  s.add("repeat_interleave", {reals({2, 0})}, each).named("empty");
  auto given = [](In x) -> Out { return {repeat_interleave(x[0], x[1], 0)}; };
  s.add("repeat_interleave", {reals({4, 2}), exactly({4}, {2, 0, 3, 0}, i64)}, given)
      .named("each its own")
      .sums(3)
      .reading();
  s.add("repeat_interleave", {reals({2, 2}), exactly({2}, {0, 0}, i32)}, given).named("to nothing").reading();
  s.add("movedim", {reals({2, 3, 4})}, [](In x) -> Out { return {movedim(x[0], {0, 1}, {-1, 0})}; });
  s.add("unflatten", {reals({2, 6})}, [](In x) -> Out { return {unflatten(x[0], 1, {-1, 3})}; });
  s.add("squeeze", {reals({1, 3, 1})}, [](In x) -> Out { return {squeeze(x[0])}; });
  s.add("squeeze", {reals({1, 3, 1})}, [](In x) -> Out { return {squeeze(x[0], {0, 1})}; }).named("some");
}

void places_by_tensors(Samples& s) {
  auto rows = [](In x) -> Out { return {index(x[0], {x[1]})}; };
  auto apart_axes = [](In x) -> Out { return {index(x[0], {x[1], {}, x[2]})}; };
  auto masked = [](In x) -> Out { return {index(x[0], {{}, x[1]})}; };
  s.add("index", {reals({4, 3}), integers({2, 3}, -4, 4)}, rows).sums(6);
  s.add("index", {reals({4, 3}), ids({0}, 4)}, rows).named("nothing");
  s.add("index", {reals({4}), integers({}, -4, 4, i32)}, rows).named("0-dim");
  s.add("index", {reals({2, 3, 4}), integers({3, 1}, -2, 2), integers({2}, -4, 4)}, apart_axes)
      .named("axes apart")
      .sums(4);
  s.add("index", {reals({2, 3, 4}), integers({2}, -3, 3), integers({2}, -4, 4)},
        [](In x) -> Out {
          return {index(x[0], {{}, x[1], x[2]})};
        })
      .named("axes together")
      .sums(2);
  s.add("index", {reals({2, 3, 4}), truths({3, 4})}, masked).named("mask").reading();
  s.add("index", {reals({2, 3}), exactly({3}, {0, 0, 0}, boolean)}, masked).named("nothing true").reading();
  auto mixed = [](In x) -> Out { return {x[0][{-1, Slice{.stop = 3}, x[1]}], x[0][{Slice{.step = -1}, {}, 1}]}; };
  s.add("index", {reals({2, 4, 3}), integers({2, 2}, -3, 3)}, mixed).named("numbers and ranges").sums(4);
  s.add("index", {reals({2, 0, 3}), ids({2}, 3)}, mixed).named("ranges of nothing");
  s.add("index", {reals({2, 3}), exactly({}, {1}, boolean)}, rows).named("0-dim mask").reading();
  auto put = [](In x) -> Out { return {index_put(x[0], {x[1]}, x[2])}; };
  auto added = [](In x) -> Out { return {index_put(x[0], {x[1], {}, x[2]}, x[3], {.accumulate = true})}; };
  s.add("index_put", {reals({4, 3}), integers({5}, -4, 4), reals({5, 1})}, put).sums(3);
  s.add("index_put", {reals({4, 3}), truths({4, 3}), reals({})}, put).named("mask").sums(12).reading();
  s.add("index_put", {reals({2, 3}), ids({0}, 2), reals({3})}, put).named("nothing");
  s.add("index_put", {reals({2, 3, 4}), integers({3, 1}, -2, 2), integers({2}, -4, 4), reals({3})}, added)
      .named("added")
      .sums(6);
  auto selected = [](In x) -> Out { return {masked_select(x[0], x[1])}; };
  s.add("masked_select", {reals({3, 4}), truths({4})}, selected).reading();
  s.add("masked_select", {reals({}), truths({2, 3})}, selected).named("0-dim").sums(6).reading();
  auto where_not_0 = [](In x) -> Out { return {nonzero(x[0])}; };
  s.add("nonzero", {exactly({2, 3}, {0, 1, kNan, 0, 0, -1})}, where_not_0).up_to(0, kPlaces).reading();
  s.add("nonzero", {exactly({}, {2})}, where_not_0).named("0-dim").up_to(0, kPlaces).reading();
  auto filled = [](In x) -> Out { return {masked_fill(x[0], x[1], x[2]), masked_fill(x[0], x[1], 3)}; };
  s.add("masked_fill", {reals({3, 4}), truths({3, 1}), reals({})}, filled).sums(12);
  s.add("masked_fill", {exactly({3}, {kNan, kInf, 1}), exactly({3}, {1, 1, 0}, boolean), reals({})}, filled)
      .named("behind the mask")
      .sums(3);
  auto taken = [](In x) -> Out { return {take_along_dim(x[0], x[1], 1)}; };
  s.add("take_along_dim", {reals({3, 4}), integers({1, 5}, -4, 4)}, taken).sums(5);
  s.add("take_along_dim", {reals({1, 4}), integers({2, 2}, -4, 4, i32)}, taken).named("x broadcasts").sums(4);
  auto accumulated = [](In x) -> Out { return {index_add(x[0], 1, x[1], x[2], 0.5)}; };
  s.add("index_add", {reals({2, 4}), ids({5}, 4), reals({2, 5})}, accumulated).sums(5);
  s.add("index_add", {reals({2, 4}), ids({0}, 4), reals({2, 0})}, accumulated).named("nothing");
  s.add("one_hot", {ids({2, 3}, 4)}, [](In x) -> Out { return {one_hot(x[0], 4)}; });
}

}  // namespace

void detail::function_samples(Samples& s) {
  products(s);
  elements(s);
  places(s);
  statistics(s);
  arrangements(s);
  places_by_tensors(s);
}

}  // namespace fovea::proof
