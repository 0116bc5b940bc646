// Slots pair_loss, pair_loss_backward and nll_loss. A sum is cut into pieces of fixed size, which are joined in order,
// so threads do not change a bit.
#include "backends/cpu/loss.h"

#include <algorithm>

#include "backends/cpu/kernels.h"
#include "core/parallel.h"

#define FOVEA_FAMILY "backends/cpu/loss_kernels.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {
namespace {

constexpr int64_t kPiece = 1 << 14;  // elements of a sum that are one piece
constexpr int64_t kGrain = 1 << 13;  // elements that are worth a thread

int64_t pieces(const View& x) { return (x.numel + kPiece - 1) / kPiece; }
LossParameters parameters(const PairLossAttrs& a) { return {float(a.delta), float(a.scale)}; }

}  // namespace

const LossKernels& loss_kernels(Isa level, PairLoss kind) {
  static constexpr const LossKernels* const* tables[] = {sse2::kLossTable, avx2::kLossTable, avx512::kLossTable};
  return *tables[int(level)][int(kind)];
}

bool pair_loss_accepts(const Call& c, const void*) { return c.x(0).numel > 0 && c.y().dense; }
int64_t pair_loss_scratch(const Call& c, const void* attrs) {
  const auto& a = *static_cast<const PairLossAttrs*>(attrs);
  return a.reduction == Reduction::none ? 0 : pieces(c.x(0)) * int64_t(sizeof(double));
}
// Inputs x, t.
Status pair_loss(const Call& c, const PairLossAttrs& a) {
  const LossKernels& k = loss_kernels(isa(), a.kind);
  const LossParameters p = parameters(a);
  const int64_t n = c.x(0).numel, count = pieces(c.x(0));
  const float *x = c.x(0).as<float>(), *t = c.x(1).as<float>();
  float* y = c.y().as<float>();
  if (a.reduction == Reduction::none) {
    parallel_for(0, n, kGrain, [&](int64_t b, int64_t e) { k.terms(e - b, x + b, t + b, p, y + b); });
    return {};
  }
  double* part = static_cast<double*>(c.scratch);
  parallel_for(0, count, 1, [&](int64_t b, int64_t e) {
    for (int64_t q = b; q < e; q++)
      part[q] = k.sum(std::min(kPiece, n - q * kPiece), x + q * kPiece, t + q * kPiece, p);
  });
  double total = 0;
  for (int64_t q = 0; q < count; q++) total += part[q];
  *y = float(a.reduction == Reduction::mean ? total / double(n) : total);
  return {};
}

bool pair_loss_backward_accepts(const Call& c, const void*) { return c.x(1).numel > 0 && c.y().dense; }
// Inputs g, x, t.
Status pair_loss_backward(const Call& c, const PairLossAttrs& a) {
  const LossKernels& k = loss_kernels(isa(), a.kind);
  const int64_t n = c.x(1).numel, step = a.reduction == Reduction::none;
  const float factor = a.reduction == Reduction::mean ? float(1 / double(n)) : 1;
  const float *g = c.x(0).as<float>(), *x = c.x(1).as<float>(), *t = c.x(2).as<float>();
  parallel_for(0, n, kGrain, [&](int64_t b, int64_t e) {
    k.slopes(e - b, g + b * step, step, factor, x + b, t + b, parameters(a), c.y().as<float>() + b);
  });
  return {};
}

bool nll_loss_accepts(const Call& c, const void*) { return c.x(0).numel > 0 && c.y().dense; }
// Inputs logarithms [N, C], target [N], weight [C] or none. Where nothing counts the mean is 0.
Status nll_loss(const Call& c, const NllLossAttrs& a) {
  const View &x = c.x(0), &target = c.x(1), &weight = c.x(2);
  const int64_t rows = x.shape[0], classes = x.shape[1], step = target.strides[0];
  float* y = c.y().as<float>();
  double total = 0, weights = 0;
  bool any = false;
  for (int64_t i = 0; i < rows; i++) {
    int64_t id = target.dtype == i32 ? target.as<int32_t>()[i * step] : target.as<int64_t>()[i * step];
    const bool counts = id != a.ignore_index;
    if (!counts) id = 0;
    if (uint64_t(id) >= uint64_t(classes)) {
      if (c.fault) c.fault->raise(i, id, classes);
      id = 0;
    }
    const float w = !counts ? 0 : weight.present() ? weight.as<float>()[id * weight.strides[0]] : 1;
    const float loss = counts ? -x.as<float>()[i * x.strides[0] + id * x.strides[1]] * w : 0;
    any |= counts, weights += w, total += loss;
    if (a.reduction == Reduction::none) y[i] = loss;
  }
  if (a.reduction == Reduction::mean) total /= any ? weights : 1;
  if (a.reduction != Reduction::none) *y = float(total);
  return {};
}

}  // namespace fovea::cpu
