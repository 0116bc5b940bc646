// Where a language model's training and evaluation batches come from. Batch number n is a function of (seed, n) alone,
// so a resumed run needs no cursor but its step. Text files and the embedded grammar are two sources.
#pragma once
#include <limits>

#include "autograd/tensor.h"
#include "models/data/windows.h"

namespace fovea::data {

// inputs, targets [B, T] i32: targets are the inputs' next tokens; kIgnored where none counts.
struct Batch {
  Tensor inputs, targets;
  int64_t counted = 0;
};
inline constexpr int32_t kIgnored = -100;

struct WindowOptions {
  int64_t context = 128, batch = 16;
  uint64_t seed = 1;                    // of the order
  double validation = 0.1;              // the part of a text that is held out
  int64_t evaluation_tokens = 1 << 15;  // at most so many, or so many documents' worth
};

class LmSource {
 public:
  virtual ~LmSource() = default;
  virtual Batch batch(int64_t number) const = 0;
  virtual std::vector<Batch> evaluation() const = 0;  // held out, the same at every call
  // The least loss that any model can reach on the evaluation, in nats per token; NaN where nobody knows.
  virtual double entropy() const { return std::numeric_limits<double>::quiet_NaN(); }
};

// Windows of a text, each once an epoch, in another order in each; the text's end is held out. ValueError when
// that is too short.
class TextSource final : public LmSource {
 public:
  TextSource(std::vector<int32_t> tokens, const WindowOptions& o);
  Batch batch(int64_t number) const override;
  std::vector<Batch> evaluation() const override;

 private:
  WindowOptions o_;
  std::vector<int32_t> tokens_;
  Split split_;
  TokenWindows windows_;
};

// One batch of rows, each at most `context` + 1 tokens: padded, and only the last `counted[i]` targets of row i count.
Batch pack(const std::vector<std::vector<int32_t>>& rows, const std::vector<int64_t>& counted, int64_t context);

// Cuts a sequence into windows of `context` + 1 tokens that overlap by half, so that each next token is predicted once,
// with at least half a context before it (or the sequence's start).
void cut(const std::vector<int32_t>& sequence, int64_t context, std::vector<std::vector<int32_t>>& rows,
         std::vector<int64_t>& counted);

}  // namespace fovea::data
