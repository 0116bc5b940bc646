// eval ppl: loss and perplexity of a checkpoint, beside the least that the text allows where that is known.
#include <fmt/core.h>

#include <cmath>

#include "models/data/grammar_source.h"
#include "models/data/text_file.h"
#include "models/train/loop.h"
#include "tools/cli/lm_model.h"
#include "tools/cli/verbs.h"

namespace fovea::cli {
namespace {

using io::Json;

int run_ppl(const Args& args) {
  int64_t limit = args.integer("--tokens", std::numeric_limits<int64_t>::max(), 2);
  LmModel model = load_lm(args.text("MODEL"), args.text("--dtype"));
  int64_t context = model.config.model.context, batch = args.integer("--batch", 16, 1);
  const std::vector<std::string>& files = args.texts("FILES");
  std::vector<data::Batch> batches;
  double floor = std::numeric_limits<double>::quiet_NaN();
  if (files.empty()) {
    data::WindowOptions o{.context = context, .batch = batch, .seed = uint64_t(model.config.data.corpus_seed)};
    o.evaluation_tokens = std::min(limit, o.evaluation_tokens);
    data::GrammarSource source(*model.tokenizer, o);
    try {
      batches = source.evaluation();
    } catch (const ValueError& e) {
      throw ValueError(std::string("the embedded corpus: ") + e.what() + ". Name the files that the model is for");
    }
    floor = source.entropy();
  } else {
    std::vector<int32_t> ids;
    try {
      ids = model.tokenizer->encode(data::read_texts(files));
    } catch (const ValueError& e) {
      throw ValueError((files.size() == 1 ? files[0] : "the files") + ": " + e.what());
    }
    if (ids.size() < 2) throw ValueError(files[0] + ": the text is too short: 1 token (expected at least 2)");
    if (int64_t(ids.size()) > limit) ids.resize(size_t(limit));
    std::vector<std::vector<int32_t>> rows;
    std::vector<int64_t> counted;
    data::cut(ids, context, rows, counted);
    for (size_t at = 0; at < rows.size(); at += size_t(batch)) {
      size_t end = std::min(rows.size(), at + size_t(batch));
      batches.push_back(data::pack({rows.begin() + ptrdiff_t(at), rows.begin() + ptrdiff_t(end)},
                                   {counted.begin() + ptrdiff_t(at), counted.begin() + ptrdiff_t(end)}, context));
    }
  }
  double loss = train::evaluate(*model.net, batches);
  if (!std::isfinite(loss)) throw ValueError("eval ppl: the loss is " + std::to_string(loss));
  int64_t tokens = 0;
  for (const data::Batch& b : batches) tokens += b.counted;
  if (args.json()) {
    Json j{Json::Object{}};
    j.set("loss", loss);
    j.set("ppl", std::exp(loss));
    j.set("bits_per_token", loss / std::log(2.0));
    j.set("tokens", tokens);
    if (std::isfinite(floor)) j.set("entropy", floor);
    print_json(j);
    return 0;
  }
  print_line(fmt::format("loss {:.4f} nats a token, perplexity {:.3f}, {:.3f} bits a token, over {} tokens", loss,
                         std::exp(loss), loss / std::log(2.0), tokens));
  if (std::isfinite(floor))
    print_line(fmt::format("the corpus's entropy is {:.4f} (perplexity {:.3f}): the loss is {:.3f} times that", floor,
                           std::exp(floor), loss / floor));
  return 0;
}

}  // namespace

const Verb kEvalPpl = {"eval ppl",
                       "loss and perplexity of a model on text",
                       {{"MODEL", Option::file, "a checkpoint", true},
                        {"FILES", Option::files, "UTF-8 text; none: the embedded corpus, beside its entropy"},
                        {"--tokens", Option::integer, "look at so many tokens at most"},
                        {"--batch", Option::integer, "windows at once (16)"},
                        kDType},
                       true,
                       run_ppl};

}  // namespace fovea::cli
