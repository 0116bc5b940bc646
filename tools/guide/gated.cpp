// A module and a function, checked in a program without any test runner: what is wrong throws, with the reason.
#include <fovea/autograd/proof/check.h>
#include <fovea/fovea.h>
using namespace fovea;

struct Gated : nn::Module<Gated> {
  nn::Linear up{this, "up", 8, 16}, gate{this, "gate", 8, 16}, down{this, "down", 16, 8};
  Tensor forward(const Tensor& x) { return down(silu(gate(x)) * up(x)); }
};

int main() try {
  Gated net;
  Tensor x = randn({4, 8}, {.dtype = f64});
  proof::check(net, [&] { return mean(square(net(x.to(net.up.weight->value().dtype())))); }).or_throw();

  auto scaled = [](const std::vector<Tensor>& in) -> proof::Sample::Outputs {
    return {in[0] / sqrt(sum(square(in[0]), {-1}, {.keepdim = true})) * in[1]};
  };
  proof::check("scaled", scaled, {x, randn({8}, {.dtype = f64})}, {.order = 2}).or_throw();
} catch (const Error& e) {
  return report(e);
}
