// Ops of one's own as a plug-in: `fovea gradcheck --plugin softcap.so --op softcap --order 2`. The second one is wrong.
#include <fovea/autograd/op_def.h>
#include <fovea/autograd/proof/sample.h>
#include <fovea/fovea.h>
using namespace fovea;

struct SoftcapAttrs {
  double cap = 30;
  static constexpr auto fields() { return Fields{Field{"cap", &SoftcapAttrs::cap}}; }
};

// y = cap * tanh(x / cap), as in Gemma 2: logits that cannot leave [-cap, cap].
void infer(Infer& i) { i.like(0, i.x(0)); }
void compose(Compose& c) {
  const double cap = c.attrs<SoftcapAttrs>().cap;
  c.out[0] = tanh(c.x(0) / cap) * cap;
}
void backward(Backward& b) {  // from the output: 1 - (y / cap)^2
  b.add(0, b.g() * (1 - square(b.y() / b.attrs<SoftcapAttrs>().cap)));
}

void samples(proof::Samples& s) {
  s.add({proof::reals({3, 4})}, SoftcapAttrs{2});
  s.add({proof::reals({0, 4})}, SoftcapAttrs{2}).named("empty");
}

void wrong_backward(Backward& b) {  // the chain rule's 1 / cap is forgotten
  const double cap = b.attrs<SoftcapAttrs>().cap;
  b.add(0, b.g() * (1 - square(b.y() / cap)) * cap);
}

extern "C" void fovea_ops() {
  NewOp softcap{.name = "softcap",
                .saves = {out(0)},
                .infer = infer,
                .compose = compose,
                .gradient = Gradient::backward,
                .backward = backward,
                .samples = samples};
  define_op<SoftcapAttrs>(softcap);
  softcap.name = "softcap_wrong";
  softcap.backward = wrong_backward;
  define_op<SoftcapAttrs>(softcap);
}
