// op: one op on the tensors of a file, with its gradients: in.0, in.1, ... -> out.0, ..., grad.0, ...
#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "core/dispatch.h"
#include "models/config.h"
#include "nn/io/safetensors.h"
#include "tools/cli/op_functions.h"
#include "tools/cli/verbs.h"

namespace fovea::cli {
namespace {

// "in.3" with prefix "in." -> 3; -1 for another name.
int number_behind(const std::string& name, const std::string& prefix) {
  if (name.rfind(prefix, 0) != 0) return -1;
  std::string digits = name.substr(prefix.size());
  if (digits.empty() || digits.size() > 5 || !std::all_of(digits.begin(), digits.end(), ::isdigit)) return -1;
  return std::stoi(digits);
}

struct Case {
  OpInputs in;
  std::vector<Tensor> cotangents;
};

Case read_case(const std::string& path, const OpFunction& f, Device device, DType* dtype) {
  Case c;
  auto place = [](std::vector<Tensor>& list, int at, const Tensor& t) {
    if (size_t(at) >= list.size()) list.resize(size_t(at) + 1);
    list[size_t(at)] = t;
  };
  for (auto& [name, array] : io::read_safetensors(path).arrays) {
    Array here = to_device(array, device);
    if (dtype && is_floating(here.dtype())) here = cast_copy(here, *dtype);
    Tensor t(here);
    int k = number_behind(name, "in.");
    if (k >= 0 && (f.inputs < 0 || k < f.inputs)) place(c.in.x, k, t);
    else if (k >= 0)
      throw ValueError(path + ": " + name + ", but " + f.name + " takes " + std::to_string(f.inputs) + " inputs");
    else if ((k = number_behind(name, "cot.")) >= 0) place(c.cotangents, k, t);
    else if (name == "mask") c.in.mask = t;
    else if (name == "t5_table") c.in.t5_table = t;
    else throw ValueError(path + ": '" + name + "' is none of in.N, cot.N, mask, t5_table");
  }
  if (c.in.x.empty() && f.inputs != 0) throw ValueError(path + ": no tensor in.0");
  return c;
}

// Cotangents given, or 1 for a single number.
std::vector<Tensor> gradients(const Case& c, const std::vector<Tensor>& y, const std::vector<Tensor>& leaves) {
  std::vector<Tensor> roots, given;
  for (size_t k = 0; k < y.size(); k++) {
    Tensor v = k < c.cotangents.size() ? c.cotangents[k] : Tensor();
    if (!v.defined() && c.cotangents.empty() && is_floating(y[k].dtype()) && y[k].numel() == 1)
      v = ones_like(y[k].detach());
    if (!v.defined() || !y[k].requires_grad()) continue;
    roots.push_back(y[k]);
    given.push_back(v);
  }
  std::vector<Tensor> g(leaves.size());
  if (roots.empty() && c.cotangents.empty())
    throw ValueError("op: no cotangents cot.0, ..., and no output is a single number. --grad needs one of them");
  if (!roots.empty() && !leaves.empty()) g = grad(roots, leaves, given, {.allow_unused = true});
  for (size_t i = 0; i < g.size(); i++)
    if (!g[i].defined()) g[i] = zeros_like(leaves[i].detach());
  return g;
}

// Median seconds of n calls of f, behind two or a millisecond that warm up: until then, threads are waking.
template <class F> double median_seconds(int64_t n, const F& f) {
  using Clock = std::chrono::steady_clock;
  const auto warm = Clock::now() + std::chrono::milliseconds(1);
  f();
  do f();
  while (Clock::now() < warm);
  std::vector<double> s;
  for (int64_t i = 0; i < n; i++) {
    auto begin = Clock::now();
    f();
    s.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  std::nth_element(s.begin(), s.begin() + n / 2, s.end());
  return s[size_t(n / 2)];
}

int run_op(const Args& args) {
  const bool piped = args.text("--out") == "-";
  if (piped) refuse(args, {"--json"}, "and --out - both take standard output");
  const OpFunction f = op_function(args.text("NAME"));
  io::Json json;
  if (args.has("--attrs")) {
    try {
      json = io::Json::parse(args.text("--attrs"), "--attrs");
    } catch (const FileError& e) {
      throw UsageError(e.what());
    }
  }
  Attributes attributes(std::string("op: ") + f.name, json);
  DType dtype = f32;
  if (args.has("--dtype")) dtype = dtype_named(args.text("--dtype"));
  if (!args.has("--in") && f.inputs != 0) throw UsageError("--in is required");
  Case c;
  if (args.has("--in")) c = read_case(args.text("--in"), f, default_device(), args.has("--dtype") ? &dtype : nullptr);

  std::vector<Tensor> leaves;
  std::vector<std::string> names;
  if (args.has("--grad"))
    for (size_t i = 0; i < c.in.x.size(); i++) {
      Tensor& t = c.in.x[i];
      if (!t.defined() || !is_floating(t.dtype()) || (f.constants >> std::min<size_t>(i, 31) & 1)) continue;
      leaves.push_back(t = t.requires_grad_());
      names.push_back("grad." + std::to_string(i));
    }
  std::vector<Tensor> y = f.call(c.in, attributes);
  attributes.all_used();
  io::Safetensors out;
  for (size_t k = 0; k < y.size(); k++) out.arrays.emplace_back("out." + std::to_string(k), y[k].array());
  if (args.has("--grad")) {
    std::vector<Tensor> g = gradients(c, y, leaves);
    for (size_t i = 0; i < g.size(); i++) out.arrays.emplace_back(names[i], g[i].array());
  }
  if (piped) io::write_safetensors(stdout, out);
  else io::write_safetensors(args.text("--out"), out);
  for (auto& [name, array] : out.arrays) {
    if (args.json()) {
      io::Json::Array sizes;
      for (int64_t d : array.shape()) sizes.emplace_back(d);
      io::Json j{io::Json::Object{}};
      j.set("name", name);
      j.set("dtype", name_of(array.dtype()));
      j.set("shape", sizes);
      print_json(j);
    } else {
      (piped ? note : print_line)(name + " " + name_of(array.dtype()) + " " + to_string(array.shape()));
    }
  }
  if (int64_t n = args.integer("--time", 0, 1)) {
    double seconds = median_seconds(n, [&] {
      std::vector<Tensor> again = f.call(c.in, attributes);
      if (!leaves.empty()) gradients(c, again, leaves);
    });
    if (args.json()) print_json(io::Json(io::Json::Object{{"median_s", seconds}, {"calls", n}}));
    else (piped ? note : print_line)(fmt::format("median of {} calls: {:.4g} s", n, seconds));
  }
  return 0;
}

}  // namespace

const Verb kOp = {
    "op",
    "one op on a file's tensors: in.0, ... -> out.0, ..., and gradients",
    {{"NAME", Option::text, "the op, by PyTorch's name", true},
     {"--in", Option::file,
      "safetensors with in.0, in.1, ... and cotangents cot.0, ...; not needed by what takes none"},
     {"--out", Option::output, "safetensors for out.0, ... and grad.0, ...; - is standard output", true, nullptr, true},
     {"--attrs", Option::text, "its attributes as JSON, by PyTorch's names"},
     {"--grad", Option::flag, "also the gradient of every floating input"},
     {"--time", Option::integer, "then time that many calls; with --grad, forward and backward"},
     {"--dtype", Option::text, "compute in f32, bf16, f16 or f64 (the file's)", false, kDTypes}},
    true,
    run_op};

}  // namespace fovea::cli
