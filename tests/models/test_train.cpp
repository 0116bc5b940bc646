#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "autograd/ops/random.h"
#include "models/data/grammar_source.h"
#include "models/text/byte_tokenizer.h"
#include "models/text/char_tokenizer.h"
#include "models/train/loop.h"
#include "models/train/metrics.h"
#include "nn/checkpoint_file.h"
#include "tests/helpers.h"

using namespace fovea;
namespace fs = std::filesystem;

namespace {

const std::string kText = [] {
  std::string s;
  for (int i = 0; i < 60; i++) s += "the quick brown fox jumps over " + std::to_string(i) + " lazy dogs. ";
  return s;
}();

// A run on kText in `folder`, with everything that a resume must bring back: dropout, accumulation, warm-up.
struct Setup {
  text::CharTokenizer tokenizer{kText};
  data::TextSource source{tokenizer.encode(kText), {.context = 16, .batch = 2, .seed = 5}};
  train::LmRun run;
  explicit Setup(const std::string& folder) {
    run.folder = folder;
    run.config.model = {.layers = 1, .dim = 16, .heads = 2, .context = 16, .dropout = 0.1};
    run.config.train = {.steps = 9,
                        .batch = 2,
                        .lr = 1e-3,
                        .min_lr = 1e-4,
                        .warmup = 3,
                        .accumulate = 2,
                        .save_every = 4,
                        .eval_every = 3,
                        .seed = 5};
    run.data = "abc";
    run.tokenizer = &tokenizer;
    run.source = &source;
  }
};

// Metrics without what a clock says.
std::vector<std::string> steps_of(const std::string& folder) {
  std::vector<std::string> lines;
  for (io::Json& j : train::read_metrics(folder + "/metrics.jsonl")) {
    j.set("tokens_per_s", 0);
    lines.push_back(j.dump());
  }
  return lines;
}

TEST_CASE("a run that was stopped anywhere and goes on ends with the same bits") {
  Folder dir;
  Setup whole(dir / "whole");
  train::LmResult r = train::train_lm(whole.run);
  CHECK(r.step == 9);
  CHECK(std::isfinite(r.eval_loss));
  for (int64_t stop_after : {1, 3, 4, 7}) {
    std::string folder = dir / ("part" + std::to_string(stop_after)).c_str();
    Setup part(folder);
    std::atomic<bool> stop = false;
    part.run.stop = &stop;
    part.run.on_step = [&](const train::Report& x) {
      if (x.step + 1 == stop_after) stop = true;
    };
    if (stop_after == 1) stop = true;
    train::LmResult first = train::train_lm(part.run);
    CHECK(first.interrupted);
    CHECK(first.step == stop_after);
    manual_seed(12345);  // another process would have other numbers
    Setup again(folder);
    CHECK(train::train_lm(again.run).step == 9);
    INFO(stop_after);
    CHECK(content(folder + "/checkpoint.h5") == content(dir / "whole/checkpoint.h5"));
    CHECK(steps_of(folder) == steps_of(dir / "whole"));
  }
}

TEST_CASE("what was written after the last checkpoint is done again") {
  Folder dir;
  Setup whole(dir / "whole");
  train::train_lm(whole.run);
  // Killed at step 6: the checkpoint is of step 4.
  struct Killed {};
  Setup part(dir / "part");
  part.run.on_step = [](const train::Report& x) {
    if (x.step == 6) throw Killed();
  };
  CHECK_THROWS_AS(train::train_lm(part.run), Killed);
  CHECK(steps_of(dir / "part").size() == 6);
  Setup again(dir / "part");
  std::string said;
  again.run.note = [&](const std::string& s) { said = s; };
  train::train_lm(again.run);
  CHECK(said == "goes on at step 4 of 9");
  CHECK(content(dir / "part/checkpoint.h5") == content(dir / "whole/checkpoint.h5"));
  CHECK(steps_of(dir / "part") == steps_of(dir / "whole"));
}

TEST_CASE("a folder of another run is refused by key, and --fresh starts over") {
  Folder dir;
  Setup first(dir / "run");
  train::train_lm(first.run);
  std::string before = content(dir / "run/checkpoint.h5");
  auto refused = [&](auto change, const std::string& key) {
    Setup other(dir / "run");
    change(other.run);
    std::string text = error_of([&] { train::train_lm(other.run); });
    INFO(text);
    CHECK(text.find("checkpoint.h5: is another run: " + key) != std::string::npos);
    CHECK(text.find("--fresh") != std::string::npos);
    CHECK(content(dir / "run/checkpoint.h5") == before);
  };
  refused([](train::LmRun& r) { r.config.train.lr = 0.5; }, "train.lr is 0.001 there and 0.5 now");
  refused([](train::LmRun& r) { r.config.model.dim = 32; }, "model.dim is 16 there and 32 now");
  refused([](train::LmRun& r) { r.data = "abd"; }, "the data are others");
  Setup more(dir / "run");
  more.run.config.train.steps = 11;
  CHECK(train::train_lm(more.run).step == 11);
  Setup fresh(dir / "run");
  fresh.run.fresh = true;
  fresh.run.config.train.lr = 0.002;
  CHECK(train::train_lm(fresh.run).step == 9);
  CHECK(steps_of(dir / "run").size() == 9);
}

TEST_CASE("a loss that is not finite stops the run and keeps the last good state") {
  Folder dir;
  for (double clip : {1.0, 0.0}) {
    fs::remove_all(dir / "run");
    Setup good(dir / "run");
    good.run.config.train.clip = clip;
    good.run.config.train.steps = 4;
    train::train_lm(good.run);
    std::string before = content(dir / "run/checkpoint.h5");
    // The weights in the file become infinite: the next loss is NaN.
    Setup bad(dir / "run");
    bad.run.config.train.clip = clip;
    struct Poison final : data::LmSource {
      const data::LmSource& inner;
      explicit Poison(const data::LmSource& s) : inner(s) {}
      data::Batch batch(int64_t n) const override {
        if (n >= 10) default_generator().seed++;
        return inner.batch(n);
      }
      std::vector<data::Batch> evaluation() const override { return {}; }
    } source(good.source);
    bad.run.source = &source;
    Gpt model(GptConfig::from(bad.run.config.model, bad.tokenizer.vocab_size()));
    optim::AdamW adam(model, {});
    nn::checkpoint::File file(dir / "run/checkpoint.h5");
    file.load(model);
    file.load(adam);
    model.tok.weight->set(full(model.tok.weight->value().shape(), std::numeric_limits<double>::infinity()));
    nn::checkpoint::save(dir / "run/checkpoint.h5", model, adam, file.state());
    before = content(dir / "run/checkpoint.h5");
    std::string text = error_of([&] { train::train_lm(bad.run); });
    INFO(text);
    CHECK(text.find("train: step 5: the loss is ") == 0);
    CHECK(text.find("keeps the last good state") != std::string::npos);
    CHECK(content(dir / "run/checkpoint.h5") == before);
  }
}

TEST_CASE("an error of a step names the line that trains") {
  Folder dir;
  Setup setup(dir / "run");
  struct Foreign final : data::LmSource {
    const data::LmSource& inner;
    explicit Foreign(const data::LmSource& s) : inner(s) {}
    data::Batch batch(int64_t n) const override {
      data::Batch b = inner.batch(n);
      b.inputs = b.inputs + 1000000;
      return b;
    }
    std::vector<data::Batch> evaluation() const override { return {}; }
  } source(setup.source);
  setup.run.source = &source;
  const int line = __LINE__ + 1;
  std::string text = error_of([&] { train::train_lm(setup.run); });
  CHECK(text.starts_with("embedding: index "));
  CHECK(text.find(" at test_train.cpp:" + std::to_string(line)) != std::string::npos);
}

TEST_CASE("the checkpoint before the last is kept, and stands in for a damaged one, loudly") {
  Folder dir;
  Setup whole(dir / "whole");
  train::train_lm(whole.run);  // saves at steps 4, 8 and 9
  CHECK(nn::checkpoint::File(dir / "whole/checkpoint.1.h5").state().train["step"].as_int() == 8);
  CHECK(!fs::exists(dir / "whole/checkpoint.2.h5"));
  std::string good = content(dir / "whole/checkpoint.h5");
  for (size_t keep : {good.size() / 2, good.size(), size_t(0)}) {
    std::string bad = good.substr(0, keep);
    if (keep == good.size()) {  // one bit of a weight: only the digest can tell
      auto w = Tensor(nn::checkpoint::File(dir / "whole/checkpoint.h5")
                          .reader()
                          .read(nn::checkpoint::File(dir / "whole/checkpoint.h5").reader().at("params/tok/weight")))
                   .to_vector<float>();
      bad[bad.find(std::string(reinterpret_cast<const char*>(w.data()), 16))] ^= 1;
    }
    std::ofstream(dir / "whole/checkpoint.h5", std::ios::binary) << bad;
    if (keep == 0) fs::remove(dir / "whole/checkpoint.h5");
    Setup again(dir / "whole");
    std::string said;
    again.run.note = [&](const std::string& s) { said += s + "\n"; };
    CHECK(train::train_lm(again.run).step == 9);
    INFO(said);
    CHECK(said.find("warning: ") == 0);
    CHECK(said.find("Going on from the one before, ") != std::string::npos);
    CHECK(said.find("goes on at step 8 of 9") != std::string::npos);
    CHECK(content(dir / "whole/checkpoint.h5") == good);
    CHECK(nn::checkpoint::File(dir / "whole/checkpoint.1.h5").verify().empty());
  }
  // With nothing else to go on from, the run is refused.
  Setup only(dir / "only");
  only.run.config.train.keep = 1;
  train::train_lm(only.run);
  CHECK(!fs::exists(dir / "only/checkpoint.1.h5"));
  fs::resize_file(dir / "only/checkpoint.h5", 5000);
  Setup again(dir / "only");
  again.run.config.train.keep = 1;
  CHECK(error_of([&] { train::train_lm(again.run); }).find("is truncated") != std::string::npos);
}

TEST_CASE("one program trains in a folder at a time") {
  Folder dir;
  Setup first(dir / "run");
  std::string text;
  first.run.on_step = [&](const train::Report& r) {
    if (r.step != 2) return;
    Setup second(dir / "run");
    text = error_of([&] { train::train_lm(second.run); });
  };
  train::train_lm(first.run);
  CHECK(text.find("another program trains in this folder") != std::string::npos);
}

TEST_CASE("options that make no run are refused by key") {
  Folder dir;
  auto text = [&](auto change) {
    Setup s(dir / "run");
    change(s.run.config.train);
    return error_of([&] { train::train_lm(s.run); });
  };
  CHECK(text([](auto& o) { o.steps = 0; }).find("train.steps is 0") == 0);
  CHECK(text([](auto& o) { o.batch = -2; }).find("train.batch is -2") == 0);
  CHECK(text([](auto& o) { o.lr = NAN; }).find("train.lr is ") == 0);
  CHECK(text([](auto& o) { o.beta1 = 1; }).find("beta1 is 1") != std::string::npos);
  CHECK(text([](auto& o) { o.schedule = "cosin"; }).find("train.schedule is \"cosin\"") == 0);
  Setup s("/proc/no/such");
  CHECK(error_of([&] { train::train_lm(s.run); }).find("/proc/no/such: cannot be made") == 0);
}

TEST_CASE("evaluation counts each next token once, in windows that overlap by half") {
  for (int64_t context : {1, 2, 5, 8})
    for (size_t n : {2, 3, 9, 30}) {
      std::vector<int32_t> sequence;
      for (size_t i = 0; i < n; i++) sequence.push_back(int32_t(i));
      std::vector<std::vector<int32_t>> rows;
      std::vector<int64_t> counted;
      data::cut(sequence, context, rows, counted);
      data::Batch b = data::pack(rows, counted, context);
      std::vector<int> times(n, 0);
      auto in = b.inputs.to_vector<int32_t>(), out = b.targets.to_vector<int32_t>();
      int64_t T = b.inputs.size(1);
      CHECK(T <= context);
      for (size_t i = 0; i < out.size(); i++) {
        if (out[i] == data::kIgnored) continue;
        times[size_t(out[i])]++;
        CHECK(out[i] == in[i] + 1);
        // At least half a context before it, unless it is near the start.
        CHECK((int64_t(i) % T + 1 >= std::min<int64_t>(int64_t(out[i]), (context + 1) / 2)));
      }
      INFO(context, " ", n);
      CHECK(b.counted == int64_t(n) - 1);
      for (size_t i = 1; i < n; i++) CHECK(times[i] == 1);
    }
}

TEST_CASE("grammar batches follow from their number, and begin documents half of the time") {
  text::ByteTokenizer bytes;
  data::GrammarSource a(bytes, {.context = 64, .batch = 32, .seed = 3, .evaluation_tokens = 2000}),
      b(bytes, {.context = 64, .batch = 32, .seed = 3});
  CHECK(a.batch(7).inputs.to_vector<int32_t>() == b.batch(7).inputs.to_vector<int32_t>());
  CHECK(a.batch(7).inputs.to_vector<int32_t>() != a.batch(8).inputs.to_vector<int32_t>());
  int starts = 0;
  for (int64_t n = 0; n < 20; n++) {
    data::Batch batch = a.batch(n);
    auto in = batch.inputs.to_vector<int32_t>(), out = batch.targets.to_vector<int32_t>();
    for (size_t r = 0; r < 32; r++) {
      starts += in[r * 64] == '\n';
      for (size_t t = 0; t + 1 < 64; t++) CHECK(out[r * 64 + t] == in[r * 64 + t + 1]);
    }
  }
  CHECK(starts > 0.4 * 20 * 32);
  CHECK(starts < 0.65 * 20 * 32);
  int64_t counted = 0;
  for (auto& batch : a.evaluation()) counted += batch.counted;
  CHECK(counted >= 2000);
  CHECK(a.entropy() > 0.4);
  CHECK(a.entropy() < 0.6);
}

}  // namespace
