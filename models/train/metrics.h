// metrics.jsonl: one JSON object per line and step. A run that is killed and resumed ends with the same lines as one
// that was not: what was written after the checkpoint is cut off before the first new line.
#pragma once
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "nn/io/json.h"

namespace fovea::train {

// The records of a file; a last line that was torn by a kill is left out. FileError for a file that cannot be read, or
// naming the line that is no record with an integer `step`.
std::vector<io::Json> read_metrics(const std::string& path);

class MetricsWriter {
 public:
  // Goes on behind the last record whose step is at most `last_step` (0: starts over); the rest of the file is cut off.
  // FileError when it cannot be written, or has anything that is no record of a training run: nothing is cut off then.
  MetricsWriter(std::string path, int64_t last_step);

  // Appends one line and hands it to the system. FileError, for instance on a full disk.
  void write(const io::Json& record);

 private:
  std::string path_;
  std::unique_ptr<FILE, int (*)(FILE*)> file_{nullptr, &std::fclose};
};

}  // namespace fovea::train
