// Every property of every sample, on every backend, in every dtype.
#include <string>

#include <doctest/doctest.h>
#include "autograd/proof/properties.h"
#include "core/device.h"

using namespace fovea;
using namespace fovea::proof;

namespace {

void check_all(const char* backend, DType t, bool large) {
  for (const Sample& s : all_samples()) {
    if (s.large != large || s.op >= op::count) continue;
    for (const Problem& p : check_properties(s, device(backend), t)) {
      INFO(p.to_string());
      CHECK(false);
    }
  }
}

}  // namespace

TEST_CASE("properties on the CPU, f32") { check_all("cpu", f32, false); }
TEST_CASE("properties on the CPU, f64") { check_all("cpu", f64, false); }
TEST_CASE("properties on the CPU, bf16") { check_all("cpu", bf16, false); }
TEST_CASE("properties on the CPU, f16") { check_all("cpu", f16, false); }
TEST_CASE("properties on the reference, f32") { check_all("ref", f32, false); }

TEST_SUITE("slow") {
  TEST_CASE("properties of samples that take threads") {
    check_all("cpu", f32, true);
    check_all("cpu", f64, true);
  }
}
