// Parameter: what has identity in a model. Modules, optimizers, ties, averages and state dicts hold Ref<Parameter>;
// loading, casting, moving and freezing replace its value, and everyone sees it. A tie is the same Ref in two places.
#pragma once
#include <string>
#include <vector>

#include "autograd/tensor.h"
#include "core/ref.h"

namespace fovea {

enum class Role : uint8_t { weight, bias, norm, embedding, buffer };
const char* name_of(Role role);

class Parameter : public Counted {
 public:
  // ValueError where `value` is undefined.
  Parameter(std::string name, Role role, Tensor value, std::source_location where = std::source_location::current());

  const std::string& name() const { return name_; }  // dotted path from the model it was made in
  void rename(std::string name) { name_ = std::move(name); }
  Role role() const { return role_; }
  const Tensor& value() const { return value_; }
  operator const Tensor&() const { return value_; }

  // Replaces the value: a fresh leaf, so the gradient so far is dropped. Trainable as before, unless it is a buffer or
  // not floating.
  void set(Tensor value);
  Tensor grad() const { return value_.requires_grad() ? value_.grad() : Tensor(); }
  void clear_grad() {
    if (value_.requires_grad()) value_.clear_grad();
  }
  bool trainable() const { return trainable_; }
  void freeze(bool frozen = true);

 private:
  std::string name_;
  Role role_;
  bool trainable_ = true;
  Tensor value_;
};

using ParameterList = std::vector<Ref<Parameter>>;

}  // namespace fovea
