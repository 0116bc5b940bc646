// Registration: the place where an op without a gradient rule is refused.
#include "autograd/op_def.h"

#include <deque>
#include <mutex>
#include <string>

#include "autograd/ops/families.h"

namespace fovea {
namespace {

std::recursive_mutex definitions_mutex;

// Definitions live as long as the program: nodes point at them.
std::deque<OpDef>& kept() {
  static auto* d = new std::deque<OpDef>;
  return *d;
}

void check_rules(const OpRow& r, const OpDef& d) {
  auto refuse = [&](const std::string& why) { throw GradientError("define_op: " + std::string(r.name) + ": " + why); };
  if (d.gradient == Gradient::none)
    refuse(
        "no gradient rule (expected .gradient = backward, derived or not_differentiable). A gradient must not be lost "
        "in silence");
  if ((d.gradient == Gradient::backward) != (d.backward != nullptr))
    refuse("a `backward` function goes with .gradient = Gradient::backward, and only with it");
  if (d.gradient == Gradient::derived && !d.compose) refuse("a derived gradient needs a composition");
  if (r.form == Form::view ? !d.view : d.view != nullptr)
    refuse("a `view` function goes with rows of form view, and only with them");
  if (r.form == Form::view && d.compose) refuse("a view has no composition");
  if (!d.infer && !r.elementwise && r.form != Form::view)
    refuse("no `infer` (only elementwise rows and views do without)");
}

void keep(int id, OpDef d) {
  check_rules(row(id), d);
  d.id = id;
  std::lock_guard lock(definitions_mutex);
  kept().push_back(d);
  __atomic_store_n(&detail::op_defs[id], &kept().back(), __ATOMIC_RELEASE);
}

}  // namespace

constinit const OpDef* detail::op_defs[kMaxOps] = {};

void define(op::Id id, OpDef def) { keep(id, def); }

void detail::install_ops() {
  std::lock_guard lock(definitions_mutex);
  static bool installed = false;
  if (installed) return;
  installed = true;
  define_elementwise_ops();
  define_activation_ops();
  define_reduce_ops();
  define_scan_ops();
  define_moment_ops();
  define_view_ops();
  define_arrange_ops();
  define_matmul_ops();
  define_softmax_ops();
  define_norm_ops();
  define_loss_ops();
  define_index_ops();
  define_place_ops();
  define_attention_ops();
  define_position_ops();
  define_pool_ops();
  define_random_ops();
  // Pure and view rows must have a meaning; update rows and slots have none to differentiate.
  for (int id = 1; id < op::count; id++) {
    const OpRow& r = row(id);
    if ((r.form == Form::pure || r.form == Form::view) && !op_defs[id])
      throw GradientError(std::string(r.name) + ": the row in op_list.h has no definition in autograd/ops");
  }
}

int detail::define_op(const NewOp& op, OpRow r, std::source_location where) try {
  (void)op_def(op::add);  // the built-in ones first
  r.name = op.name;
  r.inputs = uint8_t(op.inputs);
  r.outputs = uint8_t(op.outputs);
  r.optional = op.optional;
  r.no_gradient = op.no_gradient;
  if (op.inputs < 1 || op.inputs > 8 || op.outputs < 1 || op.outputs > 8)
    throw ValueError("define_op: " + std::string(op.name) + " has " + std::to_string(op.inputs) + " inputs and " +
                     std::to_string(op.outputs) + " outputs (expected 1 to 8)");
  if (op.saves.size() > size_t(op.inputs))
    throw ValueError("define_op: " + std::string(op.name) + ": `saves` lists more inputs than there are");
  for (size_t i = 0; uint32_t s : op.saves) r.needs[i++] = s;
  OpDef d{.doc = op.doc,
          .infer = op.infer,
          .compose = op.compose,
          .gradient = op.gradient,
          .backward = op.backward,
          .fixed_outputs = op.fixed_outputs,
          .samples = op.samples};
  check_rules(r, d);
  int id = add_op_row(r);
  keep(id, d);
  return id;
} catch (Error& e) {
  e.locate("", where, "");
  throw;
}

}  // namespace fovea
