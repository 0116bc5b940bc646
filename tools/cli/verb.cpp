#include "tools/cli/verb.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "autograd/ops/random.h"
#include "core/device.h"
#include "core/mode.h"
#include "core/parallel.h"

namespace fovea::cli {

std::string Option::key() const {
  std::string all = name;
  auto comma = all.find(',');
  return comma == all.npos ? all : all.substr(comma + 1);
}

bool Option::open() const { return !choices || std::string_view(choices).ends_with(" ..."); }

std::vector<std::string> Option::words() const {
  std::vector<std::string> out;
  std::istringstream in(choices ? choices : "");
  for (std::string word; in >> word;)
    if (word != "...") out.push_back(word);
  return out;
}

std::vector<Option> options_of(const Verb& verb) {
  static const std::vector<Option> kComputing = {
      {"--device", Option::text, "what computes: auto, cpu, ref, cuda[:n]", false, "auto cpu ref cuda ..."},
      kPlugins,
      {"--threads", Option::integer, "how many threads compute"},
      {"--seed", Option::integer, "of the random numbers"},
      {"--deterministic", Option::flag, "the same bits for any number of threads"},
  };
  std::vector<Option> all = verb.options;
  if (verb.computes) all.insert(all.end(), kComputing.begin(), kComputing.end());
  all.push_back({"--json", Option::flag, "one JSON object a line on stdout, nothing else"});
  return all;
}

std::string Args::text(const std::string& name, const std::string& otherwise) const {
  auto at = values.find(name);
  return at == values.end() || at->second.empty() ? otherwise : at->second[0];
}

const std::vector<std::string>& Args::texts(const std::string& name) const {
  static const std::vector<std::string> kNone;
  auto at = values.find(name);
  return at == values.end() ? kNone : at->second;
}

int64_t Args::integer(const std::string& name, int64_t otherwise, int64_t least) const {
  if (!has(name)) return otherwise;
  std::string t = text(name);
  char* end = nullptr;
  errno = 0;
  long long v = std::strtoll(t.c_str(), &end, 10);
  if (t.empty() || *end || errno) throw UsageError(name + " is '" + t + "' (expected an integer)");
  if (v < least) throw UsageError(name + " is " + t + " (expected " + std::to_string(least) + " or more)");
  return v;
}

double Args::real(const std::string& name, double otherwise) const {
  if (!has(name)) return otherwise;
  std::string t = text(name);
  char* end = nullptr;
  double v = std::strtod(t.c_str(), &end);
  if (t.empty() || *end || !std::isfinite(v)) throw UsageError(name + " is '" + t + "' (expected a number)");
  return v;
}

void refuse(const Args& args, std::initializer_list<const char*> names, const std::string& why) {
  for (const char* name : names)
    if (args.has(name)) throw UsageError(std::string(name) + " " + why);
}

void set_up(const Args& args) {
  // The program's own lines would tell its user nothing.
  static constexpr std::source_location kNoLine;
  state().where = &kNoLine;
  for (const std::string& path : args.texts("--plugin")) load_plugin(path);
  std::string name = args.text("--device", "auto");
  if (name != "auto") set_default_device(device(name));
  if (args.has("--threads")) {
    int64_t n = args.integer("--threads", 1);
    if (n < 1 || n > 4096) throw UsageError("--threads is " + std::to_string(n) + " (expected 1 to 4096)");
    set_thread_count(int(n));
  }
  if (args.has("--seed")) {
    manual_seed(uint64_t(args.integer("--seed", 0, 0)));
  }
  if (args.has("--deterministic")) state().mode |= kDeterministic;
}

void print_line(const std::string& text) {
  if (std::printf("%s\n", text.c_str()) < 0 || std::fflush(stdout) != 0)
    throw FileError(std::string("stdout: cannot be written: ") + std::strerror(errno));
}
void print_json(const io::Json& j) { print_line(j.dump()); }
void note(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

}  // namespace fovea::cli
