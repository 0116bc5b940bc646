// What a rule may do beside giving the right numbers: the contracts, checked of every op and of users' functions.
#include <algorithm>

#include "autograd/apply.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/proof/properties.h"
#include "autograd/proof/trial.h"
#include "core/allocator.h"
#include "core/dispatch.h"
#include "core/parallel.h"

namespace fovea::proof {
namespace {

void repeats(Trial& t) {
  for (int i = 0; i < 2; i++) t.expect_bits(run(t.sample, t.x), t.y, "output");
  if (!t.has_gradient()) return;
  std::vector<Tensor> v = t.cotangents(0, t.y), g = gradients(t.sample, t.x, v);
  t.expect_bits(gradients(t.sample, t.x, v), g, "gradient");
}

void threads(Trial& t) {
  if (!t.sample.large) return;
  struct Restore {
    int before = thread_count();
    ~Restore() { set_thread_count(before); }
  } restore;
  Deterministic guard;
  std::vector<Tensor> y, g, v = t.cotangents(0, t.y);
  for (int n : {1, 2, 3, 7}) {
    set_thread_count(n);
    std::vector<Tensor> mine = run(t.sample, t.x), dx;
    if (t.has_gradient()) dx = gradients(t.sample, t.x, v);
    if (n == 1) y = mine, g = dx;
    t.expect_bits(mine, y, "with " + std::to_string(n) + " threads: output");
    t.expect_bits(dx, g, "with " + std::to_string(n) + " threads: gradient");
  }
}

void manners(Trial& t) {
  std::vector<Tensor> v = t.cotangents(0, t.y), fresh = t.inputs(Order::dense);  // no kernel has seen these yet
  std::vector<std::vector<char>> before;
  auto each = [&](auto f) {
    for (const Tensor& x : fresh)
      if (x.defined()) f(x);
    for (const Tensor& g : v) f(g);
  };
  each([&](const Tensor& x) { before.push_back(bytes(x)); });
  std::vector<Tensor> y = run(t.sample, fresh), dx;
  if (t.has_gradient()) dx = gradients(t.sample, fresh, v);
  size_t k = 0;
  each([&](const Tensor& x) {
    if (bytes(x) != before[k]) t.fail("changes input or cotangent " + std::to_string(k));
    k++;
  });
  if (t.sample.function) return;  // may give what it was given
  bool is_view = row(t.sample.op).form == Form::view;
  for (size_t i = 0; i < y.size(); i++)
    for (size_t j = 0; j < fresh.size(); j++) {
      if (!fresh[j].defined()) continue;
      bool alias = y[i].array().storage() == fresh[j].array().storage();
      if (alias != is_view)
        t.fail("output " + std::to_string(i) + (alias ? " is input " : " is no view of input ") + std::to_string(j));
    }
}

// Gradients are linear in the cotangent, and a missing one is the same as zeros.
void linear_in_cotangent(Trial& t) {
  if (!t.has_gradient()) return;
  auto of = [&](const std::vector<Tensor>& v) { return gradients(t.sample, t.x, v); };
  std::vector<Tensor> a = t.cotangents(0, t.y), b = t.cotangents(1, t.y), both, zero;
  for (size_t k = 0; k < a.size(); k++) both.push_back(a[k] + b[k] * 2), zero.push_back(zeros_like(a[k]));
  std::vector<Tensor> ga = of(a), gb = of(b), sum = of(both), none = of(zero), expected, zeros;
  NoGrad guard;
  for (size_t i = 0; i < ga.size(); i++) {
    expected.push_back(ga[i].to(f64) + gb[i].to(f64) * 2);
    zeros.push_back(zeros_like(ga[i]));
  }
  if (!t.sample.kink) t.expect_close(sum, expected, 4 * kGradient, "gradient of a sum of cotangents");
  for (size_t i = 0; i < none.size(); i++)
    for (double v : numbers(none[i]))
      if (v != 0 && t.sample.order > 1) {
        t.fail("gradient " + std::to_string(i) + " of zero cotangents is not zero");
        break;
      }
  if (a.size() < 2) return;
  for (size_t k = 0; k < a.size(); k++) {
    std::vector<Tensor> missing(a.size()), zeroed = zero;
    missing[k] = zeroed[k] = a[k];
    ModeScope grad_on(state(), kGrad, 0);
    t.expect_close(of(missing), of(zeroed), kGradient, "gradient with only cotangent " + std::to_string(k));
  }
}

// Gradients have their inputs' shapes, dtypes and devices.
void places(Trial& t) {
  if (!t.has_gradient()) return;
  std::vector<Tensor> g = gradients(t.sample, t.x, t.cotangents(0, t.y));
  std::vector<int> in = differentiated_inputs(t.sample);
  for (size_t i = 0; i < g.size(); i++) {
    const Tensor& x = t.x[size_t(in[i])];
    const std::string name = "gradient " + std::to_string(i) + " has another ";
    if (!(g[i].shape() == x.shape())) t.fail(name + "shape than its input");
    if (g[i].dtype() != x.dtype()) t.fail(name + "dtype than its input");
    if (!(g[i].device() == x.device())) t.fail(name + "device than its input");
  }
}

// A second backward adds to what a first one left in the leaves, and changes nothing else of it.
void accumulates(Trial& t) {
  if (!t.has_gradient()) return;
  std::vector<Tensor> x = t.x, leaves, v = t.cotangents(0, t.y), once, twice;
  for (int i : differentiated_inputs(t.sample)) leaves.push_back(x[size_t(i)] = x[size_t(i)].requires_grad_());
  for (int round = 0; round < 2; round++) {
    std::vector<Tensor> y = call(t.sample, x);
    std::vector<int> outputs = t.outputs();
    Tensor root;
    for (size_t k = 0; k < v.size(); k++) {
      Tensor part = sum(y[size_t(outputs[k])] * v[k]);
      root = root.defined() ? root + part : part;
    }
    root.backward();
    NoGrad guard;
    for (const Tensor& leaf : leaves) {
      Tensor g = leaf.grad();
      (round ? twice : once).push_back(g.defined() ? g + 0.0 : zeros_like(leaf.detach()));
    }
  }
  NoGrad guard;
  for (size_t i = 0; i < once.size(); i++)
    t.expect_close(twice[i], once[i] + once[i], 2 * kGradient, "sum of two gradients " + std::to_string(i));
}

// An input that is overwritten between forward and backward is noticed, or does not matter.
void versions(Trial& t) {
  if (!t.has_gradient()) return;
  const std::vector<Tensor> v = t.cotangents(0, t.y), right = gradients(t.sample, t.x, v);
  for (size_t i = 0; i < t.x.size(); i++) {
    if (!t.x[i].defined() || t.x[i].numel() == 0) continue;
    std::vector<Tensor> x = t.inputs(Order::dense), targets, roots;
    for (int k : differentiated_inputs(t.sample)) targets.push_back(x[size_t(k)] = x[size_t(k)].requires_grad_());
    std::vector<Tensor> y = call(t.sample, x);
    for (int k : differentiable_outputs(t.sample, y)) roots.push_back(y[size_t(k)]);
    Array memory = x[i].array();
    fill(memory, is_floating(memory.dtype()) ? 0.4375 : 0);
    std::vector<Tensor> g;
    try {
      g = grad(roots, targets, v, {.allow_unused = true});
    } catch (const GradientError&) {
      continue;
    }
    for (size_t k = 0; k < g.size(); k++)
      if (g[k].defined() && bytes(g[k]) != bytes(right[k])) {
        t.fail("the gradient of input " + std::to_string(k) + " changes where input " + std::to_string(i) +
               " is overwritten between forward and backward, and nothing is said (what a rule reads must be saved)");
        break;
      }
  }
}

// What calls leave behind does not grow.
void leaks(Trial& t) {
  int64_t live[3];
  for (int64_t& bytes : live) {
    std::vector<Tensor> y = run(t.sample, t.x);
    if (t.has_gradient()) gradients(t.sample, t.x, t.cotangents(0, y));
    y.clear();
    bytes = memory_stats().live;
  }
  if (live[2] > live[1] && live[1] > live[0])
    t.fail(std::to_string(live[2] - live[1]) + " bytes stay behind after each call");
}

constexpr Property kContracts[] = {
    {"manners", "inputs and cotangents stay as they are; only views alias their inputs", manners},
    {"repeats", "the same call gives the same bits", repeats},
    {"threads", "in deterministic mode 1, 2, 3 and 7 threads give the same bits", threads},
    {"linear", "gradients are linear in the cotangents; a missing one counts as zero", linear_in_cotangent},
    {"places", "gradients have their inputs' shapes, dtypes and devices", places},
    {"accumulates", "a second backward adds to the gradients of the first", accumulates},
    {"versions", "an input overwritten before backward is noticed, or does not matter", versions},
    {"leaks", "calls leave no memory behind", leaks},
};

}  // namespace

std::span<const Property> contracts() { return kContracts; }

}  // namespace fovea::proof
