// The training steps that bench times and trace records, by name; sizes are those of the peers' scripts.
#pragma once
#include <memory>
#include <string>

#include "autograd/tensor.h"
#include "tools/cli/verb.h"

namespace fovea::cli {

inline constexpr const char* kWorkloads = "mlp_tiny chargpt_s chargpt_m gpt2_step";

class Workload {
 public:
  // UsageError for an unknown name. --B and --T are batch and context of gpt2_step.
  Workload(const std::string& name, const Args& args, DType dtype);
  ~Workload();

  Tensor step();  // forward, backward, update; the loss
  // The parameters as they are, and the batch as batch.x and batch.y. UnsupportedError where there is none.
  void save(const std::string& path) const;
  double flops = 0, tokens = 0;  // of a step; 0: unknown

 private:
  struct Model;
  struct TinyMlp;
  struct GptStep;
  std::unique_ptr<Model> model_;
};

// Records `steps` steps, prints the table of ops and writes `path` unless it is empty.
void trace_steps(Workload& w, int steps, const std::string& path, const Args& args);

}  // namespace fovea::cli
