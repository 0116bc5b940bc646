// generate: text from a checkpoint, behind a prompt or behind rows of ids.
#include <fmt/core.h>

#include "models/data/text_file.h"
#include "models/generate/generate.h"
#include "nn/io/safetensors.h"
#include "tools/cli/lm_model.h"
#include "tools/cli/verbs.h"

namespace fovea::cli {
namespace {

using io::Json;
using Ids = std::vector<int32_t>;

GenerateOptions options(const Args& args) {
  GenerateOptions o;
  o.max_new = args.integer("--max-new", 200, 0);
  o.greedy = args.has("--greedy");
  if (o.greedy)
    refuse(args, {"--temperature", "--top-k", "--top-p", "--min-p"}, "is for drawing, and --greedy does not draw");
  o.temperature = args.real("--temperature", 1);
  if (!(o.temperature > 0)) throw UsageError("--temperature is " + args.text("--temperature") + " (expected above 0)");
  o.top_k = args.integer("--top-k", 0, 0);
  o.top_p = args.real("--top-p", 1);
  if (!(o.top_p > 0 && o.top_p <= 1))
    throw UsageError("--top-p is " + args.text("--top-p") + " (expected above 0, at most 1)");
  o.min_p = args.real("--min-p", 0);
  if (!(o.min_p >= 0 && o.min_p <= 1)) throw UsageError("--min-p is " + args.text("--min-p") + " (expected 0 to 1)");
  o.repetition_penalty = args.real("--repetition-penalty", 1);
  if (!(o.repetition_penalty > 0))
    throw UsageError("--repetition-penalty is " + args.text("--repetition-penalty") + " (expected above 0)");
  o.use_cache = !args.has("--no-cache");
  if (args.has("--prompt") && args.text("--prompt").empty())
    throw UsageError("--prompt is empty (expected text; without it the model begins a document)");
  for (const std::string& stop : args.texts("--stop"))
    if (stop.empty()) throw UsageError("--stop is empty (expected text that ends the writing)");
  return o;
}

// Rows of input_ids [B, T] without their padding: attention_mask [B, T] is 0 there, on the left or on the right.
std::vector<Ids> read_rows(const std::string& path, int64_t vocab) {
  io::Safetensors file = io::read_safetensors(path);
  auto wrong = [&](const std::string& text) { return ValueError(path + ": " + text); };
  for (auto& [name, array] : file.arrays)
    if (name != "input_ids" && name != "attention_mask")
      throw wrong("'" + name + "' is neither input_ids nor attention_mask");
  const Array *ids = file.find("input_ids"), *mask = file.find("attention_mask");
  if (!ids) throw wrong("no tensor input_ids");
  if (ids->rank() != 2 || !is_integer(ids->dtype()))
    throw wrong(
        fmt::format("input_ids is {} {} (expected integers [B, T])", to_string(ids->shape()), name_of(ids->dtype())));
  if (mask && !(mask->shape() == ids->shape()))
    throw wrong(fmt::format("attention_mask is {} (expected {}, as input_ids)", to_string(mask->shape()),
                            to_string(ids->shape())));
  auto id = Tensor(*ids).to_vector<int64_t>();
  auto there = mask ? Tensor(*mask).to_vector<double>() : std::vector<double>(id.size(), 1);
  std::vector<Ids> rows(size_t(ids->shape()[0]));
  int64_t width = ids->shape()[1];
  for (size_t b = 0; b < rows.size(); b++) {
    int64_t behind = -1;  // where the row was last told
    for (int64_t t = 0; t < width; t++) {
      size_t at = b * size_t(width) + size_t(t);
      if (there[at] != 0 && there[at] != 1)
        throw wrong(fmt::format("attention_mask has {} at [{},{}] (expected 0 or 1)", there[at], b, t));
      if (there[at] == 0) continue;
      if (behind >= 0 && behind != t)
        throw wrong(fmt::format(
            "attention_mask has a hole before [{},{}] (expected padding on the left or on the right)", b, t));
      if (id[at] < 0 || id[at] >= vocab)
        throw wrong(fmt::format("input_ids has {} at [{},{}] (expected 0 to {})", id[at], b, t, vocab - 1));
      rows[b].push_back(int32_t(id[at]));
      behind = t + 1;
    }
    if (rows[b].empty()) throw wrong(fmt::format("row {} of input_ids is padding only", b));
  }
  return rows;
}

Ids read_prompt(const Args& args, const text::Tokenizer& tokenizer) {
  try {
    return tokenizer.encode(args.text("--prompt") == "-" ? data::read_text("-") : args.text("--prompt", "\n"));
  } catch (const ValueError& e) {
    if (args.has("--prompt")) throw ValueError(std::string("--prompt: ") + e.what());
    return {0};
  }
}

int run_generate(const Args& args) {
  GenerateOptions o = options(args);
  if (args.has("--in")) refuse(args, {"--prompt"}, "and --in exclude each other");
  LmModel model = load_lm(args.text("MODEL"), args.text("--dtype"));
  const text::Tokenizer& tokenizer = *model.tokenizer;
  std::vector<Ids> rows = args.has("--in") ? read_rows(args.text("--in"), tokenizer.vocab_size())
                                           : std::vector<Ids>{read_prompt(args, tokenizer)};
  Json::Array all;
  for (const Ids& row : rows) {
    std::string said;
    bool begun = false;
    auto begin = [&] {
      if (!begun && !args.json()) std::printf("%s", tokenizer.decode(row).c_str());
      begun = true;
    };
    o.on_token = [&](int32_t id) {
      std::string piece = tokenizer.decode(std::span<const int32_t>(&id, 1));
      said += piece;
      begin();
      if (!args.json()) std::printf("%s", piece.c_str()), std::fflush(stdout);
      bool ended = false;
      for (const std::string& stop : args.texts("--stop")) ended |= said.find(stop) != said.npos;
      return !ended;
    };
    Ids fresh = generate(*model.net, row, o);
    all.emplace_back(Json::Array(fresh.begin(), fresh.end()));
    begin();
    if (!args.json()) print_line("");
  }
  if (args.json()) print_json(Json::Object{{"ids", std::move(all)}});
  return 0;
}

}  // namespace

const Verb kGenerate = {
    "generate",
    "text from a model",
    {{"MODEL", Option::file, "a checkpoint", true},
     {"--prompt", Option::text, "what the text begins with; - is standard input"},
     {"--in", Option::file, "safetensors with input_ids [B, T] and attention_mask, in place of a text"},
     {"--max-new", Option::integer, "how many tokens (200)"},
     {"--stop", Option::texts, "end when this has been written; may come again"},
     {"--greedy", Option::flag, "always the likeliest token"},
     {"--temperature", Option::real, "above 1: bolder, below: safer (1)"},
     {"--top-k", Option::integer, "draw from the k likeliest only"},
     {"--top-p", Option::real, "draw from the fewest that have this probability together"},
     {"--min-p", Option::real, "draw from those at least so likely, beside the likeliest"},
     {"--repetition-penalty", Option::real, "above 1: what is in the text becomes less likely"},
     kDType,
     {"--no-cache", Option::flag, "compute every position anew (slow; for comparison)"}},
    true,
    run_generate};

}  // namespace fovea::cli
