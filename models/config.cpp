#include "models/config.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/edit_distance.h"
#include "core/mode.h"
#include "models/data/text_file.h"

namespace fovea {
namespace {

using io::Json;

template <class... A> [[noreturn]] void fail(fmt::format_string<A...> text, A&&... values) {
  throw ValueError(fmt::format(text, std::forward<A>(values)...));
}

std::string_view last_part(std::string_view key) { return key.substr(key.rfind('.') + 1); }

ConfigOption find_option(Config& config, std::string_view key) {
  std::vector<ConfigOption> options = config_options(config);
  // The section may be wrong or missing where the name is right.
  auto far = [&](const ConfigOption& o) {
    return std::min(text::edit_distance(key, o.key),
                    text::edit_distance(last_part(key), last_part(o.key)) + (key.find('.') != key.npos));
  };
  const ConfigOption* nearest = &options[0];
  for (const ConfigOption& o : options) {
    if (o.key == key) return o;
    if (far(o) < far(*nearest)) nearest = &o;
  }
  if (far(*nearest) > 1 + last_part(key).size() / 2) fail("unknown key {} (a config as a whole lists them all)", key);
  fail("unknown key {}. Did you mean {}?", key, nearest->key);
}

std::string number_text(double v) {
  return std::abs(v) < 1e15 && v == std::floor(v) ? fmt::format("{}", int64_t(v)) : fmt::format("{}", v);
}

std::string range_text(const ConfigOption& o) {
  std::string text;
  if (std::isfinite(o.least)) text = fmt::format("{} {}", o.open_least ? "above" : "at least", number_text(o.least));
  if (std::isfinite(o.most))
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", o.open_most ? "below" : "at most", number_text(o.most));
  return text;
}

void check_range(const ConfigOption& o, double v, const std::string& given) {
  bool inside = (o.open_least ? v > o.least : v >= o.least) && (o.open_most ? v < o.most : v <= o.most);
  if (!inside || !std::isfinite(v))
    fail("{} is {} (expected {})", o.key, given, std::isfinite(v) ? range_text(o) : "a finite number");
}

void check_choice(const ConfigOption& o, const std::string& v) {
  std::string list;
  for (size_t b = 0, e; b < o.choices.size(); b = e + 1) {
    e = std::min(o.choices.find(' ', b), o.choices.size());
    std::string_view choice = o.choices.substr(b, e - b);
    if (choice == v) return;
    list += (list.empty() ? "" : e == o.choices.size() ? " or " : ", ") + std::string(choice);
  }
  fail("{} is \"{}\" (expected {})", o.key, v, list);
}

void assign(const ConfigOption& o, const Json& value) {
  auto wrong = [&](const char* expected) { fail("{} is {} (expected {})", o.key, value.dump(), expected); };
  if (auto* i = std::get_if<int64_t*>(&o.field)) {
    if (!value.is_int()) wrong("an integer");
    check_range(o, double(value.as_int()), value.dump());
    **i = value.as_int();
  } else if (auto* d = std::get_if<double*>(&o.field)) {
    if (!value.is_number()) wrong("a number");
    check_range(o, value.as_real(), number_text(value.as_real()));
    **d = value.as_real();
  } else if (auto* b = std::get_if<bool*>(&o.field)) {
    if (!value.is_bool()) wrong("true or false");
    **b = value.as_bool();
  } else {
    if (!value.is_string()) wrong("a text");
    check_choice(o, value.as_string());
    *std::get<std::string*>(o.field) = value.as_string();
  }
}

// The whole of a text as a number.
template <class T> T parsed(const ConfigOption& o, std::string_view text, const char* expected) {
  T v{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error == std::errc::result_out_of_range) fail("{} is {}, which is too large to be read", o.key, text);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    fail("{} is \"{}\" (expected {})", o.key, text, expected);
  return v;
}

Json field_json(const ConfigOption& o) {
  return std::visit([](auto* field) { return Json(*field); }, o.field);
}

}  // namespace

std::vector<ConfigOption> config_options(Config& c) {
  ModelConfig& m = c.model;
  TrainConfig& t = c.train;
  DataConfig& d = c.data;
  constexpr double kSteps = 1e12, kMillion = 1 << 20, kAny = std::numeric_limits<double>::infinity();
  auto choice = [](std::string_view key, std::string& field, std::string_view choices, std::string_view doc) {
    return ConfigOption{.key = key, .field = &field, .doc = doc, .choices = choices};
  };
  return {
      choice("model.kind", m.kind, "gpt", "the architecture"),
      {"model.layers", &m.layers, "transformer blocks", 1, 10000},
      {"model.dim", &m.dim, "width of the residual stream", 1, kMillion},
      {"model.heads", &m.heads, "attention heads; they divide the width", 1, kMillion},
      {"model.kv_heads", &m.kv_heads, "heads of keys and values; 0: as many as heads", 0, kMillion},
      {"model.context", &m.context, "tokens that the model sees at once", 1, 1 << 30},
      {"model.ffn_mult", &m.ffn_mult, "hidden units of the feed-forward part, in widths", 0, 1000, true},
      choice("model.norm", m.norm, "layer", "which normalisation"),
      choice("model.norm_position", m.norm_position, "pre post", "where it stands"),
      choice("model.activation", m.activation, "gelu gelu_tanh relu", "of the feed-forward part"),
      choice("model.position", m.position, "learned", "how positions are told apart"),
      {"model.window", &m.window, "tokens that attention looks back, itself counted; 0: all", 0, 1 << 30},
      {"model.dropout", &m.dropout, "probability of dropping an activation", 0, 1, false, true},
      {"model.tie_head", &m.tie_head, "the output layer shares the token embedding"},
      {"train.steps", &t.steps, "updates of the weights", 1, kSteps},
      {"train.batch", &t.batch, "windows per step and accumulation", 1, kMillion},
      {"train.lr", &t.lr, "highest learning rate", 0, kAny, true},
      {"train.min_lr", &t.min_lr, "learning rate at the last step", 0},
      {"train.warmup", &t.warmup, "steps of linear rise", 0, kSteps},
      choice("train.schedule", t.schedule, "cosine linear constant", "how the learning rate falls"),
      {"train.weight_decay", &t.weight_decay, "AdamW's, for matrices", 0},
      {"train.beta1", &t.beta1, "AdamW's mean of gradients", 0, 1, false, true},
      {"train.beta2", &t.beta2, "AdamW's mean of squares", 0, 1, false, true},
      {"train.clip", &t.clip, "largest norm of all gradients together; 0: not clipped", 0},
      {"train.accumulate", &t.accumulate, "batches whose gradients make one step", 1, kMillion},
      {"train.save_every", &t.save_every, "steps between checkpoints", 1, kSteps},
      {"train.keep", &t.keep, "checkpoints that are kept", 1, kMillion},
      {"train.eval_every", &t.eval_every, "steps between validations; 0: none", 0, kSteps},
      choice("train.dtype", t.dtype, "f32 bf16 f16 f64", "of the arithmetic"),
      {"train.seed", &t.seed, "of weights, order and dropout", 0},
      choice("data.tokenizer", d.tokenizer, "char byte", "text to tokens"),
      {"data.validation", &d.validation, "part of a text kept for validation", 0, 1, false, true},
      {"data.corpus_seed", &d.corpus_seed, "of the embedded corpus", 0},
  };
}

void set_option(Config& config, std::string_view key, const Json& value, std::source_location where) {
  at_line(where, [&] { assign(find_option(config, key), value); });
}

namespace {

void set_from_text(Config& config, std::string_view assignment) {
  size_t sign = assignment.find('=');
  if (sign == assignment.npos || sign == 0)
    fail("\"{}\" sets nothing (expected KEY=VALUE, such as train.lr=3e-4)", assignment);
  ConfigOption o = find_option(config, assignment.substr(0, sign));
  std::string_view text = assignment.substr(sign + 1);
  if (std::holds_alternative<int64_t*>(o.field)) assign(o, parsed<int64_t>(o, text, "an integer"));
  else if (std::holds_alternative<double*>(o.field)) assign(o, parsed<double>(o, text, "a number"));
  else if (std::holds_alternative<std::string*>(o.field)) assign(o, std::string(text));
  else if (text == "true" || text == "false") assign(o, text == "true");
  else fail("{} is \"{}\" (expected true or false)", o.key, text);
}

void set_from_json(Config& config, const Json& json) {
  if (!json.is_object()) fail("a config is {} (expected an object of model, train and data)", json.kind());
  for (const auto& [section, members] : json.as_object()) {
    if (section != "model" && section != "train" && section != "data")
      fail("unknown section {} (expected model, train or data)", section);
    if (!members.is_object()) fail("{} is {} (expected an object)", section, members.kind());
    for (const auto& [name, value] : members.as_object()) assign(find_option(config, section + "." + name), value);
  }
}

void check_together(const Config& config) {
  Config c = config;
  for (const ConfigOption& o : config_options(c)) assign(o, field_json(o));  // structs can be filled by code, too
  const ModelConfig& m = c.model;
  const TrainConfig& t = c.train;
  if (m.dim % m.heads) fail("model.heads is {}, which does not divide model.dim, {}", m.heads, m.dim);
  if (m.kv_heads && m.heads % m.kv_heads)
    fail("model.kv_heads is {}, which does not divide model.heads, {}", m.kv_heads, m.heads);
  double hidden = std::round(m.ffn_mult * double(m.dim));
  if (hidden < 1) fail("model.ffn_mult is {}, which leaves no hidden unit at model.dim {}", m.ffn_mult, m.dim);
  double weights =
      double(m.layers) * double(m.dim) * (4 * double(m.dim) + 2 * hidden) + double(m.context) * double(m.dim);
  if (weights > 1e12)
    fail("the model would have {:.1e} weights (expected at most 1e12). model.dim is {}", weights, m.dim);
  double tokens = double(t.batch) * double(m.context);
  if (tokens > 0x1p31)
    fail("a batch would have {:.1e} tokens (expected at most 2^31): train.batch {}, model.context {}", tokens, t.batch,
         m.context);
  if (t.min_lr > t.lr) fail("train.min_lr is {}, above train.lr, {}", t.min_lr, t.lr);
}

}  // namespace

void set_option(Config& config, std::string_view assignment, std::source_location where) {
  at_line(where, [&] { set_from_text(config, assignment); });
}
void set_options(Config& config, const Json& json, std::source_location where) {
  at_line(where, [&] { set_from_json(config, json); });
}
void check(const Config& config, std::source_location where) {
  at_line(where, [&] { check_together(config); });
}

Json to_json(const Config& config) {
  Config c = config;
  Json::Object sections;
  for (const ConfigOption& o : config_options(c)) {
    std::string section(o.key.substr(0, o.key.find('.')));
    if (sections.empty() || sections.back().first != section) sections.emplace_back(section, Json::Object());
    sections.back().second.set(std::string(last_part(o.key)), field_json(o));
  }
  return sections;
}

void read_config(Config& config, const std::string& path, std::source_location where) {
  at_line(where, [&] {
    Json json = Json::parse(data::read_text(path), path);
    try {
      set_from_json(config, json);
    } catch (const ValueError& e) {
      throw ValueError(path + ": " + e.what());
    }
  });
}

DType dtype_named(std::string_view name) {
  for (DType t : {f32, f64, bf16, f16})
    if (name == name_of(t)) return t;
  fail("dtype is \"{}\" (expected f32, bf16, f16 or f64)", name);
}

std::vector<std::string> differing_keys(const Config& a, const Config& b) {
  Config x = a, y = b;
  std::vector<ConfigOption> xs = config_options(x), ys = config_options(y);
  std::vector<std::string> keys;
  for (size_t i = 0; i < xs.size(); i++)
    if (!(field_json(xs[i]) == field_json(ys[i]))) keys.emplace_back(xs[i].key);
  return keys;
}

}  // namespace fovea
