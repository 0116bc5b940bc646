// gradcheck: op rules against exact derivatives. Exit status: 0 pass, 1 fail, 4 too noisy, 3 non-smooth; the worst
// wins.
#include <fmt/core.h>

#include <chrono>
#include <cmath>

#include "autograd/proof/check.h"
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

// JSON has no NaN: such a number is null.
Json number(double v) { return std::isfinite(v) ? Json(v) : Json(); }

Json json_of(const proof::Report& r) {
  Json::Array index;
  for (int64_t i : r.worst.index) index.emplace_back(i);
  Json worst{Json::Object{}};
  worst.set("input", r.worst.input >= 0 ? Json(r.worst.input) : Json());
  worst.set("index", index);
  worst.set("order", r.worst.order);
  worst.set("analytic", number(r.worst.analytic));
  worst.set("oracle", number(r.worst.oracle));
  worst.set("error", number(r.worst.error));
  Json j{Json::Object{}};
  j.set("op", r.op);
  j.set("verdict", proof::name_of(r.verdict));
  j.set("order", r.order);
  j.set("worst", worst);
  j.set("detects_single_entry_above", number(r.limit));
  j.set("repro", r.repro);
  j.set("sample", r.sample);
  j.set("samples", r.checked);
  if (!r.detail.empty()) j.set("detail", r.detail);
  return j;
}

int run_gradcheck(const Args& args) {
  if (args.has("--op") == args.has("--all")) throw UsageError("--op NAME or --all is required, one of them");
  int64_t order = args.integer("--order", 1);
  if (order != 1 && order != 2) throw UsageError("--order is " + std::to_string(order) + " (expected 1 or 2)");
  double budget = args.has("--budget") ? seconds_of(args.text("--budget")) : INFINITY;

  std::vector<int> ids;
  if (args.has("--op")) {
    ids = {op_named(args.text("--op"))};
    if (op_def(ids[0]).gradient == Gradient::not_differentiable)
      throw UsageError(args.text("--op") + " has no gradient to check: its results are integers or booleans");
  } else {
    for (int id : all_ops())
      if (op_def(id).gradient != Gradient::not_differentiable) ids.push_back(id);
  }
  auto begin = std::chrono::steady_clock::now();
  proof::Verdict worst = proof::Verdict::pass;
  size_t done = 0;
  for (int id : ids) {
    double spent = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (done > 0 && spent > budget) {
      note(fmt::format("the budget of {} is spent: {} of {} ops are not checked", args.text("--budget"),
                       ids.size() - done, ids.size()));
      break;
    }
    if (proof::samples_of(id).empty()) {
      note(std::string(row(id).name) + ": not checked, it has no samples");
    } else {
      proof::Report r = proof::check_op(id, {.order = int(order)});
      worst = std::max(worst, r.verdict);
      if (args.json()) print_json(json_of(r));
      else print_line(r.to_string());
    }
    done++;
  }
  if (!args.json() && ids.size() > 1) note(fmt::format("{} ops, {}", done, proof::name_of(worst)));
  return proof::exit_code(worst);
}

}  // namespace

const Verb kGradcheck = {"gradcheck",
                         "the gradients of ops against exact derivatives",
                         {{"--op", Option::text, "which op"},
                          {"--all", Option::flag, "every op that has a gradient"},
                          {"--order", Option::text, "1: gradients; 2: gradients of gradients too (1)", false, "1 2"},
                          {"--budget", Option::text, "stop when this much time is spent: 60s, 2m"}},
                         true,
                         run_gradcheck};

}  // namespace fovea::cli
