// Samples: for every op some calls, each with inputs, attributes and how exact it is. Every check of this library runs
// over them, so an op that adds its samples has its forward, gradient, layouts, destinations and threads tested; and so
// has a function that is made of ops and no row (einsum, topk).
// Built-in ops have theirs in samples_<family>.cpp, users' ops give `define_op` a `.samples` function.
#pragma once
#include <deque>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "autograd/op_def.h"
#include "autograd/tensor.h"

namespace fovea::proof {

// What an input holds. The numbers depend on its place and size only: every run sees the same ones.
struct Input {
  enum Kind : uint8_t { absent, real, apart, exact, whole, truth, given };
  Kind kind = absent;
  Shape shape;
  double low = 0, high = 0;         // real, whole: numbers in [low, high)
  double gap = 0;                   // real: no closer to 0 than this
  std::vector<double> values = {};  // exact, given: in row-major order, repeated as needed
  DType dtype = f32;                // of what is not floating; floating inputs take the dtype of the run
  Shape strides = {};               // given: how the numbers lie in memory, where not row by row
  bool constant = false;            // not differentiated
  ~Input();                         // a call, since samples are many
  bool floating() const { return kind == real || kind == apart || (kind >= exact && is_floating(dtype)); }
};
Input none();
Input reals(const Shape& s, double low = -2, double high = 2);
// Both signs, away from the kink at 0.
Input nonzero(const Shape& s, double gap = 0.25);
// All different, 1/8 from each other (finer where there are more than 64), none of them 0: no ties, no kinks.
// `shift` moves all of them.
Input apart(const Shape& s, double shift = 0);
Input exactly(const Shape& s, std::vector<double> values, DType t = f32);
Input integers(const Shape& s, int64_t low, int64_t high, DType t = i64);
Input ids(const Shape& s, int64_t below);
Input truths(const Shape& s);
Input like(const Tensor& t);  // its numbers; floating ones a little smaller in another variant

struct Sample {
  struct Outputs {  // one tensor or several
    std::vector<Tensor> list;
    Outputs(std::initializer_list<Tensor> tensors);
    Outputs(std::vector<Tensor> tensors);
    Outputs(const std::pair<Tensor, Tensor>& two);
  };
  using Function = std::function<Outputs(const std::vector<Tensor>&)>;

  int op = op::none;
  Function function;  // called in place of the op, where there is one
  std::string function_name;
  std::string name;  // "softmax #2 last axis", unique
  std::vector<Input> inputs;
  std::shared_ptr<const void> attrs;  // null: the op has none
  // Fills in the inputs that are functions of the others (mean, rstd, log-sum-exp), by running the forward.
  void (*complete)(const void* attrs, std::vector<Tensor>& inputs) = nullptr;
  double factor = 1;            // of the tolerance: 1 elementwise, sqrt(n) for sums over n
  double condition = 1;         // stated condition number where the sample is ill-conditioned
  int order = 2;                // highest derivative that exists here
  bool kink = false;            // lies on a kink: the gradient must be one of the subgradients
  bool reads = false;           // reads numbers to know its shapes: refuses shape-only inputs
  bool large = false;           // big enough that kernels take to threads; derivatives along directions only
  DTypeSet dtypes = kFloating;  // in which it makes sense
  std::string why;              // why an order or a dtype is left out

  // How samples are written: s.add<op::sum>({reals({3, 4})}, {.dim = {1}}).named("rows").sums(4).
  Sample& named(std::string_view what);
  Sample& sums(int64_t n);
  Sample& conditioned(double c) { return condition = c, *this; }
  Sample& at_kink(std::string_view reason);
  Sample& up_to(int most, std::string_view reason);
  Sample& only(DTypeSet t, std::string_view reason);
  Sample& completed(void (*f)(const void*, std::vector<Tensor>&)) { return complete = f, *this; }
  Sample& threaded() { return large = true, *this; }
  Sample& reading() { return reads = true, *this; }

  std::string subject() const;                            // the op's name, or the function's
  int number() const;                                     // among the subject's samples, as its name says
  Sample shaped(const std::vector<Shape>& shapes) const;  // with inputs of other sizes
  bool without_gradient() const;                          // an op of integer and boolean results
  bool given() const;                                     // its inputs are a user's tensors
};

// The list that samples are added to.
class Samples {
 public:
  explicit Samples(std::deque<Sample>& all, int op = 0) : all_(all), op_(op) {}

  // Of a built-in op. The reference stays good.
  template <op::Id id> Sample& add(std::initializer_list<Input> inputs, const Attrs<id>& attrs = {}) {
    return add_to(id, inputs, attrs);
  }
  // Of the op whose `.samples` function this is. ValueError when the attrs are not the op's.
  template <class A = NoAttrs> Sample& add(std::initializer_list<Input> inputs, const A& attrs = {}) {
    return add_to(op_, inputs, attrs);
  }
  Sample& add(const char* function, std::initializer_list<Input> inputs, Sample::Function f);

 private:
  template <class A> Sample& add_to(int id, std::initializer_list<Input> inputs, const A& attrs) {
    Sample& s = append(id, inputs, attrs_hash<A>());
    if (!std::is_empty_v<A>) s.attrs = std::make_shared<const A>(attrs);
    return s;
  }
  Sample& append(int id, std::initializer_list<Input> inputs, uint64_t attrs_hash);
  Sample& append(const std::string& subject, std::initializer_list<Input> inputs);

  std::deque<Sample>& all_;
  int op_;
};

// Every sample, of built-in and of users' ops and of functions; those of one op or function.
const std::deque<Sample>& all_samples();
std::vector<const Sample*> samples_of(int op);
std::vector<const Sample*> samples_of(std::string_view name);
std::vector<std::string> sampled_functions();  // with gradients: those that are no ops, by name

// What the sample calls, on these inputs, recorded where one wants a gradient.
std::vector<Tensor> call(const Sample& s, const std::vector<Tensor>& inputs,
                         std::source_location where = std::source_location::current());

// A sample's inputs: floating ones of dtype t, undefined tensors for absent ones. completed() fills in the statistics.
// With another `variant` the numbers are others of the same kind (exact ones stay).
std::vector<Tensor> raw_inputs(const Sample& s, DType t, Device d, uint64_t variant = 0);
std::vector<Tensor> completed(const Sample& s, std::vector<Tensor> raw);
inline std::vector<Tensor> make_inputs(const Sample& s, DType t, Device d, uint64_t variant = 0) {
  return completed(s, raw_inputs(s, t, d, variant));
}
// Whether input i is differentiated: floating, present, neither a statistic nor excluded by the row.
bool differentiated(const Sample& s, int i);
// Whether the op runs on floating inputs at all; else one dtype is enough.
bool has_floating_input(const Sample& s);
// Numbers in [-1, 1), the same on every machine.
double noise(uint64_t i, uint64_t seed);

// What samples share.
inline constexpr double kInf = std::numeric_limits<double>::infinity(), kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr const char* kForwardOnly = "NaN and infinities: the forward only";

namespace detail {
void elementwise_samples(Samples& s);
void view_samples(Samples& s);
void reduce_samples(Samples& s);
void matmul_samples(Samples& s);
void index_samples(Samples& s);
void softmax_samples(Samples& s);
void norm_samples(Samples& s);
void loss_samples(Samples& s);
void attention_samples(Samples& s);
void random_samples(Samples& s);
void function_samples(Samples& s);
void nn_samples(Samples& s);
}  // namespace detail

}  // namespace fovea::proof
