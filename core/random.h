// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), and our convention for draws.
// Header-only and constexpr, so that every backend, plug-ins and device code share the very same bits. A draw is a
// function of its place, never of the thread, lane or grid that makes it.
#pragma once
#include <array>
#include <cstdint>

namespace fovea {

constexpr std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; round++) {
    uint64_t a = uint64_t(0xD2511F53) * c[0], b = uint64_t(0xCD9E8D57) * c[2];
    c = {uint32_t(b >> 32) ^ c[1] ^ key[0], uint32_t(b), uint32_t(a >> 32) ^ c[3] ^ key[1], uint32_t(a)};
    key = {key[0] + 0x9E3779B9, key[1] + 0xBB67AE85};
  }
  return c;
}

// The 64 bits of element i in the draw `number` of a generator whose base word is `base`: key = base, counter = {i / 2,
// number} (each a 64-bit number, low word first); an even i takes words 0 and 1, an odd one words 2 and 3, low word
// first.
constexpr uint64_t random_bits(uint64_t base, uint64_t number, uint64_t i) {
  uint64_t half = i / 2;
  auto w = philox({uint32_t(half), uint32_t(half >> 32), uint32_t(number), uint32_t(number >> 32)},
                  {uint32_t(base), uint32_t(base >> 32)});
  return i & 1 ? w[2] | uint64_t(w[3]) << 32 : w[0] | uint64_t(w[1]) << 32;
}

}  // namespace fovea
