#include "models/data/windows.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "core/error.h"
#include "core/random.h"

namespace fovea::data {
namespace {

constexpr int kRounds = 6;
constexpr uint64_t kOffsetDraw = uint64_t(kRounds) << 40;  // round r draws the elements r << 40 | half

}  // namespace

uint64_t permuted(uint64_t i, uint64_t n, uint64_t seed, uint64_t epoch) {
  if (i >= n || n > uint64_t(1) << 62)
    throw IndexError(fmt::format("permuted: {} is not below {} (at most 2^62)", i, n));
  int half = std::max(3, (int(std::bit_width(n - 1)) + 1) / 2);  // at least 64 entries: small ones mix badly
  uint64_t mask = (uint64_t(1) << half) - 1;
  do {
    uint64_t left = i >> half, right = i & mask;
    for (uint64_t round = 0; round < kRounds; round++) {
      uint64_t mixed = left ^ (random_bits(seed, epoch, round << 40 | right) & mask);
      left = right;
      right = mixed;
    }
    i = left << half | right;
  } while (i >= n);
  return i;
}

Split split_tokens(std::span<const int32_t> tokens, double fraction, int64_t context) {
  if (!(fraction >= 0 && fraction < 1))
    throw ValueError(fmt::format("validation: the fraction {} is not in 0 to 1 (1 excluded)", fraction));
  size_t window = size_t(context) + 1, kept = 0;
  if (fraction > 0) kept = std::max(window, size_t(std::llround(fraction * double(tokens.size()))));
  size_t least = window + (fraction > 0 ? window : 0);
  if (tokens.size() < std::max(least, window + kept))
    throw ValueError(fmt::format("the text is too short: {} tokens (expected at least {} for a context of {}{})",
                                 tokens.size(), least, context, fraction > 0 ? " in training and validation" : ""));
  return {tokens.first(tokens.size() - kept), tokens.last(kept)};
}

TokenWindows::TokenWindows(std::span<const int32_t> tokens, int64_t context, uint64_t seed)
    : tokens_(tokens), context_(context), seed_(seed) {
  int64_t n = int64_t(tokens.size());
  if (context < 1) throw ValueError(fmt::format("windows: context {} (expected 1 or more)", context));
  if (n <= context)
    throw ValueError(fmt::format("the text is too short: {} tokens (expected at least {} for a context of {})", n,
                                 context + 1, context));
  windows_ = std::max<int64_t>(1, n / context - 1);  // one less than fit, for any offset up to context - 1
}

int64_t TokenWindows::start(int64_t position) const {
  if (position < 0) throw IndexError(fmt::format("windows: position {} (expected 0 or more)", position));
  uint64_t epoch = uint64_t(position / windows_), entry = uint64_t(position % windows_);
  uint64_t offsets = std::min<uint64_t>(uint64_t(context_), tokens_.size() - uint64_t(windows_ * context_));
  uint64_t offset = random_bits(seed_, epoch, kOffsetDraw) % offsets;
  return int64_t(permuted(entry, uint64_t(windows_), seed_, epoch)) * context_ + int64_t(offset);
}

template <class Start> TokenBatch TokenWindows::gather(int64_t batch, Start start) const {
  TokenBatch out{batch, context_, {}, {}};
  out.inputs.reserve(size_t(batch * context_));
  out.targets.reserve(size_t(batch * context_));
  for (int64_t i = 0; i < batch; i++) {
    const int32_t* from = tokens_.data() + start(i);
    out.inputs.insert(out.inputs.end(), from, from + context_);
    out.targets.insert(out.targets.end(), from + 1, from + 1 + context_);
  }
  return out;
}

TokenBatch TokenWindows::batch(int64_t position, int64_t batch) const {
  return gather(batch, [&](int64_t i) { return start(position + i); });
}

TokenBatch TokenWindows::in_order(int64_t first, int64_t batch) const {
  if (first < 0 || batch < 0 || first + batch > in_order_count())
    throw IndexError(
        fmt::format("windows: {} to {} (expected 0 to {})", first, first + batch - 1, in_order_count() - 1));
  return gather(batch, [&](int64_t i) { return (first + i) * context_; });
}

}  // namespace fovea::data
