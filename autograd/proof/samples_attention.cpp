// Samples of attention: what a mask can say, and every pattern of its optional inputs.
#include "autograd/apply.h"
#include "autograd/ops/attention.h"
#include "autograd/proof/sample.h"

namespace fovea::proof {
namespace {

// Inputs g, q, k, v, documents, k_lengths, q_lengths, o, lse, dense mask.
void run_attention(const void* attrs, std::vector<Tensor>& x) {
  std::vector<Tensor> in(x.begin() + 1, x.begin() + 7);
  in.push_back(x[9]);
  std::vector<Tensor> y = apply(op::attention, in, attrs);
  x[7] = y[0], x[8] = y[1];
}

struct Sizes {
  int64_t b = 1, h = 1, kv = 1, tq = 3, tk = 3, d = 2, dv = 2;
};

void both(Samples& s, const Sizes& z, const AttentionAttrs& a, const std::string& name, const Input& documents = none(),
          const Input& k_lengths = none(), const Input& q_lengths = none(), const Input& dense = none()) {
  auto heads = [&](int64_t h, int64_t t, int64_t d) {
    return a.heads_inside ? reals({z.b, t, h, d}) : reals({z.b, h, t, d});
  };
  Input q = heads(z.h, z.tq, z.d), k = heads(z.kv, z.tk, z.d), v = heads(z.kv, z.tk, z.dv);
  int64_t n = z.tk * z.d * (z.kv ? z.h / z.kv : 0);
  s.add<op::attention>({q, k, v, documents, k_lengths, q_lengths, dense}, a).named(name).sums(n).conditioned(8);
  s.add<op::attention_backward>(
       {heads(z.h, z.tq, z.dv), q, k, v, documents, k_lengths, q_lengths, none(), none(), dense}, a)
      .completed(run_attention)
      .named(name)
      .sums(n)
      .conditioned(16);
}

using In = const std::vector<Tensor>&;
using Out = Sample::Outputs;

// PyTorch's form: dense masks, causal at the top left, two to four axes.
void dense_masks(Samples& s) {
  const char* name = "scaled_dot_product_attention";
  auto masked = [](In x) -> Out { return {scaled_dot_product_attention(x[0], x[1], x[2], {.attn_mask = x[3]})}; };
  auto causal = [](In x) -> Out { return {scaled_dot_product_attention(x[0], x[1], x[2], {.is_causal = true})}; };
  Input q = reals({2, 2, 3, 2}), k = reals({2, 2, 4, 2}), v = reals({2, 2, 4, 3});
  auto add = [&](std::initializer_list<Input> inputs, Sample::Function f, const char* what) -> Sample& {
    return s.add(name, inputs, f).named(what).sums(8).conditioned(8);
  };
  add(
      {q, k, v}, [](In x) -> Out { return {scaled_dot_product_attention(x[0], x[1], x[2], {.scale = 0.3})}; }, "scale");
  add({q, k, v, exactly({3, 4}, {1, 0, 1, 1, 0, 0, 0, 0, 0, 1, 0, 0}, boolean)}, masked, "truths, a row of none");
  add({q, k, v, truths({2, 1, 1, 4})}, masked, "truths that broadcast");
  add({q, k, v, reals({2, 2, 3, 4})}, masked, "scores");
  add({q, k, v, exactly({3, 4}, {0, -kInf, 1, 2, -kInf, -kInf, -kInf, -kInf, -3, 0, 0, 0})}, masked,
      "scores of -inf, a row of them")
      .up_to(0, kForwardOnly);
  add({q, k, v}, causal, "causal, more keys");
  add({reals({4, 2}), reals({2, 2}), reals({2, 1})}, causal, "causal, two axes, more queries");
  add({reals({2, 3, 2}), reals({2, 3, 2}), reals({2, 3, 2}), reals({2, 3, 3})}, masked, "scores, three axes");
  auto grouped = [](In x) -> Out {
    return {scaled_dot_product_attention(x[0], x[1], x[2], {.attn_mask = x[3], .scale = 0.5, .enable_gqa = true})};
  };
  add({reals({1, 4, 2, 2}), reals({1, 2, 3, 2}), reals({1, 2, 3, 2}), truths({4, 2, 3})}, grouped, "grouped queries");
  add({reals({1, 1, 0, 2}), reals({1, 1, 3, 2}), reals({1, 1, 3, 2}), reals({0, 3})}, masked, "no queries");
  add({reals({1, 1, 2, 2}), reals({1, 1, 0, 2}), reals({1, 1, 0, 2}), truths({2, 0})}, masked, "no keys");
}

}  // namespace

void detail::attention_samples(Samples& s) {
  both(s, {}, {}, "full");
  both(s, {2, 2, 2, 3, 4, 2, 3}, {.causal = true}, "causal, more keys");
  both(s, {1, 1, 1, 4, 2, 2, 2}, {.causal = true}, "causal, rows that see nothing");
  both(s, {1, 1, 1, 4, 2, 2, 2}, {.causal = true, .top_left = true}, "top left");
  both(s, {1, 4, 2, 3, 3, 2, 2}, {.causal = true}, "grouped queries");
  both(s, {2, 4, 2, 3, 4, 2, 3}, {.causal = true, .heads_inside = true}, "heads inside");
  both(s, {1, 1, 1, 5, 5, 2, 2}, {.left = 1, .right = 1}, "window");
  both(s, {1, 1, 1, 5, 5, 2, 2}, {.left = 1, .right = 0, .prefix = 1, .causal = true}, "window and prefix");
  both(s, {1, 1, 1, 5, 5, 2, 2}, {.left = 1, .sinks = 1, .causal = true}, "window and sinks");
  both(s, {1, 1, 1, 4, 4, 2, 2}, {.left = 0, .right = 0, .global = 1}, "window and global");
  both(s, {1, 1, 1, 2, 2, 1, 1}, {.scale = 0.5}, "scale");
  // Every pattern of present and absent.
  Input documents = exactly({2, 4}, {0, 2, 0, 2, 2, 4, 2, 4}, i32), keys = exactly({2}, {3, 2}, i32),
        queries = exactly({2}, {4, 3}, i32);
  for (int present = 1; present < 16; present++) {
    std::string name = std::string("with") + (present & 1 ? " documents" : "") + (present & 2 ? " k_lengths" : "") +
                       (present & 4 ? " q_lengths" : "") + (present & 8 ? " dense mask" : "");
    both(s, {2, 1, 1, 4, 4, 2, 2}, {.causal = present % 2 == 0}, name, present & 1 ? documents : none(),
         present & 2 ? keys : none(), present & 4 ? queries : none(), present & 8 ? reals({1, 1, 4, 4}) : none());
  }
  // Numbers added to the scores, alone and with intervals.
  const double hidden = -kInf;
  Input rows = exactly({1, 1, 3, 4}, {0.5, hidden, -1, 2, hidden, hidden, hidden, hidden, 1, 1, 0, -0.5});
  both(s, {2, 2, 2, 3, 4, 2, 3}, {}, "dense mask", none(), none(), none(), rows);
  both(s, {2, 4, 2, 3, 4, 2, 3}, {.causal = true}, "dense mask per head, causal, grouped queries", none(), keys, none(),
       reals({2, 4, 3, 4}));
  both(s, {2, 2, 2, 3, 3, 2, 2}, {.heads_inside = true}, "dense mask of keys, heads inside", none(), none(), none(),
       exactly({2, 1, 1, 3}, {0, hidden, 0.5, -2, 0, 0}));
  both(s, {1, 1, 1, 1, 1, 1, 1}, {}, "single");
  both(s, {1, 1, 1, 0, 3, 2, 2}, {}, "no queries");
  both(s, {1, 1, 1, 2, 0, 2, 2}, {}, "no keys");
  both(s, {0, 1, 1, 2, 2, 2, 2}, {}, "no batch");
  both(s, {1, 0, 0, 2, 2, 2, 2}, {}, "no heads");
  s.add<op::attention>(
       {reals({1, 2, 90, 16}), reals({1, 2, 90, 16}), reals({1, 2, 90, 16}), none(), none(), none(), none()},
       {.causal = true})
      .named("threads")
      .sums(90 * 16)
      .threaded();
  dense_masks(s);
}

}  // namespace fovea::proof
