// One sample on one device in one dtype, and what properties compare it with. Inside this library only.
#pragma once
#include <functional>

#include "autograd/proof/evaluate.h"
#include "autograd/proof/properties.h"

namespace fovea::proof {

inline constexpr double kForward = 4, kGradient = 8, kSecond = 32;  // roundings of the dtype, times the sample's class

// Memory orders in which an input is given: all the same numbers, but for `repeated`.
enum class Order : uint8_t {
  dense,
  transposed,  // axes from right to left
  offset,      // behind the start of its memory
  padded,      // rows with gaps
  stepped,     // every second element of the last axis
  backwards,   // the last axis by a negative stride
  reversed,    // all axes by negative strides
  repeated,    // the first axis by stride 0
  own          // as the tensors lie that the sample was made of; not among the kOrders
};
inline constexpr int kOrders = 8;
inline constexpr const char* kOrderNames[kOrders] = {"dense",   "transposed", "offset",   "padded",
                                                     "stepped", "backwards",  "reversed", "repeated"};
Tensor laid_out(const Tensor& t, Order order);
// make_inputs() in that order; the statistics of repeated numbers are those of the repeated ones.
std::vector<Tensor> laid_inputs(const Sample& s, DType t, Device d, Order order, uint64_t variant = 0);

class Trial {
 public:
  Trial(const Sample& s, Device d, DType t);

  const Sample& sample;
  const Device device;
  const DType dtype;
  std::vector<Tensor> x;          // inputs here
  std::vector<Tensor> y;          // outputs here
  std::vector<Tensor> reference;  // outputs of the reference in f64, from the same rounded numbers
  std::vector<Problem> problems;
  const char* property = "";

  void fail(const std::string& text);
  bool has_gradient() const { return sample.order > 0 && !differentiated_inputs(sample).empty() && !outputs().empty(); }
  std::vector<int> outputs() const { return differentiable_outputs(sample, y); }
  std::vector<Tensor> cotangents(uint64_t seed, const std::vector<Tensor>& like) const;

  // Fails unless `got` is `expected` within `units` of rounding of the coarser dtype, times the sample's class; of what
  // is not floating, and of NaN and infinities, exactly.
  void expect_close(const Tensor& got, const Tensor& expected, double units, const std::string& what);
  void expect_close(const std::vector<Tensor>& got, const std::vector<Tensor>& expected, double units,
                    const std::string& what);
  void expect_bits(const std::vector<Tensor>& got, const std::vector<Tensor>& expected, const std::string& what);

  // The reference's inputs, outputs and gradients in f64, for inputs laid out as `order` says.
  std::vector<Tensor> reference_inputs(Order order) const;
  // Gradients in f64 for the cotangents that cotangents(seed) gives.
  const std::vector<Tensor>& reference_gradients();
  std::vector<Tensor> inputs(Order order) const { return laid_inputs(sample, dtype, device, order); }

 private:
  std::vector<Tensor> reference_gradients_;
};

// The bytes of a tensor's numbers in row-major order.
std::vector<char> bytes(const Tensor& t);

}  // namespace fovea::proof
