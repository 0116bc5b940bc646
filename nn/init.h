// First values of parameters, as functions from a shape: `add_parameter("weight", Role::weight, {out, in},
// init::xavier_normal())`. Numbers come from the thread's default generator (manual_seed), in the order in which
// modules are made. Fans follow PyTorch: axis 0 of a weight is its outputs, axis 1 its inputs, further axes count in
// both.
#pragma once
#include "nn/module.h"

namespace fovea::nn::init {

Initializer zeros();
Initializer ones();
Initializer constant(double value);
Initializer normal(double std, double mean = 0);
Initializer uniform(double low, double high);
// Glorot and Bengio, 2010: variance 2 / (fan_in + fan_out).
Initializer xavier_uniform(double gain = 1);
Initializer xavier_normal(double gain = 1);
// He et al., 2015: variance 2 / ((1 + a^2) fan_in); a is the slope of the leaky ReLU behind it, 0 for ReLU.
Initializer kaiming_uniform(double a = 0);
Initializer kaiming_normal(double a = 0);

// Gives a parameter a fresh value of its dtype. Optimizers and ties see it.
void reset(Parameter& parameter, const Initializer& init, std::source_location where = std::source_location::current());

// GPT-2's: weights and embeddings N(0, 0.02), biases 0, norms 1 and 0; the projections that write into the residual
// stream, named by the globs, N(0, 0.02 / sqrt(2 layers)) (Radford et al., 2019).
void gpt2(ModuleBase& model, int64_t layers, const std::vector<std::string>& residual_globs);

}  // namespace fovea::nn::init
