// NanWatch: names the first op whose result holds a NaN or an infinity, in forward, backward and updates.
//   NanWatch watch;
//   loss(batch).backward();  // throws "log: -inf at [0,3] of its result f32 [2,4], from finite inputs at model.cpp:41"
// Results of the ops that the user calls and gradients that rules give are read once; off, it costs nothing.
#pragma once
#include <optional>

#include "core/shape.h"
#include "core/trace.h"

namespace fovea {

struct NonFinite {
  std::string op;         // whose result it is, or whose backward rule gave it
  std::string function;   // the public function that is made of this op and others; empty: none
  bool backward = false;  // a gradient
  int place = 0;          // of the result among the op's, or of the input whose gradient it is
  double value = 0;
  DType dtype = DType::f32;
  Shape shape, index;          // of the result, and where in it: the first one
  std::string from;            // "finite inputs", or which input was not finite already and where
  bool made = true;            // from finite numbers (or not NaN), by this op
  std::source_location where;  // the user's line, of the forward; line 0: unknown
  std::string module;          // dotted path; empty outside
  std::string to_string() const;
};

struct NonFiniteError : Error {
  explicit NonFiniteError(NonFinite f);
  NonFinite found;
};

struct NanWatchOptions {
  bool infinities = true;  // also those that an op makes of finite numbers
  bool throws = true;      // false: found() keeps the first, and the run goes on
};

// Watches this thread until the end of the scope. An infinity counts where an op makes it of finite numbers: one that
// was written (masks of -inf) does not, nor one in a further output (the log-sum-exp of nothing).
// What is made inside an `Untold guard;` is not watched.
class NanWatch final : TraceSink {
 public:
  explicit NanWatch(NanWatchOptions o = {}) : options_(o), scope_(state(), *this) {}
  const std::optional<NonFinite>& found() const { return found_; }
  void reset() { found_.reset(); }

 private:
  void op(const TraceEvent& e) override;
  void gradients(const GradientEvent& e) override;
  void report(NonFinite f);

  NanWatchOptions options_;
  std::optional<NonFinite> found_;
  TraceScope scope_;
};

}  // namespace fovea
