// What normalisations, positions, convolutions, pools and recurrent layers promise beyond their samples: angles far
// out, known layouts, what they refuse.
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "autograd/ops/activation.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/convolution.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/position.h"
#include "autograd/ops/random.h"
#include "autograd/ops/recurrent.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/view.h"
#include "tests/helpers.h"

using namespace fovea;

namespace {

using V = std::vector<double>;
using Tensors = std::vector<Tensor>;

// huggingface/transformers#29285, EleutherAI/gpt-neox#1003: phases in bf16 or f32 are useless far out.
TEST_CASE(
    "pitfall 26: rope's angles are right to 1e-5 at position 15962, in every dtype, gpt-neox#1003, hf#25681, "
    "candle#3520") {
  Tensor ones_and_zeros = Tensor({{1, 1, 1, 0, 0, 0}});  // becomes cos, then sin, of each pair's angle
  for (DType t : {f64, f32, bf16, f16}) {
    INFO(std::string(name_of(t)));
    V y = rope(ones_and_zeros.to(t), {.base = 500, .offset = 15962}).to_vector<double>();
    const double rounding = t == bf16 ? 0x1p-8 : t == f16 ? 0x1p-11 : 0;
    for (int i = 0; i < 3; i++) {
      const double angle = 15962 * std::pow(500.0, -2 * i / 6.0);
      CHECK(std::abs(y[size_t(i)] - std::cos(angle)) < 1e-5 + rounding);
      CHECK(std::abs(y[size_t(i) + 3] - std::sin(angle)) < 1e-5 + rounding);
    }
  }
}

TEST_CASE("rope: products depend on the distance only, and both layouts are one up to an order of channels") {
  manual_seed(1);
  Tensor q = randn({1, 8}, {.dtype = f64}), k = randn({1, 8}, {.dtype = f64});
  auto score = [&](int64_t i, int64_t j, bool interleaved) {
    return sum(rope(q, {.interleaved = interleaved, .offset = i}) * rope(k, {.interleaved = interleaved, .offset = j}))
        .item();
  };
  for (bool interleaved : {false, true})
    CHECK(score(3, 1, interleaved) == doctest::Approx(score(1003, 1001, interleaved)));
  Tensor pairs = reshape(transpose(reshape(q, {2, 4}), 0, 1), {1, 8});  // (i, i + 4) as neighbours
  Tensor y = reshape(transpose(reshape(rope(pairs, {.interleaved = true, .offset = 5}), {4, 2}), 0, 1), {1, 8});
  CHECK(amax(abs(y - rope(q, {.offset = 5}))).item() < 1e-15);
}

TEST_CASE("a recurrent layer is its cell, step by step; a step more does not change the steps before") {
  manual_seed(2);
  auto random = [](const Shape& s) { return randn(s, {.dtype = f64}); };
  Tensor x = random({3, 2, 4});
  Tensors p{random({20, 4}), random({20, 5}), random({20}), random({20})};
  HiddenAndCell s{zeros({2, 5}, {.dtype = f64}), zeros({2, 5}, {.dtype = f64})};
  Tensors states;
  for (int t = 0; t < 3; t++) {
    s = lstm_cell(x[t], s, p[0], p[1], p[2], p[3]);
    states.push_back(s.first);
  }
  LstmOutput y = lstm(x, {}, p);
  CHECK(amax(abs(y.output - stack(states))).item() < 1e-15);
  CHECK(amax(abs(y.h_n[0] - s.first)).item() < 1e-15);
  CHECK(amax(abs(y.c_n[0] - s.second)).item() < 1e-15);
  LstmOutput one = lstm(x.select(1, 0), {}, p);  // without a batch
  CHECK(amax(abs(one.output - y.output.select(1, 0))).item() < 1e-15);
  CHECK(to_string(one.h_n.shape()) == "[1,5]");
  // Dropout is between layers only, and only in training.
  Tensors two = p;
  for (const Shape& shape : {Shape{20, 5}, Shape{20, 5}, Shape{20}, Shape{20}}) two.push_back(random(shape));
  auto last = [&](RecurrentOptions o) {
    manual_seed(3);
    return lstm(x, {}, two, o).output;
  };
  CHECK(amax(abs(last({.num_layers = 2, .dropout = 0.5}) - last({.num_layers = 2}))).item() == 0);
  CHECK(amax(abs(last({.num_layers = 2, .dropout = 0.5, .train = true}) - last({.num_layers = 2}))).item() > 1e-3);
  CHECK(amax(abs(lstm(x, {}, p, {.dropout = 0.5, .train = true}).output - y.output)).item() == 0);
}

TEST_CASE("the input's gradient of a convolution is summed over its windows in f32") {
  for (DType t : {bf16, f16}) {
    Tensor x = full({1, 1, 200}, 1, {.dtype = t, .requires_grad = true});
    sum(conv1d(x, full({1, 1, 61}, 1.25, {.dtype = t}))).backward();
    CHECK(x.grad()[0][0][100].item() == doctest::Approx(61 * 1.25).epsilon(t == bf16 ? 0x1p-8 : 0x1p-11));
  }
}

TEST_CASE("a pool's gradient goes to the first of equal numbers, or the last NaN, and never to padding") {
  Tensor x = Tensor({{1, 1, 1, NAN, 2, NAN}}).requires_grad_();
  Tensor y = max_pool1d(x, 2);
  CHECK(y.to_vector<float>()[0] == 1);
  CHECK(std::isnan(y.to_vector<float>()[1]));
  sum(y).backward();
  CHECK(x.grad().to_vector<double>() == V{1, 0, 0, 1, 0, 1});
  // With ceil_mode a window may be longer than the input, if the next would begin behind it.
  CHECK(max_pool1d(Tensor({{1, 2, 3}}), 5, {.ceil_mode = true}).to_vector<double>() == V{3});
  CHECK(max_pool1d(Tensor({{1, 2, 3}}), 4, {.stride = 3, .padding = 1, .ceil_mode = true}).to_vector<double>() ==
        V{3, 3});
  CHECK(avg_pool1d(Tensor({{1, 2, 3}}), 5, {.padding = 1, .ceil_mode = true}).item<float>() == 1.2f);
  CHECK(max_pool1d(Tensor({{1, 2, 3, 4}}), 2, {.padding = 1, .dilation = 5}).item() == -INFINITY);  // padding alone
  Tensor low = full({1, 4}, -INFINITY).requires_grad_();  // no larger than the padding: it is not that which gets it
  sum(max_pool1d(low, 3, {.padding = 1})).backward();
  CHECK(low.grad().to_vector<double>() == V{1, 0, 1, 0});
}

TEST_CASE("what these functions refuse, with values and the caller's line") {
  static Tensor x = zeros({2, 4, 6}), w = zeros({3, 4, 2}), v = zeros({4}), n;
  static Tensor in = zeros({5, 2, 3}), h = zeros({1, 2, 4});
  static Tensors gru_params{zeros({12, 3}), zeros({12, 4}), zeros({12}), zeros({12})};
  struct Case {
    const char* text;
    void (*call)();
  };
  const std::vector<Case> cases = {
      {"rms_norm: x [2,4,6] does not end in normalized_shape [4]", [] { rms_norm(x, {4}); }},
      {"rms_norm: weight is [4] (expected [6])", [] { rms_norm(x, {6}, v); }},
      {"rms_norm: eps is -1", [] { rms_norm(x, {6}, n, {.eps = -1}); }},
      {"rms_norm: x is [2] i64 (expected a floating dtype)",
       [] {
         rms_norm(Tensor::of<int64_t>({1, 2}), 2);
       }},
      {"group_norm: input [2,4,6] has 4 channels, num_groups is 3", [] { group_norm(x, 3); }},
      {"group_norm: input [2,4,6] has 4 channels, num_groups is 0", [] { group_norm(x, 0); }},
      {"group_norm: input is [4] (expected [N, C, ...])", [] { group_norm(v, 2); }},
      {"group_norm: bias is [3] (expected [4])", [] { group_norm(x, 2, v, zeros({3})); }},
      {"swiglu: x is [3] (expected an even size", [] { swiglu(zeros({3})); }},
      {"swiglu: shapes do not broadcast: [2,4,6] and [5]", [] { swiglu(x, zeros({5})); }},
      {"rope: dims is 5, x is [2,4,6]", [] { rope(x, {.dims = 5}); }},
      {"rope: dims is 8, x is [2,4,6]", [] { rope(x, {.dims = 8}); }},
      {"rope: x is [4] (expected [..., T, D])", [] { rope(v); }},
      {"rope: positions is [3] (expected [4])", [] { rope(x, {.positions = arange(3)}); }},
      {"rope: positions is [4] f32 (expected i64 or i32)", [] { rope(x, {.positions = v}); }},
      {"rope: offset is 9223372036854775807", [] { rope(x, {.offset = INT64_MAX}); }},
      {"rope: offset is -9223372036854775808", [] { rope(x, {.offset = INT64_MIN}); }},
      {"rope: offset is -1 (expected positions from 0", [] { rope(x, {.offset = -1}); }},
      {"rope: base is 0", [] { rope(x, {.base = 0}); }},
      {"kl_div: shapes do not broadcast: [5] and [2,4,6]", [] { kl_div(x, zeros({5})); }},
      {"kl_div: target is [4] i64", [] { kl_div(v, arange(4)); }},
      {"cosine_similarity: axis out of range: 3 (expected -3 to 2)", [] { cosine_similarity(x, x, 3); }},
      {"cosine_similarity: axis out of range: -4 (expected -3 to 2)", [] { cosine_similarity(x, x, -4); }},
      {"cosine_similarity: eps is 0", [] { cosine_similarity(x, x, 1, {.eps = 0}); }},
      {"cosine_similarity: x1 and x2 are i64", [] { cosine_similarity(arange(4), arange(4), 0); }},
      {"conv1d: input is [4] (expected [N, C, L] or [C, L])", [] { conv1d(v, w); }},
      {"conv1d: weight is [4] (expected [O, C / groups, K])", [] { conv1d(x, v); }},
      {"conv1d: input [2,4,6] has 4 channels, weight is [3,4,2] for 2 groups", [] { conv1d(x, w, n, {.groups = 2}); }},
      {"conv1d: groups is 0 (expected 1 to 2147483648)", [] { conv1d(x, w, n, {.groups = 0}); }},
      {"conv1d: input [2,4,6] has 4 channels, weight is [3,4,2] for 5 groups", [] { conv1d(x, w, n, {.groups = 5}); }},
      {"conv1d: stride is 0", [] { conv1d(x, w, n, {.stride = 0}); }},
      {"conv1d: stride is [1,2] (expected 1 or 1 numbers)",
       [] {
         conv1d(x, w, n, {.stride = {1, 2}});
       }},
      {"conv1d: padding is 4611686018427387904", [] { conv1d(x, w, n, {.padding = int64_t(1) << 62}); }},
      {"conv1d: dilation is -1", [] { conv1d(x, w, n, {.dilation = -1}); }},
      {"conv1d: a window of 7 on axis 2 of [2,4,6]", [] { conv1d(x, w, n, {.dilation = 6}); }},
      {"conv1d: stride is 2 (expected 1 with same)", [] { conv1d(x, w, n, {.stride = 2, .same = true}); }},
      {"conv1d: bias is [4] (expected [3])", [] { conv1d(x, w, v); }},
      {"conv1d: input is f32, weight f64 (expected one dtype)", [] { conv1d(x, w.to(f64)); }},
      {"conv2d: input is [4] (expected [N, C, H, W] or [C, H, W])", [] { conv2d(v, w); }},
      {"max_pool1d: kernel_size is 0", [] { max_pool1d(x, 0); }},
      {"max_pool1d: padding is 2 (expected at most half of kernel_size 2)", [] { max_pool1d(x, 2, {.padding = 2}); }},
      {"max_pool1d: input is [4] (expected [N, C, L] or [C, L])", [] { max_pool1d(v, 2); }},
      {"avg_pool1d: a window of 7 on the last axis of [2,4,6]", [] { avg_pool1d(x, 7); }},
      {"gru: input is [4]", [] { gru(v, n, gru_params); }},
      {"gru: 3 params (expected 4 for each of 1 layers",
       [] {
         gru(in, n, {v, v, v});
       }},
      {"gru: 4 params (expected 4 for each of 2 layers and 2",
       [] { gru(in, n, gru_params, {.num_layers = 2, .bidirectional = true}); }},
      {"gru: num_layers is 0", [] { gru(in, n, {}, {.num_layers = 0}); }},
      {"gru: hx is [2,2,4] (expected [1,2,4])",
       [] {
         gru(in, zeros({2, 2, 4}), gru_params);
       }},
      {"gru: input [0,2,3] has no steps",
       [] {
         gru(zeros({0, 2, 3}), n, gru_params);
       }},
      {"gru: dropout is 2", [] { gru(in, h, gru_params, {.dropout = 2}); }},
      {"lstm: weights of layer 0 are [12,3] f32 and [12,4] f32", [] { lstm(in, {}, gru_params); }},
      {"gru_cell: biases are [12] f32 and undefined",
       [] { gru_cell(in[0], n, gru_params[0], gru_params[1], gru_params[2]); }},
      {"lstm_cell: cx is [2,5] (expected [2,4])",
       [] {
         lstm_cell(in[0], {zeros({2, 4}), zeros({2, 5})}, zeros({16, 3}), zeros({16, 4}));
       }},
      {"lstm_cell: hx is undefined, cx [2,4] f32 (expected both, or none)",
       [] {
         lstm_cell(in[0], {n, zeros({2, 4})}, zeros({16, 3}), zeros({16, 4}));
       }},
      {"lstm: hx is [1,2,4] f32, cx undefined (expected both, or none)",
       [] {
         lstm(in, {h, n}, {zeros({16, 3}), zeros({16, 4})}, {.has_biases = false});
       }},
      {"rnn_tanh_cell: expected a defined tensor", [] { rnn_tanh_cell(n, n, w, w); }},
      {"cross_entropy: ignore_index is 0, target floating (expected i64 or i32)",
       [] { cross_entropy(x, x, {.ignore_index = 0}); }},
      {"where: condition is [4] f32 (expected bool). Compare it", [] { where(v, 1, 2); }},
      {"where: condition is [4] i64 (expected bool)", [] { where(arange(4), v, v); }},
  };
  for (const Case& c : cases) {
    INFO(std::string(c.text));
    const std::string text = error_of(c.call);
    CHECK(has(text, c.text));
    CHECK(has(text, "at test_nn_functions.cpp:"));
  }
}

}  // namespace

TEST_CASE("a value that no option of an enum has is refused, on the rows of the table and everywhere else") {
  static Tensor x = zeros({2, 3}), ids = zeros({2}, {.dtype = i64});
  constexpr auto seven = Reduction(7);
  constexpr auto other = DType(99);
  struct Case {
    const char* text;
    void (*call)();
  };
  const std::vector<Case> cases = {
      {"cross_entropy: reduction is 7 (expected one of the values of its enum, 0 to 2)",
       [] { cross_entropy(x, ids, {.reduction = seven}); }},
      {"cross_entropy: reduction is -1", [] { cross_entropy(x, ids, {.reduction = Reduction(-1)}); }},
      {"cross_entropy: reduction is 7", [] { cross_entropy(x, x, {.reduction = seven}); }},
      {"nll_loss: reduction is 7", [] { nll_loss(x, ids, {.reduction = seven}); }},
      {"mse_loss: reduction is 7", [] { mse_loss(x, x, {seven}); }},
      {"mse_loss: reduction is 7", [] { mse_loss(x, 1, {seven}); }},
      {"smooth_l1_loss: reduction is 7",
       [] {
         smooth_l1_loss(x, x, {seven, 0});
       }},
      {"binary_cross_entropy_with_logits: reduction is 7",
       [] { binary_cross_entropy_with_logits(x, x, {.reduction = seven, .pos_weight = x}); }},
      {"kl_div: reduction is 4 (expected one of the values of its enum, 0 to 3)",
       [] { kl_div(x, x, {.reduction = KlReduction(4)}); }},
      {"gelu: approximate is 9", [] { gelu(x, {.approximate = Gelu(9)}); }},
      {"div: rounding_mode is 3", [] { div(x, x, {.rounding_mode = Rounding(3)}); }},
      {"pad: mode is 4",
       [] {
         pad(x, {1, 1}, {.mode = PadMode(4)});
       }},
      {"cast: dtype is 99", [] { cast(x, other); }},
      {"dtype is 99", [] { (void)x.to(other); }},
      {"sum: dtype is 99", [] { sum(x, 0, {.dtype = other}); }},
      {"softmax: dtype is 99", [] { softmax(x, 0, {.dtype = other}); }},
      {"zeros: dtype is 99", [] { zeros({2}, {.dtype = other}); }},
      {"empty: dtype is 99", [] { empty({2}, {.dtype = other}); }},
      {"full: dtype is 99", [] { full({2}, 3, {.dtype = other}); }},
      {"arange: dtype is 99", [] { arange(3, {.dtype = other}); }},
      {"eye: dtype is 99", [] { eye(3, {.dtype = other}); }},
      {"rand: dtype is 99", [] { rand({2}, {.dtype = other}); }},
      {"randint: dtype is 99", [] { randint(3, {2}, {.dtype = other}); }},
      {"dtype is 99",
       [] {
         Tensor({1, 2}, {.dtype = other});
       }},
  };
  for (const Case& c : cases) {
    INFO(std::string(c.text));
    const std::string text = error_of(c.call);
    INFO(text);
    CHECK(text.find(c.text) != std::string::npos);
    CHECK(text.find("test_nn_functions.cpp:") != std::string::npos);
  }
  CHECK_THROWS_AS(Tensor::of(V{1, 2}, {2}, {.dtype = other}), ValueError);
  for (DType t : {f32, f64, bf16, f16, i64, i32, u8, i8, boolean}) CHECK_NOTHROW((void)zeros({2}).to(t));
}

TEST_CASE("a bound that is NaN makes all numbers NaN, with gradient 0, as in PyTorch") {
  const double nan = NAN;
  for (DType t : {f32, f64, bf16, f16}) {
    Tensor x = Tensor({1, 2}, {.dtype = t}).requires_grad_();
    for (const Tensor& y : {clamp(x, nan), clamp(x, {}, nan), clamp(x, 0, nan), clamp(x, nan, 1)}) {
      CHECK(y.dtype() == t);
      CHECK((y.shape() == x.shape() && all(isnan(y)).item<bool>()));
      CHECK(grad({sum(y)}, {x})[0].to_vector<double>() == V{0, 0});
    }
  }
  CHECK(clamp(arange(2), nan).dtype() == f32);
  CHECK(all(isnan(clamp(arange(2), nan))).item<bool>());
}
