// Slots activation, gelu, swiglu and their gradients; the kernels are elementwise.cpp's.
#include "backends/cpu/elementwise.h"
#include "backends/cpu/elementwise_rows.h"
#include "backends/cpu/kernels.h"

namespace fovea::cpu {
namespace {

template <class T> const ElementwiseKernels<T>& kernels() { return elementwise_kernels<T>(isa()); }

Parameters parameters(uint8_t kind, const ActivationAttrs& a) {
  switch (Activation(kind)) {
    case Activation::softplus: return {float(a.first), float(a.second)};
    case Activation::elu: return {float(a.first), 1};
    case Activation::selu: return {1.67326324f, 1.05070099f};
    case Activation::leaky_relu: return {float(a.first), 0};
    case Activation::relu6: return {0, 6};
    case Activation::clamp: return {float(a.first), float(a.second)};
    case Activation::nan_to_num: return {float(a.first), float(a.second), float(a.third)};
    default: return {};
  }
}

}  // namespace

bool activation_accepts(const Call& c, const void*) {
  return c.kind < kActivations && kernels<float>().activation[c.kind] && c.y().dtype == c.x(0).dtype;
}
Status activation(const Call& c, const ActivationAttrs& a) {
  return f32_or_half(c.y().dtype, [&]<class S>() {
    auto kernel = [p = parameters(c.kind, a), k = kernels<float>().activation[c.kind]](int64_t n, auto x, auto y) {
      k(n, x, y, p);
    };
    run1<float, S>(c.x(0), c.y(), kDear, kernel);
  });
}
bool activation_backward_accepts(const Call& c, const void*) {
  return c.kind < kActivations && c.x(0).dtype == c.x(1).dtype && c.y().dtype == c.x(0).dtype;
}
Status activation_backward(const Call& c, const ActivationAttrs& a) {
  return f32_or_half(c.y().dtype, [&]<class S>() {
    auto kernel = [p = parameters(c.kind, a), k = kernels<float>().activation_backward[c.kind]](
                      int64_t n, auto g, int64_t step_g, auto x, int64_t step_x, auto y) {
      k(n, g, step_g, x, step_x, y, p);
    };
    run2<float, S, float, S>(c.x(0), c.x(1), c.y(), kDear, kernel);
  });
}

Status gelu(const Call& c, const GeluAttrs& a) {
  return by_type(c.x(0).dtype,
                 [&]<class T, class S>() { run1<T, S>(c.x(0), c.y(), kDear, kernels<T>().gelu[int(a.approximate)]); });
}
Status gelu_backward(const Call& c, const GeluAttrs& a) {
  return by_type(c.x(0).dtype, [&]<class T, class S>() {
    run2<T, S, T, S>(c.x(0), c.x(1), c.y(), kDear, kernels<T>().gelu_backward[int(a.approximate)]);
  });
}

Status swiglu(const Call& c, const NoAttrs&) {
  return f32_or_half(
      c.y().dtype, [&]<class S>() { run2<float, S, float, S>(c.x(0), c.x(1), c.y(), kDear, kernels<float>().swiglu); });
}
Status swiglu_backward(const Call& c, const NoAttrs&) {
  return f32_or_half(c.y().dtype, [&]<class S>() {
    const View &dgate = c.y(0), &dup = c.y(1);
    Loops<5> loops({&dgate, &dup, &c.x(0), &c.x(1), &c.x(2)});
    bool chunked = !std::is_same_v<S, float> || loops.step(0) != 1 || loops.step(1) != 1;
    for (int i = 2; i < 5; i++) chunked |= uint64_t(loops.step(i)) > 1;
    walk(loops, kDear, chunked, [&, row = kernels<float>().swiglu_backward](const int64_t* at, int64_t n) {
      alignas(64) float buffers[5][kChunk];
      auto in = [&](int i) {
        return Operand<float, S>(c.x(i).as<S>() + at[i + 2], loops.step(i + 2), n, buffers[i + 2]);
      };
      const Operand<float, S> g = in(0), gate = in(1), up = in(2);
      S *to_gate = dgate.as<S>() + at[0], *to_up = dup.as<S>() + at[1];
      if constexpr (std::is_same_v<S, float>)
        if (!chunked) return row(n, g.p, g.step, gate.p, gate.step, up.p, up.step, to_gate, to_up);
      row(n, g.p, g.step, gate.p, gate.step, up.p, up.step, buffers[0], buffers[1]);
      put_row(to_gate, loops.step(0), buffers[0], n);
      put_row(to_up, loops.step(1), buffers[1], n);
    });
  });
}

}  // namespace fovea::cpu
