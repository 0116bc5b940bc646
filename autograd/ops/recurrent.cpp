#include "autograd/ops/recurrent.h"

#include <string>

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

constexpr int64_t kMostSteps = int64_t(1) << 24;

enum class Kind : uint8_t { rnn_tanh, rnn_relu, gru, lstm };
constexpr int kBlocks[] = {1, 1, 3, 4};

// Biases are both there or both undefined.
struct Weights {
  Tensor w_ih, w_hh, b_ih, b_hh;
};
struct State {
  Tensor h, c;  // c: of lstm
};

std::string of(const Tensor& t) { return t.defined() ? detail::describe(t.array().view()) : "undefined"; }

// The size of the state.
int64_t check(Kind kind, const Weights& w, const Tensor& x, const std::string& which) {
  const int blocks = kBlocks[int(kind)];
  auto fits = [&](const Tensor& t, const Shape& s) { return t.defined() && t.shape() == s && t.dtype() == x.dtype(); };
  detail::check_floating(x.array().view(), "input");
  const int64_t rows = w.w_hh.defined() && w.w_hh.dim() == 2 ? w.w_hh.size(0) : -1, H = rows / blocks;
  if (rows < blocks || rows % blocks || !fits(w.w_hh, {rows, H}) || !fits(w.w_ih, {rows, x.size(-1)}))
    throw ShapeError("weights" + which + " are " + of(w.w_ih) + " and " + of(w.w_hh) + ", input is " + of(x) +
                     " (expected [" + std::to_string(blocks) + " H, I] and [" + std::to_string(blocks) +
                     " H, H] of input's dtype)");
  if (w.b_ih.defined() != w.b_hh.defined() || (w.b_ih.defined() && !(fits(w.b_ih, {rows}) && fits(w.b_hh, {rows}))))
    throw ShapeError("biases" + which + " are " + of(w.b_ih) + " and " + of(w.b_hh) + " (expected [" +
                     std::to_string(rows) + "] of input's dtype, or none)");
  return H;
}

Tensor check_state(const Tensor& h, const char* name, const Shape& expected, const Tensor& like) {
  if (!h.defined()) return zeros(expected, {.like = like.detach()});
  detail::check_shape(h.array().view(), name, expected);
  detail::check_dtype(h.array().view(), name, like.dtype());
  return h;
}

// The state of an LSTM is h and c: zeros in the place of one of them would go unnoticed.
void check_both(Kind kind, const Tensor& hx, const Tensor& cx) {
  if (kind == Kind::lstm && hx.defined() != cx.defined())
    throw ValueError("hx is " + of(hx) + ", cx " + of(cx) + " (expected both, or none)");
}

// What the inputs of any number of steps contribute, [..., G H]. Where the state's bias enters just as the input's, it
// is added here, once for all steps.
Tensor from_inputs(Kind kind, const Tensor& x, const Weights& w) {
  if (!w.b_ih.defined() || kind == Kind::gru) return linear(x, w.w_ih, w.b_ih);
  return linear(x, w.w_ih, w.b_ih + w.b_hh);
}

State step(Kind kind, const Tensor& in, const State& s, const Weights& w, int64_t H) {
  auto block = [&](const Tensor& t, int64_t k) { return narrow(t, -1, k * H, H); };
  if (kind == Kind::gru) {
    Tensor from_state = linear(s.h, w.w_hh, w.b_hh);
    Tensor gates = sigmoid(narrow(in, -1, 0, 2 * H) + narrow(from_state, -1, 0, 2 * H));
    Tensor n = tanh(block(in, 2) + block(gates, 0) * block(from_state, 2));
    return {n + block(gates, 1) * (s.h - n), {}};
  }
  Tensor z = in + linear(s.h, w.w_hh);
  if (kind == Kind::rnn_tanh) return {tanh(z), {}};
  if (kind == Kind::rnn_relu) return {relu(z), {}};
  Tensor gates = sigmoid(narrow(z, -1, 0, 2 * H));
  Tensor c = block(gates, 1) * s.c + block(gates, 0) * tanh(block(z, 2));
  return {sigmoid(block(z, 3)) * tanh(c), c};
}

State cell(Kind kind, const char* op, const Operand& input, const Tensor& hx, const Tensor& cx, const Operand& w_ih,
           const Operand& w_hh, const Operand& b_ih, const Operand& b_hh) {
  return detail::called(op, input.where(), [&] {
    const Tensor& x = detail::tensor_of(input, op);
    Weights w{detail::tensor_of(w_ih, op), detail::tensor_of(w_hh, op), *detail::optional_of(b_ih, op),
              *detail::optional_of(b_hh, op)};
    if (x.dim() != 1 && x.dim() != 2)
      throw ShapeError("input is " + to_string(x.shape()) + " (expected [B, I] or [I])");
    const int64_t H = check(kind, w, x, "");
    check_both(kind, hx, cx);
    Shape s = x.dim() == 2 ? Shape{x.size(0), H} : Shape{H};
    State state{check_state(hx, "hx", s, x), kind == Kind::lstm ? check_state(cx, "cx", s, x) : Tensor()};
    return step(kind, from_inputs(kind, x, w), state, w, H);
  });
}

// One direction of one layer: the states of every step in the order of time, and the last.
Tensor run(Kind kind, const Tensor& x, State& s, const Weights& w, int64_t H, bool backwards) {
  const int64_t T = x.size(0);
  Tensor in = from_inputs(kind, x, w);
  std::vector<Tensor> states(static_cast<size_t>(T));
  for (int64_t i = 0; i < T; i++) {
    const int64_t t = backwards ? T - 1 - i : i;
    s = step(kind, select(in, 0, t), s, w, H);
    states[size_t(t)] = s.h;
  }
  return stack(states, 0);
}

LstmOutput layers(Kind kind, const char* op, const Operand& input, const Tensor& hx, const Tensor& cx,
                  const std::vector<Tensor>& params, const RecurrentOptions& o) {
  return detail::called(op, input.where(), [&]() -> LstmOutput {
    Tensor x = detail::tensor_of(input, op);
    if (x.dim() != 2 && x.dim() != 3)
      throw ShapeError("input is " + to_string(x.shape()) + " (expected " +
                       (o.batch_first ? "[B, T, I]" : "[T, B, I]") + " or [T, I])");
    const bool batched = x.dim() == 3, turned = batched && o.batch_first;
    if (!batched) x = unsqueeze(x, 1);
    if (turned) x = transpose(x, 0, 1);
    if (x.size(0) < 1)
      throw ShapeError("input " + to_string(input.tensor().shape()) + " has no steps (expected one or more)");
    if (x.size(0) > kMostSteps)
      throw MemoryError("input " + to_string(input.tensor().shape()) + " has " + std::to_string(x.size(0)) +
                        " steps, each of which is recorded (expected at most " + std::to_string(kMostSteps) + ")");
    const int64_t directions = o.bidirectional ? 2 : 1, each = o.has_biases ? 4 : 2;
    if (o.num_layers < 1) throw ValueError("num_layers is " + std::to_string(o.num_layers) + " (expected 1 or more)");
    if (!(o.dropout >= 0 && o.dropout <= 1))
      throw ValueError("dropout is " + text_of(o.dropout) + " (expected 0 to 1)");
    if (o.num_layers > int64_t(params.size()) || int64_t(params.size()) != o.num_layers * directions * each)
      throw ValueError(std::to_string(params.size()) + " params (expected " + std::to_string(each) + " for each of " +
                       std::to_string(o.num_layers) + " layers and " + std::to_string(directions) + " directions)");
    check_both(kind, hx, cx);
    const int64_t B = x.size(1), rows = o.num_layers * directions;
    Tensor h0, c0;
    std::vector<Tensor> last_h, last_c;
    for (int64_t layer = 0; layer < o.num_layers; layer++) {
      std::vector<Tensor> outputs;
      if (layer > 0 && o.train && o.dropout > 0) x = dropout(x, o.dropout, {.generator = o.generator});
      for (int64_t d = 0; d < directions; d++) {
        const int64_t row = layer * directions + d;
        const Tensor* p = &params[size_t(row * each)];
        const Weights w{p[0], p[1], o.has_biases ? p[2] : Tensor(), o.has_biases ? p[3] : Tensor()};
        const int64_t H = check(kind, w, x, " of layer " + std::to_string(layer));
        if (row == 0) {
          const Shape all = batched ? Shape{rows, B, H} : Shape{rows, H};
          h0 = check_state(hx, "hx", all, x);
          if (kind == Kind::lstm) c0 = check_state(cx, "cx", all, x);
        }
        auto state_of = [&](const Tensor& t) {
          Tensor s = select(t, 0, row);
          return batched ? s : unsqueeze(s, 0);
        };
        State s{state_of(h0), kind == Kind::lstm ? state_of(c0) : Tensor()};
        detail::check_shape(s.h.array().view(), "the state", {B, H});
        outputs.push_back(run(kind, x, s, w, H, d == 1));
        last_h.push_back(s.h);
        if (kind == Kind::lstm) last_c.push_back(s.c);
      }
      x = directions == 1 ? outputs[0] : cat(outputs, -1);
    }
    auto joined = [&](const std::vector<Tensor>& states) { return batched ? stack(states, 0) : cat(states, 0); };
    Tensor output = turned ? transpose(x, 0, 1) : batched ? x : squeeze(x, 1);
    return {output, joined(last_h), kind == Kind::lstm ? joined(last_c) : Tensor()};
  });
}

std::pair<Tensor, Tensor> two(LstmOutput y) { return {y.output, y.h_n}; }

}  // namespace

Tensor rnn_tanh_cell(const Operand& x, const Operand& hx, const Operand& w_ih, const Operand& w_hh, const Operand& b_ih,
                     const Operand& b_hh) {
  const char* op = "rnn_tanh_cell";
  return cell(Kind::rnn_tanh, op, x, *detail::optional_of(hx, op), {}, w_ih, w_hh, b_ih, b_hh).h;
}
Tensor rnn_relu_cell(const Operand& x, const Operand& hx, const Operand& w_ih, const Operand& w_hh, const Operand& b_ih,
                     const Operand& b_hh) {
  const char* op = "rnn_relu_cell";
  return cell(Kind::rnn_relu, op, x, *detail::optional_of(hx, op), {}, w_ih, w_hh, b_ih, b_hh).h;
}
Tensor gru_cell(const Operand& x, const Operand& hx, const Operand& w_ih, const Operand& w_hh, const Operand& b_ih,
                const Operand& b_hh) {
  return cell(Kind::gru, "gru_cell", x, *detail::optional_of(hx, "gru_cell"), {}, w_ih, w_hh, b_ih, b_hh).h;
}
HiddenAndCell lstm_cell(const Operand& x, const HiddenAndCell& hx, const Operand& w_ih, const Operand& w_hh,
                        const Operand& b_ih, const Operand& b_hh) {
  State s = cell(Kind::lstm, "lstm_cell", x, hx.first, hx.second, w_ih, w_hh, b_ih, b_hh);
  return {s.h, s.c};
}

std::pair<Tensor, Tensor> rnn_tanh(const Operand& input, const Operand& hx, const std::vector<Tensor>& params,
                                   const RecurrentOptions& o) {
  return two(layers(Kind::rnn_tanh, "rnn_tanh", input, *detail::optional_of(hx, "rnn_tanh"), {}, params, o));
}
std::pair<Tensor, Tensor> rnn_relu(const Operand& input, const Operand& hx, const std::vector<Tensor>& params,
                                   const RecurrentOptions& o) {
  return two(layers(Kind::rnn_relu, "rnn_relu", input, *detail::optional_of(hx, "rnn_relu"), {}, params, o));
}
std::pair<Tensor, Tensor> gru(const Operand& input, const Operand& hx, const std::vector<Tensor>& params,
                              const RecurrentOptions& o) {
  return two(layers(Kind::gru, "gru", input, *detail::optional_of(hx, "gru"), {}, params, o));
}
LstmOutput lstm(const Operand& input, const HiddenAndCell& hx, const std::vector<Tensor>& params,
                const RecurrentOptions& o) {
  return layers(Kind::lstm, "lstm", input, hx.first, hx.second, params, o);
}

}  // namespace fovea
