// Statistics, arrangements and indexing by tensors: their numbers as NumPy and PyTorch give them, and what they refuse.
// Gradients, layouts and dtypes are proof's (samples_functions.cpp).
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "autograd/ops/advanced_index.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/moments.h"
#include "autograd/ops/random.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/view.h"
#include "tests/helpers.h"

using namespace fovea;

namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

struct Case {
  const char* what;
  Tensor got;
  const char* expected;
};

// "[2,3] 0 1 2 3 4 5": shape and numbers.
std::string written(const Tensor& t) {
  std::string text = to_string(t.shape());
  for (double v : t.to_vector<double>()) {
    char number[32];
    std::snprintf(number, sizeof number, " %g", v);
    text += number;
  }
  return text;
}

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    CAPTURE(c.what);
    CHECK(written(c.got) == std::string(c.expected));
  }
}

Tensor ints(const std::vector<int64_t>& v) { return Tensor::of(v); }

TEST_CASE("variance, norms and extrema are what they are defined as") {
  const Tensor x = Tensor({{1, 2}, {4, 9}}), n = Tensor({3, -4});
  check({
      {"var", var(x, 1), "[2] 0.5 12.5"},
      {"var correction", var(x, {}, {.correction = 0}), "[] 9.5"},
      {"std", fovea::std(x, 0, {.correction = 0, .keepdim = true}), "[1,2] 1.5 3.5"},
      {"mean of var_mean", var_mean(x, 1).second, "[2] 1.5 6.5"},
      {"std of f16", fovea::std(Tensor({-3000, 3000}, {.dtype = f16}), {}, {.correction = 0}), "[] 3000"},
      {"norm 0", vector_norm(Tensor({0, 5, -1}), 0), "[] 2"},
      {"norm 1", vector_norm(n, 1), "[] 7"},
      {"norm 2", norm(n), "[] 5"},
      {"norm 3", vector_norm(Tensor({3, 4, 5}), 3), "[] 6"},
      {"norm inf", vector_norm(n, kInf), "[] 4"},
      {"norm -inf", vector_norm(n, -kInf), "[] 3"},
      {"norm -1", vector_norm(Tensor({3, 6}), -1), "[] 2"},
      {"normalize", normalize(n, 2, 0), "[2] 0.6 -0.8"},
      {"max", max(x, 0).first, "[2] 4 9"},
      {"max places", max(Tensor({{1, 3, 3}, {2, NAN, NAN}}), 1, {.keepdim = true}).second, "[2,1] 1 1"},
      {"min", min(x), "[] 1"},
      {"argmax", argmax(x), "[] 3"},
      {"argmin kept", argmin(x, {}, {.keepdim = true}), "[1,1] 0"},
      {"count_nonzero", count_nonzero(Tensor({{0, 1}, {0, 0}}), 1), "[2] 1 0"},
      {"cumprod", cumprod(Tensor({2, 0, 3}), 0), "[3] 2 0 0"},
      {"logcumsumexp", logcumsumexp(Tensor({-kInf, 0, 0, 1000}), 0), "[4] -inf 0 0.693147 1000"},
  });
}

TEST_CASE("arrangements put every element in its place") {
  const Tensor x = Tensor({{0, 1, 2}, {3, 4, 5}}), line = Tensor({1, 2, 3});
  check({
      {"flip", flip(x, {0, 1}), "[2,3] 5 4 3 2 1 0"},
      {"roll", roll(x, 1, 1), "[2,3] 2 0 1 5 3 4"},
      {"roll flat", roll(x, -7), "[2,3] 1 2 3 4 5 0"},
      {"movedim", movedim(reshape(x, {1, 2, 3}), 0, -1), "[2,3,1] 0 1 2 3 4 5"},
      {"unflatten", unflatten(x, 1, {-1, 1}), "[2,3,1] 0 1 2 3 4 5"},
      {"squeeze", squeeze(reshape(x, {1, 2, 1, 3})), "[2,3] 0 1 2 3 4 5"},
      {"tril", tril(x), "[2,3] 0 0 0 3 4 0"},
      {"triu", triu(x, 1), "[2,3] 0 1 2 0 0 5"},
      {"tril of NaN", tril(Tensor({{NAN, NAN}, {1, 2}}), -1), "[2,2] 0 0 1 0"},
      {"pad", pad(x, {1, -1, 0, 1}, {.value = 9}), "[3,3] 9 0 1 9 3 4 9 9 9"},
      {"pad reflect", pad(line, {2, 1}, {.mode = PadMode::reflect}), "[6] 3 2 1 2 3 2"},
      {"pad replicate", pad(line, {2, 1}, {.mode = PadMode::replicate}), "[6] 1 1 1 2 3 3"},
      {"pad circular", pad(line, {2, 1}, {.mode = PadMode::circular}), "[6] 2 3 1 2 3 1"},
      {"repeat", repeat(line, {2, 1}), "[2,3] 1 2 3 1 2 3"},
      {"repeat along", repeat(x, {1, 2}), "[2,6] 0 1 2 0 1 2 3 4 5 3 4 5"},
      {"repeat_interleave", repeat_interleave(line, 2), "[6] 1 1 2 2 3 3"},
      {"repeat_interleave each", repeat_interleave(line, ints({2, 0, 1})), "[3] 1 1 3"},
      {"unfold", unfold(line, 0, 2, 1), "[2,2] 1 2 2 3"},
      {"linspace", linspace(1, 0, 5), "[5] 1 0.75 0.5 0.25 0"},
      {"linspace of one", linspace(3, 4, 1), "[1] 3"},
      {"linspace of all numbers", linspace(-1.5e308, 1.5e308, 3, {.dtype = f64}) / 1.5e308, "[3] -1 0 1"},
      {"linspace of integers", linspace(0, 10, 4, {.dtype = i64}), "[4] 0 3 6 10"},
      {"eye", eye(2, 3), "[2,3] 1 0 0 0 1 0"},
  });
  CHECK(triu(Tensor::of({true, true, true, true}, {2, 2})).dtype() == boolean);
  CHECK(flip(x, 0).array().storage() == x.array().storage());
  CHECK(unfold(x, 1, 2, 1).array().storage() == x.array().storage());
}

TEST_CASE("tensors as indices pick and put as in NumPy") {
  const Tensor x = Tensor({{0, 1, 2}, {3, 4, 5}}), cube = reshape(arange(24.0), {2, 3, 4}), m = x > 3;
  check({
      {"rows", index(x, {ints({-1, 0})}), "[2,3] 3 4 5 0 1 2"},
      {"pairs", index(x, {ints({0, 1}), ints({2, 0})}), "[2] 2 3"},
      {"broadcast", index(x, {Tensor::of<int64_t>({0, 1}, {2, 1}), ints({2, 0})}), "[2,2] 2 0 5 3"},
      {"behind an axis", index(x, {{}, ints({2, 2})}), "[2,2] 2 2 5 5"},
      {"axes apart come first", index(cube, {ints({1, 0}), {}, ints({3, 1})}), "[2,3] 15 19 23 1 5 9"},
      {"mask", index(x, {m}), "[2] 4 5"},
      {"mask of an axis", index(x, {{}, Tensor::of({true, false, true})}), "[2,2] 0 2 3 5"},
      {"put", index_put(x, {ints({1, 1}), ints({0, 0})}, Tensor({7, 8})), "[2,3] 0 1 2 8 4 5"},
      {"added", index_put(x, {ints({1, 1}), ints({0, 0})}, Tensor({7, 8}), {.accumulate = true}), "[2,3] 0 1 2 18 4 5"},
      {"put by mask", index_put(x, {m}, -1), "[2,3] 0 1 2 3 -1 -1"},
      {"put on axes apart", select(index_put(cube, {ints({1}), {}, ints({3})}, 0), 0, 1),
       "[3,4] 12 13 14 0 16 17 18 0 20 21 22 0"},
      {"nonzero", nonzero(x > 2), "[3,2] 1 0 1 1 1 2"},
      {"nonzero of a number", nonzero(Tensor::of({1.0}, {})), "[1,0]"},
      {"masked_select", masked_select(x, Tensor::of({true, false, true})), "[4] 0 2 3 5"},
      {"masked_fill", masked_fill(x, m, 1), "[2,3] 0 1 2 3 1 1"},
      {"take_along_dim", take_along_dim(x, Tensor::of<int64_t>({-1, 0}, {2, 1}), 1), "[2,1] 2 3"},
      {"take flat", take_along_dim(x, ints({5, 0})), "[2] 5 0"},
      {"index_add", index_add(x, 0, ints({1, 1}), ones({2, 3}), 2), "[2,3] 0 1 2 7 8 9"},
      {"one_hot", one_hot(ints({2, 0})), "[2,3] 0 0 1 1 0 0"},
  });
}

TEST_CASE("x[...] takes numbers, ranges, places and truths together, as PyTorch does") {
  const Tensor x = arange(6.0).reshape({2, 3}), cube = arange(24.0).reshape({2, 3, 4}), m = x > 3;
  const Tensor yes = Tensor::of({true}, {}), no = Tensor::of({false}, {}), one = Tensor::of<int64_t>({1}, {});
  check({
      {"numbers", cube[{1, -1}], "[4] 20 21 22 23"},
      {"a number and a range", cube[{0, Slice{1, 3}, 2}], "[2] 6 10"},
      {"ranges with steps", cube[{Slice{}, Slice{.step = 2}, Slice{.start = -2, .step = -2}}],
       "[2,2,2] 2 0 10 8 14 12 22 20"},
      {"a number in front of places", cube[{1, {}, ints({0, 3})}], "[3,2] 12 15 16 19 20 23"},
      {"a number between places", cube[{ints({0, 1}), 2, ints({3, 1})}], "[2] 11 21"},
      {"a range between places", cube[{ints({1, 0}), Slice{1, 3}, ints({3, 1})}], "[2,2] 19 23 5 9"},
      {"a range and places", cube[{Slice{1, 2}, ints({2, 0})}], "[1,2,4] 20 21 22 23 12 13 14 15"},
      {"a mask", x[m], "[2] 4 5"},
      {"a mask behind a number", cube[{1, cube[0] > 9}], "[2] 22 23"},
      {"a mask and a range", cube[{Slice{1, 2}, Slice{}, Tensor::of({true, false, false, true})}],
       "[1,3,2] 12 15 16 19 20 23"},
      {"places alone", x[ints({1, 1})], "[2,3] 3 4 5 3 4 5"},
      {"a number in a tensor is a number", cube[{one, {}, ints({1})}], "[3,1] 13 17 21"},
      {"and alone", x[one], "[3] 3 4 5"},
      {"and counts from the end", cube[{Slice{}, Tensor::of<int64_t>({-1}, {}), 0}], "[2] 8 20"},
      {"nothing", x[{}], "[2,3] 0 1 2 3 4 5"},
      {"true", x[{1, yes}], "[1,3] 3 4 5"},
      {"false", x[{Slice{1, 2}, no}], "[1,0,3]"},
      {"true and places", x[{yes, ints({1, 0})}], "[2,3] 3 4 5 0 1 2"},
      {"apart from true", x[{ints({1, 0}), {}, yes}], "[2,3] 3 4 5 0 1 2"},
      {"put by true", index_put(x, {yes}, 7), "[2,3] 7 7 7 7 7 7"},
      {"put by false", index_put(x, {no}, 7), "[2,3] 0 1 2 3 4 5"},
      {"select by true", masked_select(x, yes), "[6] 0 1 2 3 4 5"},
      {"select by false", masked_select(x, no), "[0]"},
      {"select of a number", masked_select(Tensor::of({3.0}, {}), yes), "[1] 3"},
      {"fill by true", masked_fill(x, yes, 7), "[2,3] 7 7 7 7 7 7"},
      {"where true", where(yes, x, 0.0), "[2,3] 0 1 2 3 4 5"},
  });
  CHECK(cube[{0, Slice{1, 3}}].data<float>() == cube.data<float>() + 4);  // a view, as without tensors
}

TEST_CASE("dtypes, rounding modes, decimals and makers beside a tensor are PyTorch's") {
  const Tensor x = Tensor({{1.7, 2.7}, {-3.2, 0.5}}), n = ints({7, -7}), two = ints({2, -2}),
               u = Tensor::of<uint8_t>({200, 100});
  Generator g{1};
  check({
      {"sum of whole parts", sum(x, 1, {.dtype = i64}), "[2] 3 -3"},
      {"sum that wraps", sum(u, {}, {.dtype = u8}), "[] 44"},
      {"mean", mean(n, {}, {.dtype = f64}), "[] 0"},
      {"prod", prod(x, 0, {.keepdim = true, .dtype = i32}), "[1,2] -3 0"},
      {"cumsum", cumsum(u, 0, {.dtype = i8}), "[2] -56 44"},
      {"cumprod", cumprod(x, 1, {i64}), "[2,2] 1 2 -3 0"},
      {"softmax of whole numbers", softmax(ints({1, 1}), 0, {.dtype = f32}), "[2] 0.5 0.5"},
      {"log_softmax", log_softmax(ints({3}), 0, {.dtype = f64}), "[1] 0"},
      {"vector_norm", vector_norm(Tensor({3, 4}), 2, {}, {.dtype = f64}), "[] 5"},
      {"div", div(n, two), "[2] 3.5 3.5"},
      {"div down", div(n, 2, {.rounding_mode = Rounding::floor}), "[2] 3 -4"},
      {"div towards 0", div(n, ints({2, 2}), {.rounding_mode = Rounding::trunc}), "[2] 3 -3"},
      {"div of the least by -1", div(ints({INT64_MIN}), -1, {Rounding::trunc}), "[1] -9.22337e+18"},
      {"div of numbers towards 0", div(Tensor({7, -7, 1}), Tensor({2, 2, 0}), {Rounding::trunc}), "[3] 3 -3 inf"},
      {"tenths", round(Tensor({1.25, 1.35, -2.5}), {.decimals = 1}), "[3] 1.2 1.4 -2.5"},
      {"tens", round(Tensor({15.5, 25, -0.1}), {.decimals = -1}), "[3] 20 20 -0"},
      {"too large to have tenths", round(Tensor({2e38, kInf}), {.decimals = 1}), "[2] 2e+38 inf"},
      {"tile", tile(x, 2), "[2,4] 1.7 2.7 1.7 2.7 -3.2 0.5 -3.2 0.5"},
      {"tile in front", tile(n, {2, 1}), "[2,2] 7 -7 7 -7"},
      {"full_like", full_like(n, 3), "[2] 3 3"},
      {"ones_like", ones_like(x, {.dtype = boolean}), "[2,2] 1 1 1 1"},
      {"randint from 0", randint(1, {3}, {.generator = &g}), "[3] 0 0 0"},
      {"randint_like", randint_like(u, 4, 5, {.generator = &g}), "[2] 4 4"},
  });
  for (const Tensor& t : {sum(x, 1, {.dtype = f64}), full_like(x, 1, {.dtype = f64}), rand_like(n, {&g, f64}),
                          zeros_like(x.to(f64)), softmax(n, 0, {f64}), randn_like(x.to(f64), {&g})})
    CHECK(t.dtype() == f64);
  CHECK(div(n, 2, {Rounding::trunc}).dtype() == i64);
  CHECK(zeros_like(x, {.requires_grad = true}).requires_grad());
  CHECK(clone(x).data<float>() != x.data<float>());
  CHECK(empty_like(u).shape() == u.shape());
}

TEST_CASE("a number counts as a line of one where PyTorch says so") {
  const Tensor five = Tensor::of({5.0f}, {}), line = Tensor({5, 6}), one = Tensor::of<int64_t>({1}, {});
  check({
      {"gather of a number", gather(five, 0, ints({0, 0})), "[2] 5 5"},
      {"gather nothing of it", gather(five, -1, ints({})), "[0]"},
      {"gather at a number", gather(line, 0, one), "[] 6"},
      {"index_select of a number", index_select(five, 0, ints({0})), "[] 5"},
      {"topk", topk(five, 0).first, "[] 5"},
      {"its place", topk(five, 0).second, "[] 0"},
  });
  Tensor x = Tensor::of({5.0f}, {}).requires_grad_();
  sum(gather(x, 0, ints({0, 0}))).backward();
  CHECK(x.grad().item() == 2);
}

TEST_CASE("what they refuse, by name, numbers and line") {
  static const Tensor x = zeros({3, 4}), f = zeros({2}), shapes(Array::shape_only({3}, boolean, default_device()));
  const struct {
    void (*call)();
    const char* text;
  } cases[] = {
      {[] { var(x, 2); }, "var: axis out of range: 2 (expected -2 to 1)"},
      {[] {
         fovea::std(x, {0, 0});
       },
       "std: axis 0 appears twice"},
      {[] { var(ints({1})); }, "var: x is [1] i64 (expected a floating dtype)"},
      {[] { vector_norm(zeros({0}), kInf); }, "vector_norm: a norm of order inf of nothing: [0]"},
      {[] { vector_norm(x, NAN); }, "vector_norm: the order is NaN"},
      {[] {
         max(zeros({0, 3}), 0);
       },
       "max: axis 0 of [0,3] is empty"},
      {[] { argmax(zeros({0})); }, "argmax: axis 0 of [0] is empty"},
      {[] { cumprod(x, -3); }, "cumprod: axis out of range: -3"},
      {[] {
         flip(x, {0, -2});
       },
       "flip: axis -2 appears twice"},
      {[] {
         roll(x, {1, 2}, 0);
       },
       "roll: shifts [1,2], dims [0]"},
      {[] { tril(zeros(3)); }, "tril: x is [3] (expected two axes"},
      {[] { pad(x, {1}); }, "pad: 1 numbers for x [3,4]"},
      {[] {
         pad(x, {-1, -4});
       },
       "pad: pad cuts off more than there is: -1, -4 on axis 1"},
      {[] {
         pad(x, {4, 0}, {.mode = PadMode::reflect});
       },
       "4, 0 on axis 1 of [3,4] (expected less than its size)"},
      {[] {
         pad(x, {int64_t(1) << 62, int64_t(1) << 62});
       },
       "pad: shape [3,4611686018427387904] has more than 2^62"},
      {[] {
         Tensor wide = expand(zeros({1}), {int64_t(1) << 62});
         cat({wide, wide, wide});
       },
       "cat: axis 0 of [4611686018427387904] and what follows is longer than 9223372036854775807"},
      {[] { repeat(x, 2); }, "repeat: repeats [2] for x [3,4]"},
      {[] {
         repeat(x, {1, INT64_MAX});
       },
       "repeat: axis 1 of [3,4], 9223372036854775807 times, exceeds 2^63"},
      {[] { repeat_interleave(x, -1, 0); }, "repeat_interleave: repeats is -1"},
      {[] {
         repeat_interleave(x, ints({1, 2}), 0);
       },
       "repeats is [2] (expected [3], as axis 0 of [3,4])"},
      {[] { unfold(x, 1, 5, 1); }, "unfold: size 5, step 1 for axis 1 of [3,4]"},
      {[] {
         unflatten(x, 1, {3, -1});
       },
       "unflatten: sizes [3,-1] for axis 1 of [3,4] (expected sizes whose product is 4)"},
      {[] {
         unflatten(zeros({0, 3}), 1, {6, 1});
       },
       "unflatten: sizes [6,1] for axis 1 of [0,3] (expected sizes whose product is 3)"},
      {[] {
         index_select(zeros({0, 1}), 1, ints({5}));
       },
       "index_select: index 5 at position 0 is out of range"},
      {[] { index_select(zeros({}), 0, ints({1})); }, "index_select: index 1 at position 0 is out of range"},
      {[] { index_select(zeros({}), 0, ints({})); }, "index_select: x [], index [0] (expected an index of one place)"},
      {[] {
         embedding(ints({1, 2}), zeros({2, 0}, {.dtype = i64}));
       },
       "embedding: index 2 at position 1 is out of range"},
      {[] { gather(zeros({}), 0, ints({1})); }, "gather: index 1 at position 0 is out of range"},
      {[] { gather(zeros({}), 1, ints({0})); }, "gather: axis out of range: 1"},
      {[] {
         pad(zeros({1, 2}), {-3, 1}, {.mode = PadMode::reflect});
       },
       "pad: pad cuts off more than there is: -3, 1 on axis 1 of [1,2]"},
      {[] { linspace(0, 1, -1); }, "linspace: steps is -1"},
      {[] { linspace(0, 1e39, 3); }, "linspace: 1e+39 is no number of f32"},
      {[] { linspace(0, 300, 3, {.dtype = u8}); }, "linspace: 300 is no number of u8"},
      {[] { eye(-1); }, "eye: -1 rows"},
      {[] {
         index(x, {ints({0, 3})});
       },
       "index: index 3 leaves axis 0 of [3,4] (expected -3 to 2)"},
      {[] {
         index(x, {ints({0}), ints({0}), ints({0})});
       },
       "index: too many indices for x [3,4]"},
      {[] {
         index(x, {0, Slice{}, 0});
       },
       "index: too many indices for x [3,4] (index 2 has no axis left)"},
      {[] {
         index(x, {{}, 4});
       },
       "index: index 4 leaves axis 1 of [3,4]"},
      {[] { one_hot(ints({INT64_MAX})); }, "one_hot: the largest id is 9223372036854775807 (expected less)"},
      {[] { mean(x, {}, {.dtype = i64}); }, "mean: dtype is i64 (expected a floating one)"},
      {[] { softmax(x, 0, {i64}); }, "softmax: x is [3,4] i64 (expected a floating dtype)"},
      {[] { vector_norm(x, 2, {}, {.dtype = f16}); }, "vector_norm: dtype is f16 (expected one that holds x's f32)"},
      {[] { round(x, {39}); }, "round: decimals is 39 (expected -38 to 38)"},
      {[] { round(ints({1}), {-1}); }, "round: x is [1] i64 (expected a floating dtype)"},
      {[] { tile(x, {-1}); }, "tile: repeats is -1 (expected 0 or more)"},
      {[] { zeros_like(Tensor()); }, "tensor: undefined: it was never given a value"},
      {[] { index(x, {f}); }, "index: an index is [2] f32 (expected i64 or i32)"},
      {[] { index(x, {f > 0}); }, "index: mask [2] at axis 0 of x [3,4]"},
      {[] {
         index_put(x, {ints({0, 1})}, f);
       },
       "index_put: [2] does not broadcast to [2,4]"},
      {[] { masked_select(x, x); }, "masked_select: mask is [3,4] f32 (expected bool)"},
      {[] { masked_fill(x, x > 0, f); }, "masked_fill: value is [2]"},
      {[] { nonzero(shapes); }, "nonzero: "},
      {[] { take_along_dim(x, ints({0}), 1); }, "take_along_dim: x [3,4], index [1]"},
      {[] {
         index_add(x, 0, ints({3}), zeros({1, 4}));
       },
       "index_add: index 3 leaves axis 0 of [3,4] (expected 0 to 2)"},
      {[] { one_hot(ints({-1}), 2); }, "one_hot: index -1 leaves 2 classes"},
      {[] { one_hot(ints({-1})); }, "one_hot: the largest id is -1 (expected 0 or more)"},
      {[] {
         index(zeros({0, 3}), {ints({0})});
       },
       "index: index 0 leaves axis 0 of [0,3] (there is no place in it)"},
      {[] { flip(Tensor(), 0); }, "flip: expected a defined tensor"},
  };
  for (const auto& c : cases) {
    CAPTURE(c.text);
    const std::string text = error_of(c.call);
    CHECK(has(text, c.text));
    CHECK(has(text, "test_arrange.cpp:"));
  }
}

}  // namespace
