// Tensor's methods that are ops under another spelling.
#include "autograd/ops/advanced_index.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/view.h"

namespace fovea {

// clang-format off
Tensor Tensor::view(const Shape& s, Where w) const { return fovea::view({*this, w}, s); }
Tensor Tensor::reshape(const Shape& s, Where w) const { return fovea::reshape({*this, w}, s); }
Tensor Tensor::flatten(Integer a, Integer b, Where w) const { return fovea::flatten({*this, w}, a, b); }
Tensor Tensor::permute(const Shape& dims, Where w) const { return fovea::permute({*this, w}, dims); }
Tensor Tensor::transpose(Integer a, Integer b, Where w) const { return fovea::transpose({*this, w}, a, b); }
Tensor Tensor::expand(const Shape& s, Where w) const { return fovea::expand({*this, w}, s); }
Tensor Tensor::unsqueeze(Integer d, Where w) const { return fovea::unsqueeze({*this, w}, d); }
Tensor Tensor::squeeze(const Shape& dims, Where w) const { return fovea::squeeze({*this, w}, dims); }
Tensor Tensor::squeeze(Where w) const { return fovea::squeeze({*this, w}); }
Tensor Tensor::slice(Integer d, const Slice& s, Where w) const { return fovea::slice({*this, w}, d, s); }
Tensor Tensor::narrow(Integer d, Integer start, Integer n, Where w) const { return fovea::narrow({*this, w}, d, start, n); }
Tensor Tensor::select(Integer d, Integer i, Where w) const { return fovea::select({*this, w}, d, i); }
Tensor Tensor::diagonal(Integer o, Integer a, Integer b, Where w) const { return fovea::diagonal({*this, w}, o, a, b); }
Tensor Tensor::contiguous(Where w) const { return fovea::contiguous({*this, w}); }
// clang-format on

Tensor Tensor::operator[](const Index& i) const {
  if (i.kind() == Index::number) return fovea::select({*this, i.where()}, 0, i.place());
  if (i.kind() == Index::range) return fovea::slice({*this, i.where()}, 0, i.slice());
  return index({*this, i.where()}, {i});
}
Tensor Tensor::operator[](std::initializer_list<Index> list) const {
  return index({*this, list.size() ? list.begin()->where() : Where()}, list);
}

}  // namespace fovea
