#include "autograd/parameter.h"

#include "autograd/ops/checks.h"

namespace fovea {

const char* name_of(Role role) {
  constexpr const char* names[] = {"weight", "bias", "norm", "embedding", "buffer"};
  return names[int(role)];
}

Parameter::Parameter(std::string name, Role role, Tensor value, std::source_location where)
    : name_(std::move(name)), role_(role) {
  if (!value.defined()) detail::fail<ValueError>("parameter", where, "the value of '" + name_ + "' is undefined");
  set(std::move(value));
}

void Parameter::set(Tensor value) {
  bool leaf = trainable_ && role_ != Role::buffer && is_floating(value.dtype());
  const Tensor plain(value.array());
  value_ = leaf ? plain.requires_grad_() : plain;
}

void Parameter::freeze(bool frozen) {
  trainable_ = !frozen;
  set(value_);
}

Operand::Operand(Where w) : where_(w) {
  static const Tensor none;
  tensor_ = &none;
}
Operand::Operand(const Parameter& p, Where w) : tensor_(&p.value()), where_(w) {}
Operand::Operand(const Ref<Parameter>& p, Where w) : tensor_(&p->value()), where_(w) {}

}  // namespace fovea
