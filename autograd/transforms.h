// Derivatives of functions, outside of any graph: f is f(x), f(x, y), ... or f(std::vector<Tensor>), giving a Tensor or
// a std::vector<Tensor>. Names, defaults and results are those of torch.autograd.functional. All are exact: forward
// mode differentiates the gradient, which is linear in its cotangent, by that cotangent.
#pragma once
#include "autograd/callable.h"

namespace fovea {

struct TransformOptions {
  bool create_graph = false;  // the results can be differentiated again, and so can what the inputs came from
  bool strict = false;        // GradientError where an output does not depend on an input, which otherwise gives zeros
};
using OutputsAndProducts = std::pair<std::vector<Tensor>, std::vector<Tensor>>;

// f's outputs, and for each input the sum over outputs of cotangent * d(output)/d(input). Without cotangents, f must
// have one output of one element.
OutputsAndProducts vjp(const TensorFunction& f, const std::vector<Tensor>& inputs,
                       const std::vector<Tensor>& cotangents = {}, TransformOptions o = {},
                       Tensor::Where w = Tensor::Where::current());
// f's outputs, and for each the sum over inputs of d(output)/d(input) * tangent.
OutputsAndProducts jvp(const TensorFunction& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& tangents,
                       TransformOptions o = {}, Tensor::Where w = Tensor::Where::current());
// d(output i)/d(input k) at [i][k], of the shape of the output, then the input's.
std::vector<std::vector<Tensor>> jacobian(const TensorFunction& f, const std::vector<Tensor>& inputs,
                                          TransformOptions o = {}, Tensor::Where w = Tensor::Where::current());
// Of a function of one tensor that gives one.
Tensor jacobian(const TensorFunction& f, const Tensor& x, TransformOptions o = {},
                Tensor::Where w = Tensor::Where::current());
// d2 f / d(input i) d(input k) at [i][k], for f with one output of one element.
std::vector<std::vector<Tensor>> hessian(const TensorFunction& f, const std::vector<Tensor>& inputs,
                                         TransformOptions o = {}, Tensor::Where w = Tensor::Where::current());
Tensor hessian(const TensorFunction& f, const Tensor& x, TransformOptions o = {},
               Tensor::Where w = Tensor::Where::current());
// f's output, and for each input the sum of hessian[i][k] * tangents[k].
OutputsAndProducts hvp(const TensorFunction& f, const std::vector<Tensor>& inputs, const std::vector<Tensor>& tangents,
                       TransformOptions o = {}, Tensor::Where w = Tensor::Where::current());

}  // namespace fovea
