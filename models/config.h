// The keys of `--config F`, `--set a.b=v` and `--dump-config`, which checkpoints carry too: one table gives each its
// type, default, range and meaning. Whoever builds a model or a run reads the plain structs.
#pragma once
#include <cstdint>
#include <limits>
#include <source_location>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/dtype.h"
#include "nn/io/json.h"

namespace fovea {

struct ModelConfig {
  std::string kind = "gpt";
  int64_t layers = 2, dim = 64, heads = 4, kv_heads = 0, context = 64;
  double ffn_mult = 4;
  std::string norm = "layer", norm_position = "pre", activation = "gelu_tanh", position = "learned";
  int64_t window = 0;
  double dropout = 0;
  bool tie_head = true;
};

struct TrainConfig {
  int64_t steps = 3500, batch = 16;
  double lr = 8e-3, min_lr = 2e-4;
  int64_t warmup = 100;
  std::string schedule = "cosine";
  double weight_decay = 0.1, beta1 = 0.9, beta2 = 0.99, clip = 1;
  int64_t accumulate = 1, save_every = 500, keep = 2, eval_every = 250;
  std::string dtype = "f32";
  int64_t seed = 1;
};

struct DataConfig {
  std::string tokenizer = "char";
  double validation = 0.1;
  int64_t corpus_seed = 1;
};

struct Config {
  ModelConfig model;
  TrainConfig train;
  DataConfig data;
};

// A row of the table, bound to a field of one Config.
struct ConfigOption {
  using Field = std::variant<int64_t*, double*, bool*, std::string*>;
  std::string_view key;  // model.layers
  Field field;
  std::string_view doc;
  // Numbers: the range, and whether its ends belong to it. Texts: the choices, separated by one space.
  double least = -std::numeric_limits<double>::infinity(), most = std::numeric_limits<double>::infinity();
  bool open_least = false, open_most = false;
  std::string_view choices = {};
};
std::vector<ConfigOption> config_options(Config& config);

// All of these throw ValueError with one line that names the key; an unknown key is answered with the nearest one.
void set_option(Config& config, std::string_view key, const io::Json& value,
                std::source_location where = std::source_location::current());
// `train.lr=3e-4`, as after --set.
void set_option(Config& config, std::string_view assignment,
                std::source_location where = std::source_location::current());
// {"model": {"layers": 4, ...}, "train": {...}, "data": {...}}, any of the keys; `check` is the caller's.
void set_options(Config& config, const io::Json& json, std::source_location where = std::source_location::current());
// What the table's ranges cannot say: heads that divide the width, sizes that fit in memory's reach, ...
void check(const Config& config, std::source_location where = std::source_location::current());

io::Json to_json(const Config& config);
// A file of set_options' form: FileError when it is none, with the file's name before every complaint.
void read_config(Config& config, const std::string& path, std::source_location where = std::source_location::current());

// train.dtype as the core knows it.
DType dtype_named(std::string_view name);

// The keys whose values differ, in the table's order.
std::vector<std::string> differing_keys(const Config& a, const Config& b);

}  // namespace fovea
