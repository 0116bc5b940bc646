#include "autograd/proof/trial.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "autograd/proof/check.h"
#include "core/device.h"
#include "core/dispatch.h"

namespace fovea::proof {
namespace {

// Samples are of a size near 1, so what is smaller than this came from cancelling.
constexpr double kSmallest = 1 / 8.0;

double epsilon(DType t) {
  return t == f64 ? 0x1p-52 : t == f32 ? 0x1p-23 : t == f16 ? 0x1p-10 : t == bf16 ? 0x1p-7 : 0;
}

// The reference's numbers, rounded as `t` would hold them: what overflows there is infinite.
Numbers rounded(const Tensor& exact, DType t) {
  return numbers(exact.dtype() == t || !is_floating(t) ? exact : exact.to(t));
}

std::string place(size_t flat, const Shape& shape) {
  std::string text = "]";
  for (int d = shape.rank - 1; d >= 0; d--) {
    text = (d ? "," : "") + std::to_string(int64_t(flat) % shape[d]) + text;
    flat /= size_t(shape[d]);
  }
  return "[" + text;
}

Array filled_from(Array view, const Tensor& t) {
  assign(view, t.array());
  return view;
}

// Where elements share memory they are one number.
Tensor as_given(const Tensor& t, const Shape& strides) {
  if (!t.defined() || strides.rank == 0 || t.numel() == 0) return t;
  int64_t first = 0, last = 0;
  for (int d = 0; d < strides.rank; d++) {
    const int64_t reach = (t.size(d) - 1) * strides[d];
    (reach < 0 ? first : last) += reach;
  }
  Array memory = Array::empty({last - first + 1}, t.dtype(), t.device());
  return Tensor(filled_from(memory.alias(t.shape(), strides, -first), t));
}

}  // namespace

Tensor laid_out(const Tensor& t, Order order) {
  if (!t.defined()) return t;
  Shape shape = t.shape();
  int r = shape.rank;
  auto fresh = [&](const Shape& s) { return Array::empty(s, t.dtype(), t.device()); };
  switch (order) {
    case Order::own:
    case Order::dense: return t;
    case Order::transposed: {
      Shape reversed, back;
      for (int d = r - 1; d >= 0; d--) reversed.push_back(shape[d]), back.push_back(d);
      return Tensor(filled_from(fresh(reversed).permute(back), t));
    }
    case Order::offset:
      return Tensor(filled_from(fresh({t.numel() + 3}).narrow(0, 1, t.numel()).reshape_view(shape), t));
    case Order::padded: {
      if (r == 0) return laid_out(t, Order::offset);
      Shape wide = shape;
      wide[r - 1] += 3;
      return Tensor(filled_from(fresh(wide).narrow(r - 1, 2, shape[r - 1]), t));
    }
    case Order::stepped: {
      if (r == 0) return laid_out(t, Order::offset);
      Shape wide = shape;
      wide[r - 1] *= 2;
      return Tensor(filled_from(fresh(wide).slice(r - 1, 0, shape[r - 1], 2), t));
    }
    case Order::backwards:
    case Order::reversed: {
      if (r == 0 || t.numel() == 0) return t;
      Array turned = fresh(shape);
      for (int d = order == Order::reversed ? 0 : r - 1; d < r; d++)
        turned = turned.slice(d, shape[d] - 1, shape[d], -1);
      return Tensor(filled_from(turned, t));
    }
    case Order::repeated:
      if (!is_floating(t.dtype()) || t.numel() == 0) return t;
      for (int d = 0; d < r; d++)
        if (shape[d] > 1) return Tensor(t.array().narrow(d, 0, 1).expand(shape));
      return t;
  }
  return t;
}

std::vector<char> bytes(const Tensor& t) {
  std::vector<char> all(size_t(t.numel()) * size_t(size_of(t.dtype())));
  copy_to_host(t.array(), all.data(), t.dtype());
  return all;
}

Trial::Trial(const Sample& s, Device d, DType t) : sample(s), device(d), dtype(t) {
  x = make_inputs(s, t, d);
  y = run(s, x);
  reference = run(s, reference_inputs(Order::dense));
}

std::vector<Tensor> laid_inputs(const Sample& s, DType t, Device d, Order order, uint64_t variant) {
  std::vector<Tensor> raw = raw_inputs(s, t, d, variant);
  for (size_t i = 0; i < raw.size(); i++)
    raw[i] = order == Order::own ? as_given(raw[i], s.inputs[i].strides) : laid_out(raw[i], order);
  std::vector<Tensor> all = completed(s, raw);
  if (s.complete && order != Order::repeated && order != Order::own)
    for (Tensor& x : all) x = laid_out(x, order);
  return all;
}

std::vector<Tensor> Trial::reference_inputs(Order order) const {
  std::vector<Tensor> raw = raw_inputs(sample, dtype, fovea::device("ref"));
  for (Tensor& t : raw) {
    if (order == Order::repeated) t = laid_out(t, order);
    if (t.defined() && is_floating(t.dtype())) t = t.to(f64);
  }
  return completed(sample, raw);
}

std::vector<Tensor> Trial::cotangents(uint64_t seed, const std::vector<Tensor>& like) const {
  std::vector<Tensor> v;
  for (int k : differentiable_outputs(sample, like))
    v.push_back(probe_like(like[size_t(k)], Probe::sixteenths, seed * 8 + uint64_t(k)));
  return v;
}

const std::vector<Tensor>& Trial::reference_gradients() {
  if (reference_gradients_.empty())
    reference_gradients_ = gradients(sample, reference_inputs(Order::dense), cotangents(0, reference));
  return reference_gradients_;
}

void Trial::fail(const std::string& text) {
  problems.push_back({sample.name, property, device_name(device) + " " + fovea::name_of(dtype), text});
}

void Trial::expect_close(const Tensor& got, const Tensor& expected, double units, const std::string& what) {
  if (!(got.shape() == expected.shape())) {
    fail(what + " is " + fovea::to_string(got.shape()) + " (expected " + fovea::to_string(expected.shape()) + ")");
    return;
  }
  Numbers a = numbers(got), b = rounded(expected, got.dtype());
  double largest = kSmallest;
  for (double v : b)
    if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
  double eps =
      is_floating(got.dtype()) ? std::max(epsilon(got.dtype()), has_floating_input(sample) ? epsilon(dtype) : 0) : 0;
  double tolerance = units * eps * sample.factor * sample.condition * largest, worst = -1;
  size_t at = 0;
  for (size_t i = 0; i < a.size(); i++) {
    bool special = !std::isfinite(a[i]) || !std::isfinite(b[i]);
    double error = special ? (a[i] == b[i] || (a[i] != a[i] && b[i] != b[i]) ? 0 : INFINITY) : std::abs(a[i] - b[i]);
    if (error > worst) worst = error, at = i;
  }
  if (worst > tolerance)
    fail(what + " at " + place(at, got.shape()) + " is " + detail::short_number(a[at]) + " (expected " +
         detail::short_number(b[at]) + ", at most " + detail::short_number(tolerance) + " from it)");
}

void Trial::expect_close(const std::vector<Tensor>& got, const std::vector<Tensor>& expected, double units,
                         const std::string& what) {
  for (size_t i = 0; i < got.size(); i++) expect_close(got[i], expected[i], units, what + " " + std::to_string(i));
}

void Trial::expect_bits(const std::vector<Tensor>& got, const std::vector<Tensor>& expected, const std::string& what) {
  for (size_t i = 0; i < got.size(); i++)
    if (bytes(got[i]) != bytes(expected[i])) fail(what + " " + std::to_string(i) + " has other bits");
}

}  // namespace fovea::proof
