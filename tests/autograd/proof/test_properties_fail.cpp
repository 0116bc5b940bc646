// Every property can fail: for each there is an op that breaks it, doubling x in a wrong way, and the property says so.
#include <algorithm>
#include <cmath>
#include <string>

#include <doctest/doctest.h>
#include "autograd/apply.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduce.h"
#include "autograd/proof/properties.h"
#include "core/device.h"
#include "core/parallel.h"

using namespace fovea;
using namespace fovea::proof;

namespace {

void two_samples(Samples& s) {
  s.add({reals({3, 4})});
  s.add({reals({40, 50})}).threaded();
}

Tensor twice(const Tensor& x) { return x + x; }
void infer_like(Infer& i) { i.like(0, i.x(0)); }
void compose_twice(Compose& c) { c.out[0] = twice(c.x(0)); }
void rule_twice(Backward& b) { b.add(0, twice(b.g())); }

// Walks x and y by their strides: to(i) = f(from(i), i), as a right kernel does.
template <class F> Status each(const Call& c, F f) {
  const View &x = c.x(0), &y = c.y();
  for (int64_t i = 0; i < y.numel; i++) {
    int64_t from = 0, to = 0, rest = i;
    for (int d = y.rank - 1; d >= 0; d--) {
      from += rest % y.shape[d] * x.strides[d];
      to += rest % y.shape[d] * y.strides[d];
      rest /= y.shape[d];
    }
    f(y.as<float>()[to], x.as<float>()[from], i);
  }
  return {};
}

int new_op(const char* name, void (*backward)(Backward&) = rule_twice, void (*compose)(Compose&) = compose_twice) {
  return define_op({.name = name,
                    .infer = infer_like,
                    .compose = compose,
                    .gradient = Gradient::backward,
                    .backward = backward,
                    .samples = two_samples});
}
void kernel(int id, Slot::Thunk thunk, bool adds = false) {
  set_kernel("cpu", id, Slot{.thunk = thunk, .dtypes = only(f32), .adds = adds});
}

// The names of the properties that the op's samples break on the CPU.
std::string broken(int id) {
  std::string names;
  for (const Sample* s : samples_of(id))
    for (const Problem& p : check_properties(*s, device("cpu"), f32))
      if (names.find(p.property) == names.npos) names += (names.empty() ? "" : ", ") + p.property;
  return names;
}
bool mentions(const std::string& list, const char* name) { return list.find(name) != list.npos; }

int calls = 0;
Tensor captured;
std::vector<Tensor> kept;
int wrong_kernel_op = 0, outer_op = 0;

}  // namespace

TEST_CASE("each property is broken by an op that deserves it") {
  int good = new_op("prop_good");
  kernel(
      good,
      [](const Call& c, const void*) {
        return each(c, [&](float& y, float x, int64_t) { y = c.add ? y + 2 * x : 2 * x; });
      },
      true);
  CHECK(broken(good) == std::string());

  int forward = new_op("prop_forward");
  kernel(forward, [](const Call& c, const void*) {
    return each(c, [](float& y, float x, int64_t i) { y = i % 5 == 2 ? 2.001f * x : 2 * x; });
  });
  CHECK(mentions(broken(forward), "forward"));

  int nan = new_op("prop_nan");  // no comparison holds for NaN: it must not slip through
  kernel(nan, [](const Call& c, const void*) {
    return each(c, [](float& y, float x, int64_t i) { y = i == 7 ? NAN : 2 * x; });
  });
  CHECK(mentions(broken(nan), "forward"));

  int layouts = new_op("prop_layouts");
  kernel(layouts, [](const Call& c, const void*) {
    return each(c, [&](float& y, float, int64_t i) { y = 2 * c.x(0).as<float>()[i]; });
  });
  CHECK(broken(layouts) == std::string("layouts"));

  int repeats = new_op("prop_repeats");
  kernel(repeats, [](const Call& c, const void*) {
    calls++;
    return each(c, [](float& y, float x, int64_t i) { y = 2 * x * (i == 0 && calls % 2 ? 1 + 1e-7f : 1); });
  });
  CHECK(mentions(broken(repeats), "repeats"));

  int threads = new_op("prop_threads");
  kernel(threads, [](const Call& c, const void*) {
    return each(c, [](float& y, float x, int64_t) { y = 2 * x * (thread_count() == 7 ? 1 + 1e-7f : 1); });
  });
  CHECK(broken(threads) == std::string("threads"));

  int given = new_op("prop_given");
  kernel(given, [](const Call& c, const void*) {
    Status s = each(c, [](float& y, float x, int64_t) { y = 2 * x; });
    if (!c.y().dense) c.y().as<float>()[c.y().shape[c.y().rank - 1]] = 0;  // one too many
    return s;
  });
  CHECK(mentions(broken(given), "given"));

  int added = new_op("prop_added");
  kernel(
      added, [](const Call& c, const void*) { return each(c, [](float& y, float x, int64_t) { y = 2 * x; }); }, true);
  CHECK(broken(added) == std::string("added"));

  int manners = new_op("prop_manners");
  kernel(manners, [](const Call& c, const void*) {
    Status s = each(c, [](float& y, float x, int64_t) { y = 2 * x; });
    c.x(0).as<float>()[0] = 0;
    return s;
  });
  CHECK(mentions(broken(manners), "manners"));

  int alias = new_op("prop_alias", rule_twice, [](Compose& c) { c.out[0] = c.x(0); });
  CHECK(mentions(broken(alias), "manners"));

  int infer = new_op("prop_infer", rule_twice, [](Compose& c) {
    c.out[0] = sum(c.x(0)).item() > 1e30 ? c.x(0) : twice(c.x(0));  // reads data
  });
  CHECK(broken(infer) == std::string("infer"));

  int linear = new_op("prop_linear", [](Backward& b) { b.add(0, twice(b.g()) + square(b.g()) * 1e-3); });
  CHECK(broken(linear) == std::string("linear"));

  // Wrong only in the fused kernel that a backward calls, and only in what that one's backward calls.
  wrong_kernel_op = forward;
  int gradient = outer_op =
      new_op("prop_gradient", [](Backward& b) { b.add(0, apply(wrong_kernel_op, {{b.g()}})[0]); });
  CHECK(mentions(broken(gradient), "gradient"));
  CHECK(!mentions(broken(gradient), "forward"));
  int second = new_op("prop_second", [](Backward& b) { b.add(0, apply(outer_op, {{b.g()}})[0]); });
  CHECK(broken(second) == std::string("second order"));

  int composed = new_op("prop_composed", rule_twice,
                        [](Compose& c) { c.out[0] = c.x(0).dtype() == f64 ? twice(c.x(0)) : c.x(0) * 2.001; });
  kernel(composed, [](const Call& c, const void*) { return each(c, [](float& y, float x, int64_t) { y = 2 * x; }); });
  CHECK(broken(composed) == std::string("composed"));

  int places = new_op("prop_places", [](Backward& b) { b.add(0, twice(b.g()).to(device("ref"))); });
  CHECK(mentions(broken(places), "places"));

  int accumulates = new_op("prop_accumulates", [](Backward& b) { b.add(0, b.g() * (calls++ % 2 ? 2.0 : 2.001)); });
  CHECK(mentions(broken(accumulates), "accumulates"));

  int versions = new_op(
      "prop_versions", [](Backward& b) { b.add(0, twice(captured) * b.g()); },
      [](Compose& c) {
        captured = c.x(0).detach();  // what it should have saved
        c.out[0] = c.x(0) * c.x(0);
      });
  CHECK(mentions(broken(versions), "versions"));
  captured = Tensor();

  int leaks = new_op("prop_leaks", [](Backward& b) { b.add(0, kept.emplace_back(twice(b.g()))); });
  CHECK(mentions(broken(leaks), "leaks"));
  kept.clear();

  std::string all;
  for (const Property& p : properties()) all += std::string(p.name) + ", ";
  CHECK(all == std::string("forward, gradient, second order, composed, infer, layouts, given, added, manners, repeats, "
                           "threads, linear, places, accumulates, versions, leaks, "));  // each of them is broken above
}
