// train lm: a GPT from text files or from the embedded grammar, into a run folder.
#include <fmt/core.h>

#include <atomic>
#include <cmath>
#include <csignal>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "core/nan_watch.h"
#include "models/config.h"
#include "models/data/grammar_source.h"
#include "models/data/text_file.h"
#include "models/text/byte_tokenizer.h"
#include "models/text/char_tokenizer.h"
#include "models/train/loop.h"
#include "models/train/progress.h"
#include "nn/io/hdf5.h"
#include "tools/cli/trace_file.h"
#include "tools/cli/verbs.h"

namespace fovea::cli {
namespace {

using io::Json;

std::atomic<bool> stop = false;
std::atomic<int> stopped_by = 0;

// Ctrl-C, or the end of a session or a machine: the step that runs is finished and a checkpoint written. The second
// signal ends the program at once.
void stop_on(int signal) {
  std::signal(signal, [](int which) {
    stopped_by = which;
    stop = true;
    std::signal(which, SIG_DFL);
  });
}

// Defaults, then --config, then --set, then the flags that are keys too.
Config config_of(const Args& args) {
  Config config;
  if (args.has("--config")) read_config(config, args.text("--config"));
  for (const std::string& assignment : args.texts("--set")) set_option(config, assignment);
  for (const KeyOption& k : kKeyOptions)
    if (args.has(k.option)) set_option(config, std::string(k.key) + "=" + args.text(k.option));
  check(config);
  return config;
}

int run_train(const Args& args) {
  train::LmRun run;
  try {
    run.config = config_of(args);
  } catch (const ValueError& e) {
    throw UsageError(e.what());
  }
  if (args.has("--dump-config")) {
    print_line(args.json() ? to_json(run.config).dump() : to_json(run.config).dump(2));
    return 0;
  }
  if (!args.has("--out")) throw UsageError("-o RUN is missing: the folder that checkpoints and metrics go to");
  run.folder = args.text("--out");
  if (run.folder.empty()) throw UsageError("-o is empty (expected the folder that checkpoints and metrics go to)");
  run.fresh = args.has("--fresh");

  const std::vector<std::string>& files = args.texts("FILES");
  const data::Grammar grammar;
  std::string text = files.empty() ? grammar.alphabet() : data::read_texts(files);
  Ref<text::Tokenizer> tokenizer;
  if (run.config.data.tokenizer == "byte") tokenizer = make_ref<text::ByteTokenizer>();
  else tokenizer = make_ref<text::CharTokenizer>(text);
  run.tokenizer = tokenizer.get();

  data::WindowOptions windows{.context = run.config.model.context,
                              .batch = run.config.train.batch,
                              .seed = uint64_t(files.empty() ? run.config.data.corpus_seed : run.config.train.seed),
                              .validation = run.config.data.validation};
  std::unique_ptr<data::LmSource> source;
  if (files.empty()) {
    run.title = "the embedded corpus";
    run.data = "grammar " + io::digest(data::kCorpusRules, std::strlen(data::kCorpusRules));
    source = std::make_unique<data::GrammarSource>(*tokenizer, windows);
  } else {
    std::string name = files[0].substr(files[0].rfind('/') + 1);
    run.title = files.size() == 1 ? name : fmt::format("{} and {} more", name, files.size() - 1);
    run.data = "text " + io::digest(text.data(), text.size());
    source = std::make_unique<data::TextSource>(tokenizer->encode(text), windows);
  }
  run.source = source.get();

  // The first step of all that this run makes; its evaluation, if there is one, included.
  OpTrace trace(args.text("--trace"));
  std::optional<TraceScope> tracing;
  if (args.has("--trace"))
    run.before_step = [&, begun = false](int64_t) mutable {
      if (!std::exchange(begun, true)) tracing.emplace(state(), trace);
    };
  std::optional<NanWatch> watch;
  if (args.has("--watch-nan")) watch.emplace();
  std::optional<train::Progress> progress;
  run.note = [&](const std::string& text) { progress ? progress->note(text) : note(text); };
  run.on_step = [&](const train::Report& r) {
    if (tracing) {
      tracing.reset();
      trace.save();
      note(fmt::format("step {} is in {}", r.step, args.text("--trace")));
    }
    if (!progress) progress.emplace(r.step - 1, r.steps);
    progress->update(r.step, r.loss, r.tokens_per_s);
    if (r.evaluated) progress->note(fmt::format("step {}: validation loss {:.4f}", r.step, r.eval_loss));
  };
  run.stop = &stop;
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) stop_on(signal);
  std::signal(SIGPIPE, SIG_IGN);  // nobody reads the progress any more: no reason to stop
  train::LmResult result = train::train_lm(run);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_DFL);
  if (progress) progress->finish();
  if (result.interrupted) {
    note(fmt::format("stopped at step {}; {}/checkpoint.h5 is written, the same command goes on", result.step,
                     run.folder));
    return 128 + stopped_by;  // 130 for Ctrl-C
  }
  double floor = source->entropy();
  if (args.json()) {
    Json j{Json::Object{}};
    j.set("step", result.step);
    if (std::isfinite(result.loss)) j.set("loss", result.loss);
    if (std::isfinite(result.eval_loss)) j.set("val_loss", result.eval_loss);
    if (std::isfinite(floor)) j.set("entropy", floor);
    print_json(j);
  } else if (!std::isfinite(result.loss)) {
    note(fmt::format("{} is finished: step {}. A larger train.steps goes on", run.folder, result.step));
  } else {
    if (std::isfinite(result.eval_loss))
      note(fmt::format("validation loss {:.4f}{}", result.eval_loss,
                       std::isfinite(floor) ? fmt::format(", {:.3f} times the corpus's entropy of {:.4f}",
                                                          result.eval_loss / floor, floor)
                                            : ""));
    note(fmt::format("{}/checkpoint.h5 holds the model of step {}", run.folder, result.step));
  }
  return 0;
}

}  // namespace

const Verb kTrainLm = {
    "train lm",
    "trains a language model on text files, or on the embedded corpus",
    {{"FILES", Option::files, "UTF-8 text; - is standard input; none: the embedded corpus"},
     {"-o,--out", Option::output, "the run's folder; goes on with the run that it holds"},
     {"--fresh", Option::flag, "forget what the folder holds"},
     {"--config", Option::file, "a JSON file with keys model.*, train.*, data.*"},
     {"--set", Option::texts, "KEY=VALUE, over the config; may come again"},
     {"--dtype", Option::text, "of the arithmetic: f32, bf16, f16 or f64", false, kDTypes},
     {"--trace", Option::output, "record the first step: F.json for Chrome, F.h5 for trace diff"},
     {"--watch-nan", Option::flag, "stop at the first op that makes a NaN or an infinity, and name it"},
     {"--dump-config", Option::flag, "print the config and stop"}},
    true,
    run_train};

}  // namespace fovea::cli
