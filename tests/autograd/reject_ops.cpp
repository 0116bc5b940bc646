// Misuse of ops and tensors that must not compile; tools/dev/must_not_compile.py reads the cases.
#include "autograd/op_def.h"
#include "autograd/ops/elementwise.h"
using namespace fovea;

// accept: a rule is a plain function, operands are tensors and numbers
void define_twice() {
  define_op({.name = "twice",
             .infer = [](Infer& i) { i.like(0, i.x(0)); },
             .compose = [](Compose& c) { c.out[0] = *c.in[0] * 2; }});
}
Tensor f(const Tensor& x) { return x * 2 + x; }

// reject: a rule that captures: convert
void define_scaled(double scale) {
  define_op({.name = "scaled", .compose = [scale](Compose& c) { c.out[0] = *c.in[0] * scale; }});
}

// reject: a text as an operand: no match for 'operator+'
Tensor g(const Tensor& x) { return x + "one"; }

// reject: attributes with a constructor of their own: attrs are plain structs
struct Named {
  std::string name;
  static constexpr auto fields() { return Fields{Field{"name", &Named::name}}; }
};
int h() { return define_op<Named>({.name = "named"}); }

// reject: what was read, written to: read-only location
void write(const Array& a) { *a.data<float>() = 1; }

// reject: attributes that list no fields: 'fields' is not a member
struct Bare {
  int a;
};
int bare() { return define_op<Bare>({.name = "bare"}); }

// reject: a kernel for the attributes of another op: const fovea::FillAttrs
Status fills(const Call&, const FillAttrs&);
void enrol(Kernels& table) { table.set<op::softmax, fills>(); }

// reject: an argument changed in place: discards qualifiers
void grow(const Tensor& x) { x += 1; }
