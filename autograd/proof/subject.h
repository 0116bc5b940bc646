// What is checked, as the checks see it: one sample in f64, lists of numbers in, lists of numbers out. Exact
// derivatives come from the reference, gradients from the rule on the device that is checked.
#pragma once
#include "autograd/proof/evaluate.h"
#include "autograd/proof/trial.h"

namespace fovea::proof {

inline constexpr double kUnit = 1e-12;  // of the exact comparison, times the sample's class

class Subject {
 public:
  // `order`: of inputs and cotangents in memory; `repeated` changes their numbers, on the reference too. `variant`:
  // other numbers of the same kind, for rules that remember an earlier call.
  Subject(const Sample& s, Device d, Order order = Order::dense, uint64_t variant = 0);

  const Sample& sample;
  const Device device;
  const Order order;
  const uint64_t variant;
  const double tolerance;       // of the exact comparison
  std::vector<Tensor> x, mine;  // inputs on the reference and here
  std::vector<int> inputs;      // the differentiated ones
  std::vector<Tensor> y;        // differentiable outputs of the reference
  int64_t entries = 0;          // of the differentiated inputs
  bool exact = true;            // there is an oracle, as far as is known (of Order::own nobody has tried)

  bool rounds() const;  // an output is coarser than f64: no step is small enough for differences
  std::vector<Numbers> no_tangents() const { return std::vector<Numbers>(x.size()); }

  // J u and D_v D_u y, outputs one behind the other.
  Numbers push(const std::vector<Numbers>& u) const;
  const Numbers& values() const { return values_; }  // y by the first push
  Numbers push(const std::vector<Numbers>& u, const std::vector<Numbers>& v) const;
  // Its columns: J e for every element of every differentiated input. Worked out when first asked for.
  const std::vector<std::vector<Numbers>>& jacobian() const;
  // <c, J> by the columns: the exact gradient of inputs[i].
  Numbers exact_gradient(size_t i, const Numbers& c) const;

  // Random numbers like the outputs, one behind the other.
  Numbers cotangent(Probe kind, uint64_t seed) const;
  // J^T c by the rule, one list per differentiated input; also with inputs and cotangents in another order than its
  // own, which must not change numbers.
  std::vector<Numbers> pull(const Numbers& c) const { return pull(c, order); }
  std::vector<Numbers> pull(const Numbers& c, Order as) const;
  Numbers laid(const Numbers& c, Order as) const;  // the numbers that c has in that order

  // The gradient of <w, J^T c> by the rules, with respect to the inputs: what D_e D_w <c, y> should be. `to_c`: with
  // respect to c, which should be J w.
  std::vector<Numbers> pull_twice(const Numbers& c, const std::vector<Numbers>& w, Numbers* to_c = nullptr) const;

  // The derivatives of <c, y> along element k of inputs[i], just below and above it, the smaller one first.
  std::pair<double, double> sides(size_t i, size_t k, const Numbers& c) const;
  Shape shape_of(size_t i) const { return x[size_t(inputs[i])].shape(); }

 private:
  std::vector<Tensor> cotangents(const Numbers& c, Order as) const;
  mutable std::vector<std::vector<Numbers>> jacobian_;
  mutable Numbers values_;
};

Numbers flat(const std::vector<Numbers>& parts);
std::vector<int64_t> index_of(int64_t flat, const Shape& shape);
// Equal, or both NaN.
inline bool same(double a, double b) { return a == b || (a != a && b != b); }

}  // namespace fovea::proof
