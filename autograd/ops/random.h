// Random numbers from generators {seed, counter}: each draw takes the next counter value, element i uses Philox(seed,
// counter, i), whatever the threads (core/random.h). The counter array a draw used is saved like any input, so
// backward, recompute and second order see the same draw. Bits, uniform, randint, bernoulli, randperm and dropout's
// choice are equal on every backend.
#pragma once
#include <optional>
#include <vector>

#include "autograd/apply.h"

namespace fovea {

struct Generator {
  uint64_t seed = 0, counter = 0;
  // The i64 array [2] for one draw on `device`: seed and counter; the counter moves on.
  Tensor draw(Device device);
};
Generator& default_generator();   // of this thread; starts with seed 0
void manual_seed(uint64_t seed);  // of this thread's default generator; the counter starts anew

struct RandomOptions {
  Generator* generator = nullptr;     // default_generator() when null
  std::optional<DType> dtype = {};    // like's, or else f32; i64 for randint and randperm
  std::optional<Device> device = {};  // like's, or else default_device()
  bool requires_grad = false;
  Tensor like = {};
};
// Uniform in [0, 1), multiples of 2^-24 (f64: 2^-53, f16: 2^-11, bf16: 2^-8).
Tensor rand(const Shape& shape, const RandomOptions& o = {},
            std::source_location where = std::source_location::current());
Tensor uniform(const Shape& shape, double low, double high, const RandomOptions& o = {},
               std::source_location where = std::source_location::current());
Tensor randn(const Shape& shape, const RandomOptions& o = {},
             std::source_location where = std::source_location::current());  // standard normal (Box and Muller, 1958)
Tensor normal(double mean, double std, const Shape& shape, const RandomOptions& o = {},
              std::source_location where = std::source_location::current());
// Whole numbers in [low, high): the high half of 64 bits times high - low, so their odds differ by 2^-64 (high - low).
Tensor randint(Integer low, Integer high, const Shape& shape, const RandomOptions& o = {},
               std::source_location where = std::source_location::current());
Tensor randint(Integer high, const Shape& shape, const RandomOptions& o = {},
               std::source_location where = std::source_location::current());  // from 0
// randint(0, 5, {}) has a shape, not options.
inline Tensor randint(Integer low, Integer high, std::initializer_list<int64_t> shape, const RandomOptions& o = {},
                      std::source_location where = std::source_location::current()) {
  return randint(low, high, Shape(shape, where), o, where);
}
Tensor randperm(Integer n, const RandomOptions& o = {},
                std::source_location where = std::source_location::current());  // 0 to n-1 in random order
// Of x's shape and, unless the options say otherwise, its dtype and device.
Tensor rand_like(const Tensor& x, const RandomOptions& o = {},
                 std::source_location where = std::source_location::current());
Tensor randn_like(const Tensor& x, const RandomOptions& o = {},
                  std::source_location where = std::source_location::current());
Tensor randint_like(const Tensor& x, Integer low, Integer high, const RandomOptions& o = {},
                    std::source_location where = std::source_location::current());
// 64 random bits an element, i64.
Tensor random_bits(const Shape& shape, const RandomOptions& o = {},
                   std::source_location where = std::source_location::current());
// 1 with probability p, else 0, of p's dtype. ValueError where p is not in [0, 1] (seen on host devices). No gradient.
Tensor bernoulli(const Operand& p, Generator* generator = nullptr);
// Places 0 to n-1, i64 [num_samples] or [rows, num_samples], drawn with odds p [n] or [rows, n], which need not add up
// to 1. Without replacement they differ, and ValueError tells of fewer than num_samples odds above 0; so it does of
// odds that are negative or not finite, and of rows of zeros (seen on host devices). No gradient.
struct MultinomialOptions {
  bool replacement = false;
  Generator* generator = nullptr;
};
Tensor multinomial(const Operand& p, Integer num_samples, MultinomialOptions o = {});
// One place for each row of logits [..., n], i64 [...]: with probabilities softmax(logits).
Tensor categorical(const Operand& logits, Generator* generator = nullptr);

// Zeroes elements with probability p and scales the others by 1/(1-p); x itself where not training or p = 0. Element i
// stays if the top 24 of its 64 random bits, times 2^-24, are at least p.
struct DropoutOptions {
  bool training = true;
  Generator* generator = nullptr;
};
Tensor dropout(const Operand& x, double p = 0.5, DropoutOptions o = {});

namespace detail {
// While one is open on this thread, draws are written down, or read back: checkpoint() replays them. Tapes nest; a
// draw is on every recording tape down to the first that replays.
class DrawTape {
 public:
  explicit DrawTape(std::vector<Generator>& draws, bool replay);
  ~DrawTape();
  DrawTape(const DrawTape&) = delete;
  DrawTape& operator=(const DrawTape&) = delete;
  static Generator next(Generator& from);                 // {seed, counter} of one draw
  bool finished() const { return at_ == draws_.size(); }  // of a replay: all were read

 private:
  std::vector<Generator>& draws_;
  bool replay_;
  size_t at_ = 0;
  DrawTape* outer_;
};
}  // namespace detail

}  // namespace fovea
