// gradcheck: op rules, and whole models, against exact derivatives. Exit status: 0 pass, 1 fail, 4 too noisy, 3
// non-smooth; the worst wins.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "autograd/ops/loss.h"
#include "autograd/ops/random.h"
#include "autograd/ops/view.h"
#include "autograd/proof/check.h"
#include "autograd/proof/check_model.h"
#include "models/plan.h"
#include "tools/cli/lm_model.h"
#include "tools/cli/ops.h"
#include "tools/cli/verbs.h"

namespace fovea::cli {
namespace {

using io::Json;

// "90", "60s", "2m" in seconds.
double seconds_of(const std::string& text) {
  char* end = nullptr;
  double v = std::strtod(text.c_str(), &end);
  std::string unit = end;
  if (text.empty() || end == text.c_str() || !(v > 0) || !std::isfinite(v) ||
      !(unit == "" || unit == "s" || unit == "m"))
    throw UsageError("--budget is '" + text + "' (expected a time, like 60s or 2m)");
  return unit == "m" ? 60 * v : v;
}

Json::Array list_of(const std::vector<int64_t>& index) { return Json::Array(index.begin(), index.end()); }

// What reports of ops and of models have in common.
Json json_of(const char* kind, const std::string& name, const char* verdict, int order, Json worst, double limit,
             const std::string& repro, const std::string& detail) {
  Json j{Json::Object{}};
  j.set(kind, name);
  j.set("verdict", verdict);
  j.set("order", order);
  j.set("worst", std::move(worst));
  j.set("detects_single_entry_above", finite(limit));
  j.set("repro", repro);
  if (!detail.empty()) j.set("detail", detail);
  return j;
}

Json worst_of(Json input, int order, const std::vector<int64_t>& index, double analytic, double oracle, double error) {
  return Json::Object{{"input", std::move(input)},    {"index", list_of(index)},  {"order", order},
                      {"analytic", finite(analytic)}, {"oracle", finite(oracle)}, {"error", finite(error)}};
}

// The node of a model that is to blame.
Json json_of(const proof::NodeReport& n) {
  Json j{Json::Object{{"op", n.op}, {"where", n.where}, {"module", n.module}, {"detail", n.detail}}};
  if (n.cause != proof::Cause::none) j.set("cause", proof::name_of(n.cause));
  j.set("worst", worst_of(n.input >= 0 ? Json(n.input) : Json(), 1, n.index, n.analytic, n.oracle, n.error));
  return j;
}

// Time that may be spent; the first of all checks runs anyway.
class Budget {
 public:
  explicit Budget(const Args& args)
      : seconds_(args.has("--budget") ? seconds_of(args.text("--budget")) : INFINITY), begin_(Clock::now()) {}
  bool given() const { return std::isfinite(seconds_); }
  bool spent() const { return std::chrono::duration<double>(Clock::now() - begin_).count() > seconds_; }

 private:
  using Clock = std::chrono::steady_clock;
  double seconds_;
  Clock::time_point begin_;
};

// "[2,3][3][]" as shapes.
std::vector<Shape> shapes_of(const std::string& text) {
  std::vector<Shape> shapes;
  const char* p = text.c_str();
  auto fail = [&] { throw UsageError("--shapes is '" + text + "' (expected one for each input, like [2,3][3])"); };
  while (*p) {
    if (*p == ' ') p++;
    if (*p++ != '[') fail();
    Shape& s = shapes.emplace_back();
    while (*p && *p != ']') {
      char* end = nullptr;
      const long long n = std::strtoll(p, &end, 10);
      if (end == p || n < 0 || s.rank == kMaxRank) fail();
      s.push_back(n);
      p = *end == ',' ? end + 1 : end;
    }
    if (*p++ != ']') fail();
  }
  return shapes;
}

// What --op, --sample and --shapes say.
proof::Report check_named(const Args& args, const std::string& name, const proof::CheckOptions& o) {
  if (!args.has("--sample")) return proof::check_op(name, o);
  for (const proof::Sample* s : proof::samples_of(name))
    if (s->number() == args.integer("--sample", 0))
      return proof::check(args.has("--shapes") ? s->shaped(shapes_of(args.text("--shapes"))) : *s, o);
  throw UsageError(fmt::format("{} has no sample {} (expected 1 to {})", name, args.integer("--sample", 0),
                               proof::samples_of(name).size()));
}

int check_ops(const Args& args, int order, const Budget& budget) {
  std::vector<std::string> names, functions = proof::sampled_functions();  // functions made of ops have no row
  if (args.has("--op")) {
    const std::string name = args.text("--op");
    const bool function = std::find(functions.begin(), functions.end(), name) != functions.end();
    if (!function && op_def(op_named(name)).gradient == Gradient::not_differentiable)
      throw UsageError(name + " has no gradient to check: its results are integers or booleans");
    names = {name};
  } else {
    for (int id : all_ops())
      if (op_def(id).gradient != Gradient::not_differentiable) names.emplace_back(row(id).name);
    names.insert(names.end(), functions.begin(), functions.end());
  }
  proof::Verdict worst = proof::Verdict::pass;
  size_t done = 0;
  for (const std::string& name : names) {
    if (done > 0 && budget.spent()) {
      note(fmt::format("the budget of {} is spent: {} of {} ops are not checked", args.text("--budget"),
                       names.size() - done, names.size()));
      break;
    }
    if (proof::samples_of(name).empty()) {
      note(name + ": not checked, it has no samples");
    } else {
      proof::Report r = check_named(args, name, {.order = order});
      worst = std::max(worst, r.verdict);
      for (const std::string& file : args.texts("--plugin")) r.repro += " --plugin " + file;
      if (args.json()) {
        Json input = r.worst.input >= 0 ? Json(r.worst.input) : Json();
        Json j = json_of("op", r.op, proof::name_of(r.verdict), r.order,
                         worst_of(input, r.worst.order, r.worst.index, r.worst.analytic, r.worst.oracle, r.worst.error),
                         r.limit, r.repro, r.detail);
        j.set("sample", r.sample);
        j.set("samples", r.checked);
        if (r.cause != proof::Cause::none) j.set("cause", proof::name_of(r.cause));
        print_json(j);
      } else {
        print_line(r.to_string());
      }
    }
    done++;
  }
  if (!args.json() && names.size() > 1) note(fmt::format("{} ops, {}", done, proof::name_of(worst)));
  return proof::exit_code(worst);
}

// A language model's loss on random text, by every parameter. Within a budget, on text after text.
int check_language_model(const Args& args, const Budget& budget) {
  LmShape s = lm_shape(args.text("--model"), args);
  GptConfig config = GptConfig::from(s.config.model, s.vocab);
  // Twice the numbers in f64, and duals are two numbers; the checker keeps three lists of its own.
  double needed = 4.0 * double(plan_training(config, 2, config.context, f64).peak);
  if (needed > double(available_memory()))
    throw MemoryError(
        fmt::format("gradcheck: {}: the check would take about {} of memory, and there are {}. Check a "
                    "smaller model of the same kind: --set model.dim=..., --set model.layers=...",
                    s.name, bytes_text(needed), bytes_text(double(available_memory()))));
  std::unique_ptr<Gpt> net = s.weights ? load_lm(s.name, "f64").net : std::make_unique<Gpt>(config);
  std::string repro = "fovea gradcheck --model " + s.name;
  for (const char* option : {"--set", "--vocab", "--plugin", "--device", "--seed", "--budget"})
    for (const std::string& value : args.texts(option)) repro += std::string(" ") + option + " " + value;
  proof::ModelReport worst;
  int64_t texts = 0;
  do {
    Tensor ids = randint(0, s.vocab, {2, config.context + 1});
    Tensor x = narrow(ids, 1, 0, config.context), y = flatten(narrow(ids, 1, 1, config.context));
    proof::ModelReport r = proof::check(*net, [&] { return cross_entropy(flatten((*net)(x), 0, 1), y); });
    if (texts++ == 0 || r.verdict > worst.verdict || (r.verdict == worst.verdict && r.error > worst.error)) worst = r;
  } while (budget.given() && !budget.spent() && worst.verdict == proof::Verdict::pass);
  if (args.json()) {
    Json parameter = worst.parameter.empty() ? Json() : Json(worst.parameter);
    Json j = json_of("model", s.name, proof::name_of(worst.verdict), 1,
                     worst_of(parameter, 1, worst.index, worst.analytic, worst.oracle, worst.error), worst.limit, repro,
                     worst.detail);
    j.set("parameters", net->num_parameters());
    j.set("nodes", worst.nodes);
    if (!worst.node.op.empty()) j.set("node", json_of(worst.node));
    j.set("unreached", Json::Array(worst.unreached.begin(), worst.unreached.end()));
    j.set("texts", texts);
    print_json(j);
  } else {
    print_line(s.name + ": " + worst.to_string() + (worst.verdict == proof::Verdict::pass ? "" : ". " + repro));
  }
  return proof::exit_code(worst.verdict);
}

int run_gradcheck(const Args& args) {
  if (args.has("--op") + args.has("--all") + args.has("--model") != 1)
    throw UsageError("--op NAME, --all or --model CONFIG is required, one of them");
  if (args.has("--sample") && !args.has("--op")) throw UsageError("--sample is for --op");
  if (args.has("--shapes") && !args.has("--sample")) throw UsageError("--shapes is for --sample");
  if (!args.has("--model")) {
    refuse(args, {"--set", "--vocab"}, "is for --model");
    return check_ops(args, args.text("--order") == "2" ? 2 : 1, Budget(args));
  }
  if (args.text("--order") == "2")
    throw UsageError("--order 2 is for ops (a model's gradients are checked to order 1)");
  return check_language_model(args, Budget(args));
}

}  // namespace

const Verb kGradcheck = {
    "gradcheck",
    "the gradients of ops, or of a model, against exact derivatives",
    {{"--op", Option::text, "which op"},
     {"--sample", Option::integer, "of --op: only its sample of this number"},
     {"--shapes", Option::text, "of --sample: other shapes for its inputs, like [2,3][3]"},
     {"--all", Option::flag, "every op that has a gradient"},
     {"--model", Option::file, "a config.json or a checkpoint: all parameters, on random text"},
     kSet,
     kVocab,
     {"--order", Option::text, "1: gradients; 2: gradients of gradients too (1)", false, "1 2"},
     {"--budget", Option::text, "stop when this much time is spent: 60s, 2m; of --model: go on so long"}},
    true,
    run_gradcheck};

}  // namespace fovea::cli
