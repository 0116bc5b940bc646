// adamw: one step of AdamW (Loshchilov and Hutter, 2019) over n parameters, in f64. Inputs are learning rate, step
// number and gradient scale (0-dim f64), then n gradients; it writes n parameters, n first and n second moments.
#include <cmath>

#include "backends/ref/kernels.h"

namespace fovea::ref {

Status adamw(const Call& c, const AdamWAttrs& a) {
  int n = c.inputs - 3;
  if (c.outputs != 3 * n)
    return {Status::invalid, "as many parameters, first and second moments as gradients are needed"};
  for (int i = 0; i < 3; i++)
    if (c.x(i).dtype != DType::f64 || c.x(i).numel != 1) return {Status::invalid, "lr, step and scale are 0-dim f64"};
  double lr = *c.x(0).as<double>(), step = *c.x(1).as<double>(), scale = *c.x(2).as<double>();
  double correction1 = 1 - std::pow(a.beta1, step), correction2 = std::sqrt(1 - std::pow(a.beta2, step));
  for (int i = 0; i < n; i++) {
    const View &g = c.x(3 + i), &p = c.y(i), &m = c.y(n + i), &v = c.y(2 * n + i);
    if (g.dtype != p.dtype || m.dtype != acc_dtype(p.dtype) || v.dtype != m.dtype) return kMixed;
    double keep = i < a.decay_count ? 1 - lr * a.weight_decay : 1;
    Status s = visit(Types<float, double, BFloat16, Float16>{}, p.dtype, [&]<class T>() -> Status {
      using M = Compute<T>;
      Loops<4> loops({&p, &g, &m, &v});
      int64_t sp = loops.step(0), sg = loops.step(1), sm = loops.step(2), sv = loops.step(3);
      loops.run([&](const int64_t* at, int64_t len) {
        T* to = p.as<T>() + at[0];
        const T* from = g.as<T>() + at[1];
        M *first = m.as<M>() + at[2], *second = v.as<M>() + at[3];
        for (int64_t k = 0; k < len; k++) {
          double x = double(M(from[k * sg])) * scale;
          double m1 = a.beta1 * double(first[k * sm]) + (1 - a.beta1) * x;
          double v1 = a.beta2 * double(second[k * sv]) + (1 - a.beta2) * x * x;
          first[k * sm] = M(m1);
          second[k * sv] = M(v1);
          to[k * sp] =
              T(M(double(M(to[k * sp])) * keep - lr / correction1 * m1 / (std::sqrt(v1) / correction2 + a.eps)));
        }
      });
      return {};
    });
    if (s.code != Status::ok) return s;
  }
  return {};
}

}  // namespace fovea::ref
