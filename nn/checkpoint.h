// A run's whole state as one HDF5 file: weights, optimizer, config, tokenizer, step, generators, data position. h5dump
// reads it.
//   params/blocks/0/mlp/up/weight   optimizer/blocks/0/mlp/up/weight/{m,v}   train/state   config   tokenizer manifest
// The manifest has shape, dtype and XXH3-128 of every array. A save writes another file beside, closes it, reads it
// back, fsyncs and renames; whatever fails leaves the old file as it was.
#pragma once
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

using Where = std::source_location;

// FileError when anything goes wrong; `path` then still is what it was.
void save(const std::string& path, const ModuleBase& model, const optim::AdamW* optimizer, const RunState& state = {},
          Where where = Where::current());
inline void save(const std::string& path, const ModuleBase& model, Where where = Where::current()) {
  save(path, model, nullptr, {}, where);
}
inline void save(const std::string& path, const ModuleBase& model, const optim::AdamW& optimizer,
                 const RunState& state = {}, Where where = Where::current()) {
  save(path, model, &optimizer, state, where);
}

struct LoadOptions {
  bool strict = true;  // every parameter is in the file, and the file has no others
  bool cast = false;   // another floating dtype in the file is converted instead of refused
};

// See File::load (nn/checkpoint_file.h).
void load(const std::string& path, ModuleBase& model, const LoadOptions& o = {}, Where where = Where::current());

inline constexpr const char* kFormatVersion = "1.0";

}  // namespace fovea::nn::checkpoint
