// ckpt ls | show | verify | diff: what is in a checkpoint, whether it is whole, and whether two are the same.
#include <fmt/core.h>

#include <cstring>

#include "nn/checkpoint.h"
#include "tools/cli/verbs.h"

namespace fovea::cli {
namespace {

using io::Json;
using nn::checkpoint::File;

Json sizes(const Shape& shape) {
  Json::Array a;
  for (int64_t n : shape) a.emplace_back(n);
  return a;
}

int run_ls(const Args& args) {
  io::H5Reader file(args.text("FILE"));
  uint64_t total = 0;
  for (const io::H5Entry& e : file.entries()) {
    auto role = e.attributes.find("role");
    total += e.bytes;
    if (args.json()) {
      Json j{Json::Object{}};
      j.set("path", e.path);
      j.set("dtype", io::hdf5_name_of(e.dtype));
      j.set("shape", sizes(e.shape));
      j.set("bytes", int64_t(e.bytes));
      if (role != e.attributes.end()) j.set("role", role->second);
      print_json(j);
    } else {
      print_line(fmt::format("{:9} {:16} {:>12}  {}", io::hdf5_name_of(e.dtype), to_string(e.shape), e.bytes, e.path));
    }
  }
  if (!args.json()) print_line(fmt::format("{} arrays, {} bytes", file.entries().size(), total));
  return 0;
}

int run_show(const Args& args) {
  File file(args.text("FILE"));
  const auto& s = file.state();
  Json tokenizer = s.tokenizer.empty() ? Json() : Json::parse(s.tokenizer, "tokenizer");
  if (args.json()) {
    Json j{Json::Object{}};
    j.set("config", s.config);
    j.set("train", s.train);
    j.set("tokenizer", tokenizer);
    print_json(j);
    return 0;
  }
  int64_t parameters = 0;
  for (auto& [path, entry] : file.manifest()["arrays"].as_object())
    if (path.rfind("params/", 0) == 0) {
      int64_t n = 1;
      for (const Json& d : entry["shape"].as_array()) n *= d.as_int();
      parameters += n;
    }
  print_line(fmt::format("format {}, written by fovea {}", file.manifest()["format_version"].as_string(),
                         file.manifest()["code_version"].as_string()));
  print_line(fmt::format("{} numbers in parameters and buffers, {}", parameters,
                         file.has_optimizer() ? "with optimizer state" : "without optimizer state"));
  if (!s.train.is_null()) print_line("train " + s.train.dump());
  if (!s.config.is_null()) print_line("config " + s.config.dump(2));
  if (const Json* kind = tokenizer.is_object() ? tokenizer.find("kind") : nullptr)
    print_line("tokenizer " + kind->dump());
  return 0;
}

int run_verify(const Args& args) {
  std::vector<std::string> problems;
  try {
    problems = File(args.text("FILE")).verify();
  } catch (const FileError& e) {
    problems = {e.what()};
  }
  if (args.json()) {
    Json list{Json::Array{}};
    for (auto& p : problems) list.push(p);
    Json j{Json::Object{}};
    j.set("ok", problems.empty());
    j.set("problems", list);
    print_json(j);
  } else {
    for (auto& p : problems) print_line(p);
    if (problems.empty()) print_line("ok");
  }
  return problems.empty() ? 0 : 1;
}

// "" when equal; else what differs first.
std::string first_difference(const io::H5Reader& a, const io::H5Reader& b) {
  for (const io::H5Entry& e : a.entries()) {
    if (e.path == "manifest") continue;  // digests of the others
    const io::H5Entry* f = b.find(e.path);
    if (!f) return "'" + e.path + "' is only in the first";
    if (e.dtype != f->dtype || !(e.shape == f->shape))
      return fmt::format("'{}' is {} {} in the first and {} {} in the second", e.path, to_string(e.shape),
                         name_of(e.dtype), to_string(f->shape), name_of(f->dtype));
    Array x = a.read(e), y = b.read(*f);
    const char *p = static_cast<const char*>(x.view().data), *q = static_cast<const char*>(y.view().data);
    if (e.bytes == 0 || std::memcmp(p, q, e.bytes) == 0) continue;
    uint64_t at = 0;
    while (p[at] == q[at]) at++;
    return fmt::format("'{}' differs first at element {}", e.path, at / uint64_t(size_of(e.dtype)));
  }
  for (const io::H5Entry& e : b.entries())
    if (!a.find(e.path)) return "'" + e.path + "' is only in the second";
  return "";
}

int run_diff(const Args& args) {
  io::H5Reader a(args.text("A")), b(args.text("B"));
  std::string difference = first_difference(a, b);
  if (args.json()) {
    Json j{Json::Object{}};
    j.set("same", difference.empty());
    if (!difference.empty()) j.set("difference", difference);
    print_json(j);
  } else {
    print_line(difference.empty() ? "the same bits" : difference);
  }
  return difference.empty() ? 0 : 1;
}

const Option kFile = {"FILE", Option::file, "a checkpoint", true};

}  // namespace

const Verb kCkptLs = {"ckpt ls", "the arrays of a file", {kFile}, false, run_ls};
const Verb kCkptShow = {"ckpt show", "config, state and tokenizer of a checkpoint", {kFile}, false, run_show};
const Verb kCkptVerify = {"ckpt verify", "compares every byte with its digest", {kFile}, false, run_verify};
const Verb kCkptDiff = {"ckpt diff",
                        "do two files hold the same bits?",
                        {{"A", Option::file, "a file", true}, {"B", Option::file, "another", true}},
                        false,
                        run_diff};

}  // namespace fovea::cli
