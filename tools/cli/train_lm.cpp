// train lm: a GPT from text files or from the embedded grammar, into a run folder.
#include <fmt/core.h>

#include <atomic>
#include <csignal>
#include <optional>

#include "models/data/text_file.h"
#include "models/text/byte_tokenizer.h"
#include "models/text/char_tokenizer.h"
#include "models/train/loop.h"
#include "models/train/progress.h"
#include "tools/cli/verbs.h"

namespace fovea::cli {
namespace {

using io::Json;

std::atomic<bool> interrupted = false;

Json default_config() {
  Json data{Json::Object{}};
  data.set("tokenizer", "char");
  Json j{Json::Object{}};
  j.set("model", GptConfig{}.to_json());
  j.set("train", train::TrainOptions{}.to_json());
  j.set("data", data);
  return j;
}

int run_train(const Args& args) {
  Json config = default_config();
  for (const std::string& s : args.texts("--set")) {
    auto dot = s.find('.'), equals = s.find('=');
    if (dot == s.npos || equals == s.npos || dot > equals) throw UsageError("--set " + s + " (expected a.b=value)");
    std::string part = s.substr(0, dot), key = s.substr(dot + 1, equals - dot - 1), value = s.substr(equals + 1);
    const Json* section = config.find(part);
    const Json* old = section ? section->find(key) : nullptr;
    if (!old) throw UsageError("--set " + s + ": no such key");
    Json changed = *section;
    changed.set(key, old->is_string() ? Json(value) : Json::parse(value, "--set " + s));
    config.set(part, changed);
  }
  const std::vector<std::string>& files = args.texts("FILES");
  std::string text;
  data::Grammar grammar;
  if (files.empty()) text = data::Grammar::kSeparator + grammar.sample_text(1, 0, 1 << 18);
  else text = data::read_texts(files);

  train::LmRun run;
  std::unique_ptr<text::Tokenizer> tokenizer;
  if (config["data"]["tokenizer"].as_string() == "byte") tokenizer = std::make_unique<text::ByteTokenizer>();
  else tokenizer = std::make_unique<text::CharTokenizer>(text);
  run.folder = args.text("--out");
  run.title = files.empty() ? "the embedded corpus" : files[0];
  run.fresh = args.has("--fresh");
  run.train = train::TrainOptions::from_json(config["train"]);
  if (args.has("--seed")) run.train.seed = uint64_t(args.integer("--seed", 1));
  run.model = GptConfig::from_json(config["model"]);
  run.model.vocab = tokenizer->vocab_size();
  run.model.check();
  run.train.check();
  run.tokenizer = tokenizer.get();
  run.data = config["data"];
  run.data.set("source", files.empty() ? "grammar" : "text");
  run.data.set("digest", io::digest(text.data(), text.size()));
  data::WindowOptions windows{.context = run.model.context, .batch = run.train.batch, .seed = run.train.seed};
  std::unique_ptr<data::LmSource> source;
  if (files.empty()) source = std::make_unique<data::GrammarSource>(*tokenizer, windows);
  else source = std::make_unique<data::TextSource>(tokenizer->encode(text), windows);
  run.source = source.get();
  std::optional<train::Progress> progress;
  run.note = [&](const std::string& text) { progress ? progress->note(text) : note(text); };
  run.on_step = [&](const train::Report& r) {
    if (!progress) progress.emplace(r.step - 1, r.steps);
    progress->update(r.step, r.loss, r.tokens_per_s);
    if (r.evaluated) progress->note(fmt::format("step {}: validation loss {:.4f}", r.step, r.eval_loss));
  };
  run.stop = &interrupted;
  std::signal(SIGINT, [](int) { interrupted = true; });
  train::LmResult result = train::train_lm(run);
  std::signal(SIGINT, SIG_DFL);
  if (progress) progress->finish();
  if (result.interrupted) {
    note(fmt::format("stopped at step {}; {}/checkpoint.h5 is written, the same command goes on", result.step,
                     run.folder));
    return 130;
  }
  return 0;
}

}  // namespace

const Verb kTrainLm = {"train lm",
                       "trains a language model on text files, or on the embedded corpus",
                       {{"FILES", Option::texts, "UTF-8 text; none: the embedded corpus"},
                        {"-o,--out", Option::text, "the run's folder", true},
                        {"--fresh", Option::flag, "forget what the folder holds"},
                        {"--config", Option::text, "a JSON file with keys model.*, train.*, data.*"},
                        {"--set", Option::texts, "key=value, over the config"},
                        {"--dump-config", Option::flag, "print the config in use and stop"}},
                       true,
                       run_train};

}  // namespace fovea::cli
