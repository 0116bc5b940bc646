// What a trace scope told, kept and shown: a table of ops with counts and times, and Chrome's trace-event format
// (chrome://tracing, Perfetto). Used by the verb trace, `bench --trace` and `train --trace`.
#pragma once
#include <string>
#include <vector>

#include "core/trace.h"
#include "nn/io/json.h"

namespace fovea::cli {

class OpTrace final : public TraceSink {
 public:
  void op(const TraceEvent& e) override;

  size_t size() const { return events_.size(); }
  // Ops by the time that kernels took, the largest first; an op that ran in two ways has two lines. `steps` is what
  // counts and times are divided by.
  std::string table(int steps) const;
  // {"op", "ran", "count", "seconds"} for each line of the table, of all steps together.
  std::vector<io::Json> rows() const;
  // FileError when it cannot be written.
  void save(const std::string& path) const;

 private:
  struct Event {
    const char *op, *ran;
    int depth;
    int64_t begin, end;
    std::string in, out;
  };
  struct Line {
    std::string op, ran;
    int64_t count = 0;
    double seconds = 0;
  };
  std::vector<Line> lines() const;
  std::vector<Event> events_;
};

}  // namespace fovea::cli
