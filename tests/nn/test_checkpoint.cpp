#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "nn/checkpoint_file.h"
#include "nn/embedding.h"
#include "nn/init.h"
#include "nn/linear.h"
#include "tests/helpers.h"

using namespace fovea;
namespace fs = std::filesystem;
namespace checkpoint = nn::checkpoint;

namespace {

struct TiedNet : nn::Module<TiedNet> {
  nn::Embedding tok{this, "tok", 10, 4};
  nn::Linear out{this, "out", 4, 10};
  Ref<Parameter> seen = add_parameter("seen", Role::buffer, {3}, nn::init::normal(1));
  TiedNet() { tie("head", tok.weight); }
  Tensor forward(const Tensor& x) { return out(x); }
};

void step(TiedNet& net, optim::AdamW& adam, int i) {
  adam.zero_grad();
  sum(sin(net.out.weight->value() * double(i)) + net.out.bias->value().to(f32).numel()).backward();
  sum(square(net.tok.weight->value())).backward();
  adam.step();
}

std::vector<double> all_numbers(const TiedNet& net, const optim::AdamW& adam) {
  std::vector<double> all;
  auto add = [&](const Tensor& t) {
    for (double x : t.to_vector<double>()) all.push_back(x);
  };
  for (auto& [name, p] : net.named_state()) add(p->value());
  for (auto& s : adam.slots())
    if (s.m) add(Tensor(s.m)), add(Tensor(s.v)), all.push_back(double(s.step));
  return all;
}

checkpoint::RunState some_state() {
  checkpoint::RunState s;
  s.config = io::Json(io::Json::Object{{"model", "net"}});
  s.train = io::Json(io::Json::Object{{"step", 3}});
  s.tokenizer = "{\"kind\": \"byte\"}";
  return s;
}

TEST_CASE("what is saved comes back, and training goes on with the same bits") {
  Folder dir;
  std::string path = dir / "c.h5";
  manual_seed(1);
  TiedNet net;
  optim::AdamW adam(net, {.lr = 0.1});
  for (int i = 0; i < 3; i++) step(net, adam, i);
  checkpoint::save(path, net, adam, some_state());
  manual_seed(2);
  TiedNet other;
  optim::AdamW again(other, {.lr = 0.1});
  CHECK(all_numbers(net, adam) != all_numbers(other, again));
  checkpoint::File file(path);
  CHECK(file.verify().empty());
  CHECK(file.state().config["model"].as_string() == "net");
  CHECK(file.state().train["step"].as_int() == 3);
  CHECK(file.state().tokenizer == "{\"kind\": \"byte\"}");
  file.load(other);
  file.load(again);
  CHECK(all_numbers(net, adam) == all_numbers(other, again));
  for (int i = 3; i < 6; i++) step(net, adam, i), step(other, again, i);
  CHECK(all_numbers(net, adam) == all_numbers(other, again));
  // A tie is one array with two names.
  CHECK(file.reader().at("params/head").object == file.reader().at("params/tok/weight").object);
  // The same state gives the same bytes.
  std::string second = dir / "d.h5";
  checkpoint::save(path, net, adam, some_state());
  checkpoint::save(second, other, again, some_state());
  std::ifstream a(path, std::ios::binary), b(second, std::ios::binary);
  CHECK(std::string(std::istreambuf_iterator<char>(a), {}) == std::string(std::istreambuf_iterator<char>(b), {}));
}

TEST_CASE("every dtype a model can have survives; another one is refused unless a cast is asked for") {
  Folder dir;
  std::string path = dir / "c.h5";
  for (DType t : {bf16, f16, f64}) {
    TiedNet net, same, other;
    net.to(t);
    same.to(t);
    checkpoint::save(path, net);
    checkpoint::load(path, same);
    CHECK(same.tok.weight->value().to_vector<double>() == net.tok.weight->value().to_vector<double>());
    CHECK(has(error_of([&] { checkpoint::load(path, other); }),
              std::string("of another dtype: seen is ") + name_of(t) + " (the model has f32)"));
    checkpoint::load(path, other, {.cast = true});
    CHECK(other.tok.weight->value().dtype() == f32);
    CHECK(other.tok.weight->value().to_vector<float>() == net.tok.weight->value().to(f32).to_vector<float>());
  }
}

TEST_CASE("a file that does not fit says all that differs, and changes nothing") {
  struct Other : nn::Module<Other> {
    nn::Embedding tok{this, "tok", 10, 5};
    nn::Linear out{this, "out", 4, 10, {.bias = false}};
    nn::Linear extra{this, "extra", 2, 2};
    Tensor forward(const Tensor& x) { return x; }
  };
  Folder dir;
  std::string path = dir / "c.h5";
  TiedNet net;
  checkpoint::save(path, net);
  Other other;
  auto before = other.out.weight->value().to_vector<float>();
  std::string text = error_of([&] { checkpoint::load(path, other); });
  CHECK(has(text,
            "c.h5: does not fit the model: missing in the file: extra.weight, extra.bias; "
            "not in the model: out.bias, seen; of another shape: tok.weight is [10,4] (the model has [10,5])"));
  CHECK(other.out.weight->value().to_vector<float>() == before);
  CHECK(has(error_of([&] { checkpoint::load(path, other, {.strict = false}); }), "of another shape"));
  optim::AdamW adam(net);
  CHECK(has(error_of([&] { checkpoint::File(path).load(adam); }), "has no optimizer state"));
}

TEST_CASE("one flipped bit anywhere in the arrays is found") {
  Folder dir;
  std::string path = dir / "c.h5";
  TiedNet net;
  optim::AdamW adam(net);
  step(net, adam, 1);
  checkpoint::save(path, net, adam, some_state());
  auto w = net.out.weight->value().to_vector<float>();
  std::fstream f(path, std::ios::in | std::ios::out | std::ios::binary);
  std::string bytes(std::istreambuf_iterator<char>(f), {});
  auto at = bytes.find(std::string(reinterpret_cast<const char*>(w.data()), 16));
  REQUIRE(at != std::string::npos);
  f.clear();
  f.seekp(std::streamoff(at + 5));
  f.put(char(bytes[at + 5] ^ 1));
  f.close();
  auto problems = checkpoint::File(path).verify();
  REQUIRE(problems.size() == 1);
  CHECK(problems[0] == "'params/out/weight' is damaged: its digest is not the manifest's");
  CHECK(has(error_of([&] { checkpoint::load(path, net); }), "'params/out/weight' is damaged"));
}

TEST_CASE("foreign HDF5 and later formats are refused by name") {
  Folder dir;
  auto make = [&](const char* name, const char* format, const char* version) {
    io::H5Writer w(dir / name);
    w.attribute("/", "format", format);
    w.attribute("/", "format_version", version);
    w.bytes("manifest", "{}");
    w.close();
  };
  make("foreign.h5", "other", "1.0");
  make("later.h5", "fovea", "2.0");
  make("hollow.h5", "fovea", "1.0");
  CHECK(has(error_of([&] { checkpoint::File f(dir / "foreign.h5"); }), "is an HDF5 file, but no Fovea checkpoint"));
  CHECK(has(error_of([&] { checkpoint::File f(dir / "later.h5"); }), "has format 2.0 (this program reads 1.0)"));
  CHECK(has(error_of([&] { checkpoint::File f(dir / "hollow.h5"); }), "manifest"));
}

// In a child, since the limit stays: writes beyond it fail as on a full disk.
TEST_CASE("a save that cannot be finished leaves the old file whole, and the program alive") {
  Folder dir;
  std::string path = dir / "c.h5";
  TiedNet net;
  checkpoint::save(path, net, nullptr, some_state());
  std::ifstream in(path, std::ios::binary);
  std::string before(std::istreambuf_iterator<char>(in), {});
  struct Big : nn::Module<Big> {
    nn::Linear a{this, "a", 300, 300}, b{this, "b", 300, 300};
    Tensor forward(const Tensor& x) { return x; }
  } big;
  for (rlim_t limit : {0ul, 100ul, 5000ul, 100000ul, 400000ul, 720000ul}) {
    std::cout.flush();
    pid_t child = fork();
    if (child == 0) {
      std::signal(SIGXFSZ, SIG_IGN);
      rlimit r{limit, limit};
      setrlimit(RLIMIT_FSIZE, &r);
      std::string text = error_of([&] { checkpoint::save(path, big); });
      bool ok = text.find("File too large") != std::string::npos && text.find('\n') == std::string::npos;
      // The library's own exit handlers must live through it too.
      std::exit(ok ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    INFO(limit);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    std::ifstream now(path, std::ios::binary);
    CHECK(std::string(std::istreambuf_iterator<char>(now), {}) == before);
    CHECK(!fs::exists(path + ".tmp"));
  }
}

}  // namespace
