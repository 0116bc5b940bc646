// Samples of elementwise ops, with one input and with two.
#include <limits>

#include "autograd/proof/sample.h"
#include "core/device.h"

namespace fovea::proof {
namespace {

const std::vector<double> kSpecial = {0, -0.0, kInf, -kInf, kNan, 1, -1, 0.5};

// Adds a sample of one op. What follows takes these, so that only they are compiled for every op.
using Add = Sample& (*)(Samples& s, std::initializer_list<Input> inputs, const void* attrs);
template <op::Id id> Sample& add(Samples& s, std::initializer_list<Input> inputs, const void* attrs) {
  return s.add<id>(inputs, *static_cast<const Attrs<id>*>(attrs));
}
using Make = Input (*)(const Shape&);  // the input of a shape

// A plain one, 0-dim, empty, a single element, and the numbers that are none.
void unary(Samples& s, Add add, Make in, const void* attrs) {
  for (const Shape& shape : {Shape{3, 5}, Shape{}, Shape{2, 0, 3}, Shape{1, 1}}) add(s, {in(shape)}, attrs);
  add(s, {exactly({8}, kSpecial)}, attrs).named("special").up_to(0, kForwardOnly);
}
template <op::Id id> void unary(Samples& s, Make in, const Attrs<id>& a = {}) { unary(s, add<id>, in, &a); }
Input anywhere(const Shape& s) { return reals(s); }
Input away(const Shape& s) { return nonzero(s); }
Input positive(const Shape& s) { return reals(s, 0.25, 3); }
// Two sets of numbers that never meet.
Input lattice(const Shape& s) { return apart(s); }
Input between(const Shape& s) { return apart(s, 1 / 16.0); }

// Equal shapes, both sides broadcast, ranks that differ, 0-dim, empty, single elements.
void binary(Samples& s, Add add, Make a, Make b) {
  const NoAttrs none;
  const std::pair<Shape, Shape> shapes[] = {{{3, 4}, {3, 4}}, {{3, 1}, {1, 4}}, {{4}, {2, 3, 4}}, {{2, 2}, {}},
                                            {{0, 3}, {1, 3}}, {{1}, {1, 1}},    {{}, {}}};
  for (auto& [x, y] : shapes) add(s, {a(x), b(y)}, &none);
  add(s, {exactly({8, 1}, kSpecial), exactly({8}, kSpecial)}, &none).named("special").up_to(0, kForwardOnly);
}
template <op::Id id> void binary(Samples& s, Make a, Make b) { binary(s, add<id>, a, b); }

void comparisons(Samples& s, std::initializer_list<Add> ops) {
  const NoAttrs none;
  for (Add add : ops) add(s, {exactly({2, 4}, {1, 2, 3, 4, 5}), exactly({4}, {1, 2, 5, 3})}, &none);
  for (Add add : ops) add(s, {exactly({8, 1}, kSpecial), exactly({8}, kSpecial)}, &none).named("special");
  for (Add add : ops) add(s, {integers({3, 3}, -2, 2), integers({3, 1}, -2, 2)}, &none).named("integers");
  for (Add add : ops) add(s, {reals({0, 2}), reals({2})}, &none).named("empty");
  for (Add add : ops) add(s, {reals({1}), reals({})}, &none);
}
void bits(Samples& s, std::initializer_list<Add> ops) {
  const NoAttrs none;
  for (Add add : ops) add(s, {integers({3, 4}, -9, 9), integers({4}, -9, 9)}, &none);
  for (Add add : ops) add(s, {truths({3, 1}), truths({4})}, &none).named("booleans");
  for (Add add : ops) add(s, {integers({0, 2}, 0, 9), integers({}, 0, 9)}, &none).named("empty");
}

}  // namespace

void detail::elementwise_samples(Samples& s) {
  unary<op::neg>(s, anywhere);
  unary<op::exp>(s, anywhere);
  unary<op::expm1>(s, anywhere);
  unary<op::square>(s, anywhere);
  unary<op::sin>(s, anywhere);
  unary<op::cos>(s, anywhere);
  unary<op::tanh>(s, anywhere);
  unary<op::sigmoid>(s, anywhere);
  unary<op::erf>(s, anywhere);
  unary<op::log>(s, positive);
  unary<op::sqrt>(s, positive);
  unary<op::rsqrt>(s, positive);
  unary<op::log1p>(s, [](const Shape& x) { return reals(x, -0.5, 2); });
  unary<op::reciprocal>(s, away);
  unary<op::log2>(s, positive);
  unary<op::log10>(s, positive);
  unary<op::tan>(s, [](const Shape& x) { return reals(x, -1.2, 1.2); });
  unary<op::asin>(s, [](const Shape& x) { return reals(x, -0.9, 0.9); });
  unary<op::acos>(s, [](const Shape& x) { return reals(x, -0.9, 0.9); });
  unary<op::atan>(s, anywhere);
  unary<op::sinh>(s, anywhere);
  unary<op::cosh>(s, anywhere);
  unary<op::floor>(s, lattice);
  unary<op::ceil>(s, lattice);
  unary<op::round>(s, lattice);
  unary<op::trunc>(s, lattice);
  unary<op::abs>(s, away);
  unary<op::sign>(s, away);
  unary<op::relu>(s, away);
  s.add<op::abs>({exactly({3}, {0, -1, 2})}).at_kink("|x| at 0");
  s.add<op::relu>({exactly({3}, {0, -1, 2})}).at_kink("relu at 0");
  unary<op::logical_not>(s, anywhere);
  unary<op::isnan>(s, anywhere);
  unary<op::isinf>(s, anywhere);
  unary<op::isfinite>(s, anywhere);
  s.add<op::bitwise_not>({integers({2, 3}, -9, 9)});
  s.add<op::bitwise_not>({truths({4})}).named("booleans");
  s.add<op::bitwise_not>({integers({0, 3}, 0, 2)}).named("empty");
  s.add<op::bitwise_not>({integers({}, 0, 9)});
  s.add<op::logical_not>({truths({5})});
  s.add<op::neg>({integers({5}, -3, 4)});
  s.add<op::abs>({integers({5}, -3, 4)});
  unary<op::logsigmoid>(s, anywhere);
  unary<op::softsign>(s, away);
  unary<op::relu6>(s, [](const Shape& x) { return apart(x, 1); });
  unary<op::selu>(s, away);
  unary<op::silu>(s, anywhere);
  unary<op::mish>(s, anywhere);
  unary<op::hardswish>(s, [](const Shape& x) { return apart(x, 2); });
  unary<op::softplus>(s, anywhere);
  unary<op::softplus>(s, away, {.beta = 2, .threshold = 0.125});
  unary<op::leaky_relu>(s, away, {.negative_slope = 0.2});
  unary<op::elu>(s, away, {.alpha = 1.5});
  s.add<op::relu6>({exactly({3}, {0, 6, 2})}).at_kink("relu6 at 0 and 6");
  s.add<op::hardswish>({exactly({3}, {-3, 3, 2})}).at_kink("hardswish at -3 and 3");
  s.add<op::leaky_relu>({exactly({2}, {0, -1})}, {.negative_slope = 0.2}).at_kink("leaky_relu at 0");
  s.add<op::logsigmoid>({exactly({1}, {0})}).named("at 0"), s.add<op::softplus>({exactly({1}, {0})}).named("at 0");
  for (double far : {-200.0, 200.0}) {
    s.add<op::logsigmoid>({exactly({2}, {far, far / 2})}).named("tails");
    s.add<op::softplus>({exactly({2}, {far, far / 2})}).named("tails");
    s.add<op::mish>({exactly({2}, {far, far / 2})}).named("tails");
    s.add<op::silu>({exactly({2}, {far, far / 2})}).named("tails");
    s.add<op::elu>({exactly({2}, {far, far / 2})}).named("tails");
    s.add<op::selu>({exactly({2}, {far, far / 2})}).named("tails");
  }
  constexpr double none = kNan;
  for (const ClampAttrs& a : {ClampAttrs{-1, 1.5}, {0.25, none}, {none, 0.25}}) unary<op::clamp>(s, lattice, a);
  s.add<op::clamp>({exactly({3}, {-1, 1.5, 0})}, {-1, 1.5}).at_kink("clamp at its bounds");
  s.add<op::clamp>({integers({4}, -3, 4)}, {-1.5, none}).named("integers");
  unary<op::nan_to_num>(s, anywhere, {1, 2, 3});
  unary<op::contiguous>(s, anywhere);
  unary<op::gelu>(s, anywhere, {Gelu::none});
  unary<op::gelu>(s, anywhere, {Gelu::tanh});
  s.add<op::gelu>({reals({7}, -12, 12)}, {Gelu::none}).named("tails").conditioned(8);
  s.add<op::gelu>({reals({7}, -12, 12)}, {Gelu::tanh}).named("tails").conditioned(8);
  for (Gelu form : {Gelu::none, Gelu::tanh})
    for (const Shape& shape : {Shape{3, 5}, Shape{}, Shape{0, 2}, Shape{1}})
      s.add<op::gelu_backward>({reals(shape), reals(shape)}, {form});
  auto slope = [&]<op::Id id>(auto x, const Attrs<id>& a = {}) {
    for (const Shape& shape : {Shape{3, 5}, Shape{}, Shape{0, 2}, Shape{1}}) s.add<id>({reals(shape), x(shape)}, a);
  };
  slope.operator()<op::logsigmoid_backward>(anywhere), slope.operator()<op::softsign_backward>(away);
  slope.operator()<op::relu6_backward>([](const Shape& x) { return apart(x, 1); });
  slope.operator()<op::selu_backward>(away), slope.operator()<op::silu_backward>(anywhere);
  slope.operator()<op::mish_backward>(anywhere);
  slope.operator()<op::hardswish_backward>([](const Shape& x) { return apart(x, 2); });
  slope.operator()<op::softplus_backward>(anywhere);
  slope.operator()<op::softplus_backward>(away, {.beta = 2, .threshold = 0.125});
  slope.operator()<op::leaky_relu_backward>(away, {.negative_slope = 0.2});
  slope.operator()<op::elu_backward>(away, {.alpha = 1.5});
  slope.operator()<op::clamp_backward>(lattice, {-1, 1.5});
  slope.operator()<op::clamp_backward>(lattice, {none, 0.25});
  slope.operator()<op::relu_backward>(away), slope.operator()<op::tanh_backward>(anywhere);
  slope.operator()<op::sigmoid_backward>(anywhere);
  for (DType t : {f32, f64, bf16, i64, boolean}) {
    s.add<op::cast>({nonzero({3, 4})}, {t}).named(name_of(t));
    s.add<op::cast>({nonzero({})}, {t}).named("single");
    s.add<op::cast>({reals({0, 2})}, {t}).named("empty");
    s.add<op::cast>({integers({1, 4}, 0, 3, i32)}, {t}).named("from integers");
  }

  binary<op::add>(s, anywhere, anywhere);
  binary<op::sub>(s, anywhere, anywhere);
  binary<op::mul>(s, anywhere, anywhere);
  binary<op::div>(s, anywhere, away);
  binary<op::pow>(s, positive, anywhere);
  binary<op::maximum>(s, lattice, between);
  binary<op::minimum>(s, lattice, between);
  s.add<op::pow>({exactly({2, 3}, {-2, -0.5, 0.5, 1, 2, 3}), integers({3}, 1, 4)}).named("whole exponents");
  s.add<op::maximum>({exactly({3}, {1, 2, 3}), exactly({3}, {1, 0, 3})}).at_kink("ties");
  s.add<op::minimum>({exactly({3}, {1, 2, 3}), exactly({3}, {1, 0, 3})}).at_kink("ties");
  s.add<op::add>({integers({4}, -3, 4), integers({4}, -3, 4)}).named("integers");
  s.add<op::mul>({integers({4}, -3, 4), reals({4})}).named("promoted");
  s.add<op::add>({reals({64, 700}), reals({700})}).named("threads").threaded();
  binary<op::floor_divide>(s, lattice, [](const Shape& x) { return reals(x, 0.3, 0.45); });
  binary<op::trunc_divide>(s, lattice, [](const Shape& x) { return reals(x, 0.3, 0.45); });
  s.add<op::trunc_divide>({integers({2, 3}, -9, 10), integers({3}, -4, 0)}).named("integers");
  binary<op::remainder>(s, lattice, [](const Shape& x) { return reals(x, 0.3, 0.45); });
  s.add<op::floor_divide>({integers({2, 3}, -9, 10), integers({3}, 1, 4)}).named("integers");
  s.add<op::remainder>({integers({2, 3}, -9, 10), integers({3}, -4, 0)}).named("integers");
  binary<op::fmod>(s, lattice, [](const Shape& x) { return reals(x, 0.3, 0.45); });
  s.add<op::fmod>({integers({2, 3}, -9, 10), integers({3}, -4, 0)}).named("integers");
  binary<op::atan2>(s, away, away);
  s.add<op::atan2>({exactly({2}, {0, 1}), exactly({2}, {0, 2})}).up_to(1, "the angle jumps at the origin");
  binary<op::hypot>(s, away, away);
  s.add<op::hypot>({exactly({2}, {0, 3}), exactly({2}, {0, 4})}).up_to(0, "hypot has no slope at the origin");
  s.add<op::hypot>({exactly({1}, {3e30}), exactly({1}, {4e30})})
      .only(dtypes(f32, f64, bf16), "beyond f16")
      .up_to(1, "1 / y^2 overflows");
  binary<op::logaddexp>(s, anywhere, anywhere);
  s.add<op::logaddexp>({exactly({3}, {1, -2, 300}), exactly({3}, {1, 500, -300})}).named("ties and tails");
  binary<op::swiglu>(s, anywhere, anywhere);
  s.add<op::swiglu_backward>({reals({3, 4}), reals({3, 4}), reals({3, 4})});
  s.add<op::swiglu_backward>({reals({2, 3, 4}), reals({3, 1}), reals({4})}).named("broadcast");
  s.add<op::swiglu_backward>({reals({2, 0}), reals({1, 1}), reals({})}).named("empty");
  s.add<op::swiglu_backward>({reals({}), reals({}), reals({})});
  s.add<op::lerp>({reals({3, 4}), reals({4}), reals({3, 1})});
  s.add<op::lerp>({reals({2, 0}), reals({1, 1}), reals({})});
  s.add<op::lerp>({reals({}), reals({1}), reals({1, 1})});
  s.add<op::lerp>({reals({5}), reals({5}), exactly({5}, {0, 1, 0.25, 0.75, 2})});
  for (double value : {1.0, -0.5}) {
    s.add<op::addcmul>({reals({3, 4}), reals({4}), reals({3, 1})}, {value});
    s.add<op::addcmul>({reals({}), reals({1}), reals({1, 1})}, {value});
  }
  s.add<op::addcmul>({reals({0, 2}), reals({1}), reals({2})}, {});
  s.add<op::clamp_between>({apart({3, 5}), between({5}), reals({3, 1}, 0.3, 0.36)});
  s.add<op::clamp_between>({apart({}), exactly({}, {0.25}), exactly({1}, {1.5})});
  s.add<op::clamp_between>({reals({0, 2}), reals({1}), reals({2})});
  s.add<op::clamp_between>({exactly({8, 1}, kSpecial), exactly({8}, kSpecial), reals({})})
      .named("special")
      .up_to(0, kForwardOnly);
  s.add<op::clamp_between>({integers({5}, -9, 9), integers({5}, -9, 0), integers({}, 0, 9)}).named("integers");
  s.add<op::lerp>({reals({64, 700}), reals({64, 700}), reals({700}, 0, 1)}).named("threads").threaded();
  bits(s, {add<op::bitwise_and>, add<op::bitwise_or>, add<op::bitwise_xor>});
  Device ref = device("ref");
  for (const Shape& shape : {Shape{2, 3}, Shape{}, Shape{0, 2}})
    s.add<op::to_device>({reals(shape)}, {ref.backend, ref.index});
  comparisons(s, {add<op::eq>, add<op::ne>, add<op::lt>, add<op::le>, add<op::gt>, add<op::ge>});
  comparisons(s, {add<op::logical_and>, add<op::logical_or>, add<op::logical_xor>});
  s.add<op::shift_right>({integers({3, 4}, -1000, 1000), integers({4}, 0, 64)});
  s.add<op::shift_right>({integers({0}, 0, 2), integers({1}, 0, 64)});

  s.add<op::where>({truths({3, 4}), reals({3, 4}), reals({3, 4})});
  s.add<op::where>({truths({3, 1}), reals({4}), reals({})}).named("broadcast");
  s.add<op::where>({truths({0, 2}), reals({1}), reals({2})}).named("empty");
  s.add<op::where>({truths({8}), exactly({8}, kSpecial), reals({8})}).named("special").up_to(0, kForwardOnly);
}

}  // namespace fovea::proof
