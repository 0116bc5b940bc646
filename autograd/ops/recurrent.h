// Recurrent networks, cells and whole layers, by the names, argument order and weight layout of torch.rnn_tanh,
// torch.gru, torch.lstm and their cells. Made of linear and elementwise ops, a step at a time.
#pragma once
#include <utility>
#include <vector>

#include "autograd/ops/random.h"

namespace fovea {

// One step: input [B, I] and state [B, H], or [I] and [H]; an undefined state is zeros. w_ih [G H, I], w_hh [G H, H],
// biases [G H] or undefined, with G blocks of rows: rnn 1; gru 3: reset, update, new; lstm 4: input, forget, cell,
// output.
//   rnn:  h' = tanh or relu of w_ih x + b_ih + w_hh h + b_hh
//   gru:  n = tanh(in_n + r hn_n), h' = (1 - z) n + z h                         (Cho et al., 2014)
//   lstm: c' = f c + i tanh(g), h' = o tanh(c')                (Hochreiter and Schmidhuber, 1997)
Tensor rnn_tanh_cell(const Operand& input, const Operand& hx, const Operand& w_ih, const Operand& w_hh,
                     const Operand& b_ih = Tensor(), const Operand& b_hh = Tensor());
Tensor rnn_relu_cell(const Operand& input, const Operand& hx, const Operand& w_ih, const Operand& w_hh,
                     const Operand& b_ih = Tensor(), const Operand& b_hh = Tensor());
Tensor gru_cell(const Operand& input, const Operand& hx, const Operand& w_ih, const Operand& w_hh,
                const Operand& b_ih = Tensor(), const Operand& b_hh = Tensor());
using HiddenAndCell = std::pair<Tensor, Tensor>;
HiddenAndCell lstm_cell(const Operand& input, const HiddenAndCell& hx, const Operand& w_ih, const Operand& w_hh,
                        const Operand& b_ih = Tensor(), const Operand& b_hh = Tensor());

struct RecurrentOptions {
  bool has_biases = true;
  int64_t num_layers = 1;
  double dropout = 0;  // between layers, where `train`
  bool train = false;
  bool bidirectional = false;
  bool batch_first = false;  // input and output are [B, T, ...]
  Generator* generator = nullptr;
};
// Layers over a sequence: input [T, B, I], or [T, I] without a batch; states [layers * directions, B, H], or undefined:
// zeros. `params`: for each layer, and in it for each direction, w_ih, w_hh and with has_biases b_ih, b_hh. Returns the
// last layer's states [T, B, directions * H] and the final state of every layer and direction.
std::pair<Tensor, Tensor> rnn_tanh(const Operand& input, const Operand& hx, const std::vector<Tensor>& params,
                                   const RecurrentOptions& o = {});
std::pair<Tensor, Tensor> rnn_relu(const Operand& input, const Operand& hx, const std::vector<Tensor>& params,
                                   const RecurrentOptions& o = {});
std::pair<Tensor, Tensor> gru(const Operand& input, const Operand& hx, const std::vector<Tensor>& params,
                              const RecurrentOptions& o = {});
struct LstmOutput {
  Tensor output, h_n, c_n;
};
LstmOutput lstm(const Operand& input, const HiddenAndCell& hx, const std::vector<Tensor>& params,
                const RecurrentOptions& o = {});

}  // namespace fovea
