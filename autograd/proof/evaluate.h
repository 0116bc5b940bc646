// Running a sample: forwards, gradients, and the oracle by dual numbers. Shared by the checks of this library.
#pragma once
#include <span>
#include <vector>

#include "autograd/proof/sample.h"

namespace fovea::proof {

using Numbers = std::vector<double>;

// Forward, nothing recorded.
std::vector<Tensor> run(const Sample& s, const std::vector<Tensor>& inputs);

// Which inputs and outputs a derivative goes between.
std::vector<int> differentiated_inputs(const Sample& s);
std::vector<int> differentiable_outputs(const Sample& s, const std::vector<Tensor>& outputs);

// A cotangent (or direction) like t: random signs, or multiples of 1/16 in [-1, 1), which every dtype holds exactly.
// `uneven`: signs times numbers in [1/2, 1), so that errors of two entries do not cancel.
enum class Probe : uint8_t { signs, sixteenths, uneven };
Tensor probe_like(const Tensor& t, Probe kind, uint64_t seed);

// The gradients of the differentiated inputs, by the op's rule; zeros where none arrived. An undefined cotangent stands
// for no gradient of that output. GradientError when the outputs are not recorded at all.
std::vector<Tensor> gradients(const Sample& s, const std::vector<Tensor>& inputs,
                              const std::vector<Tensor>& cotangents);

// The gradient of <w, the gradients for cotangents v>, with respect to the differentiated inputs and then to v; w has
// one tensor for each of those inputs. Zeros where none arrived.
std::vector<Tensor> second_gradients(const Sample& s, const std::vector<Tensor>& inputs, std::vector<Tensor> v,
                                     const std::vector<Tensor>& w);

// Values as doubles, row-major; of duals the real part.
Numbers numbers(const Tensor& t);

// The oracle. Tangents are one list per input, empty for zero. Result: per differentiable output, J u; with `second`
// the second derivative along both, D_v D_u y. `values` receives y itself, as it is computed beside them.
std::vector<Numbers> dual_derivative(const Sample& s, const std::vector<Tensor>& inputs, const std::vector<Numbers>& u,
                                     std::vector<Numbers>* values = nullptr);
std::vector<Numbers> dual_derivative(const Sample& s, const std::vector<Tensor>& inputs, const std::vector<Numbers>& u,
                                     const std::vector<Numbers>& v);

}  // namespace fovea::proof
