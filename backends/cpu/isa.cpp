#include "backends/cpu/isa.h"

#include <cstdlib>
#include <string>

#include "core/error.h"

namespace fovea::cpu {

constinit Isa detail::isa = Isa::unknown;

Isa best_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (avx2) return avx512 ? Isa::avx512 : Isa::avx2;
#endif
  return Isa::sse2;
}

void set_isa(Isa level) {
  if (level > best_isa())
    throw ValueError(std::string("FOVEA_CPU_ISA: this CPU has no ") + kIsaNames[int(level)] + " (its best is " +
                     kIsaNames[int(best_isa())] + ")");
  detail::isa = level;
}

Isa detail::choose_isa() {
  const char* wanted = std::getenv("FOVEA_CPU_ISA");
  if (!wanted || !*wanted) {
    detail::isa = best_isa();
    return detail::isa;
  }
  for (int i = 0; i < kIsaLevels; i++)
    if (std::string(kIsaNames[i]) == wanted) {
      set_isa(Isa(i));
      return detail::isa;
    }
  throw ValueError(std::string("FOVEA_CPU_ISA: unknown level ") + wanted + " (expected sse2, avx2 or avx512)");
}

}  // namespace fovea::cpu
