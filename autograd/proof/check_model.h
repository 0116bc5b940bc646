// Checks the gradients of a whole model: `proof::check(model, [&] { return loss; }).or_throw();`. In f64, the loss's
// gradient with respect to every parameter is compared with the exact derivative that dual numbers carry through the
// same forward; where they part, halving finds the parameter and the entry. Then every node of the graph is compared by
// itself, at its real inputs as they lie in memory, and the first wrong one is named with its line. That also finds
// what does not show in the loss. Where host code has no exact derivative, six-point differences are the oracle.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "autograd/parameter.h"
#include "autograd/proof/verdict.h"

namespace fovea::proof {

struct ModelCheckOptions {
  int directions = 1;       // random ones, through all parameters at once
  double tolerance = 1e-9;  // relative to the size of such a product's terms
  bool nodes = true;        // also each node by itself; else only where the loss's gradient is wrong
};

// A call of an op in the graph of a loss.
struct NodeReport {
  std::string op, where, module;  // its line, "model.cpp:12", and the module that ran, if any
  std::string parameter;          // the nearest that its gradients reach
  Cause cause = Cause::none;
  std::string detail;                          // the cause in words
  int input = -1;                              // which gradient is wrong, where it is one
  std::vector<int64_t> index = {};             // and which entry
  double analytic = 0, oracle = 0, error = 0;  // there
  std::string to_string() const;
};

struct ModelReport {
  Verdict verdict = Verdict::pass;
  double analytic = 0, oracle = 0, error = 0;  // of the entry found, or of the whole direction
  double limit = 0;                            // a single wrong entry above this is found
  std::string parameter;                       // the first that is wrong
  std::vector<int64_t> index;
  std::vector<std::string> unreached;  // parameters that the loss does not depend on, rightly
  bool exact = true;                   // the oracle was exact; else six-point differences
  int64_t nodes = 0;                   // were checked by themselves
  NodeReport node;                     // the first of them that is wrong, if it has a name
  std::string detail;
  std::string to_string() const;
  const ModelReport& or_throw() const;  // GradientError unless the verdict is pass
};

using NamedParameters = std::vector<std::pair<std::string, Ref<Parameter>>>;

// `loss` gives a tensor of one element and must be the same function of the parameters each time: it sees the default
// generator in one state, so dropout draws alike. Parameters are f64, then dual numbers, while it runs, and what they
// were afterwards, without gradients; so floating data that meet them are cast where the loss is made:
// `mse_loss(net(x.to(net.weight.dtype())), y)`. ValueError when the loss is no single number.
ModelReport check_parameters(const NamedParameters& parameters, const std::function<Tensor()>& loss,
                             const ModelCheckOptions& o = {});

template <class Model, class Loss>
requires requires(Model& m) { m.named_parameters(); }
ModelReport check(Model& model, Loss&& loss, const ModelCheckOptions& o = {}) {
  return check_parameters(model.named_parameters(), std::function<Tensor()>(std::forward<Loss>(loss)), o);
}

}  // namespace fovea::proof
