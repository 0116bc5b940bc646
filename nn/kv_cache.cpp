#include "nn/kv_cache.h"

#include "autograd/ops/checks.h"
#include "core/dispatch.h"

namespace fovea::nn {

KVCache::KVCache(int64_t layers, int64_t capacity, std::source_location where) : capacity_(capacity) {
  if (layers < 1 || capacity < 1)
    fovea::detail::fail<ValueError>(
        "kv_cache", where,
        std::to_string(layers) + " layers of " + std::to_string(capacity) + " positions (expected 1 or more)");
  layers_.resize(size_t(layers));
  for (Layer& l : layers_) l.capacity_ = capacity;
}

void KVCache::clear() {
  for (Layer& l : layers_) l.length_ = 0;
}

void KVCache::Layer::append(const Tensor& k, const Tensor& v, std::source_location where) {
  int64_t t = k.size(2);
  if (length_ + t > capacity_)
    fovea::detail::fail<ShapeError>("kv_cache", where,
                                    std::to_string(length_) + " positions and " + std::to_string(t) +
                                        " more (capacity " + std::to_string(capacity_) + ")");
  if (!k_) {
    k_ = Array::empty({k.size(0), k.size(1), capacity_, k.size(3)}, k.dtype(), k.device());
    v_ = Array::empty({v.size(0), v.size(1), capacity_, v.size(3)}, v.dtype(), v.device());
  }
  if (k.size(0) != k_.size(0) || v.size(2) != t)
    fovea::detail::fail<ShapeError>("kv_cache", where,
                                    "keys " + fovea::to_string(k.shape()) + " and values " +
                                        fovea::to_string(v.shape()) + " for a cache " + fovea::to_string(k_.shape()));
  Array to_k = k_.narrow(2, length_, t), to_v = v_.narrow(2, length_, t);
  assign(to_k, k.array());
  assign(to_v, v.array());
  length_ += t;
}

}  // namespace fovea::nn
