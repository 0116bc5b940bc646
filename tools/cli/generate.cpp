// generate: text from a checkpoint.
#include <fmt/core.h>

#include "models/generate/generate.h"
#include "tools/cli/lm_model.h"
#include "tools/cli/verbs.h"

namespace fovea::cli {
namespace {

using io::Json;

GenerateOptions options(const Args& args) {
  GenerateOptions o;
  o.max_new = args.integer("--max-new", 200, 0);
  o.greedy = args.has("--greedy");
  o.temperature = args.real("--temperature", 1);
  if (!(o.temperature > 0)) throw UsageError("--temperature is " + args.text("--temperature") + " (expected above 0)");
  o.top_k = args.integer("--top-k", 0, 0);
  o.use_cache = !args.has("--no-cache");
  if (args.has("--prompt") && args.text("--prompt").empty())
    throw UsageError("--prompt is empty (expected text; without it the model begins a document)");
  return o;
}

int run_generate(const Args& args) {
  GenerateOptions o = options(args);
  LmModel model = load_lm(args.text("MODEL"), args.text("--dtype"));
  std::string prompt = args.text("--prompt", "\n");
  std::vector<int32_t> ids;
  try {
    ids = model.tokenizer->encode(prompt);
  } catch (const ValueError& e) {
    if (args.has("--prompt")) throw ValueError(std::string("--prompt: ") + e.what());
    ids = {0};
    prompt = model.tokenizer->decode(ids);
  }
  bool begun = args.json();
  auto begin = [&] {
    if (!begun) std::printf("%s", prompt.c_str());
    begun = true;
  };
  if (!args.json())
    o.on_token = [&](int32_t id) {
      begin();
      std::printf("%s", model.tokenizer->decode(std::span<const int32_t>(&id, 1)).c_str());
      std::fflush(stdout);
    };
  std::vector<int32_t> fresh = generate(*model.net, ids, o);
  if (args.json()) {
    Json list{Json::Array{}};
    for (int32_t id : fresh) list.push(int64_t(id));
    Json j{Json::Object{}};
    j.set("ids", Json::Array{list});
    print_json(j);
  } else {
    begin();
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
                         {"--dtype", Option::text, "of the arithmetic; otherwise the file's", false, kDTypes},
                         {"--no-cache", Option::flag, "compute every position anew (slow; for comparison)"}},
                        true,
                        run_generate};

}  // namespace fovea::cli
