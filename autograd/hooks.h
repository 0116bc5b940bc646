// What few nodes have, and dies with them: hooks of a tensor, called with its gradient when that is complete, in the
// order of registration; the backward of a Function or a checkpoint.
#pragma once
#include <functional>
#include <vector>

#include "autograd/tensor.h"

namespace fovea {

class Backward;

struct Hooks {
  struct Entry {
    int slot;
    std::function<Tensor(const Tensor&)> call;
  };
  std::vector<Entry> entries;
  std::function<void(Backward&)> function;
  bool function_twice = false;
};

namespace detail {

struct Recorded;
// A node whose rule is host code, `twice`: it can be differentiated itself. Rows have the names of such functions.
void record_host_code(ThreadState& s, const std::string& name, const Recorded& r, std::function<void(Backward&)> rule,
                      bool twice);

// While one is open on this thread, nodes are recorded without what their rules need, and tensors whose history began
// before are listed: what the function that runs has captured. For checkpoint().
class UnsavedTape {
 public:
  UnsavedTape();
  ~UnsavedTape();
  UnsavedTape(const UnsavedTape&) = delete;
  UnsavedTape& operator=(const UnsavedTape&) = delete;
  Tensor leaf(const Tensor& x);   // x with a history that begins here
  void capture(const Tensor& x);  // unless its history is of this tape, or it is listed already
  const std::vector<Tensor>& captured() const { return captured_; }
  static void note(const Recorded& r, Node* n);  // a node made under the innermost tape

 private:
  const int32_t id_;
  UnsavedTape* const outer_;
  ModeScope mode_;
  std::vector<Tensor> captured_;
};

// While one is open on this thread, it is shown every node as it is recorded: with the inputs as they are now, which a
// node need not keep.
class NodeWatch {
 public:
  NodeWatch() : outer_(innermost_), mode_(state(), kWatch, 0) { innermost_ = this; }
  NodeWatch(const NodeWatch&) = delete;
  NodeWatch& operator=(const NodeWatch&) = delete;
  static void note(const Recorded& r, Node* n) { innermost_->recorded(r, n); }

 protected:
  ~NodeWatch() { innermost_ = outer_; }
  virtual void recorded(const Recorded& r, Node* n) = 0;

 private:
  static thread_local NodeWatch* innermost_;
  NodeWatch* const outer_;
  ModeScope mode_;
};

}  // namespace detail

}  // namespace fovea
