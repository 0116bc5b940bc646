// The graph of a loss, node by node as the forward makes them: each is checked by itself and forgotten, so no more than
// one call's numbers are kept.
#pragma once
#include "autograd/proof/check_model.h"

namespace fovea::proof {

using Forward = std::function<Tensor()>;

// Which nodes that a forward records lie on the way to its result, by the order of execution. Those inside a
// checkpoint() all do.
std::vector<bool> nodes_on_the_way(const Forward& forward, Tensor& result);

struct Walked {
  Verdict verdict = Verdict::pass;
  NodeReport node;      // the first that is wrong; else the first that lies on a kink or cannot be judged
  int64_t checked = 0;  // nodes, the first wrong one among them
};
Walked check_nodes(const Forward& forward, const std::vector<bool>& on_the_way, const NamedParameters& parameters,
                   double tolerance);

}  // namespace fovea::proof
