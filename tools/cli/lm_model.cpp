#include "tools/cli/lm_model.h"

#include "nn/checkpoint.h"

namespace fovea::cli {

LmModel load_lm(const std::string& path, const std::string& dtype) {
  nn::checkpoint::File file(path);
  const nn::checkpoint::RunState& s = file.state();
  if (s.tokenizer.empty() || s.config.is_null())
    throw FileError(path + ": has " + (s.config.is_null() ? "no config" : "no tokenizer") +
                    ", so it is no language model of `fovea train lm`");
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
