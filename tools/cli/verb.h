// A verb of the program as plain data: its options, and the function that runs it. main.cpp turns the table into a
// command line; verbs see values only. Verbs are one file each, `<verb>.cpp`, and are listed in verbs.h.
#pragma once
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/error.h"
#include "nn/io/json.h"

namespace fovea::cli {

// Wrong usage: exit status 2.
struct UsageError : Error {
  using Error::Error;
};

struct Option {
  // texts, files: may come again and again. file: is read, and "-" is standard input; output: is written.
  enum Kind : uint8_t { flag, text, integer, real, texts, file, files, output };
  const char* name;  // "-o,--out", or "FILES" for what stands without a name
  Kind kind;
  const char* help;
  bool required = false;
  // "f32 bf16": what it may be, separated by blanks; "cpu ref ..." when it may be something else, too.
  const char* choices = nullptr;
  bool dash = false;  // an output that may be "-", which the verb deals with

  bool many() const { return kind == texts || kind == files; }
  std::string key() const;                 // "--out"
  std::vector<std::string> words() const;  // of the choices
  bool open() const;                       // the choices are examples
};

// What the user wrote; asked for by an option's long name ("--steps") or its place ("FILES").
class Args {
 public:
  std::map<std::string, std::vector<std::string>> values;

  bool has(const std::string& name) const { return values.count(name) > 0; }
  std::string text(const std::string& name, const std::string& otherwise = "") const;
  const std::vector<std::string>& texts(const std::string& name) const;
  // UsageError for what is no integer, or not from `least` to `most`.
  int64_t integer(const std::string& name, int64_t otherwise, int64_t least = std::numeric_limits<int64_t>::min(),
                  int64_t most = INT64_MAX) const;
  double real(const std::string& name, double otherwise) const;
  bool json() const { return has("--json"); }
};

struct Verb {
  const char* name;  // "train lm"
  const char* help;
  std::vector<Option> options;
  bool computes = false;  // takes --device, --dtype, --threads, --seed, ...
  int (*run)(const Args&);
  bool json = true;  // takes --json
};

inline constexpr const char* kDTypes = "f32 bf16 f16 f64";
// Options that several verbs have.
inline constexpr Option kDType = {"--dtype", Option::text, "of the arithmetic; otherwise the file's", false, kDTypes};
inline constexpr Option kArithmetic = {"--dtype", Option::text, "of the arithmetic (f32)", false, kDTypes};
inline constexpr Option kB = {"--B", Option::integer, "batch, of gpt2_step"};
inline constexpr Option kT = {"--T", Option::integer, "context, of gpt2_step"};
inline constexpr Option kPlugins = {"--plugin", Option::files, "a shared library of kernels or ops; may come again"};
inline constexpr Option kSet = {"--set", Option::texts, "KEY=VALUE, over the model's config; may come again"};
inline constexpr Option kVocab = {"--vocab", Option::integer, "size of the vocabulary"};

// A verb's own options and those that it shares with others.
std::vector<Option> options_of(const Verb& verb);

// UsageError `NAME why` where one of these is there: options that the rest of the command line leaves without meaning.
void refuse(const Args& args, std::initializer_list<const char*> names, const std::string& why);
// Options that are keys of the config, too. UsageError when --set has the same key.
struct KeyOption {
  const char *option, *key;
};
inline constexpr KeyOption kKeyOptions[] = {{"--dtype", "train.dtype"}, {"--seed", "train.seed"}};
void check_keys(const Args& args);

// What every verb does first: --device, --plugin, --threads, --seed, --deterministic, as far as it takes them.
void set_up(const Args& args);

// Standard input as a file that can be opened by name, as often as need be. UsageError the second time: it is gone.
std::string standard_input();
// A text for people, in which that name is "standard input".
std::string told(std::string text);

// JSON has neither NaN nor infinity: null.
io::Json finite(double v);
// One line of results on stdout.
void print_json(const io::Json& j);
void print_line(const std::string& text);
// One line for people on stderr.
void note(const std::string& text);

}  // namespace fovea::cli
