// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, 2019), one fused update for all parameters where the
// backend has the kernel. State belongs to Ref<Parameter>, so it survives to(bf16), loading and ties. Learning rate,
// step number and gradient scale reach the kernel as arrays.
#pragma once
#include <string>
#include <vector>

#include "nn/module.h"

namespace fovea::optim {

struct AdamWOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
  double clip = 0;  // largest global norm of the gradients; 0: no clipping
  // Parameters with two axes or more decay; biases, norms and what these globs name do not. decay_all follows PyTorch's
  // default instead.
  std::vector<std::string> no_decay = {};
  bool decay_all = false;
};

class AdamW {
 public:
  struct Slot {
    std::string name;
    Ref<Parameter> parameter;
    bool decays;
    int64_t step = 0;  // updates so far
    Array m, v;        // first and second moment, f32 (f64 for f64 parameters); made at the first step
  };

  // The parameters that the model has now. ValueError for options outside their range.
  using Where = std::source_location;  // the caller's line, for errors
  explicit AdamW(const nn::ModuleBase& model, const AdamWOptions& o = {}, Where w = Where::current());
  AdamW(const nn::NamedParameters& parameters, const AdamWOptions& o, Where w = Where::current());

  void zero_grad();  // drops the gradients
  // Updates every parameter that has a gradient. Clips first when asked to; a gradient that is not finite then throws
  // ValueError naming its parameter, and nothing has changed.
  // Graphs that have saved a parameter name the caller's line as the one that wrote it.
  void step(Where w = Where::current());

  double lr() const { return o_.lr; }
  void set_lr(double lr) { o_.lr = lr; }
  double last_norm() const { return last_norm_; }  // of the gradients, before clipping; NaN without clipping
  const AdamWOptions& options() const { return o_; }
  std::vector<Slot>& slots() { return slots_; }
  const std::vector<Slot>& slots() const { return slots_; }
  // Gives a slot its moments' memory if it has none yet (zeros).
  static void prepare(Slot& slot);

 private:
  void update_group(const std::vector<Slot*>& group, double scale);

  AdamWOptions o_;
  std::vector<Slot> slots_;
  double last_norm_;
};

// The 2-norm of all gradients together. ValueError names the first parameter whose gradient has a NaN or an infinity.
using Where = std::source_location;  // the caller's line, for errors
double global_norm(const nn::NamedParameters& parameters, Where w = Where::current());
// Scales the gradients so that their global norm is at most `max_norm`; returns the norm before.
double clip_grad_norm(const nn::NamedParameters& parameters, double max_norm, Where w = Where::current());

}  // namespace fovea::optim
