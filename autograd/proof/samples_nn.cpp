// Samples of positions, and of the functions made of ops that models use: divergences, convolutions, pools, recurrent
// layers.
#include "autograd/ops/activation.h"
#include "autograd/ops/convolution.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/recurrent.h"
#include "autograd/proof/sample.h"

namespace fovea::proof {
namespace {

using In = const std::vector<Tensor>&;
using Out = Sample::Outputs;

void positions(Samples& s) {
  Input far = exactly({3}, {0, 15962, -7}, i64);
  s.add<op::rope>({reals({2, 3, 4}), far}, {.dims = 4});
  s.add<op::rope>({reals({2, 3, 4}), far}, {.dims = 4, .interleaved = true}).named("interleaved");
  s.add<op::rope>({reals({2, 3, 2, 6}), integers({2, 3}, 0, 50, i32)},
                  {.dims = 4, .base = 100, .scale = 0.5, .heads_inside = true})
      .named("partial, heads inside, a row of positions each");
  s.add<op::rope>({reals({2, 2, 5}), ids({2}, 9)}, {.dims = 2, .interleaved = true, .inverse = true}).named("inverse");
  s.add<op::rope>({reals({1, 1}), ids({1}, 9)}, {}).named("single, none turned");
  s.add<op::rope>({reals({2, 0, 4}), ids({0}, 9)}, {.dims = 4}).named("no tokens");
}

void losses(Samples& s) {
  auto kl = [](In x) -> Out { return {kl_div(x[0], x[1], {.reduction = KlReduction::batchmean})}; };
  s.add("kl_div", {reals({3, 4}), reals({3, 4}, 0.1, 1)}, kl).sums(12);
  s.add("kl_div", {reals({3, 4}), reals({4})}, [](In x) -> Out {
     return {kl_div(x[0], x[1], {.reduction = KlReduction::none, .log_target = true})};
   }).named("logarithms");
  s.add("kl_div", {reals({4}), exactly({4}, {0, 0.5, 0, 0.5})}, kl)
      .named("zeros")
      .sums(4)
      .up_to(0, "the logarithm of 0 has no slope");
  s.add("kl_div", {reals({2, 0}), reals({2, 0})}, kl).named("empty");
  auto cosine = [](In x) -> Out { return {cosine_similarity(x[0], x[1])}; };
  s.add("cosine_similarity", {reals({3, 4}), reals({3, 4})}, cosine).sums(4).conditioned(8);
  s.add("cosine_similarity", {reals({2, 4, 1}), reals({4, 3})}, cosine).named("broadcast").sums(4).conditioned(8);
  s.add("cosine_similarity", {reals({0, 4}), reals({0, 4})}, cosine).named("no rows");
  s.add("cosine_similarity", {reals({2, 0}), reals({2, 0})}, cosine).named("empty rows");
  s.add("swiglu", {reals({2, 6})}, [](In x) -> Out { return {swiglu(x[0])}; }).named("of one");
}

void convolutions(Samples& s) {
  auto one = [](In x) -> Out {
    return {conv1d(x[0], x[1], x[2], {.stride = 2, .padding = 2, .dilation = 2, .groups = 2})};
  };
  s.add("conv1d", {reals({2, 4, 7}), reals({2, 2, 3}), reals({2})}, one).sums(6).conditioned(2);
  s.add("conv1d", {reals({0, 4, 7}), reals({2, 2, 3}), none()}, one).named("no batch");
  s.add("conv1d", {reals({2, 5}), reals({3, 2, 2}), none()},
        [](In x) -> Out { return {conv1d(x[0], x[1], x[2], {.same = true})}; })
      .named("no batch axis, same")
      .sums(4);
  s.add("conv2d", {reals({2, 2, 4, 5}), reals({3, 2, 2, 3}), reals({3})},
        [](In x) -> Out {
          return {conv2d(x[0], x[1], x[2], {.stride = {1, 2}, .padding = {1, 0}, .dilation = {2, 1}})};
        })
      .sums(24)
      .conditioned(2);
  auto pool = [&](const char* name, const Shape& x, const Shape& y, const MaxPoolAttrs& a) {
    s.add<op::max_pool1d>({apart(x)}, a).named(name);
    s.add<op::max_pool1d_backward>({reals(y), apart(x)}, a).named(name).sums(double(a.kernel_size));
  };
  pool("padded, a last window that is not full", {2, 2, 7}, {2, 2, 4}, {3, 2, 1, 1, true});
  pool("far apart, no batch axis", {2, 9}, {2, 3}, {2, 3, 1, 3});
  pool("a window of padding alone", {1, 4}, {1, 1}, {2, 2, 1, 5});
  pool("longer than the input", {1, 2, 3}, {1, 2, 1}, {5, 5, 0, 1, true});
  pool("side by side", {2, 1, 40}, {2, 1, 38}, {3, 1, 0, 1});
  pool("no batch", {0, 2, 4}, {0, 2, 2}, {2, 2, 0, 1});
  pool("single", {1, 1}, {1, 1}, {1, 1, 0, 1});
  s.add("avg_pool1d", {reals({2, 2, 7})}, [](In x) -> Out {
     return {avg_pool1d(x[0], 3, {.stride = 3, .padding = 1, .ceil_mode = true, .count_include_pad = false})};
   }).sums(3);
  s.add("avg_pool1d", {reals({2, 6})}, [](In x) -> Out { return {avg_pool1d(x[0], 2)}; }).named("plain").sums(2);
}

std::vector<Tensor> params(In x) { return {x.begin() + 2, x.end()}; }

void recurrent(Samples& s) {
  auto cell = [&](const char* name, int64_t blocks, Sample::Function f) -> Sample& {
    return s
        .add(name,
             {reals({2, 2}), reals({2, 3}), reals({blocks * 3, 2}), reals({blocks * 3, 3}), reals({blocks * 3}),
              reals({blocks * 3})},
             f)
        .sums(5)
        .conditioned(8);
  };
  cell("rnn_tanh_cell", 1, [](In x) -> Out { return {rnn_tanh_cell(x[0], x[1], x[2], x[3], x[4], x[5])}; });
  cell("rnn_relu_cell", 1, [](In x) -> Out { return {rnn_relu_cell(x[0], x[1], x[2], x[3], x[4], x[5])}; });
  cell("gru_cell", 3, [](In x) -> Out { return {gru_cell(x[0], x[1], x[2], x[3], x[4], x[5])}; });
  cell("lstm_cell", 4, [](In x) -> Out {
    auto [h, c] = lstm_cell(x[0], {x[1], x[1]}, x[2], x[3], x[4], x[5]);
    return {h, c};
  });
  // Two steps, both directions, states as inputs: x, h, then per direction w_ih, w_hh.
  auto layer = [&](const char* name, int64_t blocks, Sample::Function f) -> Sample& {
    Shape wide{blocks * 2, 2};
    return s.add(name, {reals({2, 1, 2}), reals({2, 1, 2}), reals(wide), reals(wide), reals(wide), reals(wide)}, f)
        .sums(8)
        .conditioned(16);
  };
  layer("rnn_tanh", 1, [](In x) -> Out {
    auto [y, h] = rnn_tanh(x[0], x[1], params(x), {.has_biases = false, .bidirectional = true});
    return {y, h};
  });
  layer("rnn_relu", 1, [](In x) -> Out {
    auto [y, h] = rnn_relu(x[0], x[1], params(x), {.has_biases = false, .bidirectional = true});
    return {y, h};
  });
  layer("gru", 3, [](In x) -> Out {
    auto [y, h] = gru(x[0], x[1], params(x), {.has_biases = false, .bidirectional = true});
    return {y, h};
  });
  layer("lstm", 4, [](In x) -> Out {  // two layers
    LstmOutput y = lstm(x[0], {x[1], x[1]}, params(x), {.has_biases = false, .num_layers = 2});
    return {y.output, y.h_n, y.c_n};
  });
}

}  // namespace

void detail::nn_samples(Samples& s) {
  positions(s);
  losses(s);
  convolutions(s);
  recurrent(s);
}

}  // namespace fovea::proof
