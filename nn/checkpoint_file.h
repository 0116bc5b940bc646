// A checkpoint opened for reading, piece by piece: for programs that resume, show or verify one.
#pragma once
#include "nn/checkpoint.h"
#include "nn/io/hdf5.h"

namespace fovea::nn::checkpoint {

// A file opened for reading; the constructor throws FileError for what is not a checkpoint of ours, or of a later
// format.
class File {
 public:
  explicit File(const std::string& path, Where where = Where::current());
  const RunState& state() const { return state_; }
  bool has_optimizer() const { return !optimizer_.is_null(); }
  const io::H5Reader& reader() const { return reader_; }
  const io::Json& manifest() const { return manifest_; }

  // Gives the parameters their values; digests are compared on the way. FileError tells the whole difference in one
  // line, and nothing has changed then.
  void load(ModuleBase& model, const LoadOptions& o = {}, Where where = Where::current()) const;
  void load(optim::AdamW& optimizer, Where where = Where::current()) const;
  // Everything that contradicts the manifest; empty when nothing does. Reads every byte.
  std::vector<std::string> verify() const;

 private:
  void open();
  void load_model(ModuleBase& model, const LoadOptions& o) const;
  void load_optimizer(optim::AdamW& optimizer) const;
  Array read(const io::H5Entry& e) const;
  io::H5Reader reader_;
  io::Json manifest_, optimizer_;
  RunState state_;
};

}  // namespace fovea::nn::checkpoint
