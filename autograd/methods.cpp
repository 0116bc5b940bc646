// Tensor's methods that are ops under another spelling.
#include "autograd/ops/elementwise.h"
#include "autograd/ops/view.h"

namespace fovea {

// clang-format off
Tensor Tensor::view(const Shape& s, Where w) const { return fovea::view({*this, w}, s); }
Tensor Tensor::reshape(const Shape& s, Where w) const { return fovea::reshape({*this, w}, s); }
Tensor Tensor::flatten(int64_t a, int64_t b, Where w) const { return fovea::flatten({*this, w}, a, b); }
Tensor Tensor::permute(const Shape& dims, Where w) const { return fovea::permute({*this, w}, dims); }
Tensor Tensor::transpose(int64_t a, int64_t b, Where w) const { return fovea::transpose({*this, w}, a, b); }
Tensor Tensor::expand(const Shape& s, Where w) const { return fovea::expand({*this, w}, s); }
Tensor Tensor::unsqueeze(int64_t d, Where w) const { return fovea::unsqueeze({*this, w}, d); }
Tensor Tensor::squeeze(int64_t d, Where w) const { return fovea::squeeze({*this, w}, d); }
Tensor Tensor::slice(int64_t d, const Slice& s, Where w) const { return fovea::slice({*this, w}, d, s); }
Tensor Tensor::narrow(int64_t d, int64_t start, int64_t n, Where w) const { return fovea::narrow({*this, w}, d, start, n); }
Tensor Tensor::select(int64_t d, int64_t i, Where w) const { return fovea::select({*this, w}, d, i); }
Tensor Tensor::diagonal(int64_t o, int64_t a, int64_t b, Where w) const { return fovea::diagonal({*this, w}, o, a, b); }
Tensor Tensor::contiguous(Where w) const { return fovea::contiguous({*this, w}); }
// clang-format on

}  // namespace fovea
