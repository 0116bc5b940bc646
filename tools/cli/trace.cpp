// trace: every op of some training steps, as a table and as a file for Chrome's trace viewer.
#include "models/config.h"
#include "tools/cli/verbs.h"
#include "tools/cli/workload.h"

namespace fovea::cli {
namespace {

int run_trace(const Args& args) {
  int64_t steps = args.integer("--steps", 1);
  if (steps < 1 || steps > 10000) throw UsageError("--steps is " + std::to_string(steps) + " (expected 1 to 10000)");
  Workload w(args.text("WORKLOAD"), args, dtype_named(args.text("--dtype", "f32")));
  trace_steps(w, int(steps), args.text("--out"), args);
  return 0;
}

}  // namespace

const Verb kTrace = {"trace",
                     "the ops of a training step: who ran them, how often, how long",
                     {{"WORKLOAD", Option::text, "which", true, kWorkloads},
                      {"-o,--out", Option::file, "a file in Chrome's trace-event format"},
                      {"--dtype", Option::text, "f32, bf16, f16 or f64", false, kDTypes},
                      {"--steps", Option::integer, "how many steps are recorded (1)"},
                      {"--B", Option::integer, "batch, of gpt2_step"},
                      {"--T", Option::integer, "context, of gpt2_step"}},
                     true,
                     run_trace};

}  // namespace fovea::cli
