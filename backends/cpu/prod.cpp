// Slot prod_backward over neighbouring axes of dense arrays.
#include "backends/cpu/prod.h"

#include <algorithm>
#include <limits>

#include "backends/cpu/kernels.h"
#include "core/parallel.h"

#define FOVEA_FAMILY "backends/cpu/prod_kernels.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {
namespace {

constexpr int64_t kGrain = 1 << 13;  // elements that are worth a thread

// x as [outer, n, inner], n the reduced axes.
struct Range {
  int64_t outer = 1, n = 1, inner = 1;
  bool ok = true;
  Range(const View& x, const ReduceAttrs& a) {
    uint32_t axes = a.dim.rank ? 0 : ~0u;
    for (int64_t d : a.dim) axes |= 1u << (d < 0 ? d + x.rank : d);
    for (int d = 0; d < x.rank; d++) {
      if (axes >> d & 1) ok &= inner == 1, n *= x.shape[d];
      else (n > 1 ? inner : outer) *= x.shape[d];
    }
  }
};

}  // namespace

const ProdKernels& prod_kernels(Isa level) {
  static constexpr const ProdKernels* tables[] = {&sse2::kProdTable, &avx2::kProdTable, &avx512::kProdTable};
  return *tables[int(level)];
}

bool prod_backward_accepts(const Call& c, const void* attrs) {
  return c.x(1).numel > 0 && c.y().dense && Range(c.x(1), *static_cast<const ReduceAttrs*>(attrs)).ok;
}
// Inputs g, x.
Status prod_backward(const Call& c, const ReduceAttrs& a) {
  const Range r(c.x(1), a);
  const ProdKernels& k = prod_kernels(isa());
  const float *g = c.x(0).as<float>(), *x = c.x(1).as<float>();
  float* dx = c.y().as<float>();
  const int64_t width = std::min(kProdColumns, r.inner), blocks = (r.inner + width - 1) / width;
  parallel_for(0, r.outer * blocks, std::max<int64_t>(kGrain / (r.n * width), 1), [&](int64_t b, int64_t e) {
    for (int64_t q = b; q < e; q++) {
      const int64_t first = q % blocks * width, at = q / blocks * r.n * r.inner + first;
      if (r.inner == 1) k.row(r.n, g + q, x + at, dx + at);
      else k.down(r.n, std::min(width, r.inner - first), r.inner, g + q / blocks * r.inner + first, x + at, dx + at);
    }
  });
  return {};
}

}  // namespace fovea::cpu
