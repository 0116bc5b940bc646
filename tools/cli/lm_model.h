// Language models as the program finds them: in a checkpoint with its tokenizer and weights, or described by a config.
#pragma once
#include <memory>
#include <string>

#include "models/config.h"
#include "models/gpt.h"
#include "models/text/tokenizer.h"
#include "tools/cli/verb.h"

namespace fovea::cli {

struct LmModel {
  Config config;
  Ref<text::Tokenizer> tokenizer;
  std::unique_ptr<Gpt> net;
};

// FileError when the file is no checkpoint of a language model. `dtype`: of the arithmetic; "" is the file's.
LmModel load_lm(const std::string& path, const std::string& dtype = "");

// What a checkpoint, a config file or a preset says of a model, with --set and --vocab over it.
struct LmShape {
  std::string name;
  Config config;
  int64_t vocab = 0;
  bool weights = false;  // a checkpoint
};
LmShape lm_shape(const std::string& name, const Args& args);

}  // namespace fovea::cli
