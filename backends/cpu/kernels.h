// The kernels of the CPU backend as the seam calls them: thin functions that read views and call a family's raw kernels
// (gemm.h, elementwise.h, ...), where everything is said. They allocate nothing; `*_scratch` says what they need.
#pragma once
#include "core/backend.h"

namespace fovea::cpu {

Status unary(const Call& c, const NoAttrs&);
Status binary(const Call& c, const NoAttrs&);
Status select(const Call& c, const NoAttrs&);
Status gelu(const Call& c, const GeluAttrs& a);           // x
Status gelu_backward(const Call& c, const GeluAttrs& a);  // g, x

Status copy(const Call& c, const NoAttrs&);
Status fill(const Call& c, const FillAttrs& a);
Status reduce(const Call& c, const ReduceAttrs& a);
int64_t reduce_scratch(const Call& c, const void* attrs);

Status matmul(const Call& c, const NoAttrs&);
int64_t matmul_scratch(const Call& c, const void*);
Status linear(const Call& c, const NoAttrs&);
bool linear_accepts(const Call& c, const void*);
int64_t linear_scratch(const Call& c, const void*);

}  // namespace fovea::cpu
