#include "autograd/proof/properties.h"

#include <algorithm>

#include "autograd/apply.h"
#include "autograd/ops/elementwise.h"
#include "autograd/proof/trial.h"
#include "core/dispatch.h"
#include "core/parallel.h"

namespace fovea::proof {
namespace {

void forward(Trial& t) { t.expect_close(t.y, t.reference, kForward, "output"); }

void gradient(Trial& t) {
  if (!t.has_gradient()) return;
  std::vector<Tensor> g = gradients(t.sample, t.x, t.cotangents(0, t.y));
  t.expect_close(g, t.reference_gradients(), kGradient, "gradient");
}

void second_order(Trial& t) {
  if (!t.has_gradient() || t.sample.order < 2 || (t.dtype != f32 && t.dtype != f64)) return;
  auto second = [&](const std::vector<Tensor>& x, const std::vector<Tensor>& v) {
    std::vector<Tensor> w;
    for (int i : differentiated_inputs(t.sample))
      w.push_back(probe_like(x[size_t(i)], Probe::sixteenths, 40 + w.size()));
    return second_gradients(t.sample, x, v, w);
  };
  t.expect_close(second(t.x, t.cotangents(0, t.y)),
                 second(t.reference_inputs(Order::dense), t.cotangents(0, t.reference)), kSecond, "second gradient");
}

void composed(Trial& t) {
  ModeScope no_kernels(state(), kNoKernels, 0);
  t.expect_close(run(t.sample, t.x), t.reference, kForward, "output of the composition");
  if (t.has_gradient())
    t.expect_close(gradients(t.sample, t.x, t.cotangents(0, t.y)), t.reference_gradients(), kGradient,
                   "gradient without fused kernels");
}

void infer(Trial& t) {
  std::vector<Tensor> shapes = t.x;
  for (Tensor& x : shapes)
    if (x.defined()) x = Tensor(Array::shape_only(x.shape(), x.dtype(), x.device()));
  std::vector<Tensor> y;
  try {
    y = run(t.sample, shapes);
    if (t.sample.reads) t.fail("takes shapes without numbers, on which its own shapes depend");
  } catch (const Error&) {
    if (t.sample.reads) return;
    throw;
  }
  for (size_t k = 0; k < y.size(); k++) {
    std::string name = "output " + std::to_string(k);
    if (!y[k].array().is_shape_only()) t.fail(name + " of shapes has data");
    if (!(y[k].shape() == t.y[k].shape()) || y[k].dtype() != t.y[k].dtype())
      t.fail(name + " is inferred as " + to_string(y[k].shape()) + " " + name_of(y[k].dtype()) + ", but is " +
             to_string(t.y[k].shape()) + " " + name_of(t.y[k].dtype()));
  }
}

bool needs_dense_input(const Sample& s) { return s.op == op::view; }

void layouts(Trial& t) {
  if (needs_dense_input(t.sample)) return;
  for (int o = 1; o < kOrders; o++) {
    const Order order = Order(o);
    const std::string name = kOrderNames[o];
    std::vector<Tensor> x = t.inputs(order), y = run(t.sample, x), reference = t.reference;
    std::vector<Tensor> exact;
    if (order == Order::repeated) exact = t.reference_inputs(order), reference = run(t.sample, exact);
    t.expect_close(y, reference, kForward, name + ": output");
    if (!t.has_gradient() || t.sample.kink) continue;
    std::vector<Tensor> v = t.cotangents(0, y);
    for (Tensor& g : v) g = laid_out(g, order);
    std::vector<Tensor> dx = gradients(t.sample, x, v);
    if (order != Order::repeated) {
      t.expect_close(dx, t.reference_gradients(), kGradient, name + ": gradient");
      continue;
    }
    std::vector<Tensor> w = t.cotangents(0, reference);
    for (Tensor& g : w) g = laid_out(g, order);
    t.expect_close(dx, gradients(t.sample, exact, w), kGradient, name + ": gradient");
  }
}

// A place for an output inside a larger array of one value: dense between bands, or rows with gaps.
struct Guarded {
  Array all, inside;
  Guarded(const Tensor& like, bool gaps) {
    Shape shape = like.shape();
    if (gaps && shape.rank > 0) {
      Shape wide = shape;
      wide[shape.rank - 1] += 5;
      all = Array::empty(wide, like.dtype(), like.device());
      inside = all.narrow(shape.rank - 1, 2, shape[shape.rank - 1]);
    } else {
      all = Array::empty({like.numel() + 32}, like.dtype(), like.device());
      inside = all.narrow(0, 16, like.numel()).reshape_view(shape);
    }
    fill(all, like.dtype() == boolean ? 1 : 77);
  }
  // Whether anything outside was written. Overwrites what is inside.
  bool broken() {
    fill(inside, inside.dtype() == boolean ? 1 : 77);
    double poison = inside.dtype() == boolean ? 1 : 77;
    for (double v : numbers(Tensor(all)))
      if (v != poison) return true;
    return false;
  }
};

// Launches the op's kernel into `out`; false where it has none for this call.
bool launch_into(Trial& t, std::vector<Array>& out, Destination to) {
  if (t.sample.function) return false;  // its ops have samples of their own
  const OpRow& r = row(t.sample.op);
  if (r.form != Form::pure) return false;
  static const View kAbsent;
  std::vector<const View*> in;
  std::vector<Meta> metas;
  bool broadcast = false;
  for (size_t i = 0; i < t.x.size(); i++) {
    in.push_back(t.x[i].defined() ? &t.x[i].array().view() : &kAbsent);
    if (!r.elementwise || !t.x[i].defined()) continue;
    if (t.x[i].dtype() != t.x[r.dispatch].dtype() && !(r.no_gradient >> i & 1)) return false;  // apply would cast
    if (r.result == Result::floating && !is_floating(t.x[i].dtype())) return false;
    broadcast |= !(t.x[i].shape() == t.y[0].shape());
  }
  for (const Tensor& y : t.y) metas.push_back(meta_of(y.array().view()));
  const void* attrs = t.sample.attrs ? t.sample.attrs.get() : &kNoAttrs;
  return launch(state(), Launch{t.sample.op, in.data(), int(in.size()), attrs, out.data(), int(out.size()),
                                metas.data(), broadcast, to});
}

void given(Trial& t) {
  for (bool gaps : {false, true}) {
    std::vector<Guarded> places;
    std::vector<Array> out;
    for (const Tensor& y : t.y) out.push_back(places.emplace_back(y, gaps).inside);
    if (!launch_into(t, out, Destination::given)) return;
    std::string name = gaps ? "into rows with gaps: output" : "between bands: output";
    for (size_t k = 0; k < out.size(); k++) {
      t.expect_close(Tensor(dense_copy(out[k])), t.reference[k], kForward, name + " " + std::to_string(k));
      if (places[k].broken()) t.fail(name + " " + std::to_string(k) + ": wrote outside");
    }
  }
}

void added(Trial& t) {
  for (const Tensor& y : t.y)
    if (!is_floating(y.dtype())) return;
  for (bool gaps : {false, true}) {
    std::vector<Guarded> places;
    std::vector<Array> out;
    std::vector<Tensor> expected;
    for (size_t k = 0; k < t.y.size(); k++) {
      out.push_back(places.emplace_back(t.y[k], gaps).inside);
      Tensor old = probe_like(t.y[k], Probe::sixteenths, 20 + k);
      assign(out[k], old.array());
      expected.push_back(probe_like(t.reference[k], Probe::sixteenths, 20 + k) + t.reference[k]);
    }
    if (!launch_into(t, out, Destination::add)) return;
    for (size_t k = 0; k < out.size(); k++) {
      t.expect_close(Tensor(dense_copy(out[k])), expected[k], 2 * kForward, "sum " + std::to_string(k));
      if (places[k].broken()) t.fail("wrote outside");
    }
  }
}

constexpr Property kComparisons[] = {
    {"forward", "outputs are the reference's in f64, to rounding; NaN and infinities exactly", forward},
    {"gradient", "gradients are the reference's in f64, to rounding", gradient},
    {"second order", "gradients of gradients too", second_order},
    {"composed", "without fused kernels the results are the same", composed},
    {"infer", "inferred shapes and dtypes are those of the results", infer},
    {"layouts", "inputs and cotangents may be transposed, offset, padded, backwards, or repeated by stride 0", layouts},
    {"given", "a kernel writes into any view that it is given, and nowhere else", given},
    {"added", "a kernel adds to any view that it is given, and writes nowhere else", added},
};

}  // namespace

std::span<const Property> properties() {
  static const auto* all = [] {
    auto* list = new std::vector<Property>(std::begin(kComparisons), std::end(kComparisons));
    list->insert(list->end(), contracts().begin(), contracts().end());
    return list;
  }();
  return *all;
}

bool applies(const Sample& s, DType t) { return has_floating_input(s) ? contains(s.dtypes, t) : t == f32; }

namespace {

std::vector<Problem> check_all(std::span<const Property> list, const Sample& s, Device d, DType t) {
  if (!applies(s, t)) return {};
  try {
    Trial trial(s, d, t);
    for (const Property& p : list) {
      trial.property = p.name;
      try {
        p.check(trial);
      } catch (const Error& e) {
        trial.fail(e.what());
      }
    }
    return trial.problems;
  } catch (const Error& e) {
    return {{s.name, "runs", device_name(d) + " " + name_of(t), e.what()}};
  }
}

}  // namespace

std::vector<Problem> check_properties(const Sample& s, Device d, DType t) { return check_all(properties(), s, d, t); }
std::vector<Problem> check_contracts(const Sample& s, Device d) { return check_all(contracts(), s, d, f64); }

}  // namespace fovea::proof
