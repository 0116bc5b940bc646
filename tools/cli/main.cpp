// The `fovea` program: a table of verbs becomes a command line. The only file that knows CLI11.
#include <fcntl.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <sstream>

#include "core/edit_distance.h"
#include "tools/cli/verbs.h"

using namespace fovea;
using cli::Option, cli::Verb, cli::Args, cli::UsageError;

namespace {

// What CLI11 fills for one verb; it must stay where it is while parsing.
struct Parsed {
  const Verb* verb;
  CLI::App* app;
  std::vector<Option> options;
  std::map<std::string, std::vector<std::string>> lists;
  std::map<std::string, std::string> texts;
  std::map<std::string, bool> flags;
};

const char* type_name(const Option& o) {
  switch (o.kind) {
    case Option::integer: return "N";
    case Option::real: return "X";
    case Option::file:
    case Option::output:
    case Option::files: return "FILE";
    default: return "TEXT";
  }
}

void add(Parsed& p, const Option& o) {
  std::string key = o.key();
  if (o.kind == Option::flag) {
    p.app->add_flag(o.name, p.flags[key], o.help);
    return;
  }
  bool named = o.name[0] == '-';
  CLI::Option* made =
      o.many() ? p.app->add_option(o.name, p.lists[key], o.help) : p.app->add_option(o.name, p.texts[key], o.help);
  if (o.many() && named)
    made->expected(1)->allow_extra_args(false)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  made->type_name(named ? type_name(o) : "");
  if (o.required) made->required();
}

// `train lm` of the whole command line.
std::string verb_name(const CLI::App& app) {
  std::string name;
  for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
    at = at->get_subcommands()[0];
    name += (name.empty() ? "" : " ") + at->get_name();
  }
  return name;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); i++) text += (i == 0 ? "" : i + 1 < words.size() ? ", " : " or ") + words[i];
  return text;
}

std::string meant(const std::string& word, const std::vector<std::string>& known) {
  std::vector<std::string_view> views(known.begin(), known.end());
  std::string_view best = text::nearest(word, views);
  return best.empty() ? "" : "; did you mean " + std::string(best) + "?";
}

// What CLI11 says about a wrong command line, in words that name the way out.
std::string complaint(CLI::App& app, const CLI::ParseError& e) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands()[0];
  std::string name = verb_name(app), help = ". See fovea " + name + (name.empty() ? "" : " ") + "--help";
  std::vector<std::string> verbs, options;
  for (const CLI::App* sub : at->get_subcommands([](const CLI::App*) { return true; }))
    verbs.push_back(sub->get_name());
  for (const CLI::Option* o : at->get_options())
    for (const std::string& word : o->get_lnames()) options.push_back("--" + word);
  std::vector<std::string> rest = app.remaining(true);
  std::string of = name.empty() ? "" : " of " + name;
  if (!rest.empty() && rest[0].size() > 1 && rest[0][0] == '-') {
    std::string word = rest[0].substr(0, rest[0].find('='));
    return "unknown option " + word + of + (meant(word, options).empty() ? help : meant(word, options));
  }
  if (!rest.empty() && !verbs.empty())
    return "unknown verb '" + rest[0] + "'" + of + " (expected " + joined(verbs) + ")" + meant(rest[0], verbs);
  if (!rest.empty()) return "'" + rest[0] + "' is more than " + name + " takes" + help;
  if (!verbs.empty()) return name + (name.empty() ? "" : ": ") + "a verb is missing (expected " + joined(verbs) + ")";
  std::string text = e.what();
  if (auto colon = text.find(": At Most 1 required "); colon != text.npos)
    return name + ": " + text.substr(0, colon) + " is there more than once" + help;
  if (auto colon = text.find(": 1 required "); colon != text.npos)
    text = text.substr(0, colon) + (text.ends_with(" missing") ? " has no value" : " is there more than once");
  return name + ": " + text + help;
}

void check_choices(const Parsed& p, const Args& args) {
  for (const Option& o : p.options) {
    if (o.open() || o.many()) continue;
    std::vector<std::string> words = o.words();
    std::string key = o.key(), value = args.text(key);
    if (args.has(key) && std::find(words.begin(), words.end(), value) == words.end())
      throw UsageError(key + " is '" + value + "' (expected " + joined(words) + ")" + meant(value, words));
  }
}

// "-" in the place of a file. FILES are read as they are, and know it themselves.
void take_dashes(const Parsed& p, Args& args) {
  for (const Option& o : p.options) {
    std::string key = o.key();
    if (args.text(key) != "-") continue;
    if (o.kind == Option::file) args.values[key] = {cli::standard_input()};
    else if (o.kind == Option::output && !o.dash)
      throw UsageError(key + " is - (expected a name: standard output is for results)");
  }
}

int run(int argc, char** argv) {
  CLI::App app("An autograd framework: train, check, use and inspect models.", "fovea");
  app.require_subcommand(1);
  app.set_version_flag("--version", "fovea " FOVEA_VERSION, "which version this is");
  std::vector<std::unique_ptr<Parsed>> all;
  std::map<std::string, CLI::App*> groups;
  for (const Verb* v : cli::kVerbs) {
    std::string name = v->name, group;
    CLI::App* parent = &app;
    if (auto blank = name.find(' '); blank != name.npos) {
      group = name.substr(0, blank);
      name.erase(0, blank + 1);
      auto itself = std::find_if(all.begin(), all.end(), [&](auto& p) { return group == p->verb->name; });
      if (itself != all.end()) {  // like trace: the second word is optional
        parent = (*itself)->app;
      } else {
        if (!groups[group]) {
          groups[group] = app.add_subcommand(group, "");
          groups[group]->require_subcommand(1);
        }
        parent = groups[group];
        parent->description(parent->get_description() + (parent->get_description().empty() ? "" : ", ") + name);
      }
    }
    auto p = std::make_unique<Parsed>();
    p->verb = v;
    p->app = parent->add_subcommand(name, v->help);
    p->options = options_of(*v);
    for (const Option& o : p->options) add(*p, o);
    all.push_back(std::move(p));
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    std::ostringstream help, none;
    app.exit(e, help, none);
    std::string text = help.str();
    while (text.ends_with('\n')) text.pop_back();
    cli::print_line(text);
    return 0;
  } catch (const CLI::ParseError& e) {
    throw UsageError(complaint(app, e));
  }
  for (auto& p : all) {
    if (!p->app->parsed() || !p->app->get_subcommands().empty()) continue;
    Args args;
    for (auto& [key, values] : p->lists)
      if (!values.empty()) args.values[key] = values;
    for (auto& [name, value] : p->texts)
      if (auto* option = p->app->get_option_no_throw(name); option && option->count() > 0) args.values[name] = {value};
    for (auto& [key, on] : p->flags)
      if (on) args.values[key] = {};
    check_choices(*p, args);
    cli::check_keys(args);
    take_dashes(*p, args);
    cli::set_up(args);
    return p->verb->run(args);
  }
  return 2;
}

}  // namespace

// A file must not get the number of a standard stream that its caller closed: what is said would be written into it.
// What goes to a closed standard output still is an error.
void keep_standard_streams() {
  for (int fd : {0, 1, 2})
    if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", fd == 2 ? O_WRONLY : O_RDONLY);
}

int main(int argc, char** argv) {
  keep_standard_streams();
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the write, which says so in one line
  try {
    return run(argc, argv);
  } catch (const UsageError& e) {
    report(UsageError(cli::told(e.what())));
    return 2;
  } catch (const std::bad_alloc&) {
    return report(MemoryError("out of memory"));
  } catch (const std::exception& e) {
    return report(Error(cli::told(e.what())));
  }
}
