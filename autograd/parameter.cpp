#include "autograd/parameter.h"

#include <cmath>

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
  value_ = leaf ? value.detach().requires_grad_() : value.detach();
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

GradientReport gradient_report(const ParameterList& parameters) {
  GradientReport report;
  for (const auto& p : parameters) {
    if (!p->value().requires_grad()) continue;
    Tensor g = p->grad();
    if (!g.defined()) {
      report.unreached.push_back(p->name());
      continue;
    }
    bool zero = true, finite = true;
    for (double v : g.to_vector<double>()) zero &= v == 0, finite &= std::isfinite(v);
    if (!finite) report.non_finite.push_back(p->name());
    else if (zero) report.all_zero.push_back(p->name());
  }
  return report;
}

std::string GradientReport::to_string() const {
  std::string text;
  auto list = [&](const char* title, const std::vector<std::string>& names) {
    if (names.empty()) return;
    text += std::string(text.empty() ? "" : "\n") + title + ":";
    for (const std::string& n : names) text += " " + n;
  };
  list("not reached by backward", unreached);
  list("gradient all zero", all_zero);
  list("gradient not finite", non_finite);
  return text.empty() ? "every parameter has a finite, nonzero gradient" : text;
}

}  // namespace fovea
