#include "autograd/function.h"

#include <memory>
#include <mutex>

#include "autograd/apply.h"
#include "autograd/gradient_report.h"
#include "autograd/hooks.h"
#include "core/trace.h"

namespace fovea {

// The rule of every Function's node: its own backward lies in the node.
void detail::run_function(Backward& b) {
  const Hooks& h = *b.node_->hooks;
  if (!h.function) throw GradientError("the graph was freed by an earlier backward");
  if (b.create_graph_ && !h.function_twice)
    throw GradientError(
        "its backward is host code, which cannot be differentiated again. If it is written on tensors, say "
        ".differentiable_twice = true");
  h.function(b);
}

namespace {

// One row a name, so that errors and traces name the function.
const OpDef& def_of(const std::string& name) {
  static std::mutex mutex;
  static auto* ids = new std::vector<std::pair<std::string, int>>;
  std::lock_guard lock(mutex);
  for (auto& [known, id] : *ids)
    if (known == name) return op_def(id);
  int id = define_op({.name = name.c_str(),
                      .doc = "host code",
                      .infer = [](Infer&) {},
                      .gradient = Gradient::backward,
                      .backward = detail::run_function});
  ids->emplace_back(name, id);
  return op_def(id);
}

}  // namespace

void detail::record_host_code(ThreadState& s, const std::string& name, const Recorded& r,
                              std::function<void(Backward&)> rule, bool twice) {
  auto hooks = std::make_unique<Hooks>();
  hooks->function = std::move(rule);
  hooks->function_twice = twice;
  Node* n = record_node(s, def_of(name), r);
  bool kept = false;  // all outputs may be integers
  for (int k = 0; k < r.outputs; k++) kept |= bool(r.out[k].edge());
  if (kept) n->hooks = hooks.release();
}

namespace {

std::vector<Tensor> run_forward(const Function& f, const std::vector<Tensor>& inputs) {
  ModeScope no_grad(state(), 0, kGrad);
  std::vector<Tensor> plain;
  for (const Tensor& t : inputs) plain.push_back(Tensor(t.array()));
  std::vector<Tensor> out = f.forward(plain);
  if (out.empty() || out.size() > 8)
    throw ValueError(std::to_string(out.size()) + " outputs of its forward (expected 1 to 8)");
  for (size_t k = 0; k < out.size(); k++)
    if (!out[k].defined()) throw ValueError("output " + std::to_string(k) + " of its forward is an undefined tensor");
  return out;
}

void tell(ThreadState& s, const Function& f, const std::vector<Tensor>& in, const std::vector<Tensor>& out,
          int64_t begin, const std::source_location& where) {
  WhereScope line(s, &where);
  static const View kAbsent;
  std::vector<const View*> vin, vout;
  for (const Tensor& t : in) vin.push_back(t.defined() ? &t.array().view() : &kAbsent);
  for (const Tensor& t : out) vout.push_back(&t.array().view());
  s.trace->op(TraceEvent{f.name.c_str(), backend_of(out[0].device()).name(), true, false, false, s.depth + s.rules,
                         vin.data(), int(vin.size()), vout.data(), int(vout.size()), begin, trace_clock()});
}

}  // namespace

std::vector<Tensor> Function::operator()(const std::vector<Tensor>& inputs, std::source_location where) const {
  ThreadState& s = state();
  try {
    if (name.empty() || !forward || !backward) throw ValueError("a Function needs a name, forward and backward");
    int64_t begin = s.mode & kTrace ? trace_clock() : 0;
    std::vector<Tensor> out;
    try {
      out = run_forward(*this, inputs);
    } catch (const Error& e) {
      for (const Tensor& t : inputs)
        if (t.defined() && is_dual(t.dtype()))
          throw UnsupportedError(std::string("its forward is host code without dual numbers: ") + e.what());
      throw;
    }
    if (s.mode & kTrace) tell(s, *this, inputs, out, begin, where);
    std::vector<const Tensor*> in;
    bool recording = false;
    for (const Tensor& t : inputs) in.push_back(&t), recording |= bool(t.edge());
    for (Tensor& t : out) t = Tensor(t.array());
    if ((s.mode & kTrace) && !(s.mode & kGrad))
      for (const Tensor& t : inputs) detail::note_cut(t, name.c_str(), where);
    if (!recording || !(s.mode & kGrad)) return out;
    detail::record_host_code(
        s, name, {in.data(), int(in.size()), 0, saves, nullptr, 0, where, out.data(), int(out.size()), this}, backward,
        differentiable_twice);
    return out;
  } catch (Error& e) {
    e.locate(name.empty() ? "function" : name.c_str(), s.where ? *s.where : where, s.module ? s.module : "");
    throw;
  }
}

}  // namespace fovea
