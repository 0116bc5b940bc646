// OpDef: what an op means. Its row in core/op_list.h is the contract; here are `infer`, the composition and exactly one
// gradient rule. Base ops have no composition (every backend has their kernels); all others do, and it is the
// definition of the op.
#pragma once
#include <initializer_list>
#include <type_traits>

#include "autograd/tensor.h"
#include "core/device.h"

namespace fovea {
namespace proof {
class Samples;
}

// What `infer` sees and fills: output shapes and dtypes, or a thrown error.
struct Infer {
  const View* const* in;
  int inputs;
  const void* raw_attrs;
  Meta* out;

  const View& x(int i) const { return *in[i]; }
  bool has(int i) const { return i < inputs && in[i]->present(); }
  template <class A> const A& attrs() const { return *static_cast<const A*>(raw_attrs); }
  void like(int output, const View& v) { out[output] = meta_of(v); }
  void set(int output, DType t, const Shape& s) {
    out[output] = Meta(t, in[0]->present() ? in[0]->device : in[1]->device, s);
  }
};

// What a composition sees and fills. It is written on tensors, so running it with recording on gives a graph.
struct Compose {
  const Tensor* const* in;
  int inputs;
  const void* raw_attrs;
  Tensor* out;

  const Tensor& x(int i) const { return *in[i]; }
  bool has(int i) const { return i < inputs && in[i]->defined(); }
  template <class A> const A& attrs() const { return *static_cast<const A*>(raw_attrs); }
};

// What a `backward` rule sees, and the sinks it must fill: for each input that needs a gradient, add(i, ...) or
// zero(i).
class Backward;
class Engine;
namespace detail {
void run_function(Backward& b);
}
class Backward {
 public:
  const Tensor& g(int output = 0) const {
    return cotangents_[output];
  }                                // undefined where no gradient arrived (never for a single output)
  Tensor x(int i) const;           // an input the row keeps
  Tensor y(int output = 0) const;  // an output the row keeps
  bool needs(int i) const { return bool(node_->edges()[i]); }
  Shape shape(int i) const;
  DType dtype(int i) const;
  Device device(int i) const;
  bool has(int i) const;  // an optional input was present
  int inputs() const { return node_->inputs; }
  template <class A> const A& attrs() const { return *reinterpret_cast<const A*>(node_->attrs()); }

  // Adds to the gradient of input i. Elementwise ops may give the output's shape: it is summed to the input's.
  void add(int i, Tensor gradient);
  // There is a gradient, and it is zero.
  void zero(int i);
  // For the rule of slice: g() is laid into its part of the gradient of input i, so a tensor cut into many slices costs
  // no array of its size for each. False where gradients are recorded: then add() is to be called.
  bool lay(int i, const SliceAttrs& s);

 private:
  friend class Engine;
  friend void detail::run_function(Backward& b);
  Tensor fitted(int i, Tensor gradient) const;
  Engine* engine_ = nullptr;  // null: everything goes to the sinks
  Node* node_ = nullptr;
  const Tensor* cotangents_ = nullptr;
  Tensor* sinks_ = nullptr;
  bool* filled_ = nullptr;
  bool create_graph_ = false;
};

enum class Gradient : uint8_t { none /* forgotten: refused */, backward, derived, not_differentiable };

struct OpDef {
  const char* doc = "";
  void (*infer)(Infer&) = nullptr;                           // absent: elementwise rows infer themselves
  void (*compose)(Compose&) = nullptr;                       // absent: a base op
  Array (*view)(const Array&, const void* attrs) = nullptr;  // of rows of form view
  Gradient gradient = Gradient::none;
  void (*backward)(Backward&) = nullptr;
  uint64_t fixed_outputs = 0;                  // outputs without a gradient (indices, statistics), as bits
  void (*samples)(proof::Samples&) = nullptr;  // of users' ops; see autograd/proof/sample.h
  int id = 0;                                  // filled in on registration
};

namespace detail {
extern const OpDef* op_defs[kMaxOps];
void install_ops();
}  // namespace detail
inline const OpDef& op_def(int id) {
  const OpDef* d = detail::op_defs[id];
  if (!d) [[unlikely]] {
    detail::install_ops();
    d = detail::op_defs[id];
  }
  return *d;
}

// Registers built-in definitions: each family's `define_<family>_ops()` in autograd/ops calls this once per op.
// Throws GradientError when there is not exactly one gradient rule, or a rule that does not fit the row.
void define(op::Id id, OpDef def);

// A user's op, equal in every way to a built-in one.
struct NewOp {
  const char* name;
  const char* doc = "";
  int inputs = 1, outputs = 1;
  uint16_t optional = 0, no_gradient = 0;  // bits of inputs
  uint64_t fixed_outputs = 0;
  std::initializer_list<uint32_t> saves = {};  // per input gradient: in(k) | out(k)
  void (*infer)(Infer&) = nullptr;
  void (*compose)(Compose&) = nullptr;
  Gradient gradient = Gradient::none;
  void (*backward)(Backward&) = nullptr;
  void (*samples)(proof::Samples&) = nullptr;  // what it is checked with: autograd/proof/sample.h
};
namespace detail {
int define_op(const NewOp& op, OpRow row, std::source_location where);  // a row with its attributes
}
// Returns the op's id. Rules are plain functions: what captures belongs into a Function. Throws as define() does, and
// ValueError when the name is taken.
template <class A = NoAttrs>
int define_op(const NewOp& op, std::source_location where = std::source_location::current()) {
  return detail::define_op(op, OpRow().attrs<A>(), where);
}

}  // namespace fovea
