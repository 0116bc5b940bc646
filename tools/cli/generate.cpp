// generate: text from a checkpoint.
#include <fmt/core.h>

#include "models/generate/generate.h"
#include "models/text/tokenizer.h"
#include "nn/checkpoint.h"
#include "tools/cli/verbs.h"

namespace fovea::cli {
namespace {

using io::Json;

int run_generate(const Args& args) {
  nn::checkpoint::File file(args.text("MODEL"));
  const auto& s = file.state();
  if (s.tokenizer.empty()) throw FileError(file.reader().path() + ": has no tokenizer");
  auto tokenizer = text::Tokenizer::from_json(s.tokenizer);
  std::optional<Gpt> model;
  {
    nn::ShapesOnly no_data;
    Config config;
    try {
      set_options(config, s.config);
    } catch (const ValueError& e) {
      throw FileError(file.reader().path() + ": its config cannot be read: " + e.what());
    }
    model.emplace(GptConfig::from(config.model, tokenizer->vocab_size()));
  }
  file.load(*model, {.cast = true});

  GenerateOptions o;
  o.max_new = args.integer("--max-new", 200);
  o.greedy = args.has("--greedy");
  o.temperature = args.real("--temperature", 1);
  o.top_k = args.integer("--top-k", 0);
  o.use_cache = !args.has("--no-cache");
  std::string prompt = args.text("--prompt", "\n");
  std::vector<int32_t> ids;
  try {
    ids = tokenizer->encode(prompt);
  } catch (const ValueError& e) {
    if (args.has("--prompt")) throw;
    ids = {0};
    prompt = tokenizer->decode(ids);
  }
  if (!args.json()) {
    std::printf("%s", prompt.c_str());
    o.on_token = [&](int32_t id) {
      std::printf("%s", tokenizer->decode(std::span<const int32_t>(&id, 1)).c_str());
      std::fflush(stdout);
    };
  }
  std::vector<int32_t> fresh = generate(*model, ids, o);
  if (args.json()) {
    Json list{Json::Array{}};
    for (int32_t id : fresh) list.push(int64_t(id));
    Json j{Json::Object{}};
    j.set("ids", Json::Array{list});
    print_json(j);
  } else {
    print_line("");
  }
  return 0;
}

}  // namespace

const Verb kGenerate = {"generate",
                        "text from a model",
                        {{"MODEL", Option::file, "a checkpoint", true},
                         {"--prompt", Option::text, "what the text begins with"},
                         {"--max-new", Option::integer, "how many tokens"},
                         {"--greedy", Option::flag, "always the likeliest token"},
                         {"--temperature", Option::real, "above 1: bolder, below: safer"},
                         {"--top-k", Option::integer, "draw from the k likeliest only"},
                         {"--no-cache", Option::flag, "compute every position anew (slow; for comparison)"}},
                        true,
                        run_generate};

}  // namespace fovea::cli
