#include "tools/cli/workload.h"

#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "models/gpt.h"
#include "nn/io/safetensors.h"
#include "nn/optim/adamw.h"
#include "nn/sequential.h"
#include "tools/cli/trace_file.h"

namespace fovea::cli {

struct Workload::Model {
  virtual ~Model() = default;
  virtual Tensor step() = 0;
  virtual io::Safetensors content() const { throw UsageError("--losses is for the GPTs"); }
};

struct Workload::TinyMlp : Model {
  struct Layers : nn::Module<Layers> {
    nn::List<nn::Linear> layers{this, "layers", 8, 16, 16};
    Tensor forward(Tensor x) {
      for (auto& layer : layers) x = relu(layer(x));
      return x;
    }
  };
  Layers model;
  optim::AdamW adam;
  Tensor x;
  explicit TinyMlp(DType dtype) : model(), adam((model.to(dtype), model)), x(randn({1, 16}).to(dtype)) {}
  Tensor step() override {
    adam.zero_grad();
    Tensor loss = mean(square(model(x)));
    loss.backward();
    adam.step();
    return loss;
  }
};

struct Workload::GptStep : Model {
  Gpt model;
  optim::AdamW adam;
  Tensor x, y;
  GptStep(const GptConfig& c, int64_t B, int64_t T, DType dtype)
      : model(c), adam((model.to(dtype), model), {.lr = 3e-4, .weight_decay = 0.1, .decay_all = true}) {
    Tensor ids = randint(0, c.vocab, {2, B, T}).to(i32);
    x = contiguous(select(ids, 0, 0)), y = flatten(select(ids, 0, 1));
  }
  Tensor step() override {
    Tensor loss = cross_entropy(flatten(model(x), 0, 1), y);
    loss.backward();
    adam.step();
    adam.zero_grad();
    return loss;
  }
  io::Safetensors content() const override {
    io::Safetensors all;
    for (auto& [name, p] : model.named_parameters()) all.arrays.emplace_back(name, p->value().array());
    all.arrays.emplace_back("batch.x", x.array());
    all.arrays.emplace_back("batch.y", y.array());
    return all;
  }
};

Workload::Workload(const std::string& name, const Args& args, DType dtype) {
  if (!args.has("--seed")) manual_seed(0);
  if (name != "gpt2_step") refuse(args, {"--B", "--T"}, "is for gpt2_step");
  if (name == "mlp_tiny") {
    model_ = std::make_unique<TinyMlp>(dtype);
    return;
  }
  GptConfig c;
  int64_t B = 12, T = 64;
  if (name == "chargpt_s") c = {.layers = 4, .dim = 128, .heads = 4, .context = 64, .vocab = 65};
  else if (name == "chargpt_m") c = {.layers = 6, .dim = 384, .heads = 6, .context = 256, .vocab = 65}, B = 16, T = 256;
  else if (name == "gpt2_step")
    c = gpt_preset("gpt2-small"), B = args.integer("--B", 4, 1), T = args.integer("--T", 512, 1);
  else throw UsageError("unknown workload '" + name + "' (expected one of " + kWorkloads + ")");
  model_ = std::make_unique<GptStep>(c, B, T, dtype);
  double L = double(c.layers), C = double(c.dim);
  tokens = double(B * T);  // causal attention counted once
  flops = tokens * (6 * (12 * L * C * C + double(c.vocab) * C) + 6 * L * C * double(T));
}
Workload::~Workload() = default;
Tensor Workload::step() { return model_->step(); }
void Workload::save(const std::string& path) const { io::write_safetensors(path, model_->content()); }

void trace_steps(Workload& w, int steps, const std::string& path, const Args& args) {
  OpTrace trace(path);
  for (int i = 0; i < (trace.keeps_results() ? 0 : 3); i++) w.step();  // times settle; results are those of the first
  {
    TraceScope scope(state(), trace);
    for (int i = 0; i < steps; i++) w.step();
  }
  trace.save();
  if (args.json())
    for (const io::Json& row : trace.rows()) print_json(row);
  else print_line(trace.table(steps));
}

}  // namespace fovea::cli
