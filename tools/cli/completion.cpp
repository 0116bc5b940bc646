// completion bash | zsh | fish: a script that completes verbs, options and their values, made from the table of verbs.
#include <fmt/format.h>

#include <map>

#include "models/config.h"
#include "tools/cli/verbs.h"

namespace fovea::cli {
namespace {

using Words = std::vector<std::string>;

std::string joined(const Words& words) { return fmt::format("{}", fmt::join(words, " ")); }

// "" -> version devices train ..., "train" -> lm
std::map<std::string, Words> verb_words() {
  std::map<std::string, Words> out;
  for (const Verb* v : kVerbs) {
    std::string name = v->name, group;
    if (auto blank = name.find(' '); blank != name.npos) {
      group = name.substr(0, blank);
      out[group].push_back(name.substr(blank + 1));
      name = group;
    }
    Words& top = out[""];
    if (top.empty() || top.back() != name) top.push_back(name);
  }
  return out;
}

Words keys() {
  Config config;
  Words out;
  for (const ConfigOption& o : config_options(config)) out.push_back(std::string(o.key) + "=");
  return out;
}

std::vector<Option> options(const Verb& v) {
  std::vector<Option> all = options_of(v);
  all.push_back({"-h,--help", Option::flag, "what it takes"});
  return all;
}

Words words_for(const Option& o) { return o.key() == "--set" ? keys() : o.words(); }
bool takes_files(const Option& o) {
  return o.kind == Option::file || o.kind == Option::files || o.kind == Option::output;
}

// bash and zsh share it: `verb` is what stands before, `previous` the word before this one; each shell has its own
// functions _fovea_words and _fovea_files.
std::string cases() {
  auto offer = [](const Words& words) { return "_fovea_words " + joined(words); };
  std::string out = "  case \"$verb $previous\" in\n";
  for (const Verb* v : kVerbs)
    for (const Option& o : options(*v)) {
      if (o.kind == Option::flag || o.name[0] != '-') continue;
      std::string name = o.name, pattern;
      for (size_t at = 0, end; at < name.size(); at = end + 1) {
        end = std::min(name.find(',', at), name.size());
        pattern += fmt::format("{}'{} {}'", pattern.empty() ? "" : "|", v->name, name.substr(at, end - at));
      }
      Words words = words_for(o);
      out += fmt::format("    {}) {}; return ;;\n", pattern,
                         takes_files(o)  ? "_fovea_files"
                         : words.empty() ? ":"
                                         : offer(words));
    }
  out += "  esac\n  case $verb in\n";
  for (auto& [group, words] : verb_words()) out += fmt::format("    '{}') {} ;;\n", group, offer(words));
  for (const Verb* v : kVerbs) {
    Words words, places;
    bool files = false;
    for (const Option& o : options(*v)) {
      if (o.name[0] == '-') words.push_back(o.key());
      else if (takes_files(o)) files = true;
      else
        for (const std::string& w : o.words()) places.push_back(w);
    }
    out += fmt::format("    '{}')\n      if [[ $current == -* ]]; then {}\n      else {}\n      fi ;;\n", v->name,
                       offer(words),
                       files            ? "_fovea_files"
                       : places.empty() ? ":"
                                        : offer(places));
  }
  return out + "  esac\n";
}

std::string groups_pattern() {
  Words groups;
  for (auto& [group, words] : verb_words())
    if (!group.empty()) groups.push_back(group);
  return fmt::format("{}", fmt::join(groups, "|"));
}

std::string bash() {
  return "# fovea: completion for bash. In ~/.bashrc: source <(fovea completion bash)\n"
         "_fovea_words() {\n"
         "  COMPREPLY=($(compgen -W \"$*\" -- \"$current\"))\n"
         "  [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace\n"
         "}\n"
         "_fovea_files() {\n"
         "  compopt -o filenames\n"
         "  mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
         "}\n"
         "_fovea() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} verb=\n"
         "  [[ $COMP_CWORD -gt 1 ]] && verb=${COMP_WORDS[1]}\n"
         "  case $verb in\n    " +
         groups_pattern() +
         ") [[ $COMP_CWORD -gt 2 ]] && verb+=\" ${COMP_WORDS[2]}\" ;;\n"
         "  esac\n"
         "  COMPREPLY=()\n" +
         cases() +
         "}\n"
         "complete -F _fovea fovea\n";
}

std::string zsh() {
  return "#compdef fovea\n"
         "# fovea: completion for zsh. In ~/.zshrc, behind compinit: source <(fovea completion zsh)\n"
         "_fovea_words() {\n"
         "  [[ $1 == *= ]] && compadd -S '' -- \"$@\" || compadd -- \"$@\"\n"
         "}\n"
         "_fovea_files() {\n"
         "  _files\n"
         "}\n"
         "_fovea() {\n"
         "  local current=${words[CURRENT]} previous=${words[CURRENT-1]} verb=\n"
         "  (( CURRENT > 2 )) && verb=${words[2]}\n"
         "  case $verb in\n    " +
         groups_pattern() +
         ") (( CURRENT > 3 )) && verb+=\" ${words[3]}\" ;;\n"
         "  esac\n" +
         cases() +
         "}\n"
         "compdef _fovea fovea\n";
}

std::string quoted(std::string text) {
  for (size_t at = 0; (at = text.find('\'', at)) != text.npos; at += 2) text.insert(at, "\\");
  return "'" + text + "'";
}

std::string fish() {
  std::string out =
      "# fovea: completion for fish. Once: fovea completion fish > ~/.config/fish/completions/fovea.fish\n"
      "function __fovea_verb --description 'do the words before this one begin with these?'\n"
      "  set -l before (commandline -opc)\n"
      "  set -e before[1]\n"
      "  string match -q -- \"$argv *\" \"$before \"\n"
      "end\n"
      "function __fovea_ends --description 'are these the words before this one?'\n"
      "  set -l before (commandline -opc)\n"
      "  set -e before[1]\n"
      "  test \"$before\" = \"$argv\"\n"
      "end\n"
      "complete -c fovea -f\n";
  for (auto& [group, words] : verb_words())
    out += fmt::format("complete -c fovea -n '__fovea_ends {}' -a '{}'\n", group, joined(words));
  for (const Verb* v : kVerbs)
    for (const Option& o : options(*v)) {
      std::string name = o.name;
      Words words = words_for(o);
      out += fmt::format("complete -c fovea -n '__fovea_verb {}'", v->name);
      if (name[0] == '-') {
        if (name[1] != '-') out += fmt::format(" -s {}", name[1]);
        out += fmt::format(" -l {}", o.key().substr(2));
        if (o.kind != Option::flag) out += takes_files(o) ? " -r" : " -x";
      }
      if (takes_files(o)) out += " -F";
      else if (!words.empty()) out += fmt::format(" -a '{}'", joined(words));
      out += " -d " + quoted(o.help) + "\n";
    }
  return out;
}

int run_completion(const Args& args) {
  std::string shell = args.text("SHELL"), script = shell == "bash" ? bash() : shell == "zsh" ? zsh() : fish();
  script.pop_back();
  print_line(script);
  return 0;
}

}  // namespace

const Verb kCompletion = {"completion",
                          "a script for your shell that completes verbs, options and values",
                          {{"SHELL", Option::text, "bash, zsh or fish", true, "bash zsh fish"}},
                          false,
                          run_completion,
                          false};

}  // namespace fovea::cli
