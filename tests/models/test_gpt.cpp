#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <thread>

#include "autograd/gradient_report.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/random.h"
#include "autograd/ops/view.h"
#include "models/config.h"
#include "models/generate/generate.h"
#include "models/gpt.h"
#include "nn/init.h"
#include "nn/optim/adamw.h"
#include "tests/helpers.h"

using namespace fovea;

namespace {

GptConfig tiny() { return {.layers = 2, .dim = 16, .heads = 4, .context = 12, .vocab = 11}; }

std::vector<int32_t> some_ids(size_t n, int32_t vocab) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < n; i++) ids.push_back(int32_t((i * i * 7 + i * 3 + 1) % size_t(vocab)));
  return ids;
}

TEST_CASE("gpt2-small has exactly 124,439,808 parameters") {
  nn::ShapesOnly no_data;
  Gpt model(gpt_preset("gpt2-small"));
  CHECK(model.num_parameters() == 124439808);
  CHECK(model(Tensor(Array::shape_only({2, 5}, i32, default_device()))).shape() == Shape{2, 5, 50257});
  GptConfig untied = gpt_preset("gpt2-small");
  untied.tie_head = false;
  CHECK(Gpt(untied).num_parameters() == 124439808 + 768 * 50257);
  CHECK(Gpt(gpt_preset("gpt2-medium")).num_parameters() == 354823168);
  CHECK(error_of([] { gpt_preset("gpt3"); }).find("gpt2-xl") != std::string::npos);
}

TEST_CASE("parameters are named as their modules stand") {
  Gpt model(tiny());
  std::vector<std::string> names;
  for (auto& [name, p] : model.named_parameters()) names.push_back(name);
  std::vector<std::string> expected = {"tok.weight", "pos.weight"};
  for (std::string i : {"0", "1"})
    for (std::string m : {"attn.norm.weight", "attn.norm.bias", "attn.qkv.weight", "attn.qkv.bias", "attn.proj.weight",
                          "attn.proj.bias", "mlp.norm.weight", "mlp.norm.bias", "mlp.up.weight", "mlp.up.bias",
                          "mlp.down.weight", "mlp.down.bias"})
      expected.push_back("blocks." + i + "." + m);
  expected.insert(expected.end(), {"norm.weight", "norm.bias"});
  CHECK(names == expected);
}

TEST_CASE("first values are GPT-2's") {
  manual_seed(1);
  Gpt model({.layers = 8, .dim = 64, .heads = 4, .context = 64, .vocab = 200});
  std::map<std::string, double> expected = {{"tok.weight", 0.02},
                                            {"blocks.3.attn.qkv.weight", 0.02},
                                            {"blocks.3.mlp.up.weight", 0.02},
                                            {"blocks.3.attn.proj.weight", 0.005},
                                            {"blocks.3.mlp.down.weight", 0.005},
                                            {"blocks.3.mlp.down.bias", 0}};
  for (auto& [name, std] : expected) {
    double squares = 0;
    auto v = model.find_parameter(name)->value().to_vector<double>();
    for (double x : v) squares += x * x;
    INFO(name);
    CHECK(std::abs(std::sqrt(squares / double(v.size())) - std) <= 0.05 * std);
  }
}

TEST_CASE("no position sees what comes after it") {
  manual_seed(2);
  for (int64_t window : {0, 3}) {
    GptConfig c = tiny();
    c.window = window;
    Gpt model(c);
    model.eval();
    NoGrad guard;
    auto ids = some_ids(12, 11);
    auto before = model(Tensor::of(ids, {1, 12})).to_vector<float>();
    for (size_t changed : {11, 6, 0}) {
      auto other = ids;
      other[changed] = (other[changed] + 1) % 11;
      auto after = model(Tensor::of(other, {1, 12})).to_vector<float>();
      for (size_t t = 0; t < 12; t++) {
        bool same = std::equal(before.begin() + ptrdiff_t(t * 11), before.begin() + ptrdiff_t(t * 11 + 11),
                               after.begin() + ptrdiff_t(t * 11));
        // Two layers of a window of 3 reach 4 positions back.
        bool reaches = t >= changed && (window == 0 || t <= changed + 4);
        INFO(window, " ", changed, " ", t);
        CHECK(same == !reaches);
      }
    }
  }
}

TEST_CASE("a GPT learns a short text by heart, in either norm position, tied or not") {
  for (bool tied : {true, false})
    for (auto position : {nn::NormPosition::pre, nn::NormPosition::post}) {
      manual_seed(3);
      GptConfig c = tiny();
      c.tie_head = tied;
      c.norm_position = position;
      Gpt model(c);
      optim::AdamW adam(model, {.lr = 0.01, .clip = 1});
      auto ids = some_ids(13, 11);
      Tensor x = Tensor::of(std::vector<int32_t>(ids.begin(), ids.end() - 1), {1, 12});
      Tensor y = Tensor::of(std::vector<int32_t>(ids.begin() + 1, ids.end()), {12});
      double loss = 0;
      for (int i = 0; i < 120; i++) {
        adam.zero_grad();
        Tensor l = cross_entropy(flatten(model(x), 0, 1), y);
        l.backward();
        if (i == 0) CHECK(gradient_report(model.parameters()).unreached.empty());
        adam.step();
        loss = l.item();
      }
      INFO(tied, " ", int(position));
      CHECK(loss < 0.05);
      CHECK(generate(model, {ids[0]}, {.max_new = 11, .greedy = true}) ==
            std::vector<int32_t>(ids.begin() + 1, ids.end() - 1));
    }
}

TEST_CASE("text with a cache is the text without one, beyond the context too") {
  manual_seed(4);
  GptConfig c = tiny();
  c.kv_heads = 2;
  Gpt model(c);
  for (auto& [name, p] : model.named_parameters())  // larger weights, so that logits differ clearly
    if (p->role() == Role::weight) nn::init::reset(*p, nn::init::normal(0.3));
  for (size_t prompt : {1, 5, 12})
    for (bool greedy : {true, false}) {
      GenerateOptions o{.max_new = 40, .greedy = greedy, .temperature = 0.8, .top_k = 5};
      Generator a{9, 0}, b{9, 0};
      o.generator = &a;
      auto cached = generate(model, some_ids(prompt, 11), o);
      o.generator = &b;
      o.use_cache = false;
      INFO(prompt, " ", greedy);
      CHECK(cached == generate(model, some_ids(prompt, 11), o));
      CHECK(cached.size() == 40);
    }
  CHECK(model.training());
}

TEST_CASE("generation leaves the mode of a model to others") {
  Gpt model(tiny());
  bool here = true, elsewhere = false;
  model.blocks[0].on_call([&](nn::ModuleBase& block, std::span<const Tensor* const>) {
    here = block.training();
    std::thread([&] { elsewhere = block.training(); }).join();
  });
  generate(model, {1}, {.max_new = 1});
  CHECK(!here);
  CHECK(elsewhere);
}

TEST_CASE("sampling: the softmax's frequencies, within the k likeliest") {
  std::vector<float> logits = {0, 1, 2, -1, 2};
  Generator g{1, 0};
  for (int64_t k : {0, 2, 3}) {
    for (double temperature : {0.5, 1.0, 2.0}) {
      std::vector<double> p(5);
      double total = 0;
      for (size_t i = 0; i < 5; i++) {
        bool in = k == 0 || i == 2 || i == 4 || (k == 3 && i == 1);
        total += p[i] = in ? std::exp(logits[i] / temperature) : 0;
      }
      std::vector<int> seen(5);
      constexpr int n = 20000;
      for (int i = 0; i < n; i++) seen[size_t(sample(logits, {.temperature = temperature, .top_k = k}, g))]++;
      for (size_t i = 0; i < 5; i++) {
        INFO(k, " ", temperature, " ", i);
        CHECK(std::abs(seen[i] / double(n) - p[i] / total) < 0.015);
        CHECK((seen[i] == 0) == (p[i] == 0));
      }
    }
  }
  // Of 0.1, 0.2, 0.3 and 0.4: which of them each cut leaves, and that the rest keep their proportions.
  struct Cut {
    GenerateOptions o;
    std::vector<double> p;
  };
  logits = {std::log(0.1f), std::log(0.2f), std::log(0.3f), std::log(0.4f)};
  for (auto& [o, p] :
       {Cut{{.top_p = 0.65}, {0, 0, 3, 4}}, Cut{{.top_p = 0.75}, {0, 2, 3, 4}}, Cut{{.top_p = 1e-9}, {0, 0, 0, 1}},
        Cut{{.min_p = 0.6}, {0, 0, 3, 4}}, Cut{{.min_p = 1}, {0, 0, 0, 1}}, Cut{{.min_p = 0.2}, {1, 2, 3, 4}},
        Cut{{.temperature = 0.5, .min_p = 0.3}, {0, 0, 9, 16}},  // the temperature comes first
        Cut{{.top_k = 3, .top_p = 0.7}, {0, 0, 3, 4}}, Cut{{.top_k = 3, .top_p = 0.8}, {0, 2, 3, 4}}}) {
    std::vector<int> seen(4);
    constexpr int n = 20000;
    for (int i = 0; i < n; i++) seen[size_t(sample(logits, o, g))]++;
    for (size_t i = 0; i < 4; i++) {
      INFO(o.top_k, " ", o.top_p, " ", o.min_p, " ", i);
      CHECK(std::abs(seen[i] / double(n) - p[i] / (p[0] + p[1] + p[2] + p[3])) < 0.015);
      CHECK((seen[i] == 0) == (p[i] == 0));
    }
  }
  logits = {0, 1, 2, -1, 2};
  CHECK(sample(logits, {.greedy = true}, g) == 2);
  CHECK_THROWS_AS(sample({-INFINITY, -INFINITY}, {}, g), ValueError);
  CHECK_THROWS_AS(sample({1, std::nanf("")}, {}, g), ValueError);
}

TEST_CASE("a penalty on repetition, and an end that the caller chooses") {
  manual_seed(5);
  Gpt model(tiny());
  for (auto& [name, p] : model.named_parameters())
    if (p->role() == Role::weight) nn::init::reset(*p, nn::init::normal(0.3));
  std::vector<int32_t> plain = generate(model, {3}, {.max_new = 10, .greedy = true});
  for (double penalty : {0.5, 1.5, 4.0}) {
    std::vector<int32_t> text = {3},
                         said = generate(model, {3}, {.max_new = 10, .greedy = true, .repetition_penalty = penalty});
    CHECK(said != plain);
    model.eval();
    for (int32_t id : said) {
      auto logits = model(Tensor::of(text, {1, int64_t(text.size())}))[0][-1].to_vector<double>();
      for (size_t i = 0; i < logits.size(); i++)
        if (std::find(text.begin(), text.end(), int32_t(i)) != text.end())
          logits[i] *= logits[i] > 0 ? 1 / penalty : penalty;
      CHECK(id == std::max_element(logits.begin(), logits.end()) - logits.begin());
      text.push_back(id);
    }
    model.train();
  }
  std::vector<int32_t> seen;
  GenerateOptions o{.max_new = 10, .greedy = true};
  o.on_token = [&](int32_t id) { return seen.push_back(id), seen.size() < 4; };
  CHECK(generate(model, {3}, o) == seen);
  CHECK(seen == std::vector<int32_t>(plain.begin(), plain.begin() + 4));
}

TEST_CASE("bad requests get one clear line") {
  Gpt model(tiny());
  int line = __LINE__ + 1;
  CHECK(error_of([&] { generate(model, {}); }) ==
        "generate: the prompt is empty at test_gpt.cpp:" + std::to_string(line));
  CHECK(error_of([&] {
          generate(model, some_ids(13, 11));
        }).starts_with("generate: the prompt has 13 tokens (the model's context is 12) at test_gpt.cpp:"));
  CHECK(error_of([&] { generate(model, {1}, {.temperature = 0}); }).find("temperature") != std::string::npos);
  CHECK(error_of([&] { generate(model, {1}, {.top_k = -1}); }).find("top_k") != std::string::npos);
  CHECK(error_of([&] { generate(model, {1}, {.top_p = 0}); }).find("top_p") != std::string::npos);
  CHECK(error_of([&] { generate(model, {1}, {.min_p = 1.5}); }).find("min_p") != std::string::npos);
  CHECK(error_of([&] { generate(model, {1}, {.repetition_penalty = 0}); }).find("penalty") != std::string::npos);
  CHECK(error_of([&] { generate(model, {11}); }).find("11") != std::string::npos);  // not in the vocabulary
  CHECK(error_of([&] {
          model(zeros({1, 13}, {.dtype = i32}));
        }).find("beyond the model's context of 12") != std::string::npos);
  struct Row {
    const char* key;
    GptConfig config;
  };
  auto with = [](auto change) {
    GptConfig c = tiny();
    change(c);
    return c;
  };
  const Row rows[] = {{"model.layers", with([](auto& c) { c.layers = 0; })},
                      {"model.dim", with([](auto& c) { c.dim = -4; })},
                      {"model.heads", with([](auto& c) { c.heads = 3; })},
                      {"model.vocab", with([](auto& c) { c.vocab = 0; })},
                      {"model.kv_heads", with([](auto& c) { c.kv_heads = 3; })},
                      {"model.context", with([](auto& c) { c.context = 1ll << 60; })},
                      {"model.ffn_mult", with([](auto& c) { c.ffn_mult = NAN; })},
                      {"model.dropout", with([](auto& c) { c.dropout = 1; })},
                      {"model.window", with([](auto& c) { c.window = -1; })}};
  for (const Row& r : rows) {
    std::string text = error_of([&] { Gpt m(r.config); });
    INFO(text);
    CHECK(text.find(std::string("gpt: ") + r.key) == 0);
    CHECK(text.ends_with(" at test_gpt.cpp:" + std::to_string(__LINE__ - 3) + " (gpt)"));
  }
}

TEST_CASE("the program's keys reach the model") {
  ModelConfig m{.layers = 3,
                .dim = 24,
                .heads = 6,
                .kv_heads = 2,
                .context = 10,
                .ffn_mult = 2,
                .norm_position = "post",
                .activation = "relu",
                .window = 7,
                .dropout = 0.125,
                .tie_head = false};
  Gpt model(GptConfig::from(m, 11));
  CHECK(model.blocks.size() == 3);
  CHECK(model.blocks[0].mlp.body.up.weight->value().shape() == Shape{48, 24});
  CHECK(model.blocks[0].attn.body.qkv.weight->value().shape() == Shape{24 + 2 * 2 * 4, 24});
  CHECK(model.pos.weight->value().shape() == Shape{10, 24});
  CHECK(model.head);
  CHECK(!model.norm);
  CHECK(model.config().activation == nn::Activation::relu);
  CHECK(model.config().window == 7);
  CHECK(model.config().dropout == 0.125);
}

}  // namespace
