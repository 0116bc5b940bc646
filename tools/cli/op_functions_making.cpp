// Forms of functions that make tensors out of numbers, patterns and draws: they take attributes only, or the tensor
// whose shape, dtype and device they copy.
#include "autograd/ops/arrange.h"
#include "autograd/ops/random.h"
#include "tools/cli/op_functions.h"

namespace fovea::cli {
namespace {

using In = const OpInputs&;
using At = Attributes&;
using Out = std::vector<Tensor>;

Number number(At a, const char* name, Number otherwise) {
  if (!a.has(name)) return a.json(name), otherwise;
  if (const io::Json* j = a.json(name); j->is_bool()) return j->as_bool();
  return a.json(name)->is_int() ? Number(a.integer(name)) : Number(a.real(name, 0));
}
Number required(At a, const char* name) {
  if (!a.has(name)) a.integer(name);  // says that it is missing
  return number(a, name, 0);
}
TensorOptions plain(At a) { return {.dtype = a.dtype_if_given()}; }
RandomOptions random(At a) { return {.dtype = a.dtype_if_given()}; }

template <Tensor (*f)(const Shape&, const TensorOptions&, Tensor::Where)> Out filled(In, At a) {
  return {f(a.required_list("size"), plain(a), Tensor::Where::current())};
}
template <Tensor (*f)(const Shape&, const RandomOptions&, Tensor::Where)> Out drawn(In, At a) {
  return {f(a.required_list("size"), random(a), Tensor::Where::current())};
}

const OpFunction kMakingForms[] = {
    {"arange", 0,
     [](In, At a) -> Out {
       return {arange(number(a, "start", 0), required(a, "end"), number(a, "step", 1), plain(a))};
     }},
    {"linspace", 0,
     [](In, At a) -> Out {
       return {linspace(required(a, "start"), required(a, "end"), a.integer("steps"), plain(a))};
     }},
    {"full", 0, [](In, At a) -> Out { return {full(a.required_list("size"), required(a, "fill_value"), plain(a))}; }},
    {"zeros", 0, filled<zeros>},
    {"ones", 0, filled<ones>},
    {"eye", 0,
     [](In, At a) -> Out {
       const int64_t n = a.integer("n");
       return {eye(n, a.integer("m", n), plain(a))};
     }},
    {"rand", 0, drawn<fovea::rand>},
    {"randn", 0, drawn<randn>},
    {"uniform", 0,
     [](In, At a) -> Out {
       return {uniform(a.required_list("size"), a.real("low", 0), a.real("high", 1), random(a))};
     }},
    {"normal", 0,
     [](In, At a) -> Out { return {normal(a.real("mean", 0), a.real("std", 1), a.required_list("size"), random(a))}; }},
    {"randint", 0,
     [](In, At a) -> Out {
       return {randint(a.integer("low", 0), a.integer("high"), a.required_list("size"), random(a))};
     }},
    {"randperm", 0, [](In, At a) -> Out { return {randperm(a.integer("n"), random(a))}; }},
    {"empty_like", 1, [](In in, At a) -> Out { return {empty_like(in[0], plain(a))}; }, 1},
    {"zeros_like", 1, [](In in, At a) -> Out { return {zeros_like(in[0], plain(a))}; }, 1},
    {"ones_like", 1, [](In in, At a) -> Out { return {ones_like(in[0], plain(a))}; }, 1},
    {"full_like", 1, [](In in, At a) -> Out { return {full_like(in[0], required(a, "fill_value"), plain(a))}; }, 1},
    {"rand_like", 1, [](In in, At a) -> Out { return {rand_like(in[0], random(a))}; }, 1},
    {"randn_like", 1, [](In in, At a) -> Out { return {randn_like(in[0], random(a))}; }, 1},
    {"randint_like", 1,
     [](In in, At a) -> Out { return {randint_like(in[0], a.integer("low", 0), a.integer("high"), random(a))}; }, 1},
};

}  // namespace

std::span<const OpFunction> making_functions() { return kMakingForms; }

}  // namespace fovea::cli
