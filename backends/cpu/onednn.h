// Matrix products by oneDNN, where the build has it: the only door to that library. A product is cut among the
// threads of parallel_for, and oneDNN computes each part alone. Plans (of every part a primitive, its memory objects,
// its arguments) are kept by the calling thread by shape, strides, dtype, bias and accumulation.
#pragma once
#include "backends/cpu/gemm.h"
#include "core/half.h"

namespace fovea::cpu::onednn {

// Whether a product like this goes there: where it is faster, or as a test asks.
enum class Use : uint8_t { where_faster, always, never };
void use(Use u);
template <class T> bool is_wanted(const Gemm<T>& g);
// Bytes of scratch that gemm() needs with as many threads as there are now.
template <class T> int64_t scratch(const Gemm<T>& g);
// f32, and bf16 with sums in f32 where the CPU multiplies it. False: not in this build, not on this CPU, or strides it
// does not know; nothing was done. The bits may depend on the thread count.
template <class T> bool gemm(const Gemm<T>& g, void* scratch);
// Many products of one shape, product i of them nth(of, i), each by one thread: the same bits for any number of them.
template <class T> int64_t scratch_each(const Gemm<T>& first, int64_t count);
template <class T>
bool gemm_each(const Gemm<T>& first, int64_t count, Gemm<T> (*nth)(const void*, int64_t), const void* of,
               void* scratch);
// What oneDNN calls the kernel it would run ("gemm:jit"); null where gemm() would return false.
template <class T> const char* implementation(const Gemm<T>& g);
// The library's version, "" where it is not in this build.
const char* version();

}  // namespace fovea::cpu::onednn
