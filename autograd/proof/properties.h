// What must hold of every op, on every backend and in every dtype, derived from its samples: the forward and gradients
// against the reference in f64, inputs of any layout, destinations given and added to, repeats, thread counts, and the
// manners of a function (inputs unchanged, no aliases, linear in its cotangent).
#pragma once
#include <span>
#include <string>
#include <vector>

#include "autograd/proof/sample.h"

namespace fovea::proof {

struct Problem {
  std::string sample, property, where;  // where: "cpu f32"
  std::string text;
  std::string to_string() const { return sample + " on " + where + ": " + property + ": " + text; }
};

class Trial;
struct Property {
  const char* name;
  const char* says;
  void (*check)(Trial&);
};
std::span<const Property> properties();  // all of them
// Those among them that say what a rule may do beside giving the right numbers.
std::span<const Property> contracts();

// All properties of one sample; empty when they hold, or when the sample is not for this dtype.
std::vector<Problem> check_properties(const Sample& s, Device d, DType t);
std::vector<Problem> check_contracts(const Sample& s, Device d);  // in f64
// Whether the sample is tried in this dtype: it is among its own, or there is nothing floating in it and t is f32.
bool applies(const Sample& s, DType t);

}  // namespace fovea::proof
