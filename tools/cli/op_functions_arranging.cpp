// Forms of `fovea op`: statistics, arranging, indexing by tensors, draws of places.
#include "autograd/ops/advanced_index.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/moments.h"
#include "autograd/ops/random.h"
#include "autograd/ops/scan.h"
#include "tools/cli/op_functions.h"

namespace fovea::cli {
namespace {

using In = const OpInputs&;
using At = Attributes&;
using Out = std::vector<Tensor>;

Out both(const std::pair<Tensor, Tensor>& p) { return {p.first, p.second}; }

std::optional<int64_t> axis(At a) {
  if (a.has("dim")) return a.integer("dim");
  a.json("dim");
  return {};
}
const Tensor& given(In in, size_t k, At a) {
  if (!in[k].defined()) a.fail("no tensor in." + std::to_string(k));
  return in[k];
}

template <Tensor (*f)(const Operand&, std::optional<Integer>, ReduceOptions)> Out best(In in, At a) {
  return {f(in[0], axis(a), {a.flag("keepdim", false)})};
}
template <std::pair<Tensor, Tensor> (*with_places)(const Operand&, Integer, ReduceOptions),
          Tensor (*all)(const Operand&), Tensor (*pairwise)(const Operand&, const Tensor&)>
Out extremum(In in, At a) {
  if (in[1].defined()) return {pairwise(in[0], in[1])};
  if (std::optional<int64_t> d = axis(a)) return both(with_places(in[0], *d, {a.flag("keepdim", false)}));
  return {all(in[0])};
}

VarOptions moment_options(At a) {
  const double correction = a.flag("unbiased", true) ? 1 : 0;
  return {a.real("correction", correction), a.flag("keepdim", false)};
}
template <Tensor (*f)(const Operand&, const Shape&, VarOptions)> Out moment(In in, At a) {
  Shape dim = a.list("dim");
  return {f(in[0], dim, moment_options(a))};
}
template <std::pair<Tensor, Tensor> (*f)(const Operand&, const Shape&, VarOptions)> Out moments(In in, At a) {
  Shape dim = a.list("dim");
  return both(f(in[0], dim, moment_options(a)));
}
// torch.norm has p, linalg.norm ord, which of a matrix as a whole means another norm.
Out norm_of(In in, At a) {
  Shape dim = a.list("dim");
  if (a.has("ord") && dim.rank != 1 && in[0].dim() != 1) a.fail("ord of a matrix is not built; vector_norm takes it");
  const bool named = a.has("p") && a.json("p")->is_string() && a.text("p", "") == "fro";
  double p = a.has("ord") ? a.real("ord", 2) : named ? 2 : a.real("p", 2);
  return {norm(in[0], p, dim, {a.flag("keepdim", false), a.dtype_if_given()})};
}

Out roll_of(In in, At a) { return {roll(in[0], a.required_list("shifts"), a.list("dims"))}; }
Out pad_of(In in, At a) {
  const io::Json* j = a.json("pad");
  std::vector<int64_t> sizes;
  bool good = j && j->is_array();
  if (good)
    for (const io::Json& n : j->as_array())
      if (good &= n.is_int(); good) sizes.push_back(n.as_int());
  if (!good) a.fail("pad is " + (j ? j->dump() : "missing") + " (expected a list of integers)");
  const char* modes[] = {"constant", "reflect", "replicate", "circular"};
  const std::string mode = a.text("mode", "constant");
  PadOptions o;
  int k = 0;
  while (k < 4 && mode != modes[k]) k++;
  if (k == 4) a.fail("mode is '" + mode + "' (expected constant, reflect, replicate or circular)");
  o.mode = PadMode(k);
  if (a.has("value")) o.value = a.json("value")->is_int() ? Number(a.integer("value")) : Number(a.real("value", 0));
  a.json("value");
  return {pad(in[0], sizes, o)};
}
Out repeat_of(In in, At a) { return {repeat(in[0], a.required_list("repeats"))}; }
Out repeat_interleave_of(In in, At a) {
  if (in[1].defined()) return {repeat_interleave(in[0], in[1], axis(a))};
  return {repeat_interleave(in[0], a.integer("repeats"), axis(a))};
}
Out unfold_of(In in, At a) { return {unfold(in[0], a.integer("dimension"), a.integer("size"), a.integer("step"))}; }
Out masked_fill_of(In in, At a) {
  const Tensor& mask = given(in, 1, a);
  if (in[2].defined()) return {masked_fill(in[0], mask, in[2])};
  if (!a.has("value")) a.fail("neither a third input nor the attribute value");
  if (a.json("value")->is_int()) return {masked_fill(in[0], mask, a.integer("value"))};
  return {masked_fill(in[0], mask, a.real("value", 0))};
}
// "indices": numbers, ranges [start, stop, step] whose ends may be missing or null, and null for the next tensor of the
// file; without it, its tensors one by one.
Out index_of(In in, At a) {
  std::vector<Index> list;
  const io::Json* parts = a.json("indices");
  if (!parts) return {index(in[0], {in.x.begin() + 1, in.x.end()})};
  auto wrong = [&] { a.fail("indices is " + parts->dump() + " (expected a list of integers, ranges and nulls)"); };
  auto end = [&](const io::Json& range, size_t k) -> std::optional<Integer> {
    if (k >= range.as_array().size() || range.as_array()[k].is_null()) return {};
    if (!range.as_array()[k].is_int()) wrong();
    return range.as_array()[k].as_int();
  };
  if (!parts->is_array()) wrong();
  size_t next = 1;
  for (const io::Json& part : parts->as_array()) {
    if (part.is_null()) list.emplace_back(given(in, next++, a));
    else if (part.is_int()) list.emplace_back(part.as_int());
    else if (part.is_array()) list.emplace_back(Slice{end(part, 0), end(part, 1), end(part, 2).value_or(1)});
    else wrong();
  }
  return {index(in[0], list)};
}
// x, the indices, the values.
Out index_put_of(In in, At a) {
  if (in.x.size() < 3) a.fail("x, indices and values are three tensors at least");
  return {index_put(in[0], {in.x.begin() + 1, in.x.end() - 1}, in.x.back(), {a.flag("accumulate", false)})};
}
Out index_add_of(In in, At a) {
  return {index_add(in[0], a.integer("dim"), given(in, 1, a), given(in, 2, a), a.real("alpha", 1))};
}

const OpFunction kArrangingForms[] = {
    {"argmax", 1, best<argmax>},
    {"argmin", 1, best<argmin>},
    {"max", 2, extremum<max, max, max>},
    {"min", 2, extremum<min, min, min>},
    {"count_nonzero", 1, [](In in, At a) -> Out { return {count_nonzero(in[0], a.list("dim"))}; }},
    {"cumprod", 1, along<cumprod>},
    {"logcumsumexp", 1, along<logcumsumexp>},
    {"var", 1, moment<var>},
    {"std", 1, moment<fovea::std>},
    {"var_mean", 1, moments<var_mean>},
    {"std_mean", 1, moments<std_mean>},
    {"norm", 1, norm_of},
    {"vector_norm", 1,
     [](In in, At a) -> Out {
       const double ord = a.real("ord", 2);
       Shape dim = a.list("dim");
       return {vector_norm(in[0], ord, dim, {a.flag("keepdim", false), a.dtype_if_given()})};
     }},
    {"normalize", 1,
     [](In in, At a) -> Out { return {normalize(in[0], a.real("p", 2), a.list("dim", 1), {a.real("eps", 1e-12)})}; }},
    {"flip", 1, [](In in, At a) -> Out { return {flip(in[0], a.required_list("dims"))}; }},
    {"roll", 1, roll_of},
    {"movedim", 1,
     [](In in, At a) -> Out { return {movedim(in[0], a.required_list("source"), a.required_list("destination"))}; }},
    {"unflatten", 1, [](In in, At a) -> Out { return {unflatten(in[0], a.integer("dim"), a.required_list("sizes"))}; }},
    {"tril", 1, [](In in, At a) -> Out { return {tril(in[0], a.integer("diagonal", 0))}; }},
    {"triu", 1, [](In in, At a) -> Out { return {triu(in[0], a.integer("diagonal", 0))}; }},
    {"pad", 1, pad_of},
    {"repeat", 1, repeat_of},
    {"tile", 1, [](In in, At a) -> Out { return {tile(in[0], a.required_list("dims"))}; }},
    {"repeat_interleave", 2, repeat_interleave_of},
    {"unfold", 1, unfold_of},
    {"index", -1, index_of},
    {"index_put", -1, index_put_of},
    {"nonzero", 1, [](In in, At) -> Out { return {nonzero(in[0])}; }},
    {"masked_select", 2, [](In in, At a) -> Out { return {masked_select(in[0], given(in, 1, a))}; }},
    {"masked_fill", 3, masked_fill_of},
    {"take_along_dim", 2, [](In in, At a) -> Out { return {take_along_dim(in[0], given(in, 1, a), axis(a))}; }},
    {"index_add", 3, index_add_of},
    {"one_hot", 1, [](In in, At a) -> Out { return {one_hot(in[0], a.integer("num_classes", -1))}; }},
    {"multinomial", 1,
     [](In in, At a) -> Out {
       return {multinomial(in[0], a.integer("num_samples"), {.replacement = a.flag("replacement", false)})};
     },
     1},
    {"categorical", 1, [](In in, At) -> Out { return {categorical(in[0])}; }, 1},
};

}  // namespace

std::span<const OpFunction> arranging_functions() { return kArrangingForms; }

}  // namespace fovea::cli
