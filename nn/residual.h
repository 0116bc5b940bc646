// Residual<M>: x + M(norm(x)) (pre-norm) or norm(x + M(x)) (post-norm). M stands in the place of the residual, so its
// parameters are named `attn.qkv.weight` beside `attn.norm.weight`. Further arguments go to M.
#pragma once
#include <optional>

#include "autograd/ops/elementwise.h"
#include "nn/norm.h"

namespace fovea::nn {

enum class NormPosition : uint8_t { pre, post };
constexpr NormPosition last_of(NormPosition) { return NormPosition::post; }

struct ResidualOptions {
  int64_t dim = 0;
  NormPosition position = NormPosition::pre;
  double eps = 1e-5;
  bool bias = true;
};

template <class M> class Residual final : public Layer<Residual<M>> {
 public:
  Residual(Parent parent, const ResidualOptions& o, const typename M::Options& body_options)
      : Layer<Residual<M>>(std::move(parent)),
        norm(this, "norm", o.dim, {o.eps, o.bias}),
        body(Parent{this, ""}, body_options),
        position_(o.position) {
    check_listed(o.position, "position");
  }
  Residual(Owner owner, const char* name, const ResidualOptions& o, const typename M::Options& body_options)
      : Residual(Parent{owner, name}, o, body_options) {}

  template <class... More> Tensor forward(const Tensor& x, More&&... more) {
    if (position_ == NormPosition::pre) return x + body(norm(x), std::forward<More>(more)...);
    return norm(x + body(x, std::forward<More>(more)...));
  }

  LayerNorm norm;
  M body;

 private:
  NormPosition position_;
};

}  // namespace fovea::nn
