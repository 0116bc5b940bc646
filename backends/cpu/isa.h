// Which instruction set the kernels of this backend run: the best that the CPU has, or what FOVEA_CPU_ISA=sse2|avx2|
// avx512 asks for, at or below that. Every family holds its kernels per level in a table and picks by isa().
#pragma once
#include <cstdint>

namespace fovea::cpu {

enum class Isa : uint8_t { sse2, avx2, avx512, unknown };
inline constexpr int kIsaLevels = 3;
inline constexpr const char* kIsaNames[kIsaLevels] = {"sse2", "avx2", "avx512"};

Isa best_isa();           // what the CPU and the operating system can do
void set_isa(Isa level);  // ValueError above best_isa()

namespace detail {
extern constinit Isa isa;
Isa choose_isa();  // by the environment; ValueError when that asks for what is not there
}  // namespace detail

// The level in use.
inline Isa isa() { return detail::isa == Isa::unknown ? detail::choose_isa() : detail::isa; }

}  // namespace fovea::cpu
