// The forms of normalisations, losses, positions, convolutions, pools and recurrent layers. Lists of tensors are inputs
// in sequence, as torch.lstm(input, hx, params, ...) has them.
#include "autograd/ops/activation.h"
#include "autograd/ops/convolution.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/position.h"
#include "autograd/ops/recurrent.h"
#include "tools/cli/op_functions.h"

namespace fovea::cli {
namespace {

using In = const OpInputs&;
using At = Attributes&;
using Out = std::vector<Tensor>;

std::optional<int64_t> maybe_integer(At a, const char* name) {
  if (a.has(name)) return a.integer(name);
  a.json(name);  // null
  return {};
}

Out rms_norm_of(In in, At a) {
  Shape normalized = a.list("normalized_shape", in[1].defined() ? in[1].shape() : Shape{in[0].size(-1)});
  RmsNormOptions o;
  if (a.has("eps")) o.eps = a.real("eps", 0);
  a.json("eps");
  return {rms_norm(in[0], normalized, in[1], o)};
}

Out kl_div_of(In in, At a) {
  const std::string name = a.text("reduction", "mean");
  const std::pair<const char*, KlReduction> all[] = {{"none", KlReduction::none},
                                                     {"mean", KlReduction::mean},
                                                     {"sum", KlReduction::sum},
                                                     {"batchmean", KlReduction::batchmean}};
  for (auto& [known, reduction] : all)
    if (name == known) return {kl_div(in[0], in[1], {reduction, a.flag("log_target", false)})};
  a.fail("reduction is '" + name + "' (expected none, mean, sum or batchmean)");
}

Out rope_of(In in, At a) {
  return {rope(in[0], {.dims = a.integer("dims", 0),
                       .interleaved = a.flag("interleaved", false),
                       .base = a.real("base", 10000),
                       .scale = a.real("scale", 1),
                       .offset = a.integer("offset", 0),
                       .positions = in[1],
                       .heads_inside = a.flag("heads_inside", false)})};
}

template <Tensor (*f)(const Operand&, const Operand&, const Operand&, const ConvOptions&)> Out conv_of(In in, At a) {
  ConvOptions o{.stride = a.list("stride", {1}), .dilation = a.list("dilation", {1}), .groups = a.integer("groups", 1)};
  const io::Json* padding = a.json("padding");
  if (padding && padding->is_string()) {
    const std::string text = a.text("padding", "");
    if (text != "same" && text != "valid") a.fail("padding is '" + text + "' (expected same, valid or numbers)");
    o.same = text == "same";
  } else {
    o.padding = a.list("padding", {0});
  }
  return {f(in[0], in[1], in[2], o)};
}

Out max_pool1d_of(In in, At a) {
  return {max_pool1d(
      in[0], a.integer("kernel_size"),
      {maybe_integer(a, "stride"), a.integer("padding", 0), a.integer("dilation", 1), a.flag("ceil_mode", false)})};
}
Out avg_pool1d_of(In in, At a) {
  return {avg_pool1d(in[0], a.integer("kernel_size"),
                     {maybe_integer(a, "stride"), a.integer("padding", 0), a.flag("ceil_mode", false),
                      a.flag("count_include_pad", true)})};
}

template <Tensor (*f)(const Operand&, const Operand&, const Operand&, const Operand&, const Operand&, const Operand&)>
Out cell_of(In in, At) {
  return {f(in[0], in[1], in[2], in[3], in[4], in[5])};
}

RecurrentOptions recurrent(At a) {
  return {a.flag("has_biases", true), a.integer("num_layers", 1),     a.real("dropout", 0),
          a.flag("train", false),     a.flag("bidirectional", false), a.flag("batch_first", false)};
}
Out params_of(In in, size_t from) {
  if (in.x.size() < from) return {};
  return Out(in.x.begin() + int64_t(from), in.x.end());
}
template <std::pair<Tensor, Tensor> (*f)(const Operand&, const Operand&, const Out&, const RecurrentOptions&)>
Out layers_of(In in, At a) {
  auto [output, state] = f(in[0], in[1], params_of(in, 2), recurrent(a));
  return {output, state};
}

const OpFunction kNnForms[] = {
    {"swiglu", 2, [](In in, At) -> Out { return {swiglu(in[0], in[1])}; }},
    {"rms_norm", 2, rms_norm_of},
    {"group_norm", 3,
     [](In in, At a) -> Out {
       return {group_norm(in[0], a.integer("num_groups"), in[1], in[2], {a.real("eps", 1e-5)})};
     }},
    {"kl_div", 2, kl_div_of},
    {"cosine_similarity", 2,
     [](In in, At a) -> Out { return {cosine_similarity(in[0], in[1], a.integer("dim", 1), {a.real("eps", 1e-8)})}; }},
    {"rope", 2, rope_of},
    {"conv1d", 3, conv_of<conv1d>},
    {"conv2d", 3, conv_of<conv2d>},
    {"max_pool1d", 1, max_pool1d_of},
    {"avg_pool1d", 1, avg_pool1d_of},
    {"rnn_tanh_cell", 6, cell_of<rnn_tanh_cell>},
    {"rnn_relu_cell", 6, cell_of<rnn_relu_cell>},
    {"gru_cell", 6, cell_of<gru_cell>},
    {"lstm_cell", 7,
     [](In in, At) -> Out {
       auto [h, c] = lstm_cell(in[0], {in[1], in[2]}, in[3], in[4], in[5], in[6]);
       return {h, c};
     }},
    {"rnn_tanh", -1, layers_of<rnn_tanh>},
    {"rnn_relu", -1, layers_of<rnn_relu>},
    {"gru", -1, layers_of<gru>},
    {"lstm", -1,
     [](In in, At a) -> Out {
       LstmOutput y = lstm(in[0], {in[1], in[2]}, params_of(in, 3), recurrent(a));
       return {y.output, y.h_n, y.c_n};
     }},
};

}  // namespace

std::span<const OpFunction> nn_functions() { return kNnForms; }

}  // namespace fovea::cli
