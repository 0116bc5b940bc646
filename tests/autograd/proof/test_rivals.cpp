// bf16 and f16: sums, norms, losses and layers beside what the same formula gives when each of its steps is rounded to
// the dtype; and that what has no place there rounds once.
#include <cmath>
#include <set>
#include <string>

#include <doctest/doctest.h>
#include "autograd/apply.h"
#include "autograd/ops/activation.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/attention.h"
#include "autograd/ops/convolution.h"
#include "autograd/ops/index.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/moments.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/recurrent.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/scan.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/view.h"
#include "autograd/proof/evaluate.h"
#include "core/device.h"

using namespace fovea;
using namespace fovea::proof;

namespace {

// Sums by halves, each rounded.
Tensor halves(const Tensor& given) {
  Tensor x = given;
  while (x.size(-1) > 1) {
    const int64_t n = x.size(-1) / 2, rest = x.size(-1) % 2;
    Tensor y = narrow(x, -1, 0, n) + narrow(x, -1, n, n);
    x = rest ? cat({y, narrow(x, -1, 2 * n, 1)}, -1) : y;
  }
  return x;
}
Tensor average(const Tensor& x) { return halves(x) / double(x.size(-1)); }
Tensor shifted(const Tensor& x) { return x - amax(x, {-1}, {.keepdim = true}).detach(); }

// As sum_k a[i, k] b[j, k].
Tensor products(const Tensor& a, const Tensor& b) { return halves(unsqueeze(a, 1) * unsqueeze(b, 0)).squeeze(-1); }
Tensor naive_softmax(const Tensor& x) {
  Tensor e = exp(shifted(x));
  return e / halves(e);
}
Tensor naive_norm(const Tensor& x) {
  Tensor m = x - average(x);
  return m * rsqrt(average(m * m) + 1e-5);
}
Tensor naive_var(const Tensor& x) {
  Tensor m = x - average(x);
  return halves(m * m) / double(x.size(-1) - 1);
}
Tensor naive_cumsum(const Tensor& x) {
  std::vector<Tensor> y{narrow(x, 1, 0, 1)};
  for (int64_t i = 1; i < x.size(1); i++) y.push_back(y.back() + narrow(x, 1, i, 1));
  return cat(y, 1);
}
// Weights that every dtype holds.
Tensor weights(const Tensor& x, const Shape& s) { return probe_like(zeros(s, {.like = x}), Probe::sixteenths, 5); }
Tensor heads(const Tensor& x) { return x.reshape({1, 1, 16, -1}); }
Tensor mean_of(const Tensor& x) { return average(x.reshape({1, -1})).reshape(Shape{}); }
Tensor naive_attention(const Tensor& x) {
  Tensor p = naive_softmax(products(x, x) * (1 / std::sqrt(double(x.size(1)))));
  return products(p, transpose(x, 0, 1));
}
// With a bend at 1.
Tensor naive_huber(const Tensor& x) {
  Tensor d = abs(x), near = minimum(d, 1);
  return mean_of(near * (d - near * 0.5));
}

// Cells of states [B, 2]: gates of the input, gates of the state, the state, the other state of an LSTM.
using Cell = Tensor (*)(const Tensor& i, const Tensor& s, const Tensor& h, Tensor& c);
Tensor gate(const Tensor& t, int64_t k) { return narrow(t, 1, 2 * k, 2); }
Tensor naive_tanh(const Tensor& i, const Tensor& s, const Tensor&, Tensor&) { return tanh(i + s); }
Tensor naive_relu(const Tensor& i, const Tensor& s, const Tensor&, Tensor&) { return relu(i + s); }
Tensor naive_gru(const Tensor& i, const Tensor& s, const Tensor& h, Tensor&) {
  Tensor r = sigmoid(gate(i, 0) + gate(s, 0)), z = sigmoid(gate(i, 1) + gate(s, 1));
  return (1 - z) * tanh(gate(i, 2) + r * gate(s, 2)) + z * h;
}
Tensor naive_lstm(const Tensor& i, const Tensor& s, const Tensor&, Tensor& c) {
  Tensor all = i + s;
  c = sigmoid(gate(all, 1)) * c + sigmoid(gate(all, 0)) * tanh(gate(all, 2));
  return sigmoid(gate(all, 3)) * tanh(c);
}
std::vector<Tensor> matrices(const Tensor& x, int64_t gates) {
  return {weights(x, {2 * gates, x.size(1)}), weights(x, {2 * gates, 2})};
}
// One step from states that are columns of x.
template <Cell cell, int gates> Tensor naive_step(const Tensor& x) {
  const std::vector<Tensor> w = matrices(x, gates);
  Tensor h = narrow(x, 1, 0, 2), c = narrow(x, 1, 1, 2);
  Tensor y = cell(products(x, w[0]), products(h, w[1]), h, c);
  return gates == 4 ? cat({y, c}, 1) : y;
}
// Four steps from zeros.
Tensor steps(const Tensor& x) { return x.reshape({4, 4, -1}); }
template <Cell cell, int gates> Tensor naive_steps(const Tensor& x) {
  const std::vector<Tensor> w = matrices(x, gates);
  Tensor h = zeros({4, 2}, {.like = x}), c = h;
  std::vector<Tensor> all;
  for (int64_t t = 0; t < 4; t++)
    all.push_back(h = cell(products(select(steps(x), 0, t), w[0]), products(h, w[1]), h, c));
  return cat(all, 0);
}
constexpr RecurrentOptions kNoBiases{.has_biases = false};

struct Rival {
  const char* name;
  Tensor (*mine)(const Tensor& x);   // [rows, n]
  Tensor (*naive)(const Tensor& x);  // every step in x's dtype
};
const Rival kRivals[] = {
    {"sum", [](const Tensor& x) { return sum(x, -1, {.keepdim = true}); }, halves},
    {"mean", [](const Tensor& x) { return mean(x, -1, {.keepdim = true}); }, average},
    {"softmax", [](const Tensor& x) { return softmax(x, -1); }, naive_softmax},
    {"log_softmax", [](const Tensor& x) { return log_softmax(x, -1); },
     [](const Tensor& x) { return shifted(x) - log(halves(exp(shifted(x)))); }},
    {"logsumexp", [](const Tensor& x) { return logsumexp(x, {-1}, {.keepdim = true}); },
     [](const Tensor& x) { return log(halves(exp(shifted(x)))) + amax(x, {-1}, {.keepdim = true}); }},
    {"layer_norm", [](const Tensor& x) { return layer_norm(x, x.size(-1)); }, naive_norm},
    {"rms_norm", [](const Tensor& x) { return rms_norm(x, x.size(-1), Tensor(), {1e-5}); },
     [](const Tensor& x) { return x * rsqrt(average(x * x) + 1e-5); }},
    {"cross_entropy", [](const Tensor& x) { return cross_entropy(x, argmin(x, -1), {.reduction = Reduction::none}); },
     [](const Tensor& x) { return log(halves(exp(shifted(x)))).squeeze(-1) - amin(shifted(x), {-1}); }},
    {"matmul", [](const Tensor& x) { return matmul(x, transpose(x, 0, 1)); },
     [](const Tensor& x) { return products(x, x); }},
    {"linear",
     [](const Tensor& x) {
       return linear(x, weights(x, {3, x.size(1)}), weights(x, {3}));
     },
     [](const Tensor& x) {
       return products(x, weights(x, {3, x.size(1)})) + weights(x, {3});
     }},
    {"attention", [](const Tensor& x) { return attention(heads(x), heads(x), heads(x)).reshape(x.shape()); },
     naive_attention},
    {"scaled_dot_product_attention",
     [](const Tensor& x) { return scaled_dot_product_attention(heads(x), heads(x), heads(x)).reshape(x.shape()); },
     naive_attention},
    {"var", [](const Tensor& x) { return var(x, -1, {.keepdim = true}); }, naive_var},
    {"std", [](const Tensor& x) { return fovea::std(x, -1, {.keepdim = true}); },
     [](const Tensor& x) { return sqrt(naive_var(x)); }},
    {"vector_norm", [](const Tensor& x) { return vector_norm(x, 2, -1, {.keepdim = true}); },
     [](const Tensor& x) { return sqrt(halves(x * x)); }},
    {"cumsum", [](const Tensor& x) { return cumsum(x, 1); }, naive_cumsum},
    {"logcumsumexp", [](const Tensor& x) { return logcumsumexp(x, 1); },
     [](const Tensor& x) { return log(naive_cumsum(exp(shifted(x)))) + amax(x, {-1}, {.keepdim = true}).detach(); }},
    {"group_norm",
     [](const Tensor& x) {
       return group_norm(x.reshape({2, 8, -1}), 2).reshape(x.shape());
     },
     [](const Tensor& x) {
       return naive_norm(x.reshape({4, -1})).reshape(x.shape());
     }},
    {"softmax down", [](const Tensor& x) { return softmax(x, 0); },
     [](const Tensor& x) { return transpose(naive_softmax(transpose(x, 0, 1)), 0, 1); }},
    {"huber_loss", [](const Tensor& x) { return huber_loss(x, zeros_like(x.detach())); }, naive_huber},
    {"smooth_l1_loss", [](const Tensor& x) { return smooth_l1_loss(x, zeros_like(x.detach())); }, naive_huber},
    {"nll_loss", [](const Tensor& x) { return nll_loss(x, argmin(x, -1)); },
     [](const Tensor& x) { return mean_of(-gather(x, 1, argmin(x, -1, {.keepdim = true}))); }},
    {"cosine_similarity", [](const Tensor& x) { return cosine_similarity(x, weights(x, x.shape())); },
     [](const Tensor& x) {
       Tensor w = weights(x, x.shape());
       return (halves(x * w) / (sqrt(halves(x * x)) * sqrt(halves(w * w)))).squeeze(-1);
     }},
    {"bilinear",
     [](const Tensor& x) {
       return bilinear(x, narrow(x, 1, 0, 2), weights(x, {3, x.size(1), 2}));
     },
     [](const Tensor& x) {
       Tensor pairs = unsqueeze(x, 2) * unsqueeze(narrow(x, 1, 0, 2), 1);
       return products(pairs.reshape({16, -1}), weights(x, {3, x.size(1), 2}).reshape({3, -1}));
     }},
    {"einsum",
     [](const Tensor& x) {
       return einsum("ij,ij->", {x, weights(x, x.shape())});
     },
     [](const Tensor& x) {
       return halves((x * weights(x, x.shape())).reshape({1, -1})).reshape(Shape{});
     }},
    {"l1_loss", [](const Tensor& x) { return l1_loss(x, zeros_like(x.detach())); },
     [](const Tensor& x) { return mean_of(abs(x)); }},
    {"binary_cross_entropy_with_logits",
     [](const Tensor& x) { return binary_cross_entropy_with_logits(x, ones_like(x.detach()) * 0.25); },
     [](const Tensor& x) { return mean_of(x * 0.75 + log1p(exp(-x))); }},
    {"kl_div", [](const Tensor& x) { return kl_div(x, ones_like(x.detach()) * 0.5); },
     [](const Tensor& x) { return mean_of((-x + log(ones_like(x.detach()) * 0.5)) * 0.5); }},
    {"conv1d",
     [](const Tensor& x) {
       return conv1d(x.reshape({1, 16, -1}), weights(x, {2, 16, 3})).reshape({2, -1});
     },
     [](const Tensor& x) {
       Tensor windows = permute(unfold(x, 1, 3, 1), {1, 0, 2});
       return products(weights(x, {2, 48}), windows.reshape({windows.size(0), 48}));
     }},
    {"rnn_tanh_cell",
     [](const Tensor& x) { return rnn_tanh_cell(x, narrow(x, 1, 0, 2), matrices(x, 1)[0], matrices(x, 1)[1]); },
     naive_step<naive_tanh, 1>},
    {"rnn_relu_cell",
     [](const Tensor& x) { return rnn_relu_cell(x, narrow(x, 1, 0, 2), matrices(x, 1)[0], matrices(x, 1)[1]); },
     naive_step<naive_relu, 1>},
    {"gru_cell", [](const Tensor& x) { return gru_cell(x, narrow(x, 1, 0, 2), matrices(x, 3)[0], matrices(x, 3)[1]); },
     naive_step<naive_gru, 3>},
    {"lstm_cell",
     [](const Tensor& x) {
       auto [h, c] = lstm_cell(x, {narrow(x, 1, 0, 2), narrow(x, 1, 1, 2)}, matrices(x, 4)[0], matrices(x, 4)[1]);
       return cat({h, c}, 1);
     },
     naive_step<naive_lstm, 4>},
    {"rnn_tanh",
     [](const Tensor& x) {
       return rnn_tanh(steps(x), Tensor(), matrices(x, 1), kNoBiases).first.reshape({16, 2});
     },
     naive_steps<naive_tanh, 1>},
    {"rnn_relu",
     [](const Tensor& x) {
       return rnn_relu(steps(x), Tensor(), matrices(x, 1), kNoBiases).first.reshape({16, 2});
     },
     naive_steps<naive_relu, 1>},
    {"gru",
     [](const Tensor& x) {
       return gru(steps(x), Tensor(), matrices(x, 3), kNoBiases).first.reshape({16, 2});
     },
     naive_steps<naive_gru, 3>},
    {"lstm",
     [](const Tensor& x) {
       return lstm(steps(x), {}, matrices(x, 4), kNoBiases).output.reshape({16, 2});
     },
     naive_steps<naive_lstm, 4>},
    {"mse_loss", [](const Tensor& x) { return mse_loss(x, zeros_like(x.detach())); },
     [](const Tensor& x) {
       return average((x * x).reshape({1, -1})).reshape(Shape{});
     }},
};

}  // namespace

TEST_CASE("bf16 and f16: sums, norms and losses, and their gradients, are as near as with every step in the dtype") {
  for (const char* d : {"ref", "cpu"})
    for (DType t : {bf16, f16})
      for (int64_t n : {3, 64, 257})
        for (const Rival& r : kRivals) {
          std::vector<double> v;
          for (int64_t i = 0; i < 16 * n; i++) v.push_back(2 * noise(uint64_t(i), 7));
          Tensor x = Tensor::of(v, {16, n}, {.dtype = t, .device = device(d)}), exact_x = x.to(f64).requires_grad_();
          auto both = [&](Tensor (*f)(const Tensor&), Tensor leaf) {
            Tensor y = f(leaf);
            Tensor w = probe_like(y, Probe::sixteenths, 3);
            return std::pair{y.detach().to(f64), grad({y}, {leaf}, {w})[0].to(f64)};
          };
          auto exact = both(r.mine, exact_x), mine = both(r.mine, x.requires_grad_()),
               naive = both(r.naive, x.requires_grad_());
          auto error = [](const Tensor& a, const Tensor& b) { return amax(abs(a - b)).item(); };
          const double eps = t == bf16 ? 0x1p-8 : 0x1p-11;  // half a place
          std::pair<const Tensor*, const Tensor*> mine_[] = {{&mine.first, &naive.first},
                                                             {&mine.second, &naive.second}};
          const Tensor* exact_[] = {&exact.first, &exact.second};
          for (int k : {0, 1}) {
            const double e = error(*mine_[k].first, *exact_[k]), rival = error(*mine_[k].second, *exact_[k]);
            INFO(std::string(r.name), std::string(k ? " gradient " : " "), std::string(d), " ", std::string(name_of(t)),
                 " of ", n, ": ", e, ", naive ", rival);
            CHECK(e <= 1.001 * std::max(2 * rival, eps * amax(abs(*exact_[k])).item()));
          }
        }
}

namespace {

// Why a function needs no rival, by what it is; empty where it does.
std::string without_rival(const Sample& s) {
  static const std::set<std::string> rivals = [] {
    std::set<std::string> all;
    for (const Rival& r : kRivals) all.insert(std::string(r.name));
    return all;
  }();
  const std::string name = s.subject(), stem = name.substr(0, name.find("_backward"));
  if (rivals.count(stem)) return "a row above, or the gradient of one";
  if (!s.function && row(s.op).elementwise)
    return "each number rounded once; its gradient is its rule, a step at a time";
  return "";
}

}  // namespace

TEST_CASE("bf16 and f16: what stands beside no naive rival rounds once") {
  int rounded_once = 0;
  for (const Sample& s : all_samples())
    for (DType t : {bf16, f16}) {
      if (s.large || s.op >= op::count || !has_floating_input(s) || !contains(s.dtypes, t) || s.kink) continue;
      std::vector<Tensor> exact_x = raw_inputs(s, t, device("ref"));
      for (Tensor& x : exact_x)
        if (x.defined() && is_floating(x.dtype())) x = x.to(f64);
      exact_x = completed(s, exact_x);
      std::vector<Tensor> x = make_inputs(s, t, device("cpu")), y = run(s, x), exact = run(s, exact_x);
      const std::string why = without_rival(s);
      const bool elementwise = why.rfind("each", 0) == 0;
      if (!elementwise && !why.empty()) continue;
      if (!elementwise && s.order > 0 && !differentiated_inputs(s).empty() && !differentiable_outputs(s, y).empty()) {
        std::vector<Tensor> g, exact_g;
        for (int k : differentiable_outputs(s, y)) {
          g.push_back(probe_like(y[size_t(k)], Probe::sixteenths, 3));
          exact_g.push_back(g.back().to(device("ref")).to(f64));
        }
        for (const Tensor& d : gradients(s, x, g)) y.push_back(d);
        for (const Tensor& d : gradients(s, exact_x, exact_g)) exact.push_back(d);
      }
      const double eps = t == bf16 ? 0x1p-8 : 0x1p-11;
      double least = t == bf16 ? 0x1p-126 : 0x1p-14;
      if (s.op == op::gelu) least = std::max(least, 1e-15);  // the reference's x (1 + erf(x)) / 2 ends there
      for (size_t k = 0; k < y.size(); k++) {
        if (!is_floating(y[k].dtype())) continue;
        Numbers a = numbers(y[k]), b = numbers(exact[k]);
        double most = least;
        for (double v : b) most = std::isfinite(v) ? std::max(most, std::abs(v)) : most;
        for (size_t i = 0; i < a.size(); i++) {
          if (!std::isfinite(a[i]) || !std::isfinite(b[i])) continue;
          const double size = elementwise ? std::max(std::abs(b[i]), least) : most;
          INFO(s.name << " " << std::string(name_of(t)) << " result " << k << ": " << a[i] << ", exactly " << b[i]
                      << ", " << std::abs(a[i] - b[i]) / (eps * size) << " half places");
          CHECK(std::abs(a[i] - b[i]) <= 1.01 * eps * size);
        }
        rounded_once++;
      }
    }
  CHECK(rounded_once > 1000);
}
