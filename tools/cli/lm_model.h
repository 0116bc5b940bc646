// A language model as the program finds it in a checkpoint: network, tokenizer and config.
#pragma once
#include <memory>
#include <string>

#include "models/gpt.h"
#include "models/text/tokenizer.h"

namespace fovea::cli {

struct LmModel {
  Config config;
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::unique_ptr<Gpt> net;
};

// FileError when the file is no checkpoint of a language model. `dtype`: of the arithmetic; "" is the file's.
LmModel load_lm(const std::string& path, const std::string& dtype = "");

}  // namespace fovea::cli
