// What a GPT costs, known before it is made: flops and the memory of a training step. Nothing is allocated: the model,
// its batch and its optimizer are shape-only, and a step of them runs without kernels.
#pragma once
#include "models/gpt.h"

namespace fovea {

// Bytes. `peak` is the most that a training step holds at once: weights, optimizer state, and of activations,
// gradients and scratch what is alive together. `reserved` is what the program asks of the system for it: the arena
// keeps freed blocks for others of their size, so it is more.
struct MemoryPlan {
  int64_t weights = 0, gradients = 0, optimizer = 0, peak = 0, reserved = 0;
  int64_t activations() const { return peak - weights - gradients - optimizer; }
};
MemoryPlan plan_training(const GptConfig& config, int64_t batch, int64_t context, DType dtype = f32);

// Bytes that the keys and values of one sequence of `context` tokens take.
int64_t kv_cache_bytes(const GptConfig& config, DType dtype = f32);

// Parameters that a token is multiplied with: matrices of linear layers and the head, not embeddings, biases or norms.
int64_t matmul_parameters(const Gpt& model);

// Per token: 2 per matmul parameter, and 4 dim per layer and key that it sees (the mean over positions of `context`,
// causal and within the window). Training costs three times that: forward, and backward to inputs and weights.
struct FlopsPlan {
  double forward = 0, attention = 0;  // attention: its part of forward
  double training() const { return 3 * forward; }
};
FlopsPlan plan_flops(const Gpt& model, int64_t context);

// The memory that this process may still take: what the machine has available without swapping, and at most the limit
// of its control group.
int64_t available_memory();

// "1.50 GB": powers of 1000.
std::string bytes_text(double bytes);

}  // namespace fovea
