// What a check says in one word.
#pragma once
#include <cstdint>

namespace fovea::proof {

// In the order in which they are told: the worst of many wins.
enum class Verdict : uint8_t { pass, non_smooth, too_noisy, fail };
const char* name_of(Verdict v);
int exit_code(Verdict v);  // of the program: 0, 3, 4, 1

}  // namespace fovea::proof
