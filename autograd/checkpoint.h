// Recompute: a part of a model that keeps only its inputs, and runs again in backward for the rest (Chen et al.,
// "Training deep nets with sublinear memory cost", 2016). nn/checkpoint.h is another thing: files.
//
//   for (auto& block : blocks) x = checkpoint([&](const Tensor& h) { return block(h); }, x);
#pragma once
#include "autograd/callable.h"

namespace fovea {
namespace detail {
// `kept` is what f refers to; it is destroyed with the graph, or before this returns.
std::vector<Tensor> checkpoint(TensorFunction f, void* kept, void (*destroy)(void*), const std::vector<Tensor>& inputs,
                               std::source_location where);
}  // namespace detail

// f of the inputs: f(x), f(x, y), ... or f(std::vector<Tensor>), returning a Tensor or a std::vector<Tensor>, which
// checkpoint returns too. Gradients reach the inputs and all that f captures, parameters above all; derivatives of
// every order are right, and checkpoints nest. f is moved and called again in backward: what it captures by reference
// must live until then, and it must compute the same again. Random draws are replayed, so dropout drops the same. A
// parameter or input that was overwritten in between is an error.
template <class F>
auto checkpoint(F f, const std::vector<Tensor>& inputs, std::source_location where = std::source_location::current()) {
  F* kept = new F(std::move(f));
  std::vector<Tensor> y = detail::checkpoint(
      *kept, kept, [](void* p) { delete static_cast<F*>(p); }, inputs, where);
  if constexpr (std::same_as<detail::ResultOf<F>, Tensor>) return Tensor(std::move(y[0]));
  else return y;
}
template <class F> auto checkpoint(F f, const Tensor& x, std::source_location where = std::source_location::current()) {
  return checkpoint(std::move(f), std::vector<Tensor>{x}, where);
}

}  // namespace fovea
