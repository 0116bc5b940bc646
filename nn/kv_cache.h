// KVCache: the keys and values that attention layers have seen, so that the next token costs one row. Full: it keeps
// every position up to `capacity`. One Layer per attention layer; memory is taken at the first append. For generation
// only: nothing is recorded.
#pragma once
#include <vector>

#include "autograd/tensor.h"

namespace fovea::nn {

class KVCache {
 public:
  class Layer {
   public:
    // k, v [B, Hkv, t, D]: stored behind what is there. ShapeError when they do not fit.
    void append(const Tensor& k, const Tensor& v, std::source_location where = std::source_location::current());
    Tensor k() const { return seen(k_); }  // [B, Hkv, length, D], views
    Tensor v() const { return seen(v_); }
    int64_t length() const { return length_; }

   private:
    friend class KVCache;
    Tensor seen(const Array& a) const { return Tensor(a.narrow(2, 0, length_)); }
    int64_t capacity_ = 0, length_ = 0;
    Array k_, v_;
  };

  KVCache(int64_t layers, int64_t capacity, std::source_location where = std::source_location::current());
  Layer* layer(int64_t i) { return &layers_[size_t(i)]; }
  int64_t layers() const { return int64_t(layers_.size()); }
  int64_t length() const { return layers_.empty() ? 0 : layers_[0].length_; }
  int64_t capacity() const { return capacity_; }
  void clear();  // forgets what was seen and keeps the memory

 private:
  int64_t capacity_;
  std::vector<Layer> layers_;
};

}  // namespace fovea::nn
