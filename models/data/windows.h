// Which pieces of a long row of tokens a training step sees, in an order that a number stands for.
// The trick: the order of an epoch is a keyed permutation computed entry by entry, so that no generator is alive
// between steps: a run resumes from its position and sees the same windows.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace fovea::data {

// Where i of 0 .. n-1 goes in a permutation chosen by (seed, epoch): a Feistel network of six rounds on the next power
// of four, walked until it is back below n (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
uint64_t permuted(uint64_t i, uint64_t n, uint64_t seed, uint64_t epoch);

// The last `fraction` of the tokens (at least one window of `context`) is kept for validation; 0 keeps none.
// ValueError when either part is shorter than a window and the token after it.
struct Split {
  std::span<const int32_t> train, validation;
};
Split split_tokens(std::span<const int32_t> tokens, double fraction, int64_t context);

// Row-major [batch, context]: targets are the inputs one token on.
struct TokenBatch {
  int64_t batch, context;
  std::vector<int32_t> inputs, targets;
};

class TokenWindows {
 public:
  // ValueError when there are fewer than context + 1 tokens. The tokens must outlive this.
  TokenWindows(std::span<const int32_t> tokens, int64_t context, uint64_t seed);

  // Windows of an epoch. They do not overlap, and each epoch cuts them at another offset.
  int64_t windows_per_epoch() const { return windows_; }
  // The window at a position of the endless order of epochs: its first token.
  int64_t start(int64_t position) const;
  // Windows position .. position + batch - 1.
  TokenBatch batch(int64_t position, int64_t batch) const;

  // For evaluation: windows 0 .. count - 1 from the front, without shuffling.
  int64_t in_order_count() const { return (int64_t(tokens_.size()) - 1) / context_; }
  TokenBatch in_order(int64_t first, int64_t batch) const;

 private:
  template <class Start> TokenBatch gather(int64_t batch, Start start) const;

  std::span<const int32_t> tokens_;
  int64_t context_, windows_;
  uint64_t seed_;
};

}  // namespace fovea::data
