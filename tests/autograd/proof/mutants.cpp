#include "tests/autograd/proof/mutants.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>

#include "autograd/apply.h"
#include "autograd/engine.h"
#include "autograd/function.h"
#include "autograd/hooks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/view.h"
#include "autograd/proof/findings.h"
#include "core/device.h"

namespace fovea::proof {
namespace {

using Tensors = std::vector<Tensor>;

constexpr int kMostInner = 24;  // inner ops that are tried, of one composition

double largest(const Tensor& t) {
  double most = 0;
  for (double v : proof::numbers(t.detach()))
    if (std::isfinite(v)) most = std::max(most, std::abs(v));
  return most;
}

// The inner nodes of a graph that begins at the targets, in the order in which a walk meets them.
std::vector<Node*> inner_nodes(const Tensors& outputs, const Tensors& targets) {
  std::set<Node*> seen;
  for (const Tensor& t : targets) seen.insert(t.edge().node());
  std::vector<Node*> list, stack;
  for (const Tensor& y : outputs)
    if (y.edge()) stack.push_back(y.edge().node());
  while (!stack.empty()) {
    Node* n = stack.back();
    stack.pop_back();
    if (!n || !n->def || !seen.insert(n).second) continue;
    list.push_back(n);
    for (int i = 0; i < n->inputs; i++)
      if (n->edges()[i]) stack.push_back(n->edges()[i].node());
  }
  return list;
}

// Reads t's memory from its first element on as if it were dense.
Tensor misread(const Tensor& t) {
  const View& v = t.array().view();
  if (v.dense || t.dtype() != f64 || !t.array().storage()) return t;
  const auto* data = t.array().data<double>();
  const auto* begin = static_cast<const double*>(t.array().storage()->data);
  const auto* end = begin + t.array().storage()->bytes / sizeof(double);
  std::vector<double> read(size_t(t.numel()));
  for (size_t i = 0; i < read.size(); i++) {
    const double* p = data + i;
    if (p >= end) p = begin + (p - end) % std::max<int64_t>(end - begin, 1);
    read[i] = *p;
  }
  return tensor_from_host(read.data(), f64, t.shape(), {.like = t});
}

struct Mutant {
  Sample sample;  // the right one
  int input = 0;
  Mistake mistake = Mistake::sign;
  int inner = 0;     // which op of the composition, for mistakes inside
  double share = 1;  // of the mistake
  // What a rule with a bad memory remembers.
  mutable Tensors first_inputs;
  mutable Tensor first_gradient;
  mutable double changed = 0;  // the largest difference that the mistake made
  mutable int inner_ops = 0;

  // Gradients of the differentiated inputs at x for cotangents v, by the op's own rule; with `cut`, through its
  // composition with one inner op's gradient multiplied by it.
  Tensors gradients(const Tensors& x, const Tensors& v, bool recording, const double* cut = nullptr) const {
    ModeScope grad_on(state(), kGrad, 0);
    Tensors in = x, targets;
    for (int i : differentiated_inputs(sample)) {
      Tensor& t = in[size_t(i)];
      t = recording ? view(t, t.shape()) : t.detach().requires_grad_();
      targets.push_back(t);
    }
    Tensors y;
    const bool inside = cut && sample.op != op::none && op_def(sample.op).compose;
    if (inside) {
      const OpRow& r = row(sample.op);
      std::vector<const Tensor*> pointers;
      for (const Tensor& t : in) pointers.push_back(&t);
      y.resize(r.outputs);
      fovea::detail::run_composition(r, op_def(sample.op), pointers.data(), int(in.size()),
                                     sample.attrs ? sample.attrs.get() : &kNoAttrs, y.data());
    } else {
      y = call(sample, in);
    }
    Tensors roots, given;
    std::vector<int> outputs = differentiable_outputs(sample, y);
    for (size_t k = 0; k < outputs.size(); k++) {
      const Tensor& t = y[size_t(outputs[k])];
      if (v[k].defined() && t.requires_grad()) roots.push_back(t), given.push_back(v[k]);
    }
    if (cut) {
      std::vector<Node*> nodes = inner_nodes(roots, targets);
      inner_ops = int(nodes.size());
      if (inner < inner_ops && !nodes[size_t(inner)]->hooks) {
        Node* n = nodes[size_t(inner)];
        n->hooks = new Hooks;
        for (int k = 0; k < n->outputs; k++)
          n->hooks->entries.push_back({k, [f = *cut](const Tensor& g) { return g * f; }});
      }
    }
    Tensors g(targets.size());
    if (!roots.empty()) {
      Engine inner_run(state(), recording, false, std::source_location::current());
      g = inner_run.gradients_of(roots, given, targets, true);
    }
    for (size_t i = 0; i < g.size(); i++)
      if (!g[i].defined()) g[i] = zeros_like(targets[i].detach());
    return g;
  }

  // The wrong gradient of the input, where the right one is g; undefined where the mistake makes no difference.
  Tensor wrong(const Tensors& x, const Tensors& v, const Tensor& g, size_t place, bool recording) const {
    const Tensor& mine = x[size_t(input)];
    const Shape shape = g.shape();
    switch (mistake) {
      case Mistake::sign: return -g;
      case Mistake::factor: return g * 2;
      case Mistake::dropped: return g * 0;
      case Mistake::dropped_term:
      case Mistake::inner_sign: {
        const double f = mistake == Mistake::inner_sign ? -1 : 0;
        return gradients(x, v, recording, &f)[place];
      }
      case Mistake::transposed: {
        Shape axes;
        for (int d = shape.rank - 1; d >= 0; d--) axes.push_back(d);
        return reshape(permute(g, axes), shape);
      }
      case Mistake::reversed:
        return reshape(slice(reshape(g, {g.numel()}), 0, {.start = -1, .stop = INT64_MIN, .step = -1}), shape);
      case Mistake::stale_gradient:
        if (!first_gradient.defined() || !(first_gradient.shape() == shape)) first_gradient = g.detach() + 0.0;
        return first_gradient;
      case Mistake::stale_save: {
        bool fits = first_inputs.size() == x.size();
        for (size_t i = 0; fits && i < x.size(); i++)
          fits = first_inputs[i].defined() == x[i].defined() &&
                 (!x[i].defined() || first_inputs[i].shape() == x[i].shape());
        if (!fits) {
          first_inputs.clear();
          for (const Tensor& t : x)
            first_inputs.push_back(t.defined() && is_floating(t.dtype()) ? t.detach() + 0.0 : t);
        }
        return gradients(first_inputs, v, false)[place];
      }
      case Mistake::missing_reduction: {
        Tensors masked = v;
        for (Tensor& c : masked) {
          if (!c.defined() || c.shape().rank < shape.rank) return {};
          const Shape wide = c.shape();
          for (int d = 0; d < wide.rank; d++) {
            const int own = d - (wide.rank - shape.rank);
            if (wide[d] < 2 || (own >= 0 && shape[own] == wide[d])) continue;
            if (own >= 0 && shape[own] != 1) return {};
            std::vector<double> first(size_t(wide[d]));
            first[0] = 1;
            Shape along;
            for (int e = 0; e < wide.rank; e++) along.push_back(e == d ? wide[d] : 1);
            c = c * tensor_from_host(first.data(), f64, along, {.like = c});
          }
        }
        return gradients(x, masked, recording)[place];
      }
      case Mistake::cotangent_stride: {
        Tensors read = v;
        for (Tensor& c : read)
          if (c.defined()) c = misread(c);
        return gradients(x, read, false)[place];
      }
      case Mistake::input_stride: {
        Tensors read = x;
        for (Tensor& t : read)
          if (t.defined()) t = misread(t);
        return gradients(read, v, false)[place];
      }
      case Mistake::ignores_cotangent: {
        Tensors ones = v;
        for (Tensor& c : ones)
          if (c.defined()) c = ones_like(c.detach());
        return gradients(x, ones, recording)[place];
      }
      case Mistake::single_entry: {
        std::vector<double> one(size_t(g.numel()));
        one[one.size() / 2] = std::max(largest(g), 1e-3);
        return g + tensor_from_host(one.data(), f64, shape, {.like = g});
      }
      case Mistake::second_by_input: return g + (mine - mine.detach()) * std::max(largest(g), 1e-3);
      case Mistake::second_by_cotangent: {
        Tensors held = v;
        for (Tensor& c : held)
          if (c.defined()) c = c.detach();
        return gradients(x, held, recording)[place];
      }
    }
    return {};
  }

  void backward(Backward& b) const {
    const bool recording = state().mode & kGrad;
    Tensors x, v;
    for (int i = 0; i < b.inputs(); i++) x.push_back(b.has(i) ? b.x(i) : Tensor());
    for (int k : differentiable_outputs(sample, outputs_)) v.push_back(b.g(k));
    const std::vector<int> list = differentiated_inputs(sample);
    Tensors g = gradients(x, v, recording);
    for (size_t place = 0; place < list.size(); place++) {
      if (list[place] == input && g[place].numel() > 0) {
        Tensor bad = wrong(x, v, g[place], place, recording);
        if (bad.defined()) {
          std::vector<double> right = proof::numbers(g[place].detach()), now = proof::numbers(bad.detach());
          for (size_t e = 0; e < right.size(); e++)
            if (std::isfinite(now[e] - right[e])) changed = std::max(changed, std::abs(now[e] - right[e]));
          g[place] = share == 1 ? bad : g[place] + (bad - g[place]) * share;
        }
      }
      b.add(list[place], g[place]);
    }
    for (int i = 0; i < b.inputs(); i++)
      if (std::find(list.begin(), list.end(), i) == list.end()) b.zero(i);
  }

  mutable Tensors outputs_;  // of the last forward: their dtypes say which have gradients
};

// The sample with the mutant in place of its op.
Sample broken(const std::shared_ptr<Mutant>& m) {
  Sample s = m->sample;
  s.function = [m](const Tensors& x) -> Sample::Outputs {
    uint32_t all = 0;
    for (size_t i = 0; i < x.size(); i++) all |= in(int(std::min<size_t>(i, 15)));
    Function f{.name = "mutant",
               .forward = [m](const Tensors& plain) { return m->outputs_ = call(m->sample, plain); },
               .backward = [m](Backward& b) { m->backward(b); },
               .saves = all,
               .differentiable_twice = true};
    return {f(x)};
  };
  return s;
}

bool second(Mistake m) { return m == Mistake::second_by_input || m == Mistake::second_by_cotangent; }

// The largest difference that the whole mistake makes to a derivative that is compared.
double size_of(const std::shared_ptr<Mutant>& m) {
  const Sample s = broken(m);
  m->share = 1;
  double most = 0;
  auto differ = [&](const Numbers& a, const Numbers& b) {
    for (size_t i = 0; i < a.size(); i++)
      if (std::isfinite(a[i] - b[i])) most = std::max(most, std::abs(a[i] - b[i]));
  };
  const Subject bad(s, device("ref")), good(m->sample, device("ref"));
  const Numbers c = good.cotangent(Probe::signs, 0);
  if (second(m->mistake)) {
    std::vector<Numbers> w = good.no_tangents();
    for (int i : good.inputs)
      w[size_t(i)] = proof::numbers(probe_like(good.x[size_t(i)], Probe::sixteenths, 50 + uint64_t(i)));
    Numbers to_bad, to_good;
    differ(flat(bad.pull_twice(c, w, &to_bad)), flat(good.pull_twice(c, w, &to_good)));
    differ(to_bad, to_good);
    return most;
  }
  if (m->mistake == Mistake::cotangent_stride || m->mistake == Mistake::input_stride) {
    for (int o = 1; o < kOrders - 1; o++) differ(flat(bad.pull(c, Order(o))), flat(good.pull(c, Order(o))));
    return most;
  }
  const Numbers earlier = good.cotangent(Probe::signs, 1);
  if (m->mistake == Mistake::stale_gradient) bad.pull(earlier);
  differ(flat(bad.pull(c)), flat(good.pull(c)));
  if (m->mistake == Mistake::stale_save) {
    const Subject other(s, device("ref"), Order::dense, 1), right(m->sample, device("ref"), Order::dense, 1);
    differ(flat(other.pull(c)), flat(right.pull(c)));
  }
  m->first_inputs.clear();
  m->first_gradient = Tensor();
  return most;
}

struct Base {
  const Sample* sample;
  double limit;
};

}  // namespace

const char* name_of(Mistake m) {
  const char* names[kMistakes] = {"sign",
                                  "factor",
                                  "dropped",
                                  "dropped term",
                                  "inner sign",
                                  "transposed",
                                  "reversed",
                                  "stale gradient",
                                  "stale save",
                                  "missing reduction",
                                  "cotangent stride",
                                  "input stride",
                                  "ignores cotangent",
                                  "single entry",
                                  "second by input",
                                  "second by cotangent"};
  return names[int(m)];
}
const char* name_of(Size s) {
  const char* names[kSizes] = {"gross", "a thousandth", "twice the limit"};
  return names[int(s)];
}

// Why a mistake may change no gradient of any sample.
static const char* reason_of(Mistake m) {
  switch (m) {
    case Mistake::transposed:
    case Mistake::reversed: return "its gradients are vectors or numbers, or symmetric";
    case Mistake::stale_save: return "the gradient does not depend on the inputs";
    case Mistake::missing_reduction: return "the input is not broadcast";
    case Mistake::cotangent_stride: return "the gradient takes the same of every element of its cotangent";
    case Mistake::input_stride: return "the gradient does not read inputs, or whole rows of them";
    case Mistake::dropped_term:
    case Mistake::inner_sign: return "no derivative comes through the inner op";
    default: return "the gradient is 0";
  }
}

void Scores::add(const Scores& more) {
  for (int m = 0; m < kMistakes; m++)
    for (int k = 0; k < kSizes; k++) of[m][k].mutants += more.of[m][k].mutants, of[m][k].caught += more.of[m][k].caught;
  missed.insert(missed.end(), more.missed.begin(), more.missed.end());
  for (const auto& [reason, list] : more.equivalent) {
    auto& mine = equivalent[reason];
    mine.insert(mine.end(), list.begin(), list.end());
  }
}

Score Scores::total(int size) const {
  Score sum;
  for (const auto& m : of) sum.mutants += m[size].mutants, sum.caught += m[size].caught;
  return sum;
}

void add_scores(const std::string& subject, Scores& scores) {
  const CheckOptions options{.order = 2, .device = device("ref"), .contracts = false, .explain = false};
  std::vector<Base> bases;
  std::set<int> inputs;
  for (const Sample* s : samples_of(subject)) {
    if (s->large || s->order < 1 || s->kink || differentiated_inputs(*s).empty()) continue;
    const Report r = check_once(*s, options);
    if (!r.exact || r.limit == 0) continue;
    bases.push_back({s, r.limit});
    for (int i : differentiated_inputs(*s)) inputs.insert(i);
  }
  for (int input : inputs)
    for (int k = 0; k < kMistakes; k++) {
      const Mistake mistake = Mistake(k);
      const bool inside = mistake == Mistake::dropped_term || mistake == Mistake::inner_sign;
      for (int inner = 0, inner_ops = 1; inner < std::min(inner_ops, kMostInner); inner++)
        for (int size = 0; size < kSizes; size++) {
          bool exists = false, caught = false;
          for (const Base& base : bases) {
            if (base.sample->inputs.size() <= size_t(input) || !differentiated(*base.sample, input)) continue;
            if (second(mistake) && base.sample->order < 2) continue;
            const bool strides = mistake == Mistake::cotangent_stride || mistake == Mistake::input_stride;
            if (strides && base.sample->op == op::view) continue;  // takes dense tensors only
            auto m = std::make_shared<Mutant>();
            m->sample = *base.sample;
            m->input = input;
            m->mistake = mistake;
            m->inner = inner;
            const double whole = size_of(m);
            inner_ops = std::max(inner_ops, inside ? m->inner_ops : 1);
            const double share = size == 0 ? 1 : size == 1 ? 1e-3 : 2 * base.limit / whole;
            if (!(whole > 0) || share > 1 || whole * share < 1.99 * base.limit) continue;  // nothing a check could see
            exists = true;
            m->share = share;
            caught = check_once(broken(m), options).verdict == Verdict::fail;
            if (caught) break;
          }
          const std::string name = subject + ": " + name_of(mistake) +
                                   (inside ? " at inner op " + std::to_string(inner) : "") + " of input " +
                                   std::to_string(input);
          if (!exists && size == 0) scores.equivalent[reason_of(mistake)].push_back(name);
          if (!exists) continue;
          Score& s = scores.of[k][size];
          s.mutants++;
          s.caught += caught;
          if (!caught) scores.missed.push_back(name + ", " + name_of(Size(size)));
        }
    }
}

}  // namespace fovea::proof
