// info: what a model is made of and what it costs, without making it.
#include <fmt/core.h>

#include "models/plan.h"
#include "tools/cli/lm_model.h"
#include "tools/cli/verbs.h"

namespace fovea::cli {
namespace {

using io::Json;

// 124439808 -> 124,439,808
std::string grouped(int64_t n) {
  std::string s = std::to_string(n);
  for (size_t at = s.size(); at > 3;) s.insert(at -= 3, ",");
  return s;
}

std::string flops_text(double f) {
  const char* unit = "";
  for (const char* larger : {"k", "M", "G", "T", "P", "E"}) {
    if (f < 1000) break;
    f /= 1000;
    unit = larger;
  }
  return fmt::format("{:.4g} {}flop", f, unit);
}

// Parameters that a module and those below it made.
int64_t parameters_below(const nn::NamedParameters& all, const std::string& path) {
  int64_t n = 0;
  for (auto& [name, p] : all)
    if (path.empty() || name.rfind(path + ".", 0) == 0) n += p->value().numel();
  return n;
}

struct Walk {
  const Gpt& model;
  nn::NamedParameters parameters = model.named_parameters();

  // Calls visit(module, path, depth) from the root on; modules without a name are their parent's.
  template <class Visit> void each(const nn::ModuleBase& m, const std::string& path, int depth, Visit&& visit) const {
    visit(m, path, depth);
    for (const nn::ModuleBase* child : m.children()) {
      bool named = !child->name().empty();
      std::string below = named ? (path.empty() ? "" : path + ".") + child->name() : path;
      if (named) each(*child, below, depth + 1, visit);
      else
        for (const nn::ModuleBase* inner : child->children())
          each(*inner, (below.empty() ? "" : below + ".") + inner->name(), depth + 1, visit);
    }
  }
  std::string shapes(const std::string& path) const {
    std::string out;
    for (auto& [name, p] : parameters)
      if (auto dot = name.rfind('.'); dot != name.npos && name.substr(0, dot) == path)
        out += (out.empty() ? "" : ", ") + name.substr(dot + 1) + " " + to_string(p->value().shape());
    return out;
  }
};

void print_params(const Walk& w) {
  w.each(w.model, "", 0, [&](const nn::ModuleBase&, const std::string& path, int depth) {
    int64_t n = parameters_below(w.parameters, path);
    if (n == 0 || depth == 0) return;
    print_line(fmt::format("{:>15}  {:{}}{}{}", grouped(n), "", 2 * (depth - 1), path,
                           path == "tok" && w.model.config().tie_head ? "  (the head, too)" : ""));
  });
  print_line(fmt::format("{:>15}  in all", grouped(w.model.num_parameters())));
}

void print_tree(const Walk& w) {
  w.each(w.model, "", 0, [&](const nn::ModuleBase& m, const std::string& path, int depth) {
    std::string shapes = w.shapes(path);
    print_line(fmt::format("{:{}}{} {}{}", "", 2 * depth, path.empty() ? "gpt" : m.name(), m.type_name(),
                           shapes.empty() ? "" : "  " + shapes));
  });
}

void print_dot(const Walk& w) {
  print_line("digraph model {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\", fontsize=10];");
  w.each(w.model, "", 0, [&](const nn::ModuleBase& m, const std::string& path, int) {
    auto dot = path.rfind('.');
    print_line(fmt::format("  \"{}\" [label=\"{}\\n{}\\n{}\"];", path, path.empty() ? "gpt" : m.name(), m.type_name(),
                           grouped(parameters_below(w.parameters, path))));
    if (!path.empty())
      print_line(fmt::format("  \"{}\" -> \"{}\";", dot == path.npos ? "" : path.substr(0, dot), path));
  });
  print_line("}");
}

int run_info(const Args& args) {
  if (args.json()) refuse(args, {"--tree", "--dot"}, "is drawn for people (expected --params beside --json)");
  LmShape s = lm_shape(args.text("MODEL"), args);
  GptConfig shape = GptConfig::from(s.config.model, s.vocab);
  nn::ShapesOnly no_data;
  Gpt model(shape);
  Walk walk{model};
  DType dtype = dtype_named(args.text("--dtype", s.config.train.dtype));
  int64_t batch = s.config.train.batch, context = shape.context;
  bool all = !args.has("--params") && !args.has("--flops") && !args.has("--memory") && !args.has("--tree") &&
             !args.has("--dot");
  Json j{Json::Object{}};
  j.set("model", s.name);
  j.set("parameters", model.num_parameters());
  if (all) {
    j.set("config", to_json(s.config)["model"]);
    j.set("vocab", s.vocab);
    if (!args.json())
      print_line(fmt::format("{}: {} parameters\n{} layers of width {}, {} heads, context {}, vocabulary {}{}", s.name,
                             grouped(model.num_parameters()), shape.layers, shape.dim, shape.heads, context, s.vocab,
                             shape.window > 0 ? fmt::format(", window {}", shape.window) : ""));
  }
  if (args.has("--params")) {
    if (!args.json()) print_params(walk);
    Json modules{Json::Object{}};
    walk.each(model, "", 0, [&](const nn::ModuleBase&, const std::string& path, int) {
      if (int64_t n = parameters_below(walk.parameters, path); n > 0 && !path.empty()) modules.set(path, n);
    });
    j.set("modules", modules);
  }
  if (args.has("--tree") && !args.json()) print_tree(walk);
  if (args.has("--dot") && !args.json()) print_dot(walk);
  if (args.has("--flops") || all) {
    FlopsPlan plan = plan_flops(model, context);
    double step = plan.training() * double(batch * context);
    Json flops{Json::Object{}};
    flops.set("matmul_parameters", matmul_parameters(model));
    flops.set("forward_per_token", plan.forward);
    flops.set("attention_per_token", plan.attention);
    flops.set("training_per_token", plan.training());
    flops.set("training_step", step);
    j.set("flops", flops);
    if (!args.json())
      print_line(
          fmt::format("forward {} a token at context {}, {:.1f} % of it attention; training {} a token, {} a step "
                      "of {} x {}",
                      flops_text(plan.forward), context, 100 * plan.attention / plan.forward,
                      flops_text(plan.training()), flops_text(step), batch, context));
  }
  if (args.has("--memory") || all) {
    MemoryPlan plan = plan_training(shape, batch, context, dtype);
    Json memory{Json::Object{}};
    memory.set("weights", plan.weights);
    memory.set("gradients", plan.gradients);
    memory.set("optimizer", plan.optimizer);
    memory.set("activations", plan.activations());
    memory.set("training_peak", plan.peak);
    memory.set("training_reserved", plan.reserved);
    memory.set("kv_cache", kv_cache_bytes(shape, dtype));
    j.set("memory", memory);
    if (!args.json())
      print_line(
          fmt::format("weights {} ({}), gradients {}, optimizer {}, activations {} at {} x {}: a training step "
                      "peaks at {} and asks the system for {}; a full KV cache takes {}",
                      bytes_text(double(plan.weights)), name_of(dtype), bytes_text(double(plan.gradients)),
                      bytes_text(double(plan.optimizer)), bytes_text(double(plan.activations())), batch, context,
                      bytes_text(double(plan.peak)), bytes_text(double(plan.reserved)),
                      bytes_text(double(kv_cache_bytes(shape, dtype)))));
  }
  if (args.json()) print_json(j);
  return 0;
}

}  // namespace

const Verb kInfo = {"info",
                    "what a model is made of and what it costs",
                    {{"MODEL", Option::file, "a checkpoint, a config.json, or gpt2-small, -medium, -large, -xl", true},
                     {"--params", Option::flag, "parameters by module"},
                     {"--flops", Option::flag, "operations per token and step"},
                     {"--memory", Option::flag, "planned peak memory of a training step"},
                     {"--tree", Option::flag, "the tree of modules, with shapes"},
                     {"--dot", Option::flag, "the same for graphviz"},
                     kSet,
                     kVocab,
                     {"--dtype", Option::text, "of the plan: f32, bf16, f16 or f64", false, kDTypes}},
                    false,
                    run_info};

}  // namespace fovea::cli
