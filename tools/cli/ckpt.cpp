// ckpt ls | show | verify | diff: what is in a checkpoint, whether it is whole, and whether two are the same.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>

#include "autograd/ops/view.h"
#include "models/plan.h"
#include "nn/checkpoint_file.h"
#include "nn/io/safetensors.h"
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

// The arrays of a file of either kind.
class TensorFile {
 public:
  struct Entry {
    std::string path;
    DType dtype;
    Shape shape;
    uint64_t bytes;
    std::map<std::string, std::string> attributes;
  };

  explicit TensorFile(const std::string& path) : path_(path) {
    if (is_safetensors(path)) {
      content_ = io::read_safetensors(path);
      for (auto& [name, a] : content_.arrays)
        entries_.push_back({name, a.dtype(), a.shape(), uint64_t(a.numel()) * uint64_t(size_of(a.dtype())), {}});
      std::sort(entries_.begin(), entries_.end(), [](auto& a, auto& b) { return a.path < b.path; });
    } else {
      hdf5_ = std::make_unique<io::H5Reader>(path);
      for (const io::H5Entry& e : hdf5_->entries())
        entries_.push_back({e.path, e.dtype, e.shape, e.bytes, e.attributes});
    }
  }
  // By name, or by the first bytes; anything else is told to be no HDF5 file.
  static bool is_safetensors(const std::string& path) {
    if (path.ends_with(".safetensors")) return true;
    char begin[9] = {};  // the size of the header, then the header
    std::ifstream(path, std::ios::binary).read(begin, 9);
    return begin[8] == '{' && begin[7] == 0;
  }

  const std::vector<Entry>& entries() const { return entries_; }
  const std::map<std::string, std::string>& metadata() const { return hdf5_ ? hdf5_->attributes() : content_.metadata; }
  const Entry* find(const std::string& path) const {
    auto at = std::lower_bound(entries_.begin(), entries_.end(), path, [](auto& e, auto& p) { return e.path < p; });
    return at != entries_.end() && at->path == path ? &*at : nullptr;
  }
  Array read(const std::string& path) const { return hdf5_ ? hdf5_->read(hdf5_->at(path)) : *content_.find(path); }

 private:
  std::string path_;
  std::unique_ptr<io::H5Reader> hdf5_;
  io::Safetensors content_;
  std::vector<Entry> entries_;
};

int run_ls(const Args& args) {
  TensorFile file(args.text("FILE"));
  uint64_t total = 0;
  for (const TensorFile::Entry& e : file.entries()) {
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
  if (!args.json()) print_line(fmt::format("{} arrays, {}", file.entries().size(), bytes_text(double(total))));
  return 0;
}

// What every file can say; a checkpoint of ours has more.
int show_arrays(const Args& args) {
  TensorFile file(args.text("FILE"));
  Json metadata{Json::Object{}};
  for (auto& [key, value] : file.metadata()) metadata.set(key, value);
  if (args.json()) {
    Json j{Json::Object{}};
    j.set("metadata", metadata);
    j.set("arrays", int64_t(file.entries().size()));
    print_json(j);
  } else {
    print_line(fmt::format("{} arrays", file.entries().size()));
    print_line("metadata " + metadata.dump(2));
  }
  return 0;
}

int run_show(const Args& args) {
  if (TensorFile::is_safetensors(args.text("FILE"))) return show_arrays(args);
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
  const std::string path = args.text("FILE");
  std::string unread;
  try {
    if (TensorFile::is_safetensors(path)) TensorFile{path};  // its reader refuses whatever is wrong
    else problems = File(path).verify();
  } catch (const FileError& e) {
    problems = {e.what()};
    if (access(path.c_str(), R_OK) != 0) unread = e.what();
  }
  if (args.json()) {
    Json list{Json::Array{}};
    for (auto& p : problems) list.push(p);
    Json j{Json::Object{}};
    j.set("ok", problems.empty());
    j.set("problems", list);
    print_json(j);
  } else if (unread.empty()) {
    for (auto& p : problems) print_line(p);
    if (problems.empty()) print_line("ok");
  }
  if (problems.empty()) return 0;
  if (!unread.empty()) throw FileError(unread);
  throw FileError(
      fmt::format("{}: is not what was written: {} problem{}. Take an earlier copy, such as a run's "
                  "checkpoint.1.h5",
                  path, problems.size(), problems.size() == 1 ? "" : "s"));
}

// The first key, from the outside in, whose values differ.
std::string json_difference(const Json& a, const Json& b, const std::string& key) {
  if (a.is_object() && b.is_object()) {
    for (auto& [k, v] : a.as_object()) {
      const Json* w = b.find(k);
      if (!w) return key + k + " is only in the first";
      if (!(v == *w)) return json_difference(v, *w, key + k + ".");
    }
    for (auto& [k, v] : b.as_object())
      if (!a.find(k)) return key + k + " is only in the second";
  }
  auto brief = [](const Json& j) {
    std::string text = j.dump();
    return text.size() > 60 ? text.replace(57, text.npos, "...") : text;
  };
  return (key.empty() ? "it" : key.substr(0, key.size() - 1)) + " is " + brief(a) + " in the first and " + brief(b) +
         " in the second";
}

// Two arrays of one shape and dtype: "" for the same bits.
std::string array_difference(const std::string& path, const Array& x, const Array& y) {
  size_t element = size_t(size_of(x.dtype())), bytes = size_t(x.numel()) * element;
  const char *p = static_cast<const char*>(x.view().data), *q = static_cast<const char*>(y.view().data);
  if (bytes == 0 || std::memcmp(p, q, bytes) == 0) return "";
  int64_t at = int64_t(size_t(std::mismatch(p, p + bytes, q).first - p) / element);
  Shape index;
  int64_t rest = at;
  for (int i = x.shape().rank - 1; i >= 0; i--) index.push_back(rest % x.shape()[i]), rest /= x.shape()[i];
  std::reverse(index.dims, index.dims + index.rank);
  auto value = [&](const Array& a) { return narrow(flatten(Tensor(a)), 0, at, 1).to(f64).item(); };
  return fmt::format("'{}' differs first at {}: {} in the first and {} in the second", path, to_string(index), value(x),
                     value(y));
}

// "" when equal; else what differs first.
std::string first_difference(const TensorFile& a, const TensorFile& b) {
  for (const TensorFile::Entry& e : a.entries()) {
    if (e.path == "manifest") continue;  // digests of the others
    const TensorFile::Entry* f = b.find(e.path);
    if (!f) return "'" + e.path + "' is only in the first";
    if (e.dtype != f->dtype || (!(e.shape == f->shape) && e.dtype != u8))
      return fmt::format("'{}' is {} {} in the first and {} {} in the second", e.path, to_string(e.shape),
                         name_of(e.dtype), to_string(f->shape), name_of(f->dtype));
    Array x = a.read(e.path), y = b.read(f->path);
    std::string d = e.shape == f->shape ? array_difference(e.path, x, y) : "its length";
    if (d.empty()) continue;
    if (e.dtype != u8 || e.shape.rank != 1 || f->shape.rank != 1) return d;
    auto text = [](const Array& t) { return std::string(static_cast<const char*>(t.view().data), size_t(t.numel())); };
    try {
      return "'" + e.path + "': " + json_difference(Json::parse(text(x)), Json::parse(text(y)), "");
    } catch (const FileError&) {
      return fmt::format("'{}' differs", e.path);
    }
  }
  for (const TensorFile::Entry& e : b.entries())
    if (!a.find(e.path)) return "'" + e.path + "' is only in the second";
  return "";
}

int run_diff(const Args& args) {
  TensorFile a(args.text("A")), b(args.text("B"));
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

const Option kFile = {"FILE", Option::file, "a checkpoint (HDF5), or a .safetensors file", true};

}  // namespace

const Verb kCkptLs = {"ckpt ls", "the arrays of a file", {kFile}, false, run_ls};
const Verb kCkptShow = {"ckpt show", "config, state and tokenizer", {kFile}, false, run_show};
const Verb kCkptVerify = {
    "ckpt verify", "is the file whole? compares every byte with its digest", {kFile}, false, run_verify};
const Verb kCkptDiff = {"ckpt diff",
                        "do two files hold the same bits? names the first difference",
                        {{"A", Option::file, "a file", true}, {"B", Option::file, "another", true}},
                        false,
                        run_diff};

}  // namespace fovea::cli
