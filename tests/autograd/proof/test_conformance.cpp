// A backend of the mandatory kernels alone runs every op, forward and backward.
#include <iterator>
#include <string>

#include <doctest/doctest.h>
#include "autograd/proof/check.h"
#include "autograd/proof/conformance.h"
#include "autograd/proof/properties.h"

using namespace fovea;
using namespace fovea::proof;

TEST_CASE("fourteen kernels are enough for every op") {
  CHECK(std::size(kMandatory) == 14);
  Device d = mandatory_device();
  int filled = 0;
  for (const Slot& s : kernels_of(d).slots) filled += s.thunk != nullptr;
  CHECK(filled == 14);
  CHECK(kernels_of(d).rest == nullptr);
  for (const Sample& s : all_samples()) {
    if (s.large || s.op >= op::count) continue;
    for (const Problem& p : check_properties(s, d, f32)) {
      INFO(p.to_string());
      CHECK(false);
    }
    Report r = check(s, {.order = 2, .device = d});
    INFO(r.to_string());
    CHECK(std::string(name_of(r.verdict)) == std::string("pass"));
  }
}
