#include "autograd/apply.h"

#include <new>

#include "autograd/gradient_report.h"
#include "core/dispatch.h"

namespace fovea {
namespace {

constexpr int kMostOutputs = 8;
const View kAbsent;
const Tensor kUndefined;

bool wants_gradient(const OpRow& r, int i, const Tensor& t) {
  int bit = i < 16 ? i : 15;
  return t.edge() && !(r.no_gradient >> bit & 1);
}

// Errors name the op that the user called, not one of those it is composed of.
void locate(ThreadState& s, Error& e, const OpRow& r, std::source_location where) {
  if (s.depth == 0) e.locate(s.op ? s.op : r.name, s.where ? *s.where : where, s.module ? s.module : "");
}

const char* plural(int n) { return n == 1 ? "" : "s"; }

void check_inputs(const OpRow& r, const Tensor* const* in, int n) {
  if (r.list ? n < r.inputs : n != r.inputs)
    throw ValueError(std::to_string(n) + " input" + plural(n) + " (expected " + std::to_string(r.inputs) +
                     (r.list ? " or more)" : ")"));
  const Tensor* first = nullptr;
  for (int i = 0; i < n; i++) {
    if (!in[i]) throw ValueError("input " + std::to_string(i) + " is a number (expected a tensor)");
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

bool same_sizes(const View& v, const Meta& m) {
  bool same = v.rank == m.rank;
  for (int i = 0; same && i < v.rank; i++) same = v.shape[i] == m.dims[i];
  return same;
}

// Shapes broadcast, dtypes are equal by now. True: some input's shape is not the output's.
bool infer_elementwise(const OpRow& r, const View* const* in, int inputs, Meta& out) {
  bool first = true, differ = false;
  for (int i = 0; i < inputs; i++) {
    const View& v = *in[i];
    if (!v.present()) continue;
    if (first) {
      out.rank = v.rank;
      for (int k = 0; k < v.rank; k++) out.dims[k] = v.shape[k];
    } else if (!same_sizes(v, out)) {
      Shape wide = broadcast(out.shape(), shape_of(v));
      out.rank = int8_t(wide.rank);
      for (int k = 0; k < wide.rank; k++) out.dims[k] = wide.dims[k];
      differ = true;
    }
    first = false;
  }
  const View& d = *in[r.dispatch];
  out.dtype = r.result == Result::boolean ? boolean : r.result == Result::index ? i64 : d.dtype;
  out.device = d.device;
  return differ;
}

template <int N>
[[gnu::always_inline]] inline Tensor record_same_shape(ThreadState& s, const OpRow& r, const OpDef& def,
                                                       const Tensor* const (&in)[N], Array&& out,
                                                       std::source_location where) {
  constexpr int lines = int((Node::bytes(N, 1, 0) + kLine - 1) / kLine);
  Node* n = new (allocate_lines(s.blocks, lines)) Node;
  n->def = &def;
  n->where = s.where ? *s.where : where;
  n->module = s.module;
  n->inputs = N;
  n->outputs = 1;
  n->lines = lines;
  n->flags = Node::same_shape;
  // The trailing arrays, at places known here.
  Edge* edges = reinterpret_cast<Edge*>(n + 1);
  Array *saved = reinterpret_cast<Array*>(edges + N), *saved_out = saved + N;
  auto* gradient = reinterpret_cast<TensorBase*>(saved_out + 1);
  auto* versions = reinterpret_cast<uint32_t*>(gradient + 1);
  uint32_t keep = 0;
#pragma GCC unroll 2
  for (int i = 0; i < N; i++) {
    const bool wants = wants_gradient(r, i, *in[i]);
    new (edges + i) Edge(wants ? in[i]->edge() : Edge());
    keep |= wants ? r.needs[i] : 0;
  }
#pragma GCC unroll 2
  for (int i = 0; i < N; i++) {
    const Array& a = in[i]->array();
    const bool kept = keep >> i & 1;
    versions[i] = kept ? a.version() : 0;
    new (saved + i) Array(kept ? a : Array());
  }
  const bool kept = keep >> 16 & 1;
  versions[N] = kept ? out.version() : 0;
  new (saved_out) Array(kept ? out : Array());
  new (gradient) TensorBase;
  return Tensor(std::move(out), Edge::adopt(n, 0));
}

void record(ThreadState& s, const OpRow& r, const OpDef& def, const Tensor* const* in, int inputs, const void* attrs,
            std::source_location where, Tensor* out) {
  uint32_t keep = def.gradient == Gradient::derived ? 0xffff & ~uint32_t(r.statistic) : 0;
  for (int i = 0; i < inputs; i++)
    if (wants_gradient(r, i, *in[i])) keep |= r.needs[r.list && i >= r.inputs ? r.inputs : i];
  detail::record_node(s, def, {in, inputs, r.no_gradient, keep, attrs, r.attrs_size, where, out, r.outputs});
}

// What a launch fills: as many as the row has outputs.
struct Outputs {
  explicit Outputs(int n) : count(n) {
    for (int k = 0; k < n; k++) new (metas + k) Meta, new (arrays + k) Array;
  }
  ~Outputs() {
    for (int k = 0; k < count; k++) arrays[k].~Array();
  }
  Outputs(const Outputs&) = delete;
  int count;
  union {
    Meta metas[kMostOutputs];
  };
  union {
    Array arrays[kMostOutputs];
  };
};

void compose(ThreadState& s, const OpRow& r, const OpDef& def, const Tensor* const* in, int inputs, const void* attrs,
             std::source_location where, const Meta* metas, Tensor* out, bool recording) {
  int64_t begin = s.mode & kTrace ? trace_clock() : 0;
  {
    WhereScope line(s, &where);
    ModeScope mode(s, 0, recording && def.gradient == Gradient::derived ? 0u : uint32_t(kGrad));
    s.depth++;
    try {
      detail::run_composition(r, def, in, inputs, attrs, out);
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
    s.trace->op(TraceEvent{r.name, backend_of(out[0].device()).name(), true, false, false, s.depth + s.rules,
                           vin.data(), inputs, vout.data(), r.outputs, begin, trace_clock()});
  }
}

// Inputs have the dtypes that the op works in.
void apply_typed(ThreadState& s, int id, const OpRow& r, const Tensor* const* x, int inputs, const void* attrs,
                 std::source_location where, Tensor* out) {
  const OpDef& def = op_def(id);
  bool recording = false;
  if ((s.mode & kGrad) && def.gradient != Gradient::not_differentiable)
    for (int i = 0; i < inputs; i++) recording |= wants_gradient(r, i, *x[i]);
  if (r.form == Form::view) {
    out[0] = Tensor(def.view(x[0]->array(), attrs));
    if (recording) record(s, r, def, x, inputs, attrs, where, out);
    return;
  }
  ViewList views(s, inputs);
  for (int i = 0; i < inputs; i++) views[i] = x[i]->defined() ? &x[i]->array().view() : &kAbsent;
  Outputs made(r.outputs);
  bool broadcast = false;
  if (r.elementwise && !def.infer) {
    broadcast = infer_elementwise(r, views.data(), inputs, made.metas[0]);
    for (int k = 1; k < r.outputs; k++) made.metas[k] = made.metas[0];
  } else {
    Infer infer{views.data(), inputs, attrs, made.metas};
    def.infer(infer);
    for (int i = 0; r.elementwise && i < inputs; i++)
      broadcast |= views[i]->present() && !same_sizes(*views[i], made.metas[0]);
  }
  bool skip = (s.mode & kNoKernels) && def.compose;
  if (!skip && launch(s, Launch{id, views.data(), inputs, attrs, made.arrays, r.outputs, made.metas, broadcast})) {
    for (int k = 0; k < r.outputs; k++) out[k] = Tensor(std::move(made.arrays[k]));
  } else if (def.compose) {
    compose(s, r, def, x, inputs, attrs, where, made.metas, out, recording);
    if (def.gradient == Gradient::derived) return;  // its own ops were recorded
  } else {
    const View& d = r.dispatch < inputs ? *views[r.dispatch] : *views[0];
    throw UnsupportedError(std::string("no kernel for ") + name_of(d.dtype) + " on " + device_name(d.device) +
                           ", and it is a base op");
  }
  if (recording) record(s, r, def, x, inputs, attrs, where, out);
}

// Inputs of an elementwise row that scale others, as bits.
uint32_t scales(int id) {
  switch (id) {
    case op::mul:
    case op::div:
    case op::floor_divide:
    case op::trunc_divide: return in(0) | in(1);
    case op::lerp: return in(2);
    case op::addcmul: return in(1) | in(2);
    default: return 0;
  }
}

bool is_half(DType t) { return t == bf16 || t == f16; }

// Elementwise rows promote; the casts are recorded. Scales without axes keep their digits and their size beside bf16
// and f16: the row works in f32, its result is rounded once.
constexpr int kMostPromoted = 4;
void apply_promoted(ThreadState& s, int id, const OpRow& r, const Tensor* const* in, int inputs, int first,
                    std::source_location where, const void* attrs, Tensor* out) {
  DType t = result_type(in + first, inputs - first);
  if (r.result == Result::floating && !is_floating(t)) t = f32;
  const DType own = t;
  for (int i = 0; is_half(own) && i < inputs; i++)
    if ((scales(id) >> i & 1) && in[i]->dim() == 0 && in[i]->dtype() != own && size_of(in[i]->dtype()) > 1) t = f32;
  Tensor cast[kMostPromoted];
  const Tensor* x[kMostPromoted];
  for (int i = 0; i < inputs; i++) {
    x[i] = in[i];
    if (i < first || !in[i]->defined() || in[i]->dtype() == t || (r.no_gradient >> i & 1)) continue;
    cast[i] = in[i]->to(t, where);
    x[i] = &cast[i];
  }
  apply_typed(s, id, r, x, inputs, attrs, where, out);
  if (t != own) out[0] = out[0].to(own, where);
}

void apply_checked(ThreadState& s, int id, const Tensor* const* in, int inputs, const void* attrs,
                   std::source_location where, Tensor* out) {
  const OpRow& r = row(id);
  check_inputs(r, in, inputs);
  if (r.wrong_enum)
    if (WrongEnum w = r.wrong_enum(attrs); w.name) refuse_unlisted(w.name, w.value, w.last);
  if (r.elementwise && inputs <= kMostPromoted && id != op::cast) {
    int first = r.no_gradient & 1 ? 1 : 0;  // where's condition stays as it is
    DType t = in[first]->defined() ? in[first]->dtype() : f32;
    bool equal = r.result != Result::floating || is_floating(t);
    for (int i = first; i < inputs; i++) equal &= !in[i]->defined() || in[i]->dtype() == t;
    if (!equal) return apply_promoted(s, id, r, in, inputs, first, where, attrs, out);
  }
  apply_typed(s, id, r, in, inputs, attrs, where, out);
}

}  // namespace

namespace detail {

void run_composition(const OpRow& r, const OpDef& def, const Tensor* const* in, int inputs, const void* attrs,
                     Tensor* out) {
  const DType t = r.elementwise ? in[r.no_gradient & 1]->dtype() : f32;
  if (!is_half(t) || inputs > kMostPromoted) {
    Compose c{in, inputs, attrs, out};
    return def.compose(c);
  }
  Tensor wide[kMostPromoted];
  const Tensor* x[kMostPromoted];
  for (int i = 0; i < inputs; i++) {
    wide[i] = in[i]->defined() && in[i]->dtype() == t ? in[i]->to(f32) : *in[i];
    x[i] = &wide[i];
  }
  Compose c{x, inputs, attrs, out};
  def.compose(c);
  for (int k = 0; k < r.outputs; k++)
    if (out[k].defined() && out[k].dtype() == f32) out[k] = out[k].to(t);
}

static void apply_located(ThreadState& s, int id, const Tensor* const* in, int inputs, const void* attrs,
                          std::source_location where, Tensor* out) {
  try {
    apply_checked(s, id, in, inputs, attrs, where, out);
  } catch (Error& e) {
    locate(s, e, row(id), where);
    throw;
  }
}

// Traces are told the line, too.
[[gnu::noinline]] static void apply_told(ThreadState& s, int id, const Tensor* const* in, int inputs, const void* attrs,
                                         std::source_location where, Tensor* out) {
  WhereScope line(s, &where);
  apply_located(s, id, in, inputs, attrs, where, out);
  note_cuts(s, row(id), in, inputs, out, *s.where);
}

void apply_any(ThreadState& s, int id, const Tensor* const* in, int inputs, const void* attrs,
               std::source_location where, Tensor* out) {
  if (s.mode & kTrace) [[unlikely]]
    return apply_told(s, id, in, inputs, attrs, where, out);
  apply_located(s, id, in, inputs, attrs, where, out);
}

[[gnu::noinline]] Tensor apply_first(ThreadState& s, int id, const Tensor* const* in, int inputs, const void* attrs,
                                     std::source_location where) {
  Tensor first;
  if (row(id).outputs == 1) {
    apply_any(s, id, in, inputs, attrs, where, &first);
    return first;
  }
  Tensor out[kMostOutputs];
  apply_any(s, id, in, inputs, attrs, where, out);
  return std::move(out[0]);
}

}  // namespace detail

namespace {

// Rank, dtype and device, which lie side by side.
uint32_t kind_of(const View& v) {
  uint32_t bits;
  static_assert(offsetof(View, device) == offsetof(View, rank) + 2 &&
                offsetof(View, dtype) == offsetof(View, rank) + 1);
  std::memcpy(&bits, &v.rank, sizeof bits);
  return bits;
}

template <int N>
[[gnu::always_inline]] inline Tensor apply_elementwise(int id, const Tensor* const (&in)[N],
                                                       std::source_location where) {
  ThreadState& s = state();
  if (!in[0]->defined() || !in[N - 1]->defined()) [[unlikely]]
    return detail::apply_first(s, id, in, N, &kNoAttrs, where);
  const OpRow& r = row(id);
  const View* views[N];
  for (int i = 0; i < N; i++) views[i] = &in[i]->array().view();
  const View &a = *views[0], &b = *views[N - 1];
  bool same =
      (r.result != Result::floating || is_floating(a.dtype)) && !(s.mode & (kNoKernels | kUnsaved | kTrace | kWatch));
  if constexpr (N == 2) {
    same &= kind_of(a) == kind_of(b);
    for (int i = 0; same && i < a.rank; i++) same = a.shape[i] == b.shape[i];
  }
  if (same) [[likely]] {
    try {
      Array out = launch_same_shape<N>(s, id, views, r.result == Result::boolean ? boolean : a.dtype);
      if (out.defined()) [[likely]] {
        if (!(s.mode & kGrad) || !(in[0]->edge() || in[N - 1]->edge())) return Tensor(std::move(out));
        const OpDef& def = op_def(id);
        if (def.gradient == Gradient::not_differentiable) return Tensor(std::move(out));
        return record_same_shape<N>(s, r, def, in, std::move(out), where);
      }
    } catch (Error& e) {
      locate(s, e, r, where);
      throw;
    }
  }
  return detail::apply_first(s, id, in, N, &kNoAttrs, where);
}

[[gnu::noinline]] Tensor apply_numbers(int id, const Operand& a, const Operand& b) {
  const Tensor* like = a.is_number() ? b.is_number() ? nullptr : b.pointer() : a.pointer();
  if (like && !like->defined())
    throw ValueError(std::string(row(id).name) + ": an operand is an undefined tensor at " + describe(a.where()));
  DType t = like ? like->dtype() : f32;
  Device d = like ? like->device() : default_device();
  Tensor number, other;
  if (a.is_number() && b.is_number()) {
    number = a.number_beside(t, d), other = b.number_beside(t, d);
    return apply_elementwise<2>(id, {&number, &other}, a.where());
  }
  const Number& written = (a.is_number() ? a : b).number();
  // A number that the tensor's dtype cannot hold wraps in arithmetic, as PyTorch's, but compares as what it is.
  if (id >= op::eq && id <= op::ge && is_integer(t) && t != i64 && !holds(t, written)) [[unlikely]] {
    other = like->to(i64, a.where());
    like = &other;
    t = i64;
  }
  // Scales of bf16 and f16 keep their digits (apply_promoted), and whole numbers their size beside u8 and its like.
  const double v = written.real();
  const bool wide = is_half(t) && scales(id) && v == v && nearest(t, v) != v;
  if (wide || (row(id).result == Result::floating && !is_floating(t))) t = f32;
  number = (a.is_number() ? a : b).number_beside(t, d);
  return apply_elementwise<2>(id, {a.is_number() ? &number : like, b.is_number() ? &number : like}, a.where());
}

}  // namespace

Tensor apply_unary(int id, const Operand& x) {
  if (x.is_number()) [[unlikely]] {
    Tensor t = x.number_beside(f32, default_device());
    return apply_elementwise<1>(id, {&t}, x.where());
  }
  return apply_elementwise<1>(id, {x.pointer()}, x.where());
}

Tensor apply_binary(int id, const Operand& a, const Operand& b) {
  if (a.is_number() || b.is_number()) [[unlikely]]
    return apply_numbers(id, a, b);
  return apply_elementwise<2>(id, {a.pointer(), b.pointer()}, a.where());
}

std::vector<Tensor> apply(int id, std::span<const Tensor> in, const void* attrs, std::source_location where) {
  std::vector<const Tensor*> x;
  for (const Tensor& t : in) x.push_back(&t);
  std::vector<Tensor> out(row(id).outputs);
  if (!attrs && row(id).attrs_size) throw ValueError(std::string(row(id).name) + ": its attributes are missing");
  detail::apply_any(state(), id, x.data(), int(x.size()), attrs ? attrs : &kNoAttrs, where, out.data());
  return out;
}

}  // namespace fovea
