// ModuleStatistics: sizes of activations and gradients by module, to see where a net dies out or blows up.
//   nn::ModuleStatistics statistics;
//   { TraceScope scope(state(), statistics); loss(batch).backward(); }
//   std::cout << statistics.table();
// Activations are the floating results of the ops that a module calls itself, gradients what their rules give back.
#pragma once
#include <string>
#include <vector>

#include "autograd/gradient_report.h"

namespace fovea {
namespace io {
class Json;
}

// {"unreached": [{"parameter", "cuts": [{"op", "why", "at", "module"}]}], "all_zero": [...], "non_finite": [...]}
io::Json to_json(const GradientReport& r);

namespace nn {

class ModuleStatistics final : public TraceSink {
 public:
  // Of the finite ones among `count` numbers.
  struct Numbers {
    int64_t count = 0, zeros = 0, non_finite = 0;
    double sum = 0, squares = 0, largest = 0;  // largest: by magnitude
    double mean() const;
    double rms() const;
    double zero_share() const;
  };
  struct Line {
    std::string module;
    Numbers activations, gradients;
  };
  // In the order in which modules were met; "" is what no module calls.
  const std::vector<Line>& lines() const { return lines_; }
  std::string table() const;

  void op(const TraceEvent& e) override;
  void gradients(const GradientEvent& e) override;

 private:
  Line& line(const char* module);
  std::vector<Line> lines_;
};

}  // namespace nn
}  // namespace fovea
