#include "tools/cli/verb.h"

#include <unistd.h>

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
  if (verb.json) all.push_back({"--json", Option::flag, "one JSON object a line on stdout, nothing else"});
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

int64_t Args::integer(const std::string& name, int64_t otherwise, int64_t least, int64_t most) const {
  if (!has(name)) return otherwise;
  std::string t = text(name);
  char* end = nullptr;
  errno = 0;
  long long v = std::strtoll(t.c_str(), &end, 10);
  if (t.empty() || *end) throw UsageError(name + " is '" + t + "' (expected an integer)");
  if (errno || v < least || v > most)
    throw UsageError(name + " is " + t + " (expected " + std::to_string(least) +
                     (errno || most < INT64_MAX ? " to " + std::to_string(most) : " or more") + ")");
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

void check_keys(const Args& args) {
  for (const KeyOption& k : kKeyOptions)
    for (const std::string& assignment : args.texts("--set"))
      if (args.has(k.option) && assignment.starts_with(std::string(k.key) + "="))
        throw UsageError(std::string(k.option) + " " + args.text(k.option) + " and --set " + assignment +
                         " are the same key (expected one of them)");
}

namespace {
std::string input_name;  // once standard input has been read; a file that ends with the program
}

// HDF5 takes neither pipes nor files without a name.
std::string standard_input() {
  if (!input_name.empty()) throw UsageError("- is there twice (expected once: standard input is read to its end)");
  const char* folder = std::getenv("TMPDIR");
  std::string name = std::string(folder && *folder ? folder : "/tmp") + "/fovea_in_XXXXXX";
  auto fail = [](const std::string& what) { throw FileError("standard input: " + what + ": " + std::strerror(errno)); };
  int fd = mkstemp(name.data());
  if (fd < 0) fail("cannot be kept in " + name);
  input_name = name;
  std::atexit([] { std::remove(input_name.c_str()); });
  char piece[1 << 16];
  for (ssize_t got; (got = read(STDIN_FILENO, piece, sizeof piece)) != 0;) {
    if (got < 0) fail("cannot be read");
    for (ssize_t at = 0, put = 0; at < got; at += put)
      if ((put = write(fd, piece + at, size_t(got - at))) < 0) fail("cannot be kept in " + name);
  }
  if (close(fd) != 0) fail("cannot be kept in " + name);
  return name;
}

std::string told(std::string text) {
  for (size_t at = 0; !input_name.empty() && (at = text.find(input_name, at)) != text.npos;)
    text.replace(at, input_name.size(), "standard input");
  return text;
}

void set_up(const Args& args) {
  // The program's own lines would tell its user nothing.
  static constexpr std::source_location kNoLine;
  state().where = &kNoLine;
  for (const std::string& path : args.texts("--plugin")) load_plugin(path);
  std::string name = args.text("--device", "auto");
  if (name != "auto") set_default_device(device(name));
  if (args.has("--threads")) set_thread_count(int(args.integer("--threads", 1, 1, 4096)));
  if (args.has("--seed")) manual_seed(uint64_t(args.integer("--seed", 0, 0)));
  if (args.has("--deterministic")) state().mode |= kDeterministic;
}

io::Json finite(double v) { return std::isfinite(v) ? io::Json(v) : io::Json(); }
void print_line(const std::string& text) {
  if (std::printf("%s\n", told(text).c_str()) < 0 || std::fflush(stdout) != 0)
    throw FileError(std::string("stdout: cannot be written: ") + std::strerror(errno));
}
void print_json(const io::Json& j) { print_line(j.dump()); }
void note(const std::string& text) { std::fprintf(stderr, "%s\n", told(text).c_str()); }

}  // namespace fovea::cli
