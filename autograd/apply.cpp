#include "autograd/apply.h"

#include <new>

#include "core/dispatch.h"

namespace fovea {
namespace {

const View kAbsent;
const Tensor kUndefined;

bool wants_gradient(const OpRow& r, int i, const Tensor& t) {
  int bit = i < 16 ? i : 15;
  return t.edge() && !(r.no_gradient >> bit & 1);
}

// Errors name the op that the user called, not one of those it is composed of.
void locate(ThreadState& s, Error& e, const OpRow& r, std::source_location where) {
  if (s.depth == 0) e.locate(r.name, s.where ? *s.where : where, s.module ? s.module : "");
}

const char* plural(int n) { return n == 1 ? "" : "s"; }

void check_inputs(const OpRow& r, const Tensor* const* in, int n) {
  if (r.list ? n < r.inputs : n != r.inputs)
    throw ValueError(std::to_string(n) + " input" + plural(n) + " (expected " + std::to_string(r.inputs) +
                     (r.list ? " or more)" : ")"));
  const Tensor* first = nullptr;
  for (int i = 0; i < n; i++) {
    if (!in[i]->defined()) {
      if (i < 16 && (r.optional >> i & 1)) continue;
      throw ValueError("input " + std::to_string(i) + " is an undefined tensor");
    }
    if (first && !(in[i]->device() == first->device()))
      throw DeviceError("input " + std::to_string(i) + " is on " + device_name(in[i]->device()) +
                        " and an earlier one on " + device_name(first->device()) +
                        " (expected one device). Move it with to(device)");
    if (!first) first = in[i];
  }
}

// Shapes broadcast, dtypes are equal by now.
void infer_elementwise(const OpRow& r, const Infer& c) {
  Shape shape;
  bool first = true;
  for (int i = 0; i < c.inputs; i++)
    if (c.in[i]->present()) {
      shape = first ? shape_of(*c.in[i]) : broadcast(shape, shape_of(*c.in[i]));
      first = false;
    }
  const View& d = *c.in[r.dispatch];
  DType t = r.result == Result::boolean ? boolean : r.result == Result::index ? i64 : d.dtype;
  c.out[0] = Meta(t, d.device, shape);
}

int category(DType t) { return t == boolean ? 0 : is_floating(t) ? 2 : 1; }

// Of two groups of operands the first decides, unless the second is of a higher kind.
DType combine(DType high, bool has_high, DType low, bool has_low) {
  if (!has_high) return low;
  if (!has_low || category(high) == 2) return high;
  if (category(low) > category(high)) return category(high) == 0 ? low : promote(high, low);
  return high;
}

bool holds(DType t, const Number& n) {
  int64_t v = n.integer();
  int bits = 8 * size_of(t) - (t != u8);
  return n.kind() != Number::whole || (v >= (t == u8 ? 0 : -(int64_t(1) << bits)) && v < int64_t(1) << bits);
}

template <int N>
Tensor record_same_shape(ThreadState& s, const OpRow& r, const OpDef& def, const Tensor* const (&in)[N], Array&& out,
                         std::source_location where) {
  constexpr size_t bytes = Node::bytes(N, 1, 0);
  Node* n = new (allocate_block(s.blocks, bytes)) Node;
  n->def = &def;
  n->where = s.where ? *s.where : where;
  n->module = s.module;
  n->inputs = N;
  n->outputs = 1;
  n->lines = (bytes + kLine - 1) / kLine;
  n->flags = Node::same_shape;
  uint32_t keep = 0;
  for (int i = 0; i < N; i++) {
    bool wants = wants_gradient(r, i, *in[i]);
    new (n->edges() + i) Edge(wants ? in[i]->edge() : Edge());
    if (wants) keep |= r.needs[i];
  }
  for (int i = 0; i < N; i++) {
    bool kept = keep >> i & 1;
    new (n->saved_inputs() + i) Array(kept ? in[i]->array() : Array());
    n->versions()[i] = kept ? in[i]->array().version() : 0;
  }
  bool kept = keep >> 16 & 1;
  new (n->saved_outputs()) Array(kept ? out : Array());
  n->versions()[N] = kept ? out.version() : 0;
  new (n->gradients()) TensorBase;
  return Tensor(std::move(out), Edge::adopt(n, 0));
}

// The general node: any number of inputs and outputs, attrs, shapes of what is not saved.
void record(ThreadState& s, const OpRow& r, const OpDef& def, const Tensor* const* in, int inputs, const void* attrs,
            std::source_location where, Tensor* out) {
  size_t metas = 0;
  for (int i = 0; i < inputs; i++) metas += in[i]->defined() ? size_t(1 + in[i]->dim()) : 1;
  size_t bytes = Node::bytes(inputs, r.outputs, r.attrs_size) + metas * sizeof(int64_t);
  if (inputs > 0xffff) throw ValueError(std::to_string(inputs) + " inputs (expected at most 65535 when recording)");
  Node* n = new (allocate_block(s.blocks, bytes)) Node;
  n->def = &def;
  n->where = s.where ? *s.where : where;
  n->module = s.module;
  n->inputs = uint16_t(inputs);
  n->outputs = r.outputs;
  n->attrs_size = r.attrs_size;
  n->lines = uint16_t((bytes + kLine - 1) / kLine);
  uint32_t keep = 0;
  bool derived = def.gradient == Gradient::derived;
  if (derived) keep = 0xffff & ~uint32_t(r.statistic);
  int64_t* meta = n->metas();
  for (int i = 0; i < inputs; i++) {
    const Tensor& t = *in[i];
    bool wants = t.defined() && wants_gradient(r, i, t);
    new (n->edges() + i) Edge(wants ? t.edge() : Edge());
    if (wants) keep |= r.needs[r.list && i >= r.inputs ? r.inputs : i];
    Device d = t.defined() ? t.device() : Device{};
    *meta++ = t.defined() ? t.dim() | int64_t(t.dtype()) << 8 | int64_t(d.backend) << 16 | int64_t(d.index) << 24 : -1;
    for (int k = 0; t.defined() && k < t.dim(); k++) *meta++ = t.array().view().shape[k];
  }
  for (int i = 0; i < inputs; i++) {
    bool kept = in[i]->defined() && (keep >> (i < 16 ? i : 15) & 1);
    new (n->saved_inputs() + i) Array(kept ? in[i]->array() : Array());
    n->versions()[i] = kept ? in[i]->array().version() : 0;
  }
  for (int k = 0; k < r.outputs; k++) {
    bool kept = keep >> (16 + k) & 1;
    new (n->saved_outputs() + k) Array(kept ? out[k].array() : Array());
    n->versions()[inputs + k] = kept ? out[k].array().version() : 0;
    new (n->gradients() + k) TensorBase;
  }
  if (r.attrs_size) std::memcpy(n->attrs(), attrs, r.attrs_size);
  Edge hold = Edge::adopt(n, 0);
  for (int k = 0; k < r.outputs; k++)
    if (!(def.fixed_outputs >> k & 1) && is_floating(out[k].dtype())) out[k] = Tensor(out[k].array(), Edge(n, k));
}

void compose(ThreadState& s, const OpRow& r, const OpDef& def, const Tensor* const* in, int inputs, const void* attrs,
             std::source_location where, const Meta* metas, Tensor* out, bool recording) {
  auto begin = s.mode & kTrace ? std::chrono::steady_clock::now() : std::chrono::steady_clock::time_point();
  {
    WhereScope line(s, &where);
    ModeScope mode(s, 0, recording && def.gradient == Gradient::derived ? 0u : uint32_t(kGrad));
    s.depth++;
    Compose c{in, inputs, attrs, out};
    try {
      def.compose(c);
    } catch (...) {
      s.depth--;
      throw;
    }
    s.depth--;
  }
  for (int k = 0; k < r.outputs; k++) {
    if (!out[k].defined()) throw KernelError("the composition left output " + std::to_string(k) + " undefined");
    if (!(out[k].shape() == metas[k].shape()) || out[k].dtype() != metas[k].dtype)
      throw KernelError("the composition gave " + to_string(out[k].shape()) + " " + name_of(out[k].dtype()) +
                        " for output " + std::to_string(k) + " (infer said " + to_string(metas[k].shape()) + " " +
                        name_of(metas[k].dtype) + ")");
  }
  if (s.mode & kTrace) {
    std::vector<const View*> vin, vout;
    for (int i = 0; i < inputs; i++) vin.push_back(in[i]->defined() ? &in[i]->array().view() : &kAbsent);
    for (int k = 0; k < r.outputs; k++) vout.push_back(&out[k].array().view());
    s.trace->op(TraceEvent{r.name, backend_of(out[0].device()).name(), true, false, s.depth, vin.data(), inputs,
                           vout.data(), r.outputs, begin, std::chrono::steady_clock::now()});
  }
}

void apply_checked(ThreadState& s, int id, const Tensor* const* in, int inputs, const void* attrs,
                   std::source_location where, Tensor* out) {
  const OpRow& r = row(id);
  const OpDef& def = op_def(id);
  check_inputs(r, in, inputs);
  constexpr int kFew = 16;
  const Tensor* few[kFew];
  const View* few_views[kFew];
  std::vector<const Tensor*> many;
  std::vector<const View*> many_views;
  const Tensor** x = few;
  const View** views = few_views;
  if (inputs > kFew) {
    many.resize(size_t(inputs));
    many_views.resize(size_t(inputs));
    x = many.data();
    views = many_views.data();
  }
  for (int i = 0; i < inputs; i++) x[i] = in[i];
  // Elementwise rows promote; the casts are recorded.
  Tensor cast[4];
  if (r.elementwise && inputs <= 4 && id != op::cast) {
    int first = r.no_gradient & 1 ? 1 : 0;  // where's condition stays as it is
    DType t = result_type(in + first, inputs - first);
    if (r.result == Result::floating && !is_floating(t)) t = f32;
    for (int i = first; i < inputs; i++)
      if (in[i]->defined() && in[i]->dtype() != t && !(r.no_gradient >> i & 1)) {
        cast[i] = in[i]->to(t, where);
        x[i] = &cast[i];
      }
  }
  for (int i = 0; i < inputs; i++) views[i] = x[i]->defined() ? &x[i]->array().view() : &kAbsent;
  Meta metas[8];
  Infer infer{views, inputs, attrs, metas};
  if (def.infer) def.infer(infer);
  else if (r.form != Form::view) infer_elementwise(r, infer);

  bool recording = false;
  if ((s.mode & kGrad) && def.gradient != Gradient::not_differentiable)
    for (int i = 0; i < inputs; i++) recording |= wants_gradient(r, i, *x[i]);

  if (r.form == Form::view) {
    out[0] = Tensor(def.view(x[0]->array(), attrs));
  } else {
    bool broadcast = false;
    if (r.elementwise)
      for (int i = 0; i < inputs; i++)
        broadcast |= views[i]->present() &&
                     !(views[i]->rank == metas[0].rank &&
                       std::memcmp(views[i]->shape, metas[0].dims, sizeof(int64_t) * size_t(metas[0].rank)) == 0);
    Array made[8];
    bool skip = (s.mode & kNoKernels) && def.compose;
    if (!skip && launch(s, Launch{id, views, inputs, attrs, made, r.outputs, metas, broadcast})) {
      for (int k = 0; k < r.outputs; k++) out[k] = Tensor(std::move(made[k]));
    } else if (def.compose) {
      compose(s, r, def, x, inputs, attrs, where, metas, out, recording);
      if (def.gradient == Gradient::derived) return;  // its own ops were recorded
    } else {
      const View& d = r.dispatch < inputs ? *views[r.dispatch] : *views[0];
      throw UnsupportedError(std::string("no kernel for ") + name_of(d.dtype) + " on " + device_name(d.device) +
                             ", and it is a base op");
    }
  }
  if (recording) record(s, r, def, x, inputs, attrs, where, out);
}

}  // namespace

DType result_type(const Tensor* const* in, int n) {
  DType group[3] = {f32, f32, f32};
  bool has[3] = {};
  for (int i = 0; i < n; i++) {
    if (!in[i]->defined()) continue;
    int g = in[i]->dim() > 0 ? 0 : in[i]->array().body()->weak ? 2 : 1;
    DType t = in[i]->dtype();
    if (is_dual(t)) return t;  // all floating operands are lifted together
    group[g] = has[g] ? promote(group[g], t) : t;
    has[g] = true;
  }
  DType low = combine(group[1], has[1], group[2], has[2]);
  return combine(group[0], has[0], low, has[1] || has[2]);
}

namespace detail {

void apply_any(ThreadState& s, int id, const Tensor* const* in, int inputs, const void* attrs,
               std::source_location where, Tensor* out) {
  try {
    apply_checked(s, id, in, inputs, attrs, where, out);
  } catch (Error& e) {
    locate(s, e, row(id), where);
    throw;
  }
}

template <int N> Tensor apply_elementwise(int id, const Tensor* const (&in)[N], std::source_location where) {
  ThreadState& s = state();
  const OpRow& r = row(id);
  bool same = in[0]->defined() && (N == 1 || in[N - 1]->defined());
  if (same) {
    const View& a = in[0]->array().view();
    if constexpr (N == 2) {
      const View& b = in[1]->array().view();
      same = a.dtype == b.dtype && a.rank == b.rank && a.device == b.device;
      for (int i = 0; same && i < a.rank; i++) same = a.shape[i] == b.shape[i];
    }
    if (same && (r.result != Result::floating || is_floating(a.dtype))) [[likely]] {
      Array out;
      const View* views[N];
      for (int i = 0; i < N; i++) views[i] = &in[i]->array().view();
      try {
        if (launch_same_shape(s, r, views, N, &kNoAttrs, r.result == Result::boolean ? boolean : a.dtype, out)) {
          bool recording = (s.mode & kGrad) != 0 && (in[0]->edge() || in[N - 1]->edge());
          if (!recording) return Tensor(std::move(out));
          const OpDef& def = op_def(id);
          if (def.gradient == Gradient::not_differentiable) return Tensor(std::move(out));
          return record_same_shape<N>(s, r, def, in, std::move(out), where);
        }
      } catch (Error& e) {
        locate(s, e, r, where);
        throw;
      }
    }
  }
  Tensor out;
  apply_any(s, id, in, N, &kNoAttrs, where, &out);
  return out;
}
template Tensor apply_elementwise<1>(int, const Tensor* const (&)[1], std::source_location);
template Tensor apply_elementwise<2>(int, const Tensor* const (&)[2], std::source_location);

Tensor apply_numbers(int id, const Operand& a, const Operand& b) {
  const Tensor* like = a.is_number() ? b.is_number() ? nullptr : b.pointer() : a.pointer();
  if (like && !like->defined())
    throw ValueError(std::string(row(id).name) + ": an operand is an undefined tensor at " + describe(a.where()));
  DType t = like ? like->dtype() : f32;
  Device d = like ? like->device() : default_device();
  Tensor x = a.is_number() ? a.number_beside(t, d) : a.tensor(), y = b.is_number() ? b.number_beside(t, d) : b.tensor();
  // A number that the tensor's dtype cannot hold wraps in arithmetic, as PyTorch's, but compares as what it is.
  if (id >= op::eq && id <= op::ge && is_integer(t) && t != i64 && !holds(t, (a.is_number() ? a : b).number()))
      [[unlikely]] {
    x = a.is_number() ? a.number_beside(i64, d) : x.to(i64, a.where());
    y = b.is_number() ? b.number_beside(i64, d) : y.to(i64, a.where());
  }
  return apply_elementwise<2>(id, {&x, &y}, a.where());
}

}  // namespace detail

std::vector<Tensor> apply(int id, std::span<const Tensor> in, const void* attrs, std::source_location where) {
  std::vector<const Tensor*> x;
  for (const Tensor& t : in) x.push_back(&t);
  std::vector<Tensor> out(row(id).outputs);
  if (!attrs && row(id).attrs_size) throw ValueError(std::string(row(id).name) + ": its attributes are missing");
  detail::apply_any(state(), id, x.data(), int(x.size()), attrs ? attrs : &kNoAttrs, where, out.data());
  return out;
}

}  // namespace fovea
