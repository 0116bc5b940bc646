// Every property of every sample at every instruction set that this CPU has; what is below the best is asked for by
// name.
#include <string>

#include "autograd/proof/properties.h"
#include "core/device.h"
#include "tests/backends/cpu_helpers.h"

using namespace fovea;

namespace {

void check_level(cpu::Isa level, DType t) {
  for (const proof::Sample& s : proof::all_samples())
    if (s.op < op::count)
      for (const proof::Problem& p : proof::check_properties(s, device("cpu"), t)) {
        INFO(std::string(cpu::kIsaNames[int(level)]), ": ", p.to_string());
        CHECK(false);
      }
}

}  // namespace

TEST_SUITE("slow") {
  TEST_CASE("properties at every level, f32") {
    cpu_test::at_every_isa([](cpu::Isa level) { check_level(level, f32); });
  }
  TEST_CASE("properties at every level, f64") {
    cpu_test::at_every_isa([](cpu::Isa level) { check_level(level, f64); });
  }
  TEST_CASE("properties at every level, bf16 and f16") {
    cpu_test::at_every_isa([](cpu::Isa level) { check_level(level, bf16), check_level(level, f16); });
  }
}
