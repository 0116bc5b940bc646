// One small state per thread: the mode word, the free lists, the line and module that errors name.
// Fetched once per op and passed down. Only the pointer is thread-local storage (initial-exec model), so the library
// can itself be dlopened.
#pragma once
#include <cstdint>
#include <source_location>

#include "core/allocator.h"
#include "core/backend.h"
#include "core/error.h"

namespace fovea {

// Bits of the mode word.
enum Mode : uint32_t {
  kGrad = 1,           // ops are recorded
  kTrace = 2,          // every op is told to the thread's trace sink
  kDeterministic = 8,  // same bits for any thread count, also where it costs
  kNoKernels = 16,     // kernels of composed ops are skipped: proofs, FOVEA_COMPOSE
  kUnsaved = 32,       // what is recorded keeps no arrays: the forward of checkpoint(), which runs it again later
  kEvaluate = 64,      // modules are in eval mode, whatever their flags say: generation, validation
  kWatch = 128,        // every node is shown to the innermost NodeWatch as it is recorded: proofs
};

struct TraceSink;

struct ThreadState {
  uint32_t mode = kGrad;
  int32_t depth = 0;  // of compositions: how deep inside other ops
  int32_t rules = 0;  // of backward: how deep inside rules, counted while ops are told
  Fault fault;
  const std::source_location* where =
      nullptr;                   // overrides the caller's line (modules of nn lend theirs, the engine the forward's)
  const char* op = nullptr;      // the public function that runs, where it is made of others; errors name it
  const char* module = nullptr;  // dotted path of the module that runs, interned; null outside
  TraceSink* trace = nullptr;
  void* dying = nullptr;  // nodes to be released, by autograd's explicit stack
  bool releasing = false;
  BlockCache blocks;
};

namespace detail {
extern constinit thread_local ThreadState* tls_state __attribute__((tls_model("initial-exec")));
ThreadState& make_state();
}  // namespace detail

inline ThreadState& state() {
  ThreadState* s = detail::tls_state;
  return s ? *s : detail::make_state();
}

// Sets and clears bits of the mode word until the end of the scope.
class ModeScope {
 public:
  ModeScope(ThreadState& s, uint32_t set, uint32_t clear) : state_(s), before_(s.mode) {
    s.mode = (s.mode & ~clear) | set;
  }
  ~ModeScope() { state_.mode = before_; }
  ModeScope(const ModeScope&) = delete;
  ModeScope& operator=(const ModeScope&) = delete;

 private:
  ThreadState& state_;
  uint32_t before_;
};

// Inside, nothing is recorded: `NoGrad guard;`
struct NoGrad : ModeScope {
  NoGrad() : ModeScope(state(), 0, kGrad) {}
};
// Inside, every result has the same bits for any number of threads.
struct Deterministic : ModeScope {
  Deterministic() : ModeScope(state(), kDeterministic, 0) {}
};

// Inside, modules are in eval mode on this thread. Their flags stay as they are, so other threads see nothing of it.
struct Evaluating : ModeScope {
  Evaluating() : ModeScope(state(), kEvaluate, 0) {}
};

// Errors, traces and nodes inside name this line.
class WhereScope {
 public:
  WhereScope(ThreadState& s, const std::source_location* where) : state_(s), before_(s.where) {
    if (where && !s.where) s.where = where;  // the outermost scope is the user's
  }
  ~WhereScope() { state_.where = before_; }
  WhereScope(const WhereScope&) = delete;
  WhereScope& operator=(const WhereScope&) = delete;

 private:
  ThreadState& state_;
  const std::source_location* before_;
};

// f(), whose errors name the caller's line: for functions that are no ops (files, training).
template <class F> decltype(auto) at_line(std::source_location where, const F& f) try {
  WhereScope lines(state(), &where);
  return f();
} catch (Error& e) {
  const std::source_location* outer = state().where;
  e.locate("", outer ? *outer : where, "");
  throw;
}

// A public function that is made of others: errors and nodes inside name it and its caller, not its parts.
class CallScope {
 public:
  CallScope(const char* op, const std::source_location& where)
      : state_(state()), op_(state_.op), line_(where), lines_(state_, &line_) {
    if (!state_.op) state_.op = op;
  }
  ~CallScope() { state_.op = op_; }
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

 private:
  ThreadState& state_;
  const char* op_;
  std::source_location line_;
  WhereScope lines_;
};

}  // namespace fovea
