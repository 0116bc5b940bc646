// Checks the gradients of a whole model: `proof::check(model, [&] { return loss; }).or_throw();`. In f64, the loss's
// gradient with respect to every parameter is compared with the exact derivative that dual numbers carry through the
// same forward. Two more forwards when all is well; where not, halving finds the parameter and the entry.
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
};

struct ModelReport {
  Verdict verdict = Verdict::pass;
  double analytic = 0, oracle = 0, error = 0;  // of the entry found, or of the whole direction
  double limit = 0;                            // a single wrong entry above this is found
  std::string parameter;                       // the first that is wrong
  std::vector<int64_t> index;
  std::vector<std::string> unreached;  // parameters that the loss does not depend on, rightly
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
