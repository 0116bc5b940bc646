// Misuse of modules that must not compile; tools/dev/must_not_compile.py reads the cases.
#include "autograd/ops/elementwise.h"
#include "nn/module.h"
using namespace fovea;

// accept: a module with a forward
struct Net : nn::Module<Net> {
  Tensor forward(const Tensor& x) { return relu(x); }
};
Tensor use(Net& net, const Tensor& x) { return net(x); }

// reject: a copy of a module: deleted function
struct Net : nn::Module<Net> {
  Tensor forward(const Tensor& x) { return relu(x); }
};
Net copy(const Net& net) { return net; }

// reject: a module without a forward: has no member named 'forward'
struct Idle : nn::Module<Idle> {};
void call(Idle& net, const Tensor& x) { net(x); }
