// The `fovea` program: a table of verbs becomes a command line. The only file that knows CLI11.
#include <CLI/CLI.hpp>

#include "tools/cli/verbs.h"

using namespace fovea;
using cli::Option, cli::Verb, cli::Args;

namespace {

const Verb* const kVerbs[] = {&cli::kVersion,  &cli::kDevices,    &cli::kTrainLm,  &cli::kGenerate, &cli::kCkptLs,
                              &cli::kCkptShow, &cli::kCkptVerify, &cli::kCkptDiff, &cli::kBench};

const std::vector<Option> kComputing = {
    {"--device", Option::text, "auto, cpu, ref, cuda[:n]"},
    {"--plugin", Option::texts, "a shared library of kernels or ops"},
    {"--threads", Option::integer, "how many threads compute"},
    {"--seed", Option::integer, "of the random numbers"},
    {"--deterministic", Option::flag, "the same bits for any number of threads"},
};

// What CLI11 fills for one verb; it must stay where it is while parsing.
struct Parsed {
  const Verb* verb;
  CLI::App* app;
  std::map<std::string, std::vector<std::string>> lists;
  std::map<std::string, std::string> texts;
  std::map<std::string, bool> flags;
};

std::string key_of(const std::string& name) {
  auto comma = name.find(',');
  return comma == name.npos ? name : name.substr(comma + 1);
}

void add(Parsed& p, const Option& o) {
  std::string key = key_of(o.name);
  if (o.kind == Option::flag) {
    p.app->add_flag(o.name, p.flags[key], o.help);
    return;
  }
  CLI::Option* made = o.kind == Option::texts ? p.app->add_option(o.name, p.lists[key], o.help)
                                              : p.app->add_option(o.name, p.texts[key], o.help);
  if (o.kind == Option::texts && o.name[0] == '-')
    made->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  made->type_name(o.kind == Option::integer ? "N" : o.kind == Option::real ? "X" : "TEXT");
  if (o.required) made->required();
}

int run(int argc, char** argv) {
  CLI::App app("An autograd framework: train, check, use and inspect models.", "fovea");
  app.require_subcommand(1);
  std::vector<std::unique_ptr<Parsed>> all;
  std::map<std::string, CLI::App*> groups;
  for (const Verb* v : kVerbs) {
    std::string name = v->name, group;
    CLI::App* parent = &app;
    if (auto blank = name.find(' '); blank != name.npos) {
      group = name.substr(0, blank);
      name.erase(0, blank + 1);
      if (!groups[group]) {
        groups[group] = app.add_subcommand(group, "");
        groups[group]->require_subcommand(1);
      }
      parent = groups[group];
      parent->description(parent->get_description() + (parent->get_description().empty() ? "" : ", ") + name);
    }
    auto p = std::make_unique<Parsed>();
    p->verb = v;
    p->app = parent->add_subcommand(name, v->help);
    for (const Option& o : v->options) add(*p, o);
    if (v->computes)
      for (const Option& o : kComputing) add(*p, o);
    add(*p, {"--json", Option::flag, "one JSON object a line on stdout, nothing else"});
    all.push_back(std::move(p));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) return app.exit(e);  // help
    std::fprintf(stderr, "error: %s. See fovea --help\n", e.what());
    return 2;
  }
  for (auto& p : all) {
    if (!p->app->parsed()) continue;
    Args args;
    for (auto& [key, values] : p->lists)
      if (!values.empty()) args.values[key] = values;
    for (auto& [name, value] : p->texts)
      if (auto* option = p->app->get_option_no_throw(name); option && option->count() > 0) args.values[name] = {value};
    for (auto& [key, on] : p->flags)
      if (on) args.values[key] = {};
    if (p->verb->computes) cli::set_up(args);
    return p->verb->run(args);
  }
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const cli::UsageError& e) {
    std::fprintf(stderr, "error: %s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    return report(e);
  }
}
