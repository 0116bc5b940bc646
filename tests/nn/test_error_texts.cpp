// What users read when they slip: typical mistakes, each with the whole of its text, the caller's line among it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "autograd/ops/attention.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "core/device.h"
#include "models/data/text_windows.h"
#include "models/generate/generate.h"
#include "nn/checkpoint.h"
#include "nn/init.h"
#include "nn/io/safetensors.h"
#include "nn/linear.h"
#include "nn/optim/adamw.h"

using namespace fovea;

namespace {

// The text, with every line of this file as LINE.
template <class F> std::string text_of(F mistake) {
  try {
    mistake();
  } catch (const Error& e) {
    std::string text = e.what();
    const std::string file = "test_error_texts.cpp:";
    for (size_t at = text.find(file); at != text.npos; at = text.find(file, at + 1)) {
      size_t digits = at + file.size(), end = text.find_first_not_of("0123456789", digits);
      text.replace(digits, std::min(end, text.size()) - digits, "LINE");
    }
    return text;
  }
  return "nothing was thrown";
}

#define MISTAKE(text, ...) CHECK(text_of([&] { (void)(__VA_ARGS__); }) == text)
#define AT " at test_error_texts.cpp:LINE"

Tensor grid(const Shape& shape) { return zeros(shape); }

struct OneLinear : nn::Module<OneLinear> {
  nn::Linear out{this, "out", 3, 2};
  Tensor forward(const Tensor& x) { return out(x); }
};

}  // namespace

TEST_CASE("the line is the caller's") {
  Tensor x = grid({2, 3});
  int line = __LINE__ + 2;
  try {
    matmul(x, x);
    FAIL("nothing was thrown");
  } catch (const ShapeError& e) {
    CHECK(std::string(e.what()).ends_with(" at test_error_texts.cpp:" + std::to_string(line)));
  }
}

TEST_CASE("shapes that do not fit") {
  Tensor x = grid({8, 128, 64}), y = grid({32, 64}), v = grid({2, 3});
  MISTAKE("matmul: inner sizes differ: lhs [8,128,64], rhs [32,64] (64 vs 32). Did you mean a transposed rhs?" AT,
          matmul(x, y));
  MISTAKE("matmul: inner sizes differ: lhs [3], rhs [32,64] (3 vs 32)" AT, matmul(grid({3}), y));
  MISTAKE(
      "add: shapes do not broadcast: [8,128,64] and [32,64] (128 against 32 at axis -2; expected equal sizes or 1)" AT,
      x + y);
  MISTAKE("reshape: cannot see [2,3] (6 elements) as [4,2]" AT, reshape(v, {4, 2}));
  MISTAKE("reshape: more than one -1 in [-1,-1]" AT, reshape(v, {-1, -1}));
  MISTAKE("expand: [2,3] does not broadcast to [5,3] (2 against 5 at axis 0)" AT, expand(v, {5, 3}));
  MISTAKE("permute: axis 0 appears twice in [0,0]" AT, permute(v, {0, 0}));
  MISTAKE("transpose: axis out of range: 2 (expected -2 to 1)" AT, transpose(v, 0, 2));
  MISTAKE("sum: axis out of range: 2 (expected -2 to 1)" AT, sum(v, {2}));
  MISTAKE("cat: tensor 1 is [2,4] f32 beside [2,3] f32 (expected equal sizes but on axis 0)" AT,
          cat({v, grid({2, 4})}, 0));
  MISTAKE("cat: no tensors to join" AT, cat({}, 0));
  MISTAKE("linear: inner sizes differ: x [2,3], weight [5,4] (3 vs 4; weight is [out, in])" AT,
          linear(v, grid({5, 4})));
  MISTAKE("layer_norm: x [2,3] does not end in normalized_shape [4] (expected the sizes of x's last axes)" AT,
          layer_norm(v, {4}));
  MISTAKE("cross_entropy: target is [3] (expected [2] for input [2,3])" AT,
          cross_entropy(v, zeros({3}, {.dtype = i64})));
  MISTAKE("shape: 9 dimensions (expected at most 8)" AT, zeros({1, 1, 1, 1, 1, 1, 1, 1, 1}));
  MISTAKE("zeros: negative size in shape [-2,3]" AT, zeros({-2, 3}));
  MISTAKE("full: [1099511627776,1024] i64 takes more than 2^44 bytes" AT, full({1ll << 40, 1 << 10}, 1));
  MISTAKE("randn: negative size in shape [-2]" AT, randn({-2}));
  MISTAKE("randint: low 5, high 5 (expected low < high)" AT, randint(5, 5, {2}));
  MISTAKE("arange: 0 to 5 by -1 (expected a step towards the end, and at most 2^62 of them)" AT, arange(0, 5, -1));
  MISTAKE("tensor: undefined: it was never given a value" AT, zeros_like(Tensor()));
  MISTAKE("tensor: 3 numbers for shape [2,2] (expected 4)" AT, Tensor::of(std::vector<float>{1, 2, 3}, {2, 2}));
  MISTAKE("tensor: rows of 2 and of 1 elements at depth 1 of a nested list" AT, Tensor({{1, 2}, {3}}));
  MISTAKE("split: size 0 (expected 1 or more)" AT, split(v, 0));
}

// Functions that are made of others are named themselves.
TEST_CASE("the function is the one that was called") {
  Tensor v = grid({2, 3}), w = grid({4}), whole = zeros({2}, {.dtype = i64}), seven = full({2}, 7, {.dtype = i64});
  MISTAKE("index_select: index 7 at position 0 is out of range (expected 0 to 1)" AT, index_select(v, 0, seven));
  MISTAKE("nll_loss: index 7 at position 0 is out of range (expected 0 to 2)" AT, nll_loss(v, seven));
  const char* apart = ": shapes do not broadcast: [2,3] and [4] (3 against 4 at axis -1; expected equal sizes or 1)" AT;
  MISTAKE(std::string("mse_loss") + apart, mse_loss(v, w));
  MISTAKE(std::string("smooth_l1_loss") + apart, smooth_l1_loss(v, w));
  MISTAKE(std::string("binary_cross_entropy_with_logits") + apart,
          binary_cross_entropy_with_logits(v, v, {.weight = w}));
  MISTAKE("stack: axis out of range: 5 (expected -3 to 2)" AT, stack({v}, 5));
  MISTAKE("cat: undefined: it was never given a value" AT, cat({v, Tensor()}, 0));
  MISTAKE("argsort: axis out of range: 4 (expected -2 to 1)" AT, argsort(v, 4));
  MISTAKE("mean: axis out of range: 2 (expected -1 to 0)" AT, mean(whole, {2}));
  Tensor q = grid({1, 2, 3, 4});
  MISTAKE("scaled_dot_product_attention: attn_mask is [7,7] (expected a shape that broadcasts to [1,2,3,3])" AT,
          scaled_dot_product_attention(q, q, q, {.attn_mask = grid({7, 7})}));
  MISTAKE("layer_norm: eps is -1 (expected 0 or more)" AT, layer_norm(v, {3}, Tensor(), Tensor(), {.eps = -1}));
}

TEST_CASE("numbers where tensors are expected") {
  Tensor v = grid({2, 3});
  MISTAKE("argmax: input 0 is a number (expected a tensor)" AT, argmax(3, 0));
  MISTAKE("cumsum: input 0 is a number (expected a tensor)" AT, cumsum(3, 0));
  MISTAKE("linear: input 0 is a number (expected a tensor)" AT, linear(2, v));
  MISTAKE("linear: input 2 is a number (expected a tensor)" AT, linear(v, v, 2));
  MISTAKE("sum_to: expected a defined tensor" AT, sum_to(2, {1}));
  MISTAKE("gather: expected a defined tensor" AT, gather(v, 0, 1));
}

TEST_CASE("dtypes that an op does not take") {
  Tensor v = grid({2, 3}), whole = zeros({2}, {.dtype = i64});
  MISTAKE("cross_entropy: target is [2] (expected [2,3] for input [2,3])" AT, cross_entropy(v, grid({2})));
  MISTAKE("embedding: ids is [2,3] f32 (expected i64 or i32). Cast it with to(i64)" AT, embedding(v, v));
  MISTAKE("gather: index is [2,3] f32 (expected i64 or i32). Cast it with to(i64)" AT, gather(v, 0, v));
  MISTAKE("requires_grad: i64 has no gradient (expected a floating dtype)" AT, whole.requires_grad_());
  MISTAKE("requires_grad: i64 has no gradient (expected a floating dtype)" AT,
          full({2}, 1, {.dtype = i64, .requires_grad = true}));
  MISTAKE("data: array is f32 (asked for f64)" AT, v.data<double>());
}

TEST_CASE("indices and values out of their range") {
  Tensor v = grid({2, 3}), three = full({1}, 3, {.dtype = i64});
  MISTAKE("embedding: index 3 at position 0 is out of range (expected 0 to 1)" AT, embedding(three, v));
  MISTAKE("cross_entropy: index 3 at position 0 is out of range (expected 0 to 2)" AT,
          cross_entropy(grid({1, 3}), three));
  MISTAKE("select: index 2 leaves axis 0 of [2,3]" AT, select(v, 0, 2));
  MISTAKE("dropout: p is 1.5 (expected 0 to 1)" AT, dropout(v, 1.5));
  MISTAKE("dropout: p is 1.0000001 (expected 0 to 1)" AT, dropout(v, 1.0000001));
  MISTAKE("uniform: low -1e+308, high 1e+308 (expected low <= high, and both and high - low finite in f32)" AT,
          uniform(3, -1e308, 1e308));
  MISTAKE("item: tensor [2,3] has 6 elements (expected 1)" AT, v.item());
  MISTAKE("topk: k is 4 (expected 0 to 3, axis 1 of [2,3])" AT, topk(v, 4));
}

TEST_CASE("gradients that there are not") {
  Tensor w = grid({2, 3}).requires_grad_(), other = grid({1}).requires_grad_();
  MISTAKE("backward: output [2,3] has 6 elements (expected 1). Reduce it with sum() or mean(), or pass a cotangent" AT,
          (w * 2).backward());
  MISTAKE(
      "backward: nothing to differentiate: [1] was not computed from a tensor that requires gradients (or inside "
      "NoGrad)" AT,
      grid({1}).backward());
  MISTAKE("grad: the outputs do not depend on input 0. Pass allow_unused if that is meant" AT, grad({sum(w)}, {other}));
  Tensor loss = sum(w * w);
  loss.backward();
  MISTAKE(
      "backward: the graph was freed by an earlier backward (pass retain_graph to keep it), or what it saved is gone, "
      "of sum, recorded at test_error_texts.cpp:LINE" AT,
      loss.backward());
  MISTAKE("register_hook: an undefined tensor" AT, Tensor().register_hook([](const Tensor& t) { return t; }));
}

TEST_CASE("devices") {
  std::string known;  // other tests may have registered backends
  for (int i = 0; i < backend_count(); i++)
    known += (i ? ", " : "") + std::string(fovea::detail::backends[i].backend->name());
  MISTAKE("device: unknown device 'gpu' (expected one of " + known + ")" AT, device("gpu"));
  MISTAKE("device: cpu:1 does not exist (cpu has 1)" AT, device("cpu:1"));
  MISTAKE("device: bad number in 'cpu:x' (expected a form like cuda:0)" AT, device("cpu:x"));
}

// The line is that of the struct whose member it is, or of its constructor; inside layers of ours that of the
// outermost.
TEST_CASE("modules of sizes that make none") {
  struct Wide : nn::Module<Wide> {
    nn::Linear out{this, "out", 3, 0};
  };
  MISTAKE("linear: weight has shape [0,3] (expected sizes of at least 1)" AT " (wide.out)", Wide());
  struct Deep : nn::Module<Deep> {
    nn::List<nn::TransformerBlock> blocks{this, "blocks", 2, {.dim = 6, .heads = 4}};
  };
  MISTAKE("self_attention: dim 6 with 4 heads (expected heads that divide dim)" AT " (deep.blocks.0.attn)", Deep());
  struct Token : nn::Module<Token> {
    Token() : tok(this, "tok", -1, 4) {}
    nn::Embedding tok;
  };
  MISTAKE("embedding: weight has shape [-1,4] (expected sizes of at least 1)" AT " (token.tok)", Token());
  struct Raw : nn::Module<Raw> {
    Ref<Parameter> w = add_parameter("w", Role::weight, {2, 0}, nn::init::zeros());
  };
  MISTAKE("raw: w has shape [2,0] (expected sizes of at least 1)" AT " (raw)", Raw());
  struct Odd : nn::Module<Odd> {
    Ref<Parameter> w = add_parameter("w", Role::weight, {2}, nn::init::xavier_normal());
  };
  MISTAKE("odd: a fan needs two axes, the shape is [2]" AT " (odd)", Odd());
  using P = nn::Parent;
  MISTAKE("linear: weight has shape [4,-3] (expected sizes of at least 1)" AT " (linear)", nn::Linear(P(), -3, 4));
  MISTAKE("uniform: [1099511627776,1024] i64 takes more than 2^44 bytes" AT " (linear)",
          nn::Linear(P(), 1024, 1ll << 40));
  MISTAKE("layer_norm: weight has shape [0] (expected sizes of at least 1)" AT " (layer_norm)", nn::LayerNorm(P(), 0));
  MISTAKE("dropout: p is 1 (expected 0 <= p < 1)" AT " (dropout)", nn::Dropout(P(), 1));
  MISTAKE("self_attention: 4 heads with 3 kv_heads (expected kv_heads that divide heads)" AT " (self_attention)",
          nn::SelfAttention(P(), {.dim = 8, .heads = 4, .kv_heads = 3}));
  MISTAKE("feed_forward: dim 0 times multiplier 4 (expected both above 0)" AT " (feed_forward)",
          nn::FeedForward(P(), {.dim = 0}));
  MISTAKE("list: -1 members (expected 0 to 100000)" AT " (many)", nn::List<nn::Dropout>(nullptr, "many", -1, 0.5));
  MISTAKE("gpt: model.heads is 3, which does not divide model.dim 8" AT " (gpt)",
          Gpt({.layers = 1, .dim = 8, .heads = 3, .context = 4, .vocab = 5}));
}

TEST_CASE("generation") {
  Gpt gpt({.layers = 1, .dim = 8, .heads = 2, .context = 4, .vocab = 5});
  MISTAKE("generate: the prompt is empty" AT, generate(gpt, {}));
  MISTAKE("generate: the prompt has token 5 (expected 0 to 4)" AT, generate(gpt, {5}));
  MISTAKE("generate: top_k is -1 (expected 0 or more)" AT, generate(gpt, {1}, {.top_k = -1}));
  gpt.tok.weight->set(full({5, 8}, INFINITY));
  MISTAKE("generate: the model's logits are not finite" AT, generate(gpt, {1}));
}

TEST_CASE("modules, optimizers, checkpoints") {
  OneLinear net;
  MISTAKE(
      "linear: inner sizes differ: x [2,4], weight [2,3] (4 vs 3; weight is [out, in]) at test_error_texts.cpp:LINE "
      "(one_linear.out)",
      net(grid({2, 4})));
  MISTAKE("freeze: no parameter of one_linear matches '*.bais'" AT, net.freeze("*.bais"));
  MISTAKE("module: one_linear has no parameter 'out.wieght'. Did you mean out.weight?" AT,
          net.find_parameter("out.wieght"));
  MISTAKE("module: one_linear has no parameter 'xyz'" AT, net.find_parameter("xyz"));
  MISTAKE("module: one_linear has no member 'outt' (it has: out)" AT, net.find("outt"));
  MISTAKE("adamw: lr is -1 (expected 0 or more)" AT, optim::AdamW(net, {.lr = -1}));
  Gpt gpt({.layers = 1, .dim = 8, .heads = 2, .context = 4, .vocab = 5});
  MISTAKE("gpt: position 9 is beyond the model's context of 4" AT " (gpt)", gpt(zeros({1, 9}, {.dtype = i64})));
  MISTAKE("gpt: ids [9] (expected [B, T])" AT " (gpt)", gpt(zeros({9}, {.dtype = i64})));
  MISTAKE("kv_cache: 0 layers of 4 positions (expected 1 or more)" AT, nn::KVCache(0, 4));
  MISTAKE("missing.h5: cannot be read: No such file or directory" AT, nn::checkpoint::load("missing.h5", net));
  MISTAKE("no/net.h5: cannot be written: no: No such file or directory" AT,
          (nn::checkpoint::save("no/net.h5", net), 0));
  MISTAKE("missing.st: cannot be read: No such file or directory" AT, io::read_safetensors("missing.st"));
  MISTAKE("missing.txt: cannot be opened: No such file or directory" AT, data::TextWindows("missing.txt"));
}
