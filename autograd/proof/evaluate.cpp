#include "autograd/proof/evaluate.h"

#include <algorithm>
#include <cmath>

#include "autograd/apply.h"
#include "core/dual.h"

namespace fovea::proof {
namespace {

// Lifts every floating input: values with the tangents that make<D>(value, i, k) gives.
template <class D, class Make> std::vector<Tensor> lift(const std::vector<Tensor>& inputs, Make make) {
  std::vector<Tensor> lifted;
  for (size_t i = 0; i < inputs.size(); i++) {
    const Tensor& t = inputs[i];
    if (!t.defined() || !is_floating(t.dtype())) {
      lifted.push_back(t);
      continue;
    }
    Numbers v = numbers(t);
    std::vector<D> d(v.size());
    for (size_t k = 0; k < v.size(); k++) d[k] = make(v[k], i, k);
    lifted.push_back(
        tensor_from_host(d.data(), dtype_of<D>(), t.shape(), {.dtype = dtype_of<D>(), .device = t.device()}));
  }
  return lifted;
}

double at(const std::vector<Numbers>& tangents, size_t i, size_t k) { return tangents[i].empty() ? 0 : tangents[i][k]; }

// Each differentiable output. One that is no dual does not depend on the inputs.
template <class D> std::vector<std::vector<D>> outputs_of(const Sample& s, const std::vector<Tensor>& x) {
  NoGrad guard;
  ModeScope composed(state(), kNoKernels, 0);
  std::vector<Tensor> y = call(s, x);
  std::vector<std::vector<D>> all;
  for (int k : differentiable_outputs(s, y)) {
    const Tensor& t = y[size_t(k)];
    std::vector<D>& d = all.emplace_back(size_t(t.numel()));
    if (t.dtype() == dtype_of<D>()) {
      copy_to_host(t.array(), d.data(), dtype_of<D>());
      continue;
    }
    const Numbers v = numbers(t);
    for (size_t e = 0; e < v.size(); e++) d[e] = D(v[e]);
  }
  return all;
}

// One number of each element.
template <class D, class Take>
std::vector<Numbers> taken(const std::vector<std::vector<D>>& outputs, const Take& take) {
  std::vector<Numbers> all;
  for (const std::vector<D>& d : outputs) {
    Numbers& v = all.emplace_back(d.size());
    for (size_t e = 0; e < v.size(); e++) v[e] = take(d[e]);
  }
  return all;
}

}  // namespace

std::vector<Tensor> run(const Sample& s, const std::vector<Tensor>& inputs) {
  NoGrad guard;
  return call(s, inputs);
}

std::vector<int> differentiated_inputs(const Sample& s) {
  std::vector<int> list;
  for (size_t i = 0; i < s.inputs.size(); i++)
    if (differentiated(s, int(i))) list.push_back(int(i));
  return list;
}

std::vector<int> differentiable_outputs(const Sample& s, const std::vector<Tensor>& outputs) {
  std::vector<int> list;
  const uint64_t fixed = s.op == op::none ? 0 : op_def(s.op).fixed_outputs;
  for (size_t k = 0; k < outputs.size(); k++)
    if (is_floating(outputs[k].dtype()) && !(fixed >> k & 1)) list.push_back(int(k));
  return list;
}

Tensor probe_like(const Tensor& t, Probe kind, uint64_t seed) {
  Numbers v(size_t(t.numel()));
  for (size_t i = 0; i < v.size(); i++) {
    double z = noise(i, seed * 31 + 1009);
    if (kind == Probe::sixteenths) v[i] = std::floor(16 * z) / 16;
    else v[i] = std::copysign(kind == Probe::signs ? 1 : (1 + std::abs(z)) / 2, z);
  }
  return tensor_from_host(v.data(), f64, t.shape(), {.like = t});
}

std::vector<Tensor> gradients(const Sample& s, const std::vector<Tensor>& inputs,
                              const std::vector<Tensor>& cotangents) {
  std::vector<Tensor> x = inputs, targets, roots, given;
  for (int i : differentiated_inputs(s)) targets.push_back(x[size_t(i)] = x[size_t(i)].requires_grad_());
  std::vector<Tensor> y = call(s, x);
  std::vector<int> outputs = differentiable_outputs(s, y);
  for (size_t k = 0; k < outputs.size(); k++) {
    const Tensor& t = y[size_t(outputs[k])];
    if (!t.requires_grad() &&
        std::any_of(s.inputs.begin(), s.inputs.end(), [](const Input& in) { return in.constant; }))
      continue;  // of the constant ones alone
    if (!t.requires_grad())
      throw GradientError(s.name + ": output " + std::to_string(outputs[k]) + " has no history: its gradient is lost");
    if (cotangents[k].defined()) roots.push_back(t), given.push_back(cotangents[k]);
  }
  std::vector<Tensor> dx =
      roots.empty() ? std::vector<Tensor>(targets.size()) : grad(roots, targets, given, {.allow_unused = true});
  for (size_t i = 0; i < dx.size(); i++)
    if (!dx[i].defined()) dx[i] = zeros_like(targets[i].detach());
  return dx;
}

std::vector<Tensor> second_gradients(const Sample& s, const std::vector<Tensor>& inputs, std::vector<Tensor> v,
                                     const std::vector<Tensor>& w) {
  std::vector<Tensor> x = inputs, targets, y, roots, given;
  for (int i : differentiated_inputs(s)) targets.push_back(x[size_t(i)] = x[size_t(i)].requires_grad_());
  std::vector<Tensor> all = call(s, x);
  for (int k : differentiable_outputs(s, all)) y.push_back(all[size_t(k)]);
  for (Tensor& t : v) t = t.requires_grad_();
  std::vector<Tensor> g = grad(y, targets, v, {.create_graph = true, .allow_unused = true});
  for (size_t i = 0; i < g.size(); i++)
    if (g[i].defined() && g[i].requires_grad()) roots.push_back(g[i]), given.push_back(w[i]);
  targets.insert(targets.end(), v.begin(), v.end());
  std::vector<Tensor> h(targets.size());
  if (!roots.empty()) h = grad(roots, targets, given, {.allow_unused = true});
  for (size_t i = 0; i < h.size(); i++)
    if (!h[i].defined()) h[i] = zeros_like(targets[i].detach());
  return h;
}

Numbers numbers(const Tensor& t) { return t.to_vector<double>(); }

std::vector<Numbers> dual_derivative(const Sample& s, const std::vector<Tensor>& inputs, const std::vector<Numbers>& u,
                                     std::vector<Numbers>* values) {
  auto x = lift<Dual1>(inputs, [&](double v, size_t i, size_t k) { return Dual1(v, at(u, i, k)); });
  const auto y = outputs_of<Dual1>(s, x);
  if (values) *values = taken(y, [](const Dual1& d) { return d.value; });
  return taken(y, [](const Dual1& d) { return d.tangent; });
}

std::vector<Numbers> dual_derivative(const Sample& s, const std::vector<Tensor>& inputs, const std::vector<Numbers>& u,
                                     const std::vector<Numbers>& v) {
  auto x = lift<Dual2>(inputs, [&](double value, size_t i, size_t k) {
    return Dual2(Dual1(value, at(u, i, k)), Dual1(at(v, i, k), 0.0));
  });
  return taken(outputs_of<Dual2>(s, x), [](const Dual2& d) { return d.tangent.tangent; });
}

}  // namespace fovea::proof
