#include "nn/optim/adamw.h"

#include <cmath>
#include <limits>

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "core/dispatch.h"

namespace fovea::optim {
namespace {

void require(bool ok, const char* what, double value, const char* expected) {
  if (!ok) throw ValueError(std::string("adamw: ") + what + " is " + text_of(value) + " (expected " + expected + ")");
}

// The definition of the row `adamw`, for backends without a kernel. Scalars in f64, the rest in the moments' dtype.
void composed(const Array* in, int n, const AdamWAttrs& a, Array* out) {
  Tensor lr = Tensor(in[0]).to(f64), step = Tensor(in[1]).to(f64), scale = Tensor(in[2]).to(f64);
  Tensor correction1 = 1 - pow(full({}, a.beta1, {.like = step}), step);
  Tensor correction2 = sqrt(1 - pow(full({}, a.beta2, {.like = step}), step));
  for (int i = 0; i < n; i++) {
    Array &p = out[i], &m = out[n + i], &v = out[2 * n + i];
    Tensor g = Tensor(in[3 + i]).to(m.dtype()) * scale, value = Tensor(p).to(m.dtype());
    if (i < a.decay_count) value = value * (1 - lr * a.weight_decay);
    Tensor new_m = Tensor(m) * a.beta1 + g * (1 - a.beta1);
    Tensor new_v = Tensor(v) * a.beta2 + square(g) * (1 - a.beta2);
    value = value - lr / correction1 * new_m / (sqrt(new_v) / correction2 + a.eps);
    assign(m, new_m.array());
    assign(v, new_v.array());
    assign(p, value.array());
  }
}

double sum_of_squares(const Tensor& g) { return sum(square(g.to(acc_dtype(g.dtype())))).item(); }

}  // namespace

AdamW::AdamW(const nn::ModuleBase& model, const AdamWOptions& o, Where w) : AdamW(model.named_parameters(), o, w) {}

AdamW::AdamW(const nn::NamedParameters& parameters, const AdamWOptions& o, Where w) try
    : o_(o), last_norm_(std::numeric_limits<double>::quiet_NaN()) {
  require(o.lr >= 0 && std::isfinite(o.lr), "lr", o.lr, "0 or more");
  require(o.beta1 >= 0 && o.beta1 < 1, "beta1", o.beta1, "0 <= beta1 < 1");
  require(o.beta2 >= 0 && o.beta2 < 1, "beta2", o.beta2, "0 <= beta2 < 1");
  require(o.eps >= 0, "eps", o.eps, "0 or more");
  require(o.weight_decay >= 0, "weight_decay", o.weight_decay, "0 or more");
  require(o.clip >= 0, "clip", o.clip, "0 or more");
  for (auto& [name, p] : parameters) {
    bool decays = o.decay_all || (p->value().dim() >= 2 && p->role() != Role::norm && p->role() != Role::bias);
    for (const std::string& glob : o.no_decay) decays &= !nn::glob_match(glob, name);
    slots_.push_back({name, p, decays && o.weight_decay > 0});
  }
  if (slots_.empty()) throw ValueError("adamw: no parameters to train");
} catch (Error& e) {
  fovea::detail::locate(e, "adamw", w);
  throw;
}

void AdamW::zero_grad() {
  for (Slot& s : slots_) s.parameter->clear_grad();
}

void AdamW::prepare(Slot& s) {
  if (s.m) return;
  const Tensor& p = s.parameter->value();
  auto make = [&, t = acc_dtype(p.dtype())] {
    return p.array().is_shape_only() ? Array::shape_only(p.shape(), t, p.device())
                                     : Array::empty(p.shape(), t, p.device());
  };
  s.m = make();
  s.v = make();
  fill(s.m, 0);
  fill(s.v, 0);
}

void AdamW::step(Where w) try {
  NoGrad guard;
  CallScope call("adamw", w);
  double scale = 1;
  if (o_.clip > 0) {
    nn::NamedParameters all;
    for (Slot& s : slots_) all.emplace_back(s.name, s.parameter);
    last_norm_ = global_norm(all);
    if (last_norm_ > o_.clip) scale = o_.clip / (last_norm_ + 1e-6);  // as PyTorch's clip_grad_norm_
  }
  // One update for all that share dtype, device and step count: the usual case is a single one.
  std::vector<std::vector<Slot*>> groups;
  for (Slot& s : slots_) {
    if (!s.parameter->grad().defined()) continue;
    prepare(s);
    auto same = [&](const std::vector<Slot*>& group) {
      const Tensor &a = group[0]->parameter->value(), &b = s.parameter->value();
      return a.dtype() == b.dtype() && a.device() == b.device() && group[0]->step == s.step;
    };
    bool placed = false;
    for (auto& group : groups)
      if (!placed && same(group)) {
        group.push_back(&s);
        placed = true;
      }
    if (!placed) groups.push_back({&s});
  }
  for (auto& group : groups) update_group(group, scale);
} catch (Error& e) {
  fovea::detail::locate(e, "adamw", w);
  throw;
}

void AdamW::update_group(const std::vector<Slot*>& group, double scale) {
  AdamWAttrs attrs{o_.beta1, o_.beta2, o_.eps, o_.weight_decay, 0};
  std::vector<Slot*> ordered;
  for (bool decays : {true, false})
    for (Slot* s : group)
      if (s->decays == decays) ordered.push_back(s), attrs.decay_count += decays;
  Device device = ordered[0]->parameter->value().device();
  auto scalar = [&](double x) {
    Array a = Array::empty({}, f64, device);
    fill(a, x);
    return a;
  };
  std::vector<Array> in = {scalar(o_.lr), scalar(double(ordered[0]->step + 1)), scalar(scale)}, out;
  for (Slot* s : ordered) in.push_back(s->parameter->grad().array());
  for (Slot* s : ordered) out.push_back(s->parameter->value().array());
  for (Slot* s : ordered) out.push_back(s->m);
  for (Slot* s : ordered) out.push_back(s->v);
  if (kernels_of(device).slots[op::adamw].thunk && !forced_to_compose(op::adamw))
    update(state(), op::adamw, in.data(), int(in.size()), &attrs, out.data(), int(out.size()));
  else composed(in.data(), int(ordered.size()), attrs, out.data());
  for (Slot* s : ordered) s->step++;
}

double global_norm(const nn::NamedParameters& parameters, Where w) {
  NoGrad guard;
  CallScope call("clip_grad_norm", w);
  double total = 0;
  for (auto& [name, p] : parameters) {
    Tensor g = p->grad();
    if (!g.defined()) continue;
    double part = sum_of_squares(g);
    if (!std::isfinite(part)) {
      for (double x : g.to_vector<double>())
        if (!std::isfinite(x))
          fovea::detail::fail<ValueError>(
              "clip_grad_norm", w, "the gradient of '" + name + "' has " + (std::isnan(x) ? "a NaN" : "an infinity"));
      part = 0;  // finite, but its squares overflow f32
      for (double x : g.to_vector<double>()) part += x * x;
    }
    total += part;
  }
  return std::sqrt(total);
}

double clip_grad_norm(const nn::NamedParameters& parameters, double max_norm, Where w) {
  if (!(max_norm > 0))
    fovea::detail::fail<ValueError>("clip_grad_norm", w,
                                    "max_norm is " + std::to_string(max_norm) + " (expected above 0)");
  NoGrad guard;
  CallScope call("clip_grad_norm", w);
  double norm = global_norm(parameters, w);
  if (norm <= max_norm) return norm;
  for (auto& [name, p] : parameters) {
    Tensor g = p->grad();
    if (!g.defined()) continue;
    Array to = g.array();
    assign(to, (g * (max_norm / (norm + 1e-6))).array());
  }
  return norm;
}

}  // namespace fovea::optim
