// Every op's gradient against exact derivatives.
#include <string>

#include <doctest/doctest.h>
#include "autograd/proof/check.h"

using namespace fovea;
using namespace fovea::proof;

TEST_CASE("gradients of every sample are the exact ones, to second order") {
  for (Device d : {device("ref"), device("cpu")})
    for (const Sample& s : all_samples()) {
      if (s.large || s.op >= op::count) continue;
      INFO(s.name, " on ", device_name(d));
      Report r = check(s, {.order = 2, .device = d, .contracts = false});
      INFO(r.to_string());
      CHECK(std::string(name_of(r.verdict)) == std::string("pass"));
    }
}

TEST_SUITE("slow") {
  TEST_CASE("gradients of samples that take threads, along directions") {
    for (const Sample& s : all_samples()) {
      if (!s.large || s.op >= op::count) continue;
      Report r = check(s, {.device = device("cpu")});
      INFO(r.to_string());
      CHECK(std::string(name_of(r.verdict)) == std::string("pass"));
    }
  }
}
