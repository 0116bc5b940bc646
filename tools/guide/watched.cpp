// A net with two mistakes, and what is told of them.
#include <fovea/autograd/gradient_report.h>
#include <fovea/core/nan_watch.h>
#include <fovea/fovea.h>
#include <fovea/nn/statistics.h>

#include <iostream>
using namespace fovea;

struct Scorer : nn::Module<Scorer> {
  nn::Linear up{this, "up", 4, 8}, down{this, "down", 8, 1}, gate{this, "gate", 4, 1};
  Tensor forward(const Tensor& x) {
    Tensor open = gt(gate(x), 0);  // truths: nothing leads back to the gate
    return relu(down(relu(up(x)))) * open;
  }
};

int main() try {
  manual_seed(2);
  Scorer net;
  Tensor x = randn({6, 4});
  try {
    NanWatch watch;
    mean(log(net(x))).backward();
  } catch (const NonFiniteError& e) {
    std::cout << e.what() << "\n";
  }
  GradientPaths paths;
  mean(log1p(net(x))).backward();
  std::cout << gradient_report(net.parameters(), &paths).to_string() << "\n";

  nn::ModuleStatistics statistics;
  TraceScope scope(state(), statistics);
  mean(log1p(net(x))).backward();
  std::cout << statistics.table() << "\n";
} catch (const Error& e) {
  return report(e);
}
