// Telling a sink about every op: names, backends, shapes, times. Off: one bit of the mode word.
#pragma once
#include <cstdint>

#include "core/mode.h"

namespace fovea {

// Nanoseconds of a steady clock. (<chrono> in a header would cost every user 0.2 s of compile time.)
int64_t trace_clock();

struct TraceEvent {
  const char* op;
  const char* backend;  // who ran it; the device's backend for compositions
  bool composed;        // no kernel: the composition ran (its own ops are told before it, one deeper)
  bool reference;       // the kernel is the reference backend's
  int depth;            // 0 for an op the user called, deeper inside compositions and backward rules
  const View* const* in;
  int inputs;
  const View* const* out;
  int outputs;
  int64_t begin, end;  // trace_clock()
};

struct TraceSink {
  virtual void op(const TraceEvent& e) = 0;

 protected:
  ~TraceSink() = default;
};

// Sends this thread's ops to `sink` until the end of the scope.
class TraceScope {
 public:
  TraceScope(ThreadState& s, TraceSink& sink) : mode_(s, kTrace, 0), state_(s), before_(s.trace) { s.trace = &sink; }
  ~TraceScope() { state_.trace = before_; }

 private:
  ModeScope mode_;
  ThreadState& state_;
  TraceSink* before_;
};

}  // namespace fovea
