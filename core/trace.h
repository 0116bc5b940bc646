// Telling sinks about every op: names, backends, shapes, times. Off: one bit of the mode word. The user's line, the
// module and the public function an op is part of are in the thread's state while a sink is told.
#pragma once
#include <cstdint>

#include "core/mode.h"

namespace fovea {

class Array;

// Nanoseconds of a steady clock. (<chrono> in a header would cost every user 0.2 s of compile time.)
int64_t trace_clock();

struct TraceEvent {
  const char* op;
  const char* backend;  // who ran it; the device's backend for compositions
  bool composed;        // no kernel: the composition ran (its own ops are told before it, one deeper)
  bool reference;       // the kernel is the reference backend's
  bool update;          // it wrote into what it was given
  int depth;            // 0 for an op the user called, deeper inside compositions and backward rules
  const View* const* in;
  int inputs;
  const View* const* out;
  int outputs;
  int64_t begin, end;  // trace_clock()
};

// A backward rule has run; its ops were told before it, one deeper. What was not asked for, or is zero, is absent.
struct GradientEvent {
  const char* op;                     // whose rule
  const std::source_location* where;  // the user's line of the forward
  const char* module;                 // and its module; null outside
  int depth;
  const View* const* cotangents;
  int outputs;
  const View* const* gradients;  // of the inputs
  int inputs;
};

struct TraceSink {
  virtual void op(const TraceEvent& e) = 0;
  virtual void gradients(const GradientEvent&) {}

 protected:
  ~TraceSink() = default;
};

// Sends this thread's ops to `sink`, too, until the end of the scope.
class TraceScope final : TraceSink {
 public:
  TraceScope(ThreadState& s, TraceSink& sink) : mode_(s, kTrace, 0), state_(s), sink_(sink), outer_(s.trace) {
    s.trace = this;
  }
  ~TraceScope() { state_.trace = outer_; }

 private:
  void op(const TraceEvent& e) override {
    sink_.op(e);
    if (outer_) outer_->op(e);
  }
  void gradients(const GradientEvent& e) override {
    sink_.gradients(e);
    if (outer_) outer_->gradients(e);
  }
  ModeScope mode_;
  ThreadState& state_;
  TraceSink &sink_, *outer_;
};

// Inside, nobody is told: for numbers that are meant to be NaN, as those that a select leaves out. `Untold guard;`
struct Untold : ModeScope {
  Untold() : ModeScope(state(), 0, kTrace) {}
};

// The numbers that a sink was shown as they are now, dense on the host: later ops may write over them.
Array host_copy(const View& v);

}  // namespace fovea
