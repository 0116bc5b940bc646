#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "core/error.h"
#include "models/config.h"
#include "tests/helpers.h"

using namespace fovea;
using io::Json;

namespace {

// Sets one key by text, then checks the whole.
std::string set_error(const std::string& assignment) {
  return error_of<ValueError>([&] {
    Config c;
    set_option(c, assignment);
    check(c);
  });
}

TEST_CASE("a config goes to JSON and back, and the defaults are sound") {
  Config c;
  CHECK(set_error("train.seed=1").empty());
  set_option(c, "model.layers=12");
  set_option(c, "train.lr=3e-4");
  set_option(c, "train.min_lr=0");
  set_option(c, "model.tie_head=false");
  set_option(c, "model.activation=relu");
  set_option(c, "train.seed=9000000000000000000");
  CHECK(c.model.layers == 12);
  CHECK(c.train.lr == 3e-4);
  CHECK_FALSE(c.model.tie_head);
  CHECK(c.train.seed == 9'000'000'000'000'000'000);
  Json json = to_json(c);
  Config back;
  set_options(back, Json::parse(json.dump(2)));
  check(back);
  CHECK(to_json(back) == json);
  CHECK(differing_keys(back, c).empty());
  CHECK(differing_keys(back, Config()) == std::vector<std::string>{"model.layers", "model.activation", "model.tie_head",
                                                                   "train.lr", "train.min_lr", "train.seed"});
  CHECK(json["model"].as_object().front().first == std::string("kind"));
  CHECK(json.as_object().size() == 3);
  set_options(back, Json::parse("{\"train\": {\"clip\": 2}}"));  // an integer where a real number is meant
  CHECK(back.train.clip == 2.0);
}

TEST_CASE("every field has one key, and each default lies in its range") {
  Config c;
  std::set<std::string> keys;
  std::set<const void*> fields;
  for (const ConfigOption& o : config_options(c)) {
    keys.emplace(o.key);
    fields.insert(std::visit([](auto* p) -> const void* { return p; }, o.field));
    CHECK_FALSE(o.doc.empty());
  }
  CHECK(keys.size() == config_options(c).size());
  CHECK(fields.size() == keys.size());
  CHECK(keys.size() == 14 + 16 + 3);
}

TEST_CASE("absurd options are each refused in one clear line") {
  struct Row {
    std::string assignment, error;
  };
  for (const Row& row : std::vector<Row>{
           {"model.layers=0", "model.layers is 0 (expected at least 1, at most 10000)"},
           {"model.layers=-3", "model.layers is -3 (expected at least 1, at most 10000)"},
           {"model.layers=four", "model.layers is \"four\" (expected an integer)"},
           {"model.layers=4x", "model.layers is \"4x\" (expected an integer)"},
           {"model.layers=", "model.layers is \"\" (expected an integer)"},
           {"model.layers=4.0", "model.layers is \"4.0\" (expected an integer)"},
           {"model.layers=99999999999999999999", "model.layers is 99999999999999999999, which is too large to be read"},
           {"model.heads=3", "model.heads is 3, which does not divide model.dim, 64"},
           {"model.kv_heads=3", "model.kv_heads is 3, which does not divide model.heads, 4"},
           {"model.ffn_mult=0", "model.ffn_mult is 0 (expected above 0, at most 1000)"},
           {"model.ffn_mult=0.001", "model.ffn_mult is 0.001, which leaves no hidden unit at model.dim 64"},
           {"model.dropout=1", "model.dropout is 1 (expected at least 0, below 1)"},
           {"model.dropout=nan", "model.dropout is nan (expected a finite number)"},
           {"model.dim=1000000", "the model would have 2.4e+13 weights (expected at most 1e12). model.dim is 1000000"},
           {"model.context=1000000000",
            "a batch would have 1.6e+10 tokens (expected at most 2^31): train.batch 16, model.context 1000000000"},
           {"model.norm=batch", "model.norm is \"batch\" (expected layer)"},
           {"model.activation=tanh", "model.activation is \"tanh\" (expected gelu, gelu_tanh or relu)"},
           {"model.tie_head=yes", "model.tie_head is \"yes\" (expected true or false)"},
           {"train.lr=0", "train.lr is 0 (expected above 0)"},
           {"train.lr=inf", "train.lr is inf (expected a finite number)"},
           {"train.lr=1e999", "train.lr is 1e999, which is too large to be read"},
           {"train.lr=-1e-3", "train.lr is -0.001 (expected above 0)"},
           {"train.lr=1e-5", "train.min_lr is 0.0002, above train.lr, 1e-05"},
           {"train.beta2=1.5", "train.beta2 is 1.5 (expected at least 0, below 1)"},
           {"train.seed=-1", "train.seed is -1 (expected at least 0)"},
           {"=5", "\"=5\" sets nothing (expected KEY=VALUE, such as train.lr=3e-4)"},
           {"model.dim=9223372036854775807", "model.dim is 9223372036854775807 (expected at least 1, at most 1048576)"},
           {"train.steps", "\"train.steps\" sets nothing (expected KEY=VALUE, such as train.lr=3e-4)"},
           {"model.layer=4", "unknown key model.layer. Did you mean model.layers?"},
           {"layers=4", "unknown key layers. Did you mean model.layers?"},
           {"train.layers=4", "unknown key train.layers. Did you mean model.layers?"},
           {"train.wramup=4", "unknown key train.wramup. Did you mean train.warmup?"},
       }) {
    INFO(row.assignment);
    std::string error = set_error(row.assignment);
    INFO(error);
    CHECK(error.starts_with(row.error));
    CHECK(error.find('\n') == error.npos);
  }
}

TEST_CASE("configs as JSON of the wrong form") {
  struct Row {
    std::string json, error;
  };
  for (const Row& row :
       std::vector<Row>{{"[]", "a config is an array (expected an object of model, train and data)"},
                        {"{\"modle\": {}}", "unknown section modle (expected model, train or data)"},
                        {"{\"model\": 3}", "model is an integer (expected an object)"},
                        {"{\"model\": {\"layers\": \"4\"}}", "model.layers is \"4\" (expected an integer)"},
                        {"{\"model\": {\"layers\": 4.5}}", "model.layers is 4.5 (expected an integer)"},
                        {"{\"model\": {\"tie_head\": 1}}", "model.tie_head is 1 (expected true or false)"},
                        {"{\"train\": {\"lr\": null}}", "train.lr is null (expected a number)"},
                        {"{\"train\": {\"dtype\": 32}}", "train.dtype is 32 (expected a text)"},
                        {"{\"train\": {\"stepz\": 32}}", "unknown key train.stepz. Did you mean train.steps?"}}) {
    INFO(row.json);
    Config c;
    const std::string here = " at test_config.cpp:" + std::to_string(__LINE__ + 1);
    CHECK(error_of<ValueError>([&] { set_options(c, Json::parse(row.json)); }) == row.error + here);
  }
  Config c;
  c.train.accumulate = 0;  // set by code
  CHECK(error_of<ValueError>([&] { check(c); }) ==
        "train.accumulate is 0 (expected at least 1, at most 1048576) at test_config.cpp:" +
            std::to_string(__LINE__ - 2));
}

TEST_CASE("config files") {
  std::string path = (std::filesystem::temp_directory_path() / ("fovea_config_" + std::to_string(getpid()))).string();
  Config c;
  std::ofstream(path) << "{\"model\": {\"layers\": 2}}";
  read_config(c, path);
  CHECK(c.model.layers == 2);
  std::ofstream(path) << "{\"model\": {\"layers\": 0}}";
  std::string here = " at test_config.cpp:" + std::to_string(__LINE__ + 1);
  CHECK(error_of<ValueError>([&] { read_config(c, path); }) ==
        path + ": model.layers is 0 (expected at least 1, at most 10000)" + here);
  std::ofstream(path) << "{\"model\": {\"layers\": 0}";
  CHECK_THROWS_AS(read_config(c, path), FileError);
  std::filesystem::remove(path);
  CHECK_THROWS_AS(read_config(c, path), FileError);
}

}  // namespace
