// Loads one plug-in and uses what it brought; built against the shared and the static library. `host PLUGIN [DEVICE]`
#include <cstdio>

#include "autograd/apply.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/softmax.h"
#include "core/device.h"

using namespace fovea;

namespace {

void show(const char* what, const Tensor& x) {
  std::printf("%s", what);
  for (double v : x.to_vector<double>()) std::printf(" %.3g", v);
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) return 2;
  load_plugin(argv[1]);
  if (argc > 2) {
    Device d = device(argv[2]);
    Tensor x = Tensor({0, 1, 2}).to(d).requires_grad_();
    show("exp", exp(x));
    show("softmax", softmax(x, -1));
    sum(x * x).backward();
    show("gradient", x.grad());
    std::printf("device %s\n", device_name(x.device()).c_str());
  }
  if (int id = find_op("toy_cube")) {
    Tensor x = Tensor({2}).requires_grad_();
    Tensor y = apply(id, std::span<const Tensor>(&x, 1))[0];
    y.backward();
    show("toy_cube", y);
    show("gradient", x.grad());
  }
  return 0;
} catch (const std::exception& e) {
  return report(e);
}
