// What a backward did and did not reach, and where the paths end of what it did not.
//   GradientPaths paths;
//   loss(batch).backward();
//   gradient_report(model.parameters(), &paths)  // not reached by backward: tok.weight (detach at model.cpp:41 (net))
#pragma once
#include <map>
#include <string>
#include <vector>

#include "autograd/parameter.h"
#include "core/trace.h"

namespace fovea {

// Where a gradient's path ends: "detach at model.cpp:41 (net.hidden)".
struct GradientCut {
  std::string op;   // or what took the place of one: detach, item
  std::string why;  // "gives i64", "runs under NoGrad", "has no slope"; empty where the op's name says it
  std::source_location where;
  std::string module;  // dotted path; empty outside
  std::string to_string() const;
};

// While one is open on this thread, ops that end the paths of gradients are remembered, by the leaves behind them.
class GradientPaths final : TraceSink {
 public:
  GradientPaths();
  ~GradientPaths();
  GradientPaths(const GradientPaths&) = delete;
  // In the order in which they were met, each line once.
  std::vector<GradientCut> cuts_of(const Tensor& leaf) const;
  void clear() { leaves_.clear(); }

  // Told by what ends a path: the gradient of `from` goes no further back than here.
  static void cut(const Edge& from, const char* op, std::string why, const std::source_location& where,
                  const char* module);

 private:
  struct Leaf {
    Edge hold;  // its address stays its own
    std::vector<GradientCut> cuts;
  };
  void op(const TraceEvent&) override {}
  std::map<const Node*, Leaf> leaves_;
  GradientPaths* outer_;
  TraceScope scope_;
};

struct GradientReport {
  std::vector<std::string> unreached, all_zero, non_finite;
  std::vector<std::vector<GradientCut>> cuts;  // of each unreached one, where paths were remembered
  bool clean() const { return unreached.empty() && all_zero.empty() && non_finite.empty(); }
  std::string to_string() const;
};
GradientReport gradient_report(const ParameterList& parameters, const GradientPaths* paths = nullptr);

namespace detail {
// While ops are told: which of an op's inputs lose their gradients in it.
void note_cuts(ThreadState& s, const OpRow& r, const Tensor* const* in, int inputs, const Tensor* out,
               const std::source_location& where);
void note_cut(const Tensor& from, const char* op, const std::source_location& where);  // detach, item
}  // namespace detail

}  // namespace fovea
