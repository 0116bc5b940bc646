// Training a language model in a run folder: checkpoint.h5 (checkpoint.1.h5 was the one before), metrics.jsonl,
// loss.svg. A run goes on where its checkpoint stands, with the same bits as if it had never stopped: batches are
// functions of the step, and weights, moments, step and generator are in the file.
#pragma once
#include <atomic>
#include <functional>

#include "models/config.h"
#include "models/data/source.h"
#include "models/gpt.h"
#include "models/text/tokenizer.h"
#include "nn/checkpoint.h"
#include "nn/optim/schedule.h"

namespace fovea::train {

struct Report {
  int64_t step = 0, steps = 0;  // steps done, and to do in all
  double loss = 0, lr = 0, norm = 0, seconds = 0, tokens_per_s = 0;
  bool evaluated = false;
  double eval_loss = 0;
};

struct LmRun {
  std::string folder;  // made if need be
  std::string title;   // of loss.svg
  bool fresh = false;  // forget what the folder holds
  Config config;
  std::string data;  // what the source was made from (a digest), for telling runs apart
  const text::Tokenizer* tokenizer = nullptr;
  const data::LmSource* source = nullptr;
  std::function<void(int64_t step)> before_step = {};
  std::function<void(const Report&)> on_step = {};
  std::function<void(const std::string&)> note = {};  // one line for people
  const std::atomic<bool>* stop = nullptr;  // set by a signal: a checkpoint is written after the step that runs
};

struct LmResult {
  int64_t step = 0;
  double loss = std::numeric_limits<double>::quiet_NaN(), eval_loss = loss;  // of the last step; NaN when none was made
  bool interrupted = false;
};

// FileError when the folder cannot be written or holds another run (naming the key that differs); ValueError when the
// loss or a gradient is not finite: the last checkpoint stays.
LmResult train_lm(const LmRun& run, std::source_location where = std::source_location::current());

// Mean loss over batches, in nats per counted token, without gradients, in eval mode.
double evaluate(Gpt& model, const std::vector<data::Batch>& batches);

// cross_entropy of the model's logits, the mean over targets that count.
Tensor lm_loss(Gpt& model, const data::Batch& batch);

}  // namespace fovea::train
