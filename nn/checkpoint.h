// A run's whole state as one HDF5 file: weights, optimizer, config, tokenizer, step, generators, data position. h5dump
// reads it.
//   params/blocks/0/mlp/up/weight   optimizer/blocks/0/mlp/up/weight/{m,v}   train/state   config   tokenizer manifest
// The manifest has shape, dtype and XXH3-128 of every array. A save writes another file beside, closes it, reads it
// back, fsyncs and renames; whatever fails leaves the old file as it was.
#pragma once
#include "nn/io/hdf5.h"
#include "nn/io/json.h"
#include "nn/module.h"
#include "nn/optim/adamw.h"

namespace fovea::nn::checkpoint {

// What a run knows beside its arrays. Null and empty parts are left out of the file.
struct RunState {
  io::Json config;        // how to make the model, and how it was trained
  io::Json train;         // step, generators, data position
  std::string tokenizer;  // tokenizer.json
};

// FileError when anything goes wrong; `path` then still is what it was.
void save(const std::string& path, const ModuleBase& model, const optim::AdamW* optimizer, const RunState& state = {});
inline void save(const std::string& path, const ModuleBase& model) { save(path, model, nullptr); }
inline void save(const std::string& path, const ModuleBase& model, const optim::AdamW& optimizer,
                 const RunState& state = {}) {
  save(path, model, &optimizer, state);
}

struct LoadOptions {
  bool strict = true;  // every parameter is in the file, and the file has no others
  bool cast = false;   // another floating dtype in the file is converted instead of refused
};

// A file opened for reading; the constructor throws FileError for what is not a checkpoint of ours, or of a later
// format.
class File {
 public:
  explicit File(const std::string& path);
  const RunState& state() const { return state_; }
  bool has_optimizer() const { return !optimizer_.is_null(); }
  const io::H5Reader& reader() const { return reader_; }
  const io::Json& manifest() const { return manifest_; }

  // Gives the parameters their values; digests are compared on the way. FileError tells the whole difference in one
  // line, and nothing has changed then.
  void load(ModuleBase& model, const LoadOptions& o = {}) const;
  void load(optim::AdamW& optimizer) const;
  // Everything that contradicts the manifest; empty when nothing does. Reads every byte.
  std::vector<std::string> verify() const;

 private:
  Array read(const io::H5Entry& e) const;
  io::H5Reader reader_;
  io::Json manifest_, optimizer_;
  RunState state_;
};

void load(const std::string& path, ModuleBase& model, const LoadOptions& o = {});

inline constexpr const char* kFormatVersion = "1.0";

}  // namespace fovea::nn::checkpoint
