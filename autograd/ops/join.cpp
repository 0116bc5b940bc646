// Cutting into pieces and joining.
#include <algorithm>

#include "autograd/ops/checks.h"
#include "autograd/ops/view.h"
#include "core/dispatch.h"

namespace fovea {
namespace {

constexpr int64_t kMostPieces = 1 << 20;  // more are a mistake, and would fill the memory with views

}  // namespace

using detail::called;
using detail::locate;
using detail::tensor_of;

std::vector<Tensor> split(const Operand& x, Integer size, Integer dim) {
  return called("split", x.where(), [&] {
    const Tensor& t = tensor_of(x, "split");
    const int d = wrap_dim(dim, t.dim());
    const int64_t n = t.size(d);
    if (size < 1) throw ShapeError("size " + std::to_string(size) + " (expected 1 or more)");
    if (n / size > kMostPieces)
      throw ShapeError("axis " + std::to_string(d) + " of " + to_string(t.shape()) + " in pieces of " +
                       std::to_string(size) + " (expected " + std::to_string(kMostPieces) + " pieces at most)");
    std::vector<Tensor> parts;
    if (n == 0) parts.push_back(t);
    for (int64_t at = 0; at < n; at += size) parts.push_back(narrow(x, d, at, std::min<int64_t>(size, n - at)));
    return parts;
  });
}

std::vector<Tensor> split(const Operand& x, const std::vector<int64_t>& sizes, Integer dim) {
  return called("split", x.where(), [&] {
    const Tensor& t = tensor_of(x, "split");
    const int d = wrap_dim(dim, t.dim());
    std::vector<Tensor> parts;
    int64_t at = 0;
    std::string text;
    bool good = true;
    for (int64_t n : sizes) {
      text += (text.empty() ? "" : ",") + std::to_string(n);
      good = good && n >= 0 && n <= t.size(d) - at;
      if (good) at += n;
    }
    if (!good || at != t.size(d))
      throw ShapeError("sizes [" + text + "] of axis " + std::to_string(d) + " of " + to_string(t.shape()) +
                       " (expected sizes that add up to " + std::to_string(t.size(d)) + ")");
    at = 0;
    for (int64_t n : sizes) parts.push_back(narrow(x, d, at, n)), at += n;
    return parts;
  });
}

std::vector<Tensor> chunk(const Operand& x, Integer chunks, Integer dim) {
  return called("chunk", x.where(), [&] {
    const Tensor& t = tensor_of(x, "chunk");
    const int64_t n = t.size(dim);
    if (chunks < 1 || (n == 0 && chunks > kMostPieces))
      throw ShapeError(std::to_string(chunks) + " chunks of axis " + std::to_string(dim) + " of " +
                       to_string(t.shape()) + " (expected 1 to " + std::to_string(kMostPieces) + ")");
    if (n == 0) return std::vector<Tensor>(size_t(chunks), t);
    return split(x, std::max<int64_t>(n / chunks + (n % chunks != 0), 1), dim);
  });
}

Tensor cat(const std::vector<Tensor>& tensors, Integer dim, std::source_location where) try {
  CallScope call("cat", where);
  std::vector<const Tensor*> in;
  for (const Tensor& t : tensors) in.push_back(&t);
  if (in.empty() || !tensors[0].defined()) throw ShapeError("no tensors to join");
  DType t = result_type(in.data(), int(in.size()));
  std::vector<Tensor> same(tensors);
  for (size_t i = 0; i < same.size(); i++) {
    if (same[i].dtype() != t) same[i] = same[i].to(t, where);
    in[i] = &same[i];
  }
  DimAttrs a{wrap_dim(dim, tensors[0].dim())};
  Tensor out;
  detail::apply_any(state(), op::cat, in.data(), int(in.size()), &a, where, &out);
  return out;
} catch (Error& e) {
  locate(e, "cat", where);
  throw;
}

Tensor stack(const std::vector<Tensor>& tensors, Integer dim, std::source_location where) {
  CallScope call("stack", where);
  std::vector<Tensor> wide;
  for (const Tensor& t : tensors) wide.push_back(unsqueeze(Operand(t, where), dim));
  return cat(wide, dim, where);
}

}  // namespace fovea
