// The activations a layer can be asked for by name.
#pragma once
#include <string>

#include "autograd/ops/elementwise.h"

namespace fovea::nn {

enum class Activation : uint8_t { gelu, gelu_tanh, relu };
constexpr Activation last_of(Activation) { return Activation::relu; }

inline Tensor activate(const Tensor& x, Activation a) {
  switch (a) {
    case Activation::gelu: return gelu(x);
    case Activation::gelu_tanh: return gelu(x, {Gelu::tanh});
    case Activation::relu: return relu(x);
  }
  refuse_unlisted("activation", int64_t(a), int64_t(last_of(a)));
}

inline const char* name_of(Activation a) {
  constexpr const char* names[] = {"gelu", "gelu_tanh", "relu"};
  return names[int(a)];
}
// By name; ValueError for any other.
inline Activation activation_of(const std::string& name, std::source_location where = std::source_location::current()) {
  for (Activation a : {Activation::gelu, Activation::gelu_tanh, Activation::relu})
    if (name == name_of(a)) return a;
  at_line(where, [&] { throw ValueError("activation: unknown '" + name + "' (expected gelu, gelu_tanh or relu)"); });
  return {};
}

}  // namespace fovea::nn
