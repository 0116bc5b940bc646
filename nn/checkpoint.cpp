#include "nn/checkpoint.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/dispatch.h"
#include "nn/checkpoint_file.h"
#include "nn/io/replace_file.h"

namespace fovea::nn::checkpoint {
namespace {

using io::Json;

std::string slashed(std::string dotted) {
  std::replace(dotted.begin(), dotted.end(), '.', '/');
  return dotted;
}
std::string dotted(std::string path) {
  std::replace(path.begin(), path.end(), '/', '.');
  return path;
}

// The manifest's own digest: of its text without that entry. It holds the digests of all arrays.
std::string digest_of(Json manifest) {
  manifest.set("digest", Json());
  std::string text = manifest.dump();
  return io::digest(text.data(), text.size());
}

// Writes arrays and keeps what the manifest says of them.
class Writer {
 public:
  explicit Writer(const std::string& path) : file_(path) {
    file_.attribute("/", "format", "fovea");
    file_.attribute("/", "format_version", kFormatVersion);
    file_.attribute("/", "created_by", "fovea " FOVEA_VERSION);
  }
  void array(const std::string& path, const Array& a, const io::H5Attributes& attributes = {}) {
    note(path, io::hdf5_name_of(a.dtype()), a.shape(), size_of(a.dtype()), file_.array(path, a, attributes));
  }
  void bytes(const std::string& path, const std::string& text) {
    note(path, io::hdf5_name_of(u8), {int64_t(text.size())}, 1, file_.bytes(path, text));
  }
  void link(const std::string& path, const std::string& existing) { file_.link(path, existing); }
  void finish(const Json& ties) {
    Json manifest{Json::Object{}};
    manifest.set("format_version", kFormatVersion);
    manifest.set("code_version", FOVEA_VERSION);
    manifest.set("arrays", arrays_);
    manifest.set("ties", ties);
    manifest.set("digest", digest_of(manifest));
    file_.bytes("manifest", manifest.dump());
    file_.close();
  }
  const std::map<std::string, std::string>& digests() const { return digests_; }

 private:
  void note(const std::string& path, const char* dtype, const Shape& shape, int element, const std::string& d) {
    Json::Array sizes;
    for (int64_t n : shape) sizes.emplace_back(n);
    Json entry{Json::Object{}};
    entry.set("dtype", dtype);
    entry.set("shape", sizes);
    entry.set("bytes", numel(shape) * element);
    entry.set("xxh3_128", d);
    arrays_.push_back({path, entry});
    digests_[path] = d;
  }
  io::H5Writer file_;
  Json::Object arrays_;
  std::map<std::string, std::string> digests_;
};

Json optimizer_json(const optim::AdamW& adam) {
  const optim::AdamWOptions& o = adam.options();
  Json steps{Json::Object{}}, j{Json::Object{}};
  for (const auto& s : adam.slots())
    if (s.m) steps.set(s.name, s.step);
  j.set("kind", "adamw");
  j.set("beta1", o.beta1);
  j.set("beta2", o.beta2);
  j.set("eps", o.eps);
  j.set("weight_decay", o.weight_decay);
  j.set("steps", steps);
  return j;
}

// What is written at least, headers not counted: a disk without that much is refused before anything is written.
uint64_t least_bytes(const ModuleBase& model, const optim::AdamW* adam, const RunState& state) {
  uint64_t n = state.tokenizer.size();
  auto add = [&](int64_t elements, DType t) { n += uint64_t(elements) * uint64_t(size_of(t)); };
  for (auto& [name, p] : model.named_state()) add(p->value().numel(), p->value().dtype());
  if (adam)
    for (const auto& s : adam->slots())
      for (const Array& a : {s.m, s.v})
        if (a) add(a.numel(), a.dtype());
  return n;
}

// A short list of names for an error in one line.
class Names {
 public:
  explicit Names(const char* title) : title_(title) {}
  void add(const std::string& name) {
    if (++n_ <= 6) text_ += (n_ > 1 ? ", " : "") + name;
  }
  void tell(std::string& out) const {
    if (n_ == 0) return;
    out += std::string(out.empty() ? "" : "; ") + title_ + ": " + text_;
    if (n_ > 6) out += " and " + std::to_string(n_ - 6) + " more";
  }

 private:
  const char* title_;
  std::string text_;
  int n_ = 0;
};

std::string describe(const Shape& shape, DType t) { return fovea::to_string(shape) + " " + name_of(t); }

}  // namespace

namespace {

void save_here(const std::string& path, const ModuleBase& model, const optim::AdamW* adam, const RunState& state) {
  NoGrad guard;
  io::replace_file(path, least_bytes(model, adam, state), [&](const std::string& temporary) {
    Writer w(temporary);
    for (auto& [name, p] : model.named_state())
      w.array("params/" + slashed(name), p->value().array(), {{"role", name_of(p->role())}});
    Json ties{Json::Object{}};
    for (auto& [alias, name] : model.ties()) {
      w.link("params/" + slashed(alias), "params/" + slashed(name));
      ties.set(alias, name);
    }
    if (adam) {
      for (const auto& s : adam->slots()) {
        if (!s.m) continue;
        w.array("optimizer/" + slashed(s.name) + "/m", s.m);
        w.array("optimizer/" + slashed(s.name) + "/v", s.v);
      }
      w.bytes("train/optimizer", optimizer_json(*adam).dump());
    }
    if (!state.train.is_null()) w.bytes("train/state", state.train.dump());
    if (!state.config.is_null()) w.bytes("config", state.config.dump());
    if (!state.tokenizer.empty()) w.bytes("tokenizer", state.tokenizer);
    w.finish(ties);
    // What is on the disk must be what was in memory.
    File back(temporary);
    for (auto& [array, d] : w.digests())
      if (back.manifest()["arrays"][array]["xxh3_128"].as_string() != d)
        throw FileError(path + ": reading back: the manifest differs at " + array);
    if (auto problems = back.verify(); !problems.empty()) throw FileError(path + ": reading back: " + problems[0]);
  });
}

}  // namespace

void save(const std::string& path, const ModuleBase& model, const optim::AdamW* adam, const RunState& state,
          Where where) {
  at_line(where, [&] { save_here(path, model, adam, state); });
}

File::File(const std::string& path, Where where) : reader_(at_line(where, [&] { return io::H5Reader(path); })) {
  at_line(where, [&] { open(); });
}

void File::open() {
  const std::string& path = reader_.path();
  auto& attributes = reader_.attributes();
  auto format = attributes.find("format"), version = attributes.find("format_version");
  if (format == attributes.end() || format->second != "fovea" || version == attributes.end())
    throw FileError(path + ": is an HDF5 file, but no Fovea checkpoint");
  std::string ours = kFormatVersion, major = version->second.substr(0, version->second.find('.'));
  if (major != ours.substr(0, ours.find('.')))
    throw FileError(path + ": has format " + version->second + " (this program reads " + ours + ")");
  manifest_ = Json::parse(reader_.bytes("manifest"), path + ": manifest");
  try {
    if (manifest_["digest"].as_string() != digest_of(manifest_))
      throw FileError(path + ": the manifest is damaged: its digest does not fit");
    manifest_["arrays"].as_object();
    manifest_["ties"].as_object();
  } catch (const ValueError& e) {
    throw FileError(path + ": the manifest is damaged: " + e.what());
  }
  auto part = [&](const char* name) {
    const io::H5Entry* e = reader_.find(name);
    if (!e) return std::string();
    Array a = read(*e);
    return std::string(static_cast<const char*>(a.view().data), e->bytes);
  };
  auto json = [&](const char* name) {
    std::string text = part(name);
    return text.empty() ? Json() : Json::parse(text, path + ": " + name);
  };
  state_.config = json("config");
  state_.train = json("train/state");
  state_.tokenizer = part("tokenizer");
  optimizer_ = json("train/optimizer");
}

Array File::read(const io::H5Entry& e) const {
  const Json* known = manifest_["arrays"].find(e.path);
  if (!known)
    for (auto& [alias, name] : manifest_["ties"].as_object())
      if ("params/" + slashed(alias) == e.path) known = manifest_["arrays"].find("params/" + slashed(name.as_string()));
  if (!known) throw FileError(reader_.path() + ": '" + e.path + "' is not in the manifest");
  Array a = reader_.read(e);
  if (io::digest(a.view().data, e.bytes) != (*known)["xxh3_128"].as_string())
    throw FileError(reader_.path() + ": '" + e.path + "' is damaged: its digest is not the manifest's");
  return a;
}

std::vector<std::string> File::verify() const {
  std::vector<std::string> problems;
  std::set<std::string> known;
  for (auto& [path, entry] : manifest_["arrays"].as_object()) {
    known.insert(path);
    try {
      const io::H5Entry* e = reader_.find(path);
      if (!e) {
        problems.push_back("'" + path + "' is in the manifest, but not in the file");
        continue;
      }
      Shape shape;
      for (const Json& n : entry["shape"].as_array()) shape.push_back(n.as_int());
      if (entry["dtype"].as_string() != io::hdf5_name_of(e->dtype) || !(shape == e->shape) ||
          entry["bytes"].as_int() != int64_t(e->bytes))
        problems.push_back("'" + path + "' is " + describe(e->shape, e->dtype) +
                           ", which is not what the manifest says");
      read(*e);
    } catch (const FileError& e) {
      std::string text = e.what(), own = reader_.path() + ": ";
      problems.push_back(text.rfind(own, 0) == 0 ? text.substr(own.size()) : text);
    } catch (const ValueError& e) {
      problems.push_back("manifest: '" + path + "': " + e.what());
    }
  }
  for (auto& [alias, name] : manifest_["ties"].as_object()) {
    const io::H5Entry *a = reader_.find("params/" + slashed(alias)),
                      *b = reader_.find("params/" + slashed(name.is_string() ? name.as_string() : ""));
    if (!a || !b || a->object != b->object) problems.push_back("'" + alias + "' is not the same array as its tie");
    known.insert("params/" + slashed(alias));
  }
  for (const io::H5Entry& e : reader_.entries())
    if (e.path != "manifest" && !known.count(e.path)) problems.push_back("'" + e.path + "' is not in the manifest");
  return problems;
}

void File::load(ModuleBase& model, const LoadOptions& o, Where where) const {
  at_line(where, [&] { load_model(model, o); });
}
void File::load(optim::AdamW& adam, Where where) const {
  at_line(where, [&] { load_optimizer(adam); });
}

void File::load_model(ModuleBase& model, const LoadOptions& o) const {
  Names missing("missing in the file"), extra("not in the model"), shapes("of another shape"),
      dtypes("of another dtype");
  NamedParameters wanted = model.named_state();
  std::set<std::string> used;
  std::vector<const io::H5Entry*> found;
  for (auto& [name, p] : wanted) {
    const io::H5Entry* e = reader_.find("params/" + slashed(name));
    found.push_back(e);
    if (!e) {
      if (o.strict) missing.add(name);
      continue;
    }
    used.insert(e->path);
    const Tensor& value = p->value();
    bool castable = o.cast && is_floating(e->dtype) && is_floating(value.dtype());
    if (!(e->shape == value.shape()))
      shapes.add(name + " is " + fovea::to_string(e->shape) + " (the model has " + fovea::to_string(value.shape()) +
                 ")");
    else if (e->dtype != value.dtype() && !castable)
      dtypes.add(name + " is " + name_of(e->dtype) + " (the model has " + name_of(value.dtype()) + ")");
  }
  for (auto& [alias, name] : model.ties()) used.insert("params/" + slashed(alias));
  for (auto& [alias, name] : manifest_["ties"].as_object()) {
    if (used.count("params/" + slashed(name.as_string()))) used.insert("params/" + slashed(alias));
    if (used.count("params/" + slashed(alias))) used.insert("params/" + slashed(name.as_string()));
  }
  if (o.strict)
    for (const io::H5Entry& e : reader_.entries())
      if (e.path.rfind("params/", 0) == 0 && !used.count(e.path)) extra.add(dotted(e.path.substr(7)));
  std::string difference;
  for (const Names* names : {&missing, &extra, &shapes, &dtypes}) names->tell(difference);
  if (!difference.empty()) throw FileError(reader_.path() + ": does not fit the model: " + difference);

  NoGrad guard;
  std::vector<Tensor> values;
  for (size_t i = 0; i < wanted.size(); i++) values.push_back(found[i] ? Tensor(read(*found[i])) : Tensor());
  for (size_t i = 0; i < wanted.size(); i++) {
    if (!values[i].defined()) continue;
    const Tensor& old = wanted[i].second->value();
    wanted[i].second->set(values[i].to(old.dtype()).to(old.device()));
  }
}

void File::load_optimizer(optim::AdamW& adam) const {
  if (!has_optimizer()) throw FileError(reader_.path() + ": has no optimizer state");
  struct Moments {
    Array m, v;
    int64_t step;
  };
  std::vector<Moments> all;
  const Json& steps = optimizer_["steps"];
  for (const auto& s : adam.slots()) {
    const Json* step = steps.find(s.name);
    if (!step) {
      all.push_back({{}, {}, 0});  // never updated
      continue;
    }
    const io::H5Entry &m = reader_.at("optimizer/" + slashed(s.name) + "/m"),
                      &v = reader_.at("optimizer/" + slashed(s.name) + "/v");
    const Tensor& p = s.parameter->value();
    for (const io::H5Entry* e : {&m, &v})
      if (!(e->shape == p.shape()) || e->dtype != acc_dtype(p.dtype()))
        throw FileError(reader_.path() + ": '" + e->path + "' is " + describe(e->shape, e->dtype) +
                        " (the model needs " + describe(p.shape(), acc_dtype(p.dtype())) + ")");
    all.push_back({to_device(read(m), p.device()), to_device(read(v), p.device()), step->as_int()});
  }
  for (auto& [name, step] : steps.as_object()) {
    auto same = [&, n = name](const auto& s) { return s.name == n; };
    if (std::none_of(adam.slots().begin(), adam.slots().end(), same))
      throw FileError(reader_.path() + ": optimizer state of '" + name + "', which the model does not have");
  }
  for (size_t i = 0; i < all.size(); i++) {
    adam.slots()[i].m = all[i].m;
    adam.slots()[i].v = all[i].v;
    adam.slots()[i].step = all[i].step;
  }
}

void load(const std::string& path, ModuleBase& model, const LoadOptions& o, Where where) {
  File(path, where).load(model, o, where);
}

}  // namespace fovea::nn::checkpoint
