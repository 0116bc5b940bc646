#include "tools/cli/op_functions.h"

#include <map>

#include "autograd/ops/activation.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/view.h"
#include "core/edit_distance.h"
#include "tools/cli/ops.h"
#include "tools/cli/verb.h"

namespace fovea::cli {
namespace {

using In = const OpInputs&;
using At = Attributes&;
using Out = std::vector<Tensor>;

// A field of a row's attributes, by its name; absent, it keeps its default.
void read(At a, const char* name, int64_t& v) { v = a.integer(name, v); }
void read(At a, const char* name, double& v) { v = a.real(name, v); }
void read(At a, const char* name, bool& v) { v = a.flag(name, v); }
void read(At a, const char* name, Shape& v) { v = a.list(name, v); }
void read(At a, const char* name, DType& v) { v = a.dtype(name); }
void read(At a, const char*, Reduction& v) { v = a.reduction(); }
void read(At a, const char* name, Gelu& v) {
  std::string form = a.text(name, "none");
  if (form != "none" && form != "tanh") a.fail("approximate is '" + form + "' (expected none or tanh)");
  v = form == "tanh" ? Gelu::tanh : Gelu::none;
}
void read(At a, const char* name, PairLoss& v) {
  const char* kinds[] = {"squared", "absolute", "huber", "logits"};
  std::string kind = a.text(name, kinds[0]);
  const auto* at = std::find(kinds, kinds + 4, kind);
  if (at == kinds + 4) a.fail("kind is '" + kind + "' (expected squared, absolute, huber or logits)");
  v = PairLoss(at - kinds);
}

template <class A> Out apply_with(int id, const std::vector<Tensor>& x, At a) {
  A attrs;
  A::fields().each([&]<class T>(Field<A, T> f) { read(a, f.name, attrs.*f.member); });
  a.all_used();
  return fovea::apply(id, x, &attrs);
}

// torch.add(x, 2) has the number as "other", torch.pow(x, 2) as "exponent"; torch.add(x, y, alpha=3) is x + 3 y.
Out apply_to_two(int id, In in, At a) {
  for (const char* name : {"other", "exponent"})
    if (a.has(name) && !in[1].defined()) {
      const io::Json* j = a.json(name);
      if (j->is_int()) return {apply_binary(id, in[0], a.integer(name))};
      return {apply_binary(id, in[0], a.real(name, 0))};
    }
  if (!in[1].defined()) a.fail("no tensor in.1, and no number as attribute other");
  Tensor y = in[1];
  if (a.has("alpha") && (id == op::add || id == op::sub))
    y = a.json("alpha")->is_int() ? y * a.integer("alpha") : y * a.real("alpha", 1);
  return {apply_binary(id, in[0], y)};
}

Out apply_row(int id, In in, At a) {
  const OpRow& r = row(id);
  bool plain = r.attrs_size == 0;
  if (plain && r.elementwise && r.inputs == 2 && id < op::count) return apply_to_two(id, in, a);
  std::vector<Tensor> x = in.x;
  if (!r.list) x.resize(r.inputs);
  for (size_t i = 0; i < x.size(); i++)
    if (!x[i].defined() && !(i < 16 && r.optional >> i & 1)) a.fail("no tensor in." + std::to_string(i));
  switch (id) {
#define FOVEA_APPLY(name, A, ...) \
  case op::name: return apply_with<A>(id, x, a);
    FOVEA_OPS(FOVEA_APPLY)
#undef FOVEA_APPLY
  }
  if (!plain) a.fail("a user's op with attributes, which only its own library can read");
  return fovea::apply(id, x);
}

std::optional<Number> bound(At a, const char* name) {
  if (!a.has(name)) return {};
  return a.json(name)->is_int() ? Number(a.integer(name)) : Number(a.real(name, 0));
}
std::optional<double> real_if_given(At a, const char* name) {
  return a.has(name) ? std::optional(a.real(name, 0)) : std::nullopt;
}
template <Tensor (*f)(const Operand&, const Shape&, SumOptions)> Out reduction(In in, At a) {
  Shape dim = a.list("dim");
  return {f(in[0], dim, {a.flag("keepdim", false), a.dtype_if_given()})};
}
Out div_of(In in, At a) {
  const std::string mode = a.text("rounding_mode", "none");
  const std::pair<const char*, int> all[] = {
      {"none", op::div}, {"trunc", op::trunc_divide}, {"floor", op::floor_divide}};
  for (auto& [known, id] : all)
    if (mode == known) return apply_to_two(id, in, a);
  a.fail("rounding_mode is '" + mode + "' (expected trunc or floor)");
}

Shape sizes(At a) {
  for (const char* name : {"shape", "size", "sizes"})
    if (a.has(name)) return a.list(name);
  return a.required_list("shape");
}
Out slice_of(In in, At a) {
  Slice s{a.integer("start", 0), a.integer("end", INT64_MAX), a.integer("step", 1)};
  return {slice(in[0], a.integer("dim", 0), s)};
}
Out squeeze_of(In in, At a) {
  if (a.has("dim")) return {squeeze(in[0], a.list("dim"))};
  a.json("dim");
  return {squeeze(in[0])};
}
Out split_of(In in, At a) {
  const char* name = a.has("split_size") ? "split_size" : "split_size_or_sections";
  if (const io::Json* j = a.json(name); !j || !j->is_array()) return split(in[0], a.integer(name), a.integer("dim", 0));
  std::vector<int64_t> sizes;
  for (const io::Json& n : a.json(name)->as_array()) {
    if (!n.is_int()) a.fail(std::string(name) + " is " + a.json(name)->dump() + " (expected integers)");
    sizes.push_back(n.as_int());
  }
  return split(in[0], sizes, a.integer("dim", 0));
}
template <Tensor (*f)(const Operand&, Integer, const Operand&, const Operand&)> Out scatter_of(In in, At a) {
  int64_t dim = a.integer("dim");
  if (in[2].defined()) return {f(in[0], dim, in[1], in[2])};
  if (!a.has("value")) a.fail("neither a third input nor the attribute value");
  return {f(in[0], dim, in[1], a.real("value", 0))};
}
Out embedding_of(In in, At a) {
  EmbeddingOptions o;
  if (a.has("padding_idx")) o.padding_idx = a.integer("padding_idx");
  a.json("padding_idx");
  return {embedding(in[0], in[1], o)};
}
Out sort_of(In in, At a) {
  a.flag("stable", true);
  auto [values, places] = sort(in[0], a.integer("dim", -1), {a.flag("descending", false)});
  return {values, places};
}
Out topk_of(In in, At a) {
  a.flag("sorted", true);
  auto [values, places] = topk(in[0], a.integer("k"), a.integer("dim", -1), {a.flag("largest", true)});
  return {values, places};
}
Out layer_norm_of(In in, At a) {
  Shape normalized = a.list("normalized_shape", in[1].defined() ? in[1].shape() : Shape{in[0].size(-1)});
  return {layer_norm(in[0], normalized, in[1], in[2], {a.real("eps", 1e-5)})};
}
Out cross_entropy_of(In in, At a) {
  return {cross_entropy(in[0], in[1],
                        {in[2], a.integer("ignore_index", -100), a.reduction(), a.real("label_smoothing", 0)})};
}
Out dropout_of(In in, At a) { return {dropout(in[0], a.real("p", 0.5), {a.flag("training", true)})}; }

Tensor integers(At a, const io::Json& j, const char* name) {
  std::vector<int32_t> v;
  Shape shape{0};
  auto take = [&](const io::Json& n) {
    if (!n.is_int()) a.fail(std::string("mask.") + name + " is " + j.dump() + " (expected integers)");
    v.push_back(int32_t(n.as_int()));
  };
  if (!j.is_array()) a.fail(std::string("mask.") + name + " is " + j.dump() + " (expected a list)");
  for (const io::Json& row : j.as_array()) {
    if (row.is_array()) {
      for (const io::Json& n : row.as_array()) take(n);
      shape = {shape[0] + 1, int64_t(row.as_array().size())};
    } else {
      take(row);
      shape[0]++;
    }
  }
  if (fovea::numel(shape) != int64_t(v.size())) a.fail(std::string("mask.") + name + " has rows of different lengths");
  return Tensor::of(v, shape);
}

Out attention_of(In in, At a) {
  for (const char* name : {"softcap", "alibi", "t5"})
    if (a.has(name)) a.fail(std::string(name) + " is not built yet");
  if (in.t5_table.defined()) a.fail("t5_table is not built yet");
  const std::optional<double> scale = real_if_given(a, "scale");
  AttentionOptions o{.scale = scale.value_or(0)};
  const io::Json* given = a.json("mask");
  if (given && given->is_bool()) given = nullptr;  // says only that the tensor is there
  if (in.mask.defined()) {
    if (given) a.fail("a mask as tensor and as attribute exclude each other");
    return {
        scaled_dot_product_attention(in[0], in[1], in[2], {.attn_mask = in.mask, .scale = scale, .enable_gqa = true})};
  }
  Attributes m("op: attention: mask", given ? *given : io::Json());
  o.causal = m.flag("causal", false);
  o.top_left = m.flag("top_left", false);
  o.prefix = m.integer("prefix", 0);
  o.sinks = m.integer("sinks", 0);
  o.global = m.integer("global", 0);
  if (m.has("window")) {
    Shape w = m.list("window");
    if (w.rank != 2) a.fail("mask.window is " + to_string(w) + " (expected [left, right])");
    o.left = w[0], o.right = w[1];
  }
  auto tensor = [&](const char* name, Tensor& to) {
    if (const io::Json* j = m.json(name)) to = integers(a, *j, name).to(in[0].device());
  };
  tensor("k_lengths", o.k_lengths);
  tensor("q_lengths", o.q_lengths);
  tensor("documents", o.documents);
  m.json("window");
  m.all_used();
  return {attention(in[0], in[1], in[2], o)};
}

// What differs from its row, or is none.
const OpFunction kForms[] = {
    {"cast", 1, [](In in, At a) -> Out { return {cast(in[0], a.dtype("dtype"))}; }},
    {"lerp", 3,
     [](In in, At a) -> Out {
       if (in[2].defined()) return {lerp(in[0], in[1], in[2])};
       return {lerp(in[0], in[1], a.real("weight", 0))};
     }},
    {"addcmul", 3, [](In in, At a) -> Out { return {addcmul(in[0], in[1], in[2], bound(a, "value").value_or(1))}; }},
    {"clamp", 3,
     [](In in, At a) -> Out {
       if (in[1].defined() || in[2].defined()) return {clamp(in[0], in[1], in[2])};
       return {clamp(in[0], bound(a, "min"), bound(a, "max"))};
     }},
    {"nan_to_num", 1,
     [](In in, At a) -> Out {
       return {nan_to_num(in[0], a.real("nan", 0), real_if_given(a, "posinf"), real_if_given(a, "neginf"))};
     }},
    {"div", 2, div_of},
    {"round", 1, [](In in, At a) -> Out { return {round(in[0], {a.integer("decimals", 0)})}; }},
    {"clone", 1, [](In in, At) -> Out { return {clone(in[0])}; }},
    {"sum", 1, reduction<sum>},
    {"mean", 1, reduction<mean>},
    {"prod", 1, reduction<prod>},
    {"logsumexp", 1,
     [](In in, At a) -> Out {
       Shape dim = a.list("dim");
       return {logsumexp(in[0], dim, {a.flag("keepdim", false)})};
     }},
    {"cumsum", 1, along<cumsum>},
    {"softmax", 1, along<softmax>},
    {"log_softmax", 1, along<log_softmax>},
    {"matmul", 2, [](In in, At) -> Out { return {matmul(in[0], in[1])}; }},
    {"linear", 3, [](In in, At) -> Out { return {linear(in[0], in[1], in[2])}; }},
    {"bmm", 2, [](In in, At) -> Out { return {bmm(in[0], in[1])}; }},
    {"addmm", 3,
     [](In in, At a) -> Out {
       return {addmm(in[0], in[1], in[2], {bound(a, "beta").value_or(1), bound(a, "alpha").value_or(1)})};
     }},
    {"dot", 2, [](In in, At) -> Out { return {dot(in[0], in[1])}; }},
    {"outer", 2, [](In in, At) -> Out { return {outer(in[0], in[1])}; }},
    {"bilinear", 4, [](In in, At) -> Out { return {bilinear(in[0], in[1], in[2], in[3])}; }},
    {"einsum", -1, [](In in, At a) -> Out { return {einsum(a.text("equation", ""), in.x)}; }},
    {"view", 1, [](In in, At a) -> Out { return {view(in[0], sizes(a))}; }},
    {"reshape", 1, [](In in, At a) -> Out { return {reshape(in[0], sizes(a))}; }},
    {"expand", 1, [](In in, At a) -> Out { return {expand(in[0], sizes(a))}; }},
    {"sum_to", 1, [](In in, At a) -> Out { return {sum_to(in[0], sizes(a))}; }},
    {"flatten", 1,
     [](In in, At a) -> Out { return {flatten(in[0], a.integer("start_dim", 0), a.integer("end_dim", -1))}; }},
    {"permute", 1, [](In in, At a) -> Out { return {permute(in[0], a.required_list("dims"))}; }},
    {"transpose", 1, [](In in, At a) -> Out { return {transpose(in[0], a.integer("dim0"), a.integer("dim1"))}; }},
    {"unsqueeze", 1, along<unsqueeze>},
    {"squeeze", 1, squeeze_of},
    {"slice", 1, slice_of},
    {"narrow", 1,
     [](In in, At a) -> Out { return {narrow(in[0], a.integer("dim"), a.integer("start"), a.integer("length"))}; }},
    {"select", 1, [](In in, At a) -> Out { return {select(in[0], a.integer("dim"), a.integer("index"))}; }},
    {"split", 1, split_of},
    {"chunk", 1, [](In in, At a) -> Out { return chunk(in[0], a.integer("chunks"), a.integer("dim", 0)); }},
    {"cat", -1, [](In in, At a) -> Out { return {cat(in.x, a.integer("dim", 0))}; }},
    {"stack", -1, [](In in, At a) -> Out { return {stack(in.x, a.integer("dim", 0))}; }},
    {"gather", 2, [](In in, At a) -> Out { return {gather(in[0], a.integer("dim"), in[1])}; }},
    {"scatter", 3, scatter_of<scatter>},
    {"scatter_add", 3, scatter_of<scatter_add>},
    {"index_select", 2, [](In in, At a) -> Out { return {index_select(in[0], a.integer("dim"), in[1])}; }},
    {"embedding", 2, embedding_of},
    {"sort", 1, sort_of},
    {"argsort", 1,
     [](In in, At a) -> Out {
       a.flag("stable", true);
       return {argsort(in[0], a.integer("dim", -1), {a.flag("descending", false)})};
     }},
    {"topk", 1, topk_of},
    {"layer_norm", 3, layer_norm_of},
    {"cross_entropy", 3, cross_entropy_of, 1 << 2},
    {"nll_loss", 3,
     [](In in, At a) -> Out {
       return {nll_loss(in[0], in[1], {in[2], a.integer("ignore_index", -100), a.reduction()})};
     },
     1 << 2},
    {"mse_loss", 2, [](In in, At a) -> Out { return {mse_loss(in[0], in[1], {a.reduction()})}; }},
    {"l1_loss", 2, [](In in, At a) -> Out { return {l1_loss(in[0], in[1], {a.reduction()})}; }},
    {"huber_loss", 2,
     [](In in, At a) -> Out {
       return {huber_loss(in[0], in[1], {a.reduction(), a.real("delta", 1)})};
     }},
    {"smooth_l1_loss", 2,
     [](In in, At a) -> Out {
       return {smooth_l1_loss(in[0], in[1], {a.reduction(), a.real("beta", 1)})};
     }},
    {"binary_cross_entropy_with_logits", 4,
     [](In in, At a) -> Out {
       return {binary_cross_entropy_with_logits(in[0], in[1], {in[2], a.reduction(), in[3]})};
     }},
    {"dropout", 1, dropout_of},
    {"bernoulli", 1, [](In in, At) -> Out { return {bernoulli(in[0])}; }, 1},
    {"to_device", 1, [](In in, At a) -> Out { return {to_device(in[0], device(a.text("device", "")))}; }},
    {"attention", 3, attention_of},
    {"scaled_dot_product_attention", 4,
     [](In in, At a) -> Out {
       return {scaled_dot_product_attention(in[0], in[1], in[2],
                                            {in[3], a.real("dropout_p", 0), a.flag("is_causal", false),
                                             real_if_given(a, "scale"), a.flag("enable_gqa", false)})};
     }},
};

// PyTorch's other names of the same functions.
const std::pair<const char*, const char*> kAliases[] = {
    {"mm", "matmul"},           {"clip", "clamp"},
    {"swish", "silu"},          {"arcsin", "asin"},
    {"arccos", "acos"},         {"arctan", "atan"},
    {"arctan2", "atan2"},       {"fix", "trunc"},
    {"absolute", "abs"},        {"negative", "neg"},
    {"subtract", "sub"},        {"multiply", "mul"},
    {"divide", "div"},          {"true_divide", "div"},
    {"concat", "cat"},          {"concatenate", "cat"},
    {"swapaxes", "transpose"},  {"to", "cast"},
    {"special.erf", "erf"},     {"special.expm1", "expm1"},
    {"special.log1p", "log1p"}, {"special.logsumexp", "logsumexp"},
    {"moveaxis", "movedim"},
};

}  // namespace

std::vector<Tensor> OpFunction::call(const OpInputs& in, Attributes& a) const {
  Out y = form ? form(in, a) : apply_row(id, in, a);
  for (size_t k = 0; copied && k < y.size(); k++) y[k] = contiguous(y[k]);
  return y;
}

std::vector<OpFunction> all_forms() {
  std::vector<OpFunction> all;
  for (auto forms : {std::span<const OpFunction>(kForms), arranging_functions(), nn_functions(), making_functions()})
    all.insert(all.end(), forms.begin(), forms.end());
  return all;
}

OpFunction op_function(const std::string& name) {
  std::string wanted = name;
  for (const char* prefix : {"linalg.", "torch.", "nn.functional."})
    if (wanted.rfind(prefix, 0) == 0) wanted.erase(0, std::string(prefix).size());
  for (auto& [alias, real] : kAliases)
    if (wanted == alias) wanted = real;
  if (wanted.ends_with("_copy")) {
    OpFunction f = op_function(wanted.substr(0, wanted.size() - 5));
    f.copied = true;
    return f;
  }
  std::vector<std::string_view> known;
  const std::vector<OpFunction> forms = all_forms();
  for (const OpFunction& f : forms) {
    if (wanted == f.name) return f;
    known.push_back(f.name);
  }
  for (int id : all_ops()) {
    const OpRow& r = row(id);
    if (std::string_view(r.name).ends_with("_backward")) continue;  // gradients are asked for by --grad
    if (wanted == r.name) return {r.name, r.list ? -1 : r.inputs, nullptr, r.no_gradient, id};
    known.push_back(r.name);
  }
  std::string_view near = text::nearest(wanted, known);
  throw UsageError("unknown op '" + name + "'" + (near.empty() ? "" : "; did you mean " + std::string(near) + "?"));
}

}  // namespace fovea::cli
