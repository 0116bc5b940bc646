#include "tools/cli/lm_model.h"

#include <sys/stat.h>

#include <fstream>

#include "models/data/grammar.h"
#include "models/text/char_tokenizer.h"
#include "nn/checkpoint_file.h"

namespace fovea::cli {

namespace {

const nn::checkpoint::RunState& state_of(const nn::checkpoint::File& file, const std::string& path) {
  const nn::checkpoint::RunState& s = file.state();
  if (s.tokenizer.empty() || s.config.is_null())
    throw FileError(path + ": has no " + (s.config.is_null() ? "config" : "tokenizer") +
                    ", so it is no language model. Use a checkpoint of `fovea train lm`, or give checkpoint::save a "
                    "RunState with config and tokenizer");
  return s;
}

// By name, or by its first byte.
bool is_json(const std::string& path) {
  return path.ends_with(".json") || std::ifstream(path, std::ios::binary).get() == '{';
}

LmShape shape_of(const std::string& name) {
  LmShape s{name, {}};
  struct stat st;
  bool file = stat(name.c_str(), &st) == 0;
  if (file && is_json(name)) {
    read_config(s.config, name);
  } else if (file) {
    nn::checkpoint::File checkpoint(name);
    set_options(s.config, state_of(checkpoint, name).config);
    s.vocab = text::Tokenizer::from_json(checkpoint.state().tokenizer)->vocab_size();
    s.weights = true;
  } else {
    GptConfig preset;
    try {
      preset = gpt_preset(name);
    } catch (const ValueError& e) {
      throw FileError(name + ": is neither a file nor a preset (" +
                      std::string(e.what()).substr(std::string(e.what()).find("expected")));
    }
    ModelConfig& m = s.config.model;
    m.layers = preset.layers, m.dim = preset.dim, m.heads = preset.heads, m.context = preset.context;
    s.vocab = preset.vocab;
  }
  return s;
}

}  // namespace

LmShape lm_shape(const std::string& name, const Args& args) try {
  LmShape s = shape_of(name);
  for (const std::string& assignment : args.texts("--set")) set_option(s.config, assignment);
  check(s.config);
  if (args.has("--vocab")) s.vocab = args.integer("--vocab", 0, 1);
  if (s.vocab == 0)  // what `train lm` would have on the embedded corpus
    s.vocab = s.config.data.tokenizer == "byte" ? 256 : text::CharTokenizer(data::Grammar().alphabet()).vocab_size();
  return s;
} catch (const ValueError& e) {
  throw UsageError(e.what());
}

LmModel load_lm(const std::string& path, const std::string& dtype) {
  nn::checkpoint::File file(path);
  const nn::checkpoint::RunState& s = state_of(file, path);
  LmModel model;
  try {
    set_options(model.config, s.config);
    check(model.config);
    model.tokenizer = text::Tokenizer::from_json(s.tokenizer);
    nn::ShapesOnly no_data;
    model.net = std::make_unique<Gpt>(GptConfig::from(model.config.model, model.tokenizer->vocab_size()));
  } catch (const Error& e) {
    throw FileError(path + ": its config or tokenizer cannot be used: " + e.what());
  }
  model.net->to(dtype_named(dtype.empty() ? model.config.train.dtype : dtype));
  file.load(*model.net, {.cast = true});
  return model;
}

}  // namespace fovea::cli
