#include "nn/init.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/random.h"

namespace fovea::nn::init {
namespace {

struct Fans {
  double in, out;
};

Fans fans(const Shape& s) {
  if (s.rank < 2) throw ShapeError("a fan needs two axes, the shape is " + fovea::to_string(s));
  double rest = 1;
  for (int i = 2; i < s.rank; i++) rest *= double(s[i]);
  return {double(s[1]) * rest, double(s[0]) * rest};
}

}  // namespace

Initializer constant(double value) {
  return [=](const Shape& s) { return full(s, value); };
}
Initializer zeros() { return constant(0); }
Initializer ones() { return constant(1); }
Initializer normal(double std, double mean) {
  return [=](const Shape& s) { return fovea::normal(mean, std, s); };
}
Initializer uniform(double low, double high) {
  return [=](const Shape& s) { return fovea::uniform(s, low, high); };
}
Initializer xavier_uniform(double gain) {
  return [=](const Shape& s) {
    double bound = gain * std::sqrt(6 / (fans(s).in + fans(s).out));
    return fovea::uniform(s, -bound, bound);
  };
}
Initializer xavier_normal(double gain) {
  return [=](const Shape& s) { return fovea::normal(0, gain * std::sqrt(2 / (fans(s).in + fans(s).out)), s); };
}
Initializer kaiming_uniform(double a) {
  return [=](const Shape& s) {
    double bound = std::sqrt(6 / ((1 + a * a) * fans(s).in));
    return fovea::uniform(s, -bound, bound);
  };
}
Initializer kaiming_normal(double a) {
  return [=](const Shape& s) { return fovea::normal(0, std::sqrt(2 / ((1 + a * a) * fans(s).in)), s); };
}

void reset(Parameter& p, const Initializer& init, std::source_location where) try {
  const Tensor& old = p.value();
  if (old.array().is_shape_only()) return;
  NoGrad guard;
  WhereScope lines(state(), &where);
  Tensor value = init(old.shape());
  if (value.dtype() != old.dtype()) value = value.to(old.dtype());
  if (!(value.device() == old.device())) value = value.to(old.device());
  p.set(value);
} catch (Error& e) {
  fovea::detail::locate(e, "init", where);
  throw;
}

void gpt2(ModuleBase& model, int64_t layers, const std::vector<std::string>& residual_globs) {
  double residual = 0.02 / std::sqrt(2.0 * double(std::max<int64_t>(layers, 1)));
  for (auto& [name, p] : model.named_parameters()) {
    if (p->role() == Role::bias) reset(*p, zeros());
    if (p->role() != Role::weight && p->role() != Role::embedding) continue;
    bool writes =
        std::any_of(residual_globs.begin(), residual_globs.end(), [&, n = name](auto& g) { return glob_match(g, n); });
    reset(*p, normal(writes ? residual : 0.02));
  }
}

}  // namespace fovea::nn::init
