// Philox4x32-10 against the known answers that Random123 publishes (Salmon et al., 2011), and our convention for draws.
#include <doctest/doctest.h>
#include "core/random.h"

using namespace fovea;

TEST_CASE("Philox4x32-10: known answers") {
  using Words = std::array<uint32_t, 4>;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a draw is made of counter {i / 2, number} and key base") {
  static_assert(random_bits(0, 0, 0) == (0x6627e8d5 | uint64_t(0xe169c58d) << 32));
  static_assert(random_bits(0, 0, 1) == (0xbc57ac4c | uint64_t(0x9b00dbd8) << 32));
  uint64_t number = 0x13198a2e | uint64_t(0x03707344) << 32, base = 0xa4093822 | uint64_t(0x299f31d0) << 32;
  uint64_t half = 0x243f6a88 | uint64_t(0x85a308d3 & 0x7fffffff) << 32;  // 2 half must fit
  auto w = philox({0x243f6a88, 0x05a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0});
  CHECK(random_bits(base, number, 2 * half) == (w[0] | uint64_t(w[1]) << 32));
  CHECK(random_bits(base, number, 2 * half + 1) == (w[2] | uint64_t(w[3]) << 32));
}
