// What a trace scope told, kept and shown: a table of ops with counts and times, Chrome's trace-event format
// (chrome://tracing, Perfetto), and HDF5 with every result, for `trace diff`. Used by the verb trace, `bench --trace`
// and `train --trace`.
#pragma once
#include <string>
#include <vector>

#include "core/array.h"
#include "core/trace.h"
#include "nn/io/json.h"

namespace fovea::cli {

class OpTrace final : public TraceSink {
 public:
  // For a file to be saved, "" for none: F.json is Chrome's format, F.h5 keeps results. UsageError for another name.
  explicit OpTrace(const std::string& path);
  void op(const TraceEvent& e) override;

  bool keeps_results() const { return keeps_results_; }
  // Ops by the time that kernels took, the largest first; an op that ran in two ways has two lines. `steps` is what
  // counts and times are divided by.
  std::string table(int steps) const;
  // {"op", "ran", "count", "seconds"} for each line of the table, of all steps together.
  std::vector<io::Json> rows() const;
  // FileError when the file cannot be written.
  void save() const;

 private:
  struct Event {
    const char *op, *ran;
    int depth;
    int64_t begin, end;
    std::string in, out, at;  // at: the user's line; empty: unknown
    const char* module;       // null outside
    std::vector<Array> results;
  };
  struct Line {
    std::string op, ran;
    int64_t count = 0;
    double seconds = 0;
  };
  std::vector<Line> lines() const;
  void save_chrome() const;
  void save_results() const;
  std::string path_;
  bool keeps_results_;
  std::vector<Event> events_;
};

}  // namespace fovea::cli
