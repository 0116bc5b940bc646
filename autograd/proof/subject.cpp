#include "autograd/proof/subject.h"

#include <algorithm>
#include <cmath>

#include "core/device.h"

namespace fovea::proof {
namespace {

constexpr double kSideStep = 1e-7;  // to both sides of a kink

Device oracle_device(const Sample& s, Device d) { return s.given() ? d : fovea::device("ref"); }

}  // namespace

Numbers flat(const std::vector<Numbers>& parts) {
  Numbers all;
  for (const Numbers& p : parts) all.insert(all.end(), p.begin(), p.end());
  return all;
}

std::vector<int64_t> index_of(int64_t flat, const Shape& shape) {
  std::vector<int64_t> at(size_t(shape.rank));
  for (int d = shape.rank - 1; d >= 0; d--) at[size_t(d)] = flat % shape[d], flat /= shape[d];
  return at;
}

Subject::Subject(const Sample& s, Device d, Order o, uint64_t v)
    : sample(s), device(d), order(o), variant(v), tolerance(kUnit * s.factor * s.condition) {
  const bool other = o == Order::repeated;  // the one order that has other numbers
  x = laid_inputs(s, f64, oracle_device(s, d), other ? o : Order::dense, v);
  mine = o == Order::dense && d == oracle_device(s, d) ? x : laid_inputs(s, f64, d, o, v);
  inputs = differentiated_inputs(s);
  std::vector<Tensor> all = run(s, x);
  for (int k : differentiable_outputs(s, all)) y.push_back(all[size_t(k)]);
  for (int i : inputs) entries += x[size_t(i)].numel();
  if (inputs.empty() || y.empty() || o == Order::own) return;
  try {
    push(no_tangents());
  } catch (const UnsupportedError&) {  // host code, or a base op of a user's, without duals
    exact = false;
  }
}

bool Subject::rounds() const {
  return std::any_of(y.begin(), y.end(), [](const Tensor& t) { return t.dtype() != f64; });
}

Numbers Subject::push(const std::vector<Numbers>& u) const {
  if (!values_.empty()) return flat(dual_derivative(sample, x, u));
  std::vector<Numbers> values;
  Numbers tangents = flat(dual_derivative(sample, x, u, &values));
  values_ = flat(values);
  return tangents;
}
Numbers Subject::push(const std::vector<Numbers>& u, const std::vector<Numbers>& v) const {
  return flat(dual_derivative(sample, x, u, v));
}

const std::vector<std::vector<Numbers>>& Subject::jacobian() const {
  if (!jacobian_.empty()) return jacobian_;
  for (int i : inputs) {
    auto& columns = jacobian_.emplace_back();
    std::vector<Numbers> u = no_tangents();
    for (size_t k = 0; k < size_t(x[size_t(i)].numel()); k++) {
      u[size_t(i)].assign(size_t(x[size_t(i)].numel()), 0.0);
      u[size_t(i)][k] = 1;
      columns.push_back(push(u));
    }
  }
  return jacobian_;
}

Numbers Subject::exact_gradient(size_t i, const Numbers& c) const {
  const std::vector<Numbers>& columns = jacobian()[i];
  Numbers g(columns.size());
  for (size_t j = 0; j < g.size(); j++)
    for (size_t k = 0; k < c.size(); k++) g[j] += c[k] * columns[j][k];
  return g;
}

Numbers Subject::cotangent(Probe kind, uint64_t seed) const {
  std::vector<Numbers> parts;
  for (size_t k = 0; k < y.size(); k++) {
    Tensor c = probe_like(y[k], kind, seed * 8 + k);
    parts.push_back(numbers(order == Order::repeated ? laid_out(c, order) : c));
  }
  return flat(parts);
}

std::vector<Tensor> Subject::cotangents(const Numbers& c, Order as) const {
  std::vector<Tensor> v;
  const double* from = c.data();
  for (const Tensor& t : y) {
    v.push_back(laid_out(
        tensor_from_host(from, f64, t.shape(), {.dtype = t.dtype(), .device = sample.given() ? t.device() : device}),
        as));
    from += t.numel();
  }
  return v;
}

std::vector<Numbers> Subject::pull(const Numbers& c, Order as) const {
  const std::vector<Tensor> in =
      as == order || order == Order::own ? mine : laid_inputs(sample, f64, device, as, variant);
  std::vector<Numbers> g;
  for (const Tensor& t : gradients(sample, in, cotangents(c, as))) g.push_back(numbers(t));
  return g;
}

Numbers Subject::laid(const Numbers& c, Order as) const {
  std::vector<Numbers> parts;
  for (const Tensor& t : cotangents(c, as)) parts.push_back(numbers(t));
  return flat(parts);
}

std::vector<Numbers> Subject::pull_twice(const Numbers& c, const std::vector<Numbers>& w, Numbers* to_c) const {
  std::vector<Tensor> directions;
  for (int i : inputs) {
    const Tensor& x = mine[size_t(i)];
    directions.push_back(tensor_from_host(w[size_t(i)].data(), f64, x.shape(), {.like = x}));
  }
  std::vector<Numbers> parts;
  for (const Tensor& t : second_gradients(sample, mine, cotangents(c, order), directions)) parts.push_back(numbers(t));
  if (to_c) *to_c = flat({parts.begin() + int64_t(inputs.size()), parts.end()});
  parts.resize(inputs.size());
  return parts;
}

std::pair<double, double> Subject::sides(size_t i, size_t k, const Numbers& c) const {
  const auto at = size_t(inputs[i]);
  double side[2] = {0, 0};
  for (int up = 0; up < 2; up++) {
    std::vector<Tensor> moved = x;
    Numbers v = numbers(x[at]);
    v[k] += up ? kSideStep : -kSideStep;
    moved[at] = tensor_from_host(v.data(), f64, x[at].shape(), {.like = x[at]});
    std::vector<Numbers> u = no_tangents();
    u[at].assign(v.size(), 0.0);
    u[at][k] = 1;
    Numbers column = flat(dual_derivative(sample, moved, u));
    for (size_t e = 0; e < c.size(); e++) side[up] += c[e] * column[e];
  }
  return {std::min(side[0], side[1]), std::max(side[0], side[1])};
}

}  // namespace fovea::proof
