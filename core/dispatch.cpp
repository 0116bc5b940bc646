#include "core/dispatch.h"

#include <algorithm>
#include <string>

#include "core/array_block.h"
#include "core/device.h"

namespace fovea {
namespace {

bool fits(const View& v, Layout need) {
  if (!v.present() || v.dense || need == Layout::any) return true;
  bool last = v.rank < 1 || v.strides[v.rank - 1] == 1;
  if (need == Layout::last_dim_dense) return last;
  if (need == Layout::matrix_like) return last || (v.rank > 1 && v.strides[v.rank - 2] == 1);
  return false;
}

[[noreturn]] void refuse(const OpRow& r, const View& v, const Status& st) {
  std::string where = std::string(" on ") + device_name(v.device) + " for " + name_of(v.dtype) + " " +
                      to_string(v.shape, v.rank < 0 ? 0 : v.rank);
  std::string text = (st.text ? st.text : "kernel failed") + where;
  switch (st.code) {
    case Status::invalid: throw ValueError(text);
    case Status::unsupported: throw UnsupportedError(text);
    case Status::out_of_memory: throw MemoryError(text);
    default: throw KernelError(std::string(r.name) + " kernel: " + text);
  }
}

[[noreturn]] void report_fault(ThreadState& s) {
  Fault f = s.fault;
  s.fault = Fault{};
  throw IndexError("index " + std::to_string(f.value) + " at position " + std::to_string(f.position) +
                   (f.limit > 0 ? " is out of range (expected 0 to " + std::to_string(f.limit - 1) + ")"
                                : " points into an axis of size 0"));
}

// What left a kernel as an exception, typed.
[[noreturn]] void rethrow(const OpRow& r, const View& d) {
  try {
    throw;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw KernelError(std::string(r.name) + " kernel on " + device_name(d.device) + ": " + e.what());
  }
}

// Runs the kernel and turns whatever goes wrong into a typed exception.
[[gnu::always_inline]] inline void run(ThreadState& s, const OpRow& r, const Slot& slot, Call& c, const void* attrs,
                                       const View& d) {
  Status st;
  try {
    st = slot.thunk(c, attrs);
  } catch (...) {
    rethrow(r, d);
  }
  if (!st) [[unlikely]]
    refuse(r, d, st);
  if (s.fault.raised) [[unlikely]]
    report_fault(s);
}

class Scratch {
 public:
  Scratch(ThreadState& s, int64_t bytes, Device d) {
    if (bytes <= 0) return;
    array_ = Array::empty(s, Meta(u8, d, {bytes}));
  }
  void* data() const { return array_ ? array_.view().data : nullptr; }

 private:
  Array array_;
};

// Views of inputs broadcast to the output by zero strides.
struct Widened {
  static constexpr int kMost = 4;
  Widened() {}
  template <class List> void widen(const View& o, int inputs, List& in) {
    if (inputs > kMost) throw KernelError("broadcasting of " + std::to_string(inputs) + " inputs (at most 4)");
    for (int i = 0; i < inputs; i++) {
      const View& v = *in[i];
      if (!v.present()) continue;
      int lead = o.rank - v.rank;
      for (int k = 0; k < o.rank; k++)
        strides[i][k] = k < lead || (v.shape[k - lead] == 1 && o.shape[k] != 1) ? 0 : v.strides[k - lead];
      in[i] = new (views + i) View{.data = v.data,
                                   .shape = o.shape,
                                   .strides = strides[i],
                                   .numel = o.numel,
                                   .rank = o.rank,
                                   .dtype = v.dtype,
                                   .device = v.device,
                                   .dense = v.dense && v.numel == o.numel};
    }
  }
  union {
    View views[kMost];  // as many as are used
  };
  int64_t strides[kMost][kMaxRank];
};

// The call with everything on: broadcasting, packing, given and add destinations, shape-only, scratch, trace.
bool launch_all(ThreadState& s, const OpRow& r, const Slot& slot, const Launch& l) {
  Array fresh[16];
  Array* out = l.to == Destination::fresh ? fresh : l.out;
  bool add_after = l.to == Destination::add && !slot.adds;
  ViewList in(s, l.inputs), outs(s, l.outputs);
  Array packed[8];
  bool shape_only = false;
  for (int i = 0; i < l.inputs; i++) {
    in[i] = l.in[i];
    if (in[i]->present() && !in[i]->data) shape_only = true;
  }
  if (l.to != Destination::fresh)
    for (int i = 0; i < l.outputs; i++) shape_only |= l.out[i].is_shape_only();
  if (shape_only) {
    if (l.to == Destination::fresh)
      for (int i = 0; i < l.outputs; i++)
        l.out[i] = Array::shape_only(l.meta[i].shape(), l.meta[i].dtype, l.meta[i].device);
    if (slot.scratch) {  // counted in plans
      for (int i = 0; i < l.outputs; i++) outs[i] = &l.out[i].view();
      Call c{.in = in.data(), .out = outs.data(), .inputs = l.inputs, .outputs = l.outputs, .kind = r.kind};
      c.deterministic = (s.mode & kDeterministic) != 0;
      c.host = &host_services();
      const size_t bytes = slot.scratch(c, l.attrs);
      if (bytes > class_bytes(kClasses - 1)) throw MemoryError("scratch memory takes more than 2^44 bytes");
      s.blocks.planned.take(bytes);
      s.blocks.planned.give(bytes);
    }
    return true;
  }
  if (l.to == Destination::fresh) {
    for (int i = 0; i < l.outputs; i++) out[i] = Array::empty(s, l.meta[i]);
  } else if (add_after) {
    for (int i = 0; i < l.outputs; i++) fresh[i] = Array::empty(s, meta_of(l.out[i].view()));
    out = fresh;
  }
  for (int i = 0; i < l.outputs; i++) outs[i] = &out[i].view();
  Widened wide;
  if (l.broadcast) wide.widen(*outs[0], l.inputs, in);
  if (slot.layout != Layout::any)
    for (int i = 0; i < l.inputs && i < 8; i++)
      if (!fits(*in[i], slot.layout)) {
        Array tmp = Array::empty(s, meta_of(*in[i]));
        const View* from = in[i];
        Launch copy{op::assign, &from, 1, &kNoAttrs, &tmp, 1, nullptr, false, Destination::given};
        launch(s, copy);
        packed[i] = std::move(tmp);
        in[i] = &packed[i].view();
      }
  Call c{.in = in.data(),
         .out = outs.data(),
         .inputs = l.inputs,
         .outputs = l.outputs,
         .kind = r.kind,
         .add = l.to == Destination::add && slot.adds,
         .deterministic = (s.mode & kDeterministic) != 0,
         .fault = &s.fault,
         .host = &host_services()};
  if (slot.accepts && !slot.accepts(c, l.attrs)) return false;
  const View& d = r.dispatch < l.inputs ? *in[r.dispatch] : *outs[0];
  Scratch scratch(s, slot.scratch ? slot.scratch(c, l.attrs) : 0, d.device);
  c.scratch = scratch.data();
  if (!on_host(d.device)) c.stream = backend_of(d.device).stream(d.device.index);
  if (s.mode & kTrace) {
    TraceEvent e{.op = r.name,
                 .backend = backend_of(d.device).name(),
                 .composed = false,
                 .reference = slot.reference,
                 .update = r.form == Form::update,
                 .depth = s.depth + s.rules,
                 .in = c.in,
                 .inputs = c.inputs,
                 .out = c.out,
                 .outputs = c.outputs,
                 .begin = trace_clock(),
                 .end = 0};
    run(s, r, slot, c, l.attrs, d);
    e.end = trace_clock();
    s.trace->op(e);
  } else {
    run(s, r, slot, c, l.attrs, d);
  }
  if (add_after)
    for (int i = 0; i < l.outputs; i++) {
      const View* pair[2] = {&l.out[i].view(), &fresh[i].view()};
      Launch sum{op::add, pair, 2, &kNoAttrs, &l.out[i], 1, nullptr, false, Destination::given};
      launch(s, sum);
    }
  if (l.to == Destination::fresh)
    for (int i = 0; i < l.outputs; i++) l.out[i] = std::move(fresh[i]);
  return true;
}

[[gnu::always_inline]] inline const Slot* find_slot(const OpRow& r, const View& d) {
  const KernelTable& table = kernels_of(d.device);
  const Slot& slot = table.slots[r.slot];
  if (slot.thunk && contains(slot.dtypes, d.dtype)) [[likely]]
    return &slot;
  if (!slot.thunk || !table.rest) return nullptr;
  const Slot& spare = table.rest->slots[r.slot];
  return spare.thunk && contains(spare.dtypes, d.dtype) ? &spare : nullptr;
}

constexpr int kFewInputs = 8, kFewOutputs = 4;

// Host memory, few arrays with data, nothing to pack, to add afterwards or to tell.
bool is_short(ThreadState& s, const Slot& slot, const Launch& l, Device d) {
  if ((s.mode & kTrace) || l.to == Destination::add || l.inputs > kFewInputs || l.outputs > kFewOutputs || !on_host(d))
    return false;
  for (int i = 0; i < l.inputs; i++)
    if (l.in[i]->present() && (!l.in[i]->data || !fits(*l.in[i], slot.layout))) return false;
  for (int i = 0; l.to == Destination::given && i < l.outputs; i++)
    if (!l.out[i].view().data) return false;
  return !l.broadcast || (l.inputs <= Widened::kMost && slot.layout == Layout::any);
}

bool launch_short(ThreadState& s, const OpRow& r, const Slot& slot, const Launch& l) {
  const View *in[kFewInputs], *out[kFewOutputs];
  for (int i = 0; i < l.inputs; i++) in[i] = l.in[i];
  if (l.to == Destination::fresh)
    for (int i = 0; i < l.outputs; i++) l.out[i] = Array::empty(s, l.meta[i]);
  for (int i = 0; i < l.outputs; i++) out[i] = &l.out[i].view();
  Widened wide;
  if (l.broadcast) wide.widen(*out[0], l.inputs, in);
  Call c;
  c.in = in;
  c.out = out;
  c.inputs = l.inputs;
  c.outputs = l.outputs;
  c.kind = r.kind;
  c.deterministic = (s.mode & kDeterministic) != 0;
  c.fault = &s.fault;
  c.host = &host_services();
  if (slot.accepts && !slot.accepts(c, l.attrs)) return false;
  const View& d = r.dispatch < l.inputs ? *in[r.dispatch] : *out[0];
  Scratch scratch(s, slot.scratch ? slot.scratch(c, l.attrs) : 0, d.device);
  c.scratch = scratch.data();
  run(s, r, slot, c, l.attrs, d);
  return true;
}

}  // namespace

bool launch(ThreadState& s, const Launch& l) {
  const OpRow& r = row(l.id);
  View like;  // what picks the slot where no input does
  const View* d = &like;
  if (r.dispatch < l.inputs) d = l.in[r.dispatch];
  else if (l.to == Destination::fresh) like.dtype = l.meta[0].dtype, like.device = l.meta[0].device;
  else d = &l.out[0].view();
  const Slot* slot = find_slot(r, *d);
  if (!slot) return false;
  return is_short(s, *slot, l, d->device) ? launch_short(s, r, *slot, l) : launch_all(s, r, *slot, l);
}

namespace {

// A call on host memory with nothing to pack, to ask for or to tell.
[[gnu::always_inline]] inline bool is_plain(ThreadState& s, const Slot& slot) {
  return !slot.accepts && !slot.scratch && slot.layout == Layout::any && !(s.mode & kTrace);
}

[[gnu::always_inline]] inline void run_plain(ThreadState& s, const OpRow& r, const Slot& slot, const View* const* in,
                                             int inputs, const View& to) {
  const View* out = &to;
  Call c;
  c.in = in;
  c.out = &out;
  c.inputs = inputs;
  c.outputs = 1;
  c.kind = r.kind;
  c.deterministic = (s.mode & kDeterministic) != 0;
  c.fault = &s.fault;
  c.host = &host_services();
  run(s, r, slot, c, &kNoAttrs, to);
}

Array launch_like(ThreadState& s, int id, const View* const* in, int inputs, DType result) {
  Meta meta = meta_of(*in[0]);
  meta.dtype = result;
  Array out;
  launch(s, Launch{id, in, inputs, &kNoAttrs, &out, 1, &meta});
  return out;
}

}  // namespace

template <int inputs> Array launch_same_shape(ThreadState& s, int id, const View* const (&in)[inputs], DType result) {
  const OpRow& r = row(id);
  const View& d = *in[0];
  const Slot* slot = find_slot(r, d);
  if (!slot) return Array();
  if (!is_plain(s, *slot) || !on_host(d.device) || !d.data || !in[inputs - 1]->data) [[unlikely]]
    return launch_like(s, id, in, inputs, result);
  Array out = detail::is_small(d, result) ? Array(detail::small_like(s, d, result)) : Array::like(s, d, result);
  run_plain(s, r, *slot, in, inputs, out.view());
  return out;
}
template Array launch_same_shape<1>(ThreadState&, int, const View* const (&)[1], DType);
template Array launch_same_shape<2>(ThreadState&, int, const View* const (&)[2], DType);

bool add_into(ThreadState& s, const Array& a, const View& b, const std::source_location* where) {
  const OpRow& r = row(op::add);
  const View* in[2] = {&a.view(), &b};
  const Slot* slot = find_slot(r, *in[0]);
  if (!slot) return false;
  if (!is_plain(s, *slot) || !on_host(in[0]->device) || !in[0]->data || !b.data) [[unlikely]] {
    WhereScope line(s, where);
    Array to = a;
    return launch(s, Launch{op::add, in, 2, &kNoAttrs, &to, 1, nullptr, false, Destination::given});
  }
  run_plain(s, r, *slot, in, 2, *in[0]);
  return true;
}

void update(ThreadState& s, int id, const Array* in, int inputs, const void* attrs, Array* out, int outputs,
            std::source_location where) {
  ViewList views(s, inputs);
  static const View kAbsent;
  for (int i = 0; i < inputs; i++) views[i] = in[i] ? &in[i].view() : &kAbsent;
  WhereScope line(s, &where);
  if (!launch(s, Launch{id, views.data(), inputs, attrs, out, outputs, nullptr, false, Destination::given}))
    throw UnsupportedError(std::string(row(id).name) + ": no kernel for " + name_of(out[0].dtype()) + " on " +
                           device_name(out[0].device()));
  for (int i = 0; i < outputs; i++) out[i].storage()->written_at(*s.where);
}

void assign(Array& dst, const Array& src, std::source_location where) {
  ThreadState& s = state();
  Array from = src.device() == dst.device() ? src : to_device(src, dst.device());
  if (!(from.shape() == dst.shape())) from = from.expand(dst.shape());
  update(s, op::assign, &from, 1, &kNoAttrs, &dst, 1, where);
}

void fill(Array& dst, double value, std::source_location where) {
  FillAttrs a{value, value > -9.2e18 && value < 9.2e18 ? int64_t(value) : 0};
  update(state(), op::fill, nullptr, 0, &a, &dst, 1, where);
}

void fill_integer(Array& dst, int64_t value, std::source_location where) {
  FillAttrs a{double(value), value};
  update(state(), op::fill, nullptr, 0, &a, &dst, 1, where);
}

Array cast_copy(const Array& a, DType t) {
  Array out = a.is_shape_only() ? Array::shape_only(a.shape(), t, a.device()) : Array::empty(a.shape(), t, a.device());
  assign(out, a);
  return out;
}

Array dense_copy(const Array& a) { return cast_copy(a, a.dtype()); }

Array to_device(const Array& a, Device d) {
  if (a.device() == d) return a;
  if (a.is_shape_only()) return Array::shape_only(a.shape(), a.dtype(), d);
  Array from = a.dense() ? a : dense_copy(a), to = Array::empty(a.shape(), a.dtype(), d);
  size_t bytes = size_t(a.numel()) * size_t(size_of(a.dtype()));
  Status st;
  if (on_host(a.device()) && on_host(d)) {
    std::memcpy(to.view().data, from.view().data, bytes);
  } else if (on_host(d)) {
    st = backend_of(a.device()).to_host(a.device().index, to.view().data, from.view().data, bytes);
  } else if (on_host(a.device())) {
    st = backend_of(d).from_host(d.index, to.view().data, from.view().data, bytes);
  } else {
    return to_device(to_device(a, default_device()), d);
  }
  if (!st)
    throw DeviceError(std::string("copy from ") + device_name(a.device()) + " to " + device_name(d) + ": " +
                      (st.text ? st.text : "failed"));
  return to;
}

}  // namespace fovea
