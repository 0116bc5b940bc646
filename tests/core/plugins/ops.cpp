// A plug-in of ops: it uses the C++ interface, links libfovea.so, and defines `toy_cube`, x^3 with its gradient.
#include "autograd/op_def.h"
#include "autograd/ops/elementwise.h"

using namespace fovea;

extern "C" void fovea_ops() {
  define_op({.name = "toy_cube",
             .doc = "x^3",
             .saves = {in(0)},
             .infer = [](Infer& i) { i.like(0, i.x(0)); },
             .compose = [](Compose& c) { c.out[0] = c.x(0) * c.x(0) * c.x(0); },
             .gradient = Gradient::backward,
             .backward = [](Backward& b) { b.add(0, b.g() * 3 * b.x(0) * b.x(0)); }});
}
