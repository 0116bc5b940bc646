// Elementwise kernels: each function against the C library in f64, in ulp, over all exponents; every level; tails,
// strides and broadcasting through the seam; the same bits for any number of threads.
#include <algorithm>
#include <functional>
#include <limits>

#include "backends/common/formulas.h"
#include "backends/cpu/elementwise.h"
#include "backends/cpu/kernels.h"
#include "backends/ref/kernels.h"
#include "tests/backends/cpu_helpers.h"

#define FOVEA_LOWERED
#define FOVEA_FAMILY "backends/cpu/elementwise_kernels.inc"
#include "backends/cpu/levels.inc"

using namespace fovea;
using namespace fovea::cpu_test;

namespace {

// Every 2^14th float, each exponent and sign among them, and the values at which something changes.
const std::vector<float>& sweep() {
  static const std::vector<float> all = [] {
    std::vector<float> v;
    for (uint64_t bits = 0; bits < (1ull << 32); bits += 16381) {
      uint32_t b = uint32_t(bits);
      float x;
      std::memcpy(&x, &b, 4);
      v.push_back(x);
    }
    for (int i = -2600; i <= 2600; i++) v.push_back(float(i) * 0.04f);
    for (float x : {0.0f,  -0.0f, 1.0f,   -1.0f,   INFINITY, -INFINITY, NAN,    1e-45f,  -1e-45f,      3.4e38f,
                    88.7f, 88.8f, -87.3f, -103.9f, -104.1f,  0.625f,    0.999f, 1.0001f, 0.837801099f, -3.44751787f})
      v.push_back(x);
    return v;
  }();
  return all;
}

// In units of the last place of the reference; infinite when one is NaN or infinite and the other is not the same.
double ulps(float got, double want) {
  float rounded = float(want);
  if (std::isnan(want)) return std::isnan(got) ? 0 : INFINITY;
  if (std::isinf(rounded) || std::isinf(got)) return got == rounded ? 0 : INFINITY;
  int e = std::max(std::ilogb(want == 0 ? 1e-300 : want), -126);
  return std::abs(double(got) - want) / std::ldexp(1.0, e - 23);
}

struct Function {
  std::string name;
  double bound;  // ulp
  std::function<double(double)> f;
  std::function<void(const cpu::ElementwiseKernels<float>&, int64_t, const float*, float*)> run;
  double low = -INFINITY, high = INFINITY;  // where the bound holds
};

template <Unary k> Function of(const char* name, double bound) {
  return {
      name, bound, [](double x) { return double(formulas::unary<k>(x)); },
      [](const cpu::ElementwiseKernels<float>& t, int64_t n, const float* x, float* y) { t.unary[int(k)](n, x, y); }};
}
Function gelu_of(const char* name, double bound, bool backward, Gelu kind, std::function<double(double)> f) {
  return {name,
          bound,
          std::move(f),
          [=](const cpu::ElementwiseKernels<float>& t, int64_t n, const float* x, float* y) {
            float one = 1;
            if (backward) t.gelu_backward[int(kind)](n, &one, 0, x, 1, y);
            else t.gelu[int(kind)](n, x, y);
          },
          -13,
          1e30};
}
double phi(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
double tanh_slope(double x) {
  double w = 2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x), s = 1 / (1 + std::exp(-w)),
         o = 1 / (1 + std::exp(w));
  return s + x * s * o * 2 * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
}

std::vector<Function> functions() {
  return {of<Unary::neg>("neg", 0), of<Unary::abs>("abs", 0), of<Unary::sign>("sign", 0), of<Unary::exp>("exp", 1),
          of<Unary::expm1>("expm1", 2), of<Unary::log>("log", 1), of<Unary::log1p>("log1p", 2),
          of<Unary::sqrt>("sqrt", 0.5), of<Unary::rsqrt>("rsqrt", 1.5), of<Unary::reciprocal>("reciprocal", 0.5),
          of<Unary::square>("square", 0.5), of<Unary::tanh>("tanh", 2), of<Unary::sigmoid>("sigmoid", 2),
          of<Unary::erf>("erf", 2), of<Unary::relu>("relu", 0), of<Unary::log2>("log2", 1),
          of<Unary::log10>("log10", 1), of<Unary::sin>("sin", 2), of<Unary::cos>("cos", 2), of<Unary::tan>("tan", 1),
          of<Unary::asin>("asin", 2), of<Unary::acos>("acos", 2), of<Unary::atan>("atan", 2),
          of<Unary::sinh>("sinh", 2), of<Unary::cosh>("cosh", 2), of<Unary::floor>("floor", 0),
          of<Unary::ceil>("ceil", 0), of<Unary::round>("round", 0), of<Unary::trunc>("trunc", 0),
          gelu_of("gelu", 8, false, Gelu::none, [](double x) { return x * phi(x); }),
          gelu_of("gelu tanh", 250, false, Gelu::tanh,
                  [](double x) { return x * formulas::sigmoid(2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)); }),
          // Slopes pass through 0 near -0.75: there the error is absolute.
          gelu_of("gelu backward", 8, true, Gelu::none,
                  [](double x) { return phi(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }),
          gelu_of("gelu tanh backward", 250, true, Gelu::tanh, tanh_slope)};
}

void check(const cpu::ElementwiseKernels<float>& table) {
  const std::vector<float>& x = sweep();
  for (const Function& f : functions()) {
    std::vector<float> y(x.size());
    f.run(table, int64_t(x.size()), x.data(), y.data());
    double worst = 0;
    float at = 0;
    int signs = 0;
    bool slope = f.name.find("backward") != std::string::npos;
    for (size_t i = 0; i < x.size(); i++) {
      if (x[i] < f.low || x[i] > f.high) continue;
      double want = f.f(double(x[i])), e = ulps(y[i], want);
      if (slope && std::abs(x[i] + 0.75) < 1) e = std::abs(double(y[i]) - want) * 0x1p23;
      if (!(e <= worst)) worst = e, at = x[i];
      if (f.name.size() < 6) signs += !std::isnan(want) && std::signbit(y[i]) != std::signbit(want);
    }
    INFO(f.name, " worst at ", at);
    CHECK(signs == 0);
    CHECK(worst <= f.bound);
  }
}

// Two-input functions over pairs: each value of a coarse sweep beside 24 others, signs, zeros, infinities and NaN among
// them, and as many nearby pairs.
void check_pairs(const cpu::ElementwiseKernels<float>& table) {
  struct Pair {
    const char* name;
    Binary kind;
    double bound;
    double (*f)(double, double);
  };
  const Pair pairs[] = {
      {"pow", Binary::pow, 1, [](double a, double b) { return std::pow(a, b); }},
      {"atan2", Binary::atan2, 2, [](double a, double b) { return std::atan2(a, b); }},
      {"fmod", Binary::fmod, 0, [](double a, double b) { return std::fmod(a, b); }},
      {"remainder", Binary::remainder, 1, [](double a, double b) { return formulas::remainder(a, b); }},
      {"floor_divide", Binary::floor_divide, 1, [](double a, double b) { return formulas::floor_divide(a, b); }},
      {"hypot", Binary::add, 0.51, [](double a, double b) { return std::hypot(a, b); }}};
  std::vector<float> a, b;
  const std::vector<float>& all = sweep();
  const float others[] = {0.0f, -0.0f, 1,     -1,    2,  -2,     3,     -3,    0.5f,    -0.5f,    INFINITY, -INFINITY,
                          NAN,  7.25f, -0.1f, 1e30f, 33, 1e-30f, 1e-3f, 20.1f, -1e-41f, 16777215, 2.5f,     -7};
  for (size_t i = 0; i < all.size(); i += 61)
    for (float other : others) a.push_back(all[i]), b.push_back(other), a.push_back(other), b.push_back(all[i]);
  for (uint64_t i = 0; i < 40000; i++) {
    a.push_back(float(std::exp(9 * number(i, 1)) * (number(i, 2) < 0 ? -1 : 1)));
    b.push_back(i % 3 ? float(30 * number(i, 3)) : std::round(float(9 * number(i, 3))));
  }
  std::vector<float> y(a.size());
  for (const Pair& p : pairs) {
    auto kernel = p.kind == Binary::add   ? table.hypot
                  : p.kind == Binary::sub ? table.logaddexp
                                          : table.binary[int(p.kind)];
    kernel(int64_t(a.size()), a.data(), 1, b.data(), 1, y.data());
    double worst = 0;
    float at[2] = {};
    int signs = 0;
    for (size_t i = 0; i < a.size(); i++) {
      double want = p.f(double(a[i]), double(b[i])), e = ulps(y[i], want);
      if (!(e <= worst)) worst = e, at[0] = a[i], at[1] = b[i];
      signs += !std::isnan(want) && std::signbit(y[i]) != std::signbit(want);
    }
    INFO(std::string(p.name), " worst at ", at[0], ", ", at[1]);
    CHECK(worst <= p.bound);
    CHECK(signs == 0);
  }
}

// Activations and their slopes over the sweep, in units of the larger of the result and 1/4 (slopes pass through 0).
void check_activations(const cpu::ElementwiseKernels<float>& table) {
  using F = double (*)(double);
  struct Pair {
    Activation kind;
    cpu::Parameters p;
    F value, slope;
  };
  static auto s = [](double x) { return formulas::sigmoid(x); };
  static auto soft = [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); };
  // clang-format off
  const Pair pairs[] = {
      {Activation::silu, {}, [](double x) { return x * s(x); }, [](double x) { return s(x) * (1 + x * s(-x)); }},
      {Activation::mish, {}, [](double x) { return x * std::tanh(soft(x)); },
       [](double x) { return std::tanh(soft(x)) + x * s(x) * (1 - std::pow(std::tanh(soft(x)), 2)); }},
      {Activation::softplus, {2, 20}, [](double x) { return 2 * x > 20 ? x : soft(2 * x) / 2; },
       [](double x) { return 2 * x > 20 ? 1 : s(2 * x); }},
      {Activation::elu, {1.5f, 2}, [](double x) { return 2 * (x > 0 ? x : 1.5 * std::expm1(x)); },
       [](double x) { return 2 * (x > 0 ? 1 : 1.5 * std::exp(x)); }},
      {Activation::leaky_relu, {0.25f, 0}, [](double x) { return x > 0 ? x : x / 4; },
       [](double x) { return x > 0 ? 1 : 0.25; }},
      {Activation::hardswish, {}, [](double x) { return x * std::min(std::max(x + 3, 0.0), 6.0) / 6; },
       [](double x) { return x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5; }},
      {Activation::logsigmoid, {}, [](double x) { return -soft(-x); }, [](double x) { return s(-x); }},
      {Activation::relu6, {0, 6}, [](double x) { return std::min(std::max(x, 0.0), 6.0); },
       [](double x) { return double(x > 0 && x < 6); }},
      {Activation::clamp, {-1.5f, NAN}, [](double x) { return std::max(x, -1.5); },
       [](double x) { return double(x > -1.5); }},
      {Activation::nan_to_num, {1, 2, 3}, [](double x) { return x; }, nullptr},
      {Activation::softsign, {}, [](double x) { return x / (1 + std::abs(x)); },
       [](double x) { return 1 / (1 + std::abs(x)) / (1 + std::abs(x)); }},
      {Activation::relu, {}, nullptr, [](double x) { return double(x > 0); }},
      {Activation::tanh, {}, nullptr, [](double x) { return 1 - x * x; }},
      {Activation::sigmoid, {}, nullptr, [](double x) { return x * (1 - x); }}};
  // clang-format on
  std::vector<float> x;
  for (float v : sweep())
    if (std::abs(v) < 1e18f) x.push_back(v);
  const float one = 1;
  for (const Pair& p : pairs)
    for (F f : {p.value, p.slope}) {
      if (!f) continue;
      std::vector<float> y(x.size());
      const int64_t n = int64_t(x.size());
      if (f == p.value) table.activation[int(p.kind)](n, x.data(), y.data(), p.p);
      else table.activation_backward[int(p.kind)](n, &one, 0, x.data(), 1, y.data(), p.p);
      double worst = 0;
      float at = 0;
      for (size_t i = 0; i < x.size(); i++) {
        double want = f(double(x[i])), unit = f == p.value ? std::abs(want) : std::max(std::abs(want), 0.25);
        double e = std::abs(double(y[i]) - want) / std::max(unit, 1e-36) * 0x1p24;
        if (!(e <= worst)) worst = e, at = x[i];
      }
      INFO("activation ", int(p.kind), f == p.value ? " value" : " slope", " worst at ", at);
      CHECK(worst <= 8);
    }
}

struct Layouts {
  std::vector<int64_t> shape, y, a, b;
};
const std::vector<Layouts> kLayouts = {
    {{}, {}, {}, {}},
    {{1}, {1}, {1}, {1}},
    {{77}, {1}, {1}, {1}},
    {{77}, {1}, {-1}, {0}},
    {{7, 35}, {35, 1}, {35, 1}, {0, 1}},
    {{7, 35}, {35, 1}, {0, 1}, {1, 0}},
    {{7, 35}, {40, 1}, {1, 7}, {35, 1}},
    {{7, 35}, {1, 7}, {35, 1}, {70, 2}},
    {{3, 5, 300}, {1500, 300, 1}, {300, 900, 1}, {0, 0, 1}},
    {{2, 3, 600}, {3600, 1200, 2}, {0, 0, 0}, {600, 1200, 1}},
    {{3, 0, 4}, {0, 4, 1}, {0, 4, 1}, {0, 0, 1}},
    {{100, 700}, {700, 1}, {700, 1}, {0, 1}},
};

}  // namespace

TEST_CASE("every function is within its bound of the exact value") {
  at_every_isa([&](cpu::Isa level) {
    check(cpu::elementwise_kernels<float>(level));
    check_pairs(cpu::elementwise_kernels<float>(level));
    check_activations(cpu::elementwise_kernels<float>(level));
  });
}

TEST_CASE("elementwise kernels for 512-bit vectors, lowered to AVX2") {
  if (cpu::best_isa() < cpu::Isa::avx2) return;
  check(cpu::lowered::kElementwiseTable<float>);
  check_pairs(cpu::lowered::kElementwiseTable<float>);
  check_activations(cpu::lowered::kElementwiseTable<float>);
}

TEST_CASE("f64 functions are the C library's") {
  std::vector<double> x = numbers<double>(1000, 1, 5), y(x.size());
  x[3] = NAN, x[5] = -INFINITY, x[6] = INFINITY;
  at_every_isa([&](cpu::Isa level) {
    auto& t = cpu::elementwise_kernels<double>(level);
    auto agree = [&](auto f, double bound) {
      double worst = 0;
      for (size_t i = 0; i < x.size(); i++) {
        double want = f(x[i]);
        bool same = y[i] == want || (std::isnan(want) && std::isnan(y[i]));
        double e = same ? 0 : std::abs(y[i] - want) / std::abs(want);
        worst = e <= worst ? worst : e;
      }
      CHECK(worst <= bound);
    };
    t.unary[int(Unary::exp)](1000, x.data(), y.data());
    agree([](double v) { return std::exp(v); }, 0);
    t.unary[int(Unary::sigmoid)](1000, x.data(), y.data());
    agree([](double v) { return formulas::sigmoid(v); }, 1e-15);
    t.gelu[int(Gelu::none)](1000, x.data(), y.data());
    agree([](double v) { return v * phi(v); }, 1e-13);
    t.gelu[int(Gelu::tanh)](1000, x.data(), y.data());
    agree([](double v) { return formulas::gelu_tanh(v); }, 1e-13);
  });
}

TEST_CASE("binary kinds through the seam, with any strides") {
  const std::vector<Binary> kinds = {Binary::add,     Binary::sub, Binary::mul, Binary::div, Binary::maximum,
                                     Binary::minimum, Binary::pow, Binary::eq,  Binary::lt,  Binary::ge};
  for (const Layouts& l : kLayouts)
    for (Binary kind : kinds) {
      std::vector<float> a = numbers<float>(120000, 1), b = numbers<float>(120000, 2);
      a[40005] = NAN, b[40010] = NAN, a[40012] = b[40012];
      bool gives_bool = formulas::gives_bool(kind);
      at_every_isa([&](cpu::Isa) {
        Guarded<float> out(80000);
        Guarded<bool> flags(80000, false);
        Strided y(gives_bool ? static_cast<void*>(&flags[0]) : &out[0], gives_bool ? boolean : f32, l.shape, l.y);
        Strided va(&a[40000], f32, l.shape, l.a), vb(&b[40000], f32, l.shape, l.b);
        const View *in[] = {&va.view, &vb.view}, *to[] = {&y.view};
        Call c{.in = in, .out = to, .inputs = 2, .outputs = 1, .kind = uint8_t(kind)};
        CHECK(cpu::binary(c, {}).code == Status::ok);
        auto oy = offsets(y), oa = offsets(va), ob = offsets(vb);
        int wrong = 0;
        for (size_t i = 0; i < oy.size(); i++) {
          float p = a[size_t(40000 + oa[i])], q = b[size_t(40000 + ob[i])];
          float want = kind == Binary::add       ? p + q
                       : kind == Binary::sub     ? p - q
                       : kind == Binary::mul     ? p * q
                       : kind == Binary::div     ? p / q
                       : kind == Binary::pow     ? float(std::pow(double(p), double(q)))
                       : kind == Binary::eq      ? p == q
                       : kind == Binary::lt      ? p < q
                       : kind == Binary::ge      ? p >= q
                       : kind == Binary::maximum ? formulas::maximum(p, q)
                                                 : formulas::minimum(p, q);
          float got = gives_bool ? float(flags[oy[i]]) : out[oy[i]];
          wrong += !(ulps(got, want) <= (kind == Binary::pow ? 1 : 0));
        }
        INFO("kind ", int(kind), " layout ", l.shape.size());
        CHECK(wrong == 0);
        CHECK(!out.broken());
        CHECK(!flags.broken());
      });
    }
}

TEST_CASE("whole numbers, booleans and tests of numbers are the reference's, with any strides") {
  using Slot = Status (*)(const Call&, const NoAttrs&);
  std::vector<int64_t> bits(240000);
  for (size_t i = 0; i < bits.size(); i++) bits[i] = int64_t(0x1p63 * number(i, i % 5 == 0 ? 3 : i));
  std::vector<float> reals = numbers<float>(240000, 1);
  for (size_t i = 0; i < reals.size(); i += 3) reals[i] = std::vector{0.0f, -0.0f, NAN, INFINITY, -INFINITY}[i % 5];
  std::vector<uint8_t> flags(240000);
  for (size_t i = 0; i < flags.size(); i++) flags[i] = bits[i] > 0;
  for (const Layouts& l : kLayouts)
    for (DType t : {i64, i32, boolean, f32, f16}) {
      void* data = t == boolean ? static_cast<void*>(flags.data())
                   : t == f32   ? static_cast<void*>(reals.data())
                                : &bits[0];
      Strided a(static_cast<char*>(data) + 40000 * size_of(t), t, l.shape, l.a);
      Strided b(static_cast<char*>(data) + 40005 * size_of(t), t, l.shape, l.b);
      Strided choose(&flags[40000], boolean, l.shape, l.b);
      std::vector<const View*> in{&choose.view, &a.view, &b.view};
      auto agree = [&](Slot cpu, Slot ref, uint8_t kind, bool gives_bool) {
        Guarded<int64_t> out(80000), want(80000);
        for (auto [slot, y] : {std::pair{cpu, &out}, std::pair{ref, &want}}) {
          Strided to(y->data(), gives_bool ? boolean : t, l.shape, l.y);
          const View* v = &to.view;
          CHECK(slot({.in = in.data(), .out = &v, .inputs = int(in.size()), .outputs = 1, .kind = kind}, {}));
        }
        INFO(name_of(t), " kind ", int(kind), " rank ", l.shape.size());
        CHECK(std::memcmp(out.data(), want.data(), 80000 * sizeof(int64_t)) == 0);
        CHECK(!out.broken());
      };
      agree(cpu::select, ref::select, 0, false);
      in.erase(in.begin());
      for (Binary k : {Binary::add, Binary::sub, Binary::mul, Binary::maximum, Binary::minimum, Binary::eq, Binary::ne,
                       Binary::lt, Binary::le, Binary::gt, Binary::ge, Binary::logical_and, Binary::logical_or,
                       Binary::logical_xor, Binary::bitwise_and, Binary::bitwise_or, Binary::bitwise_xor})
        if (!is_floating(t) && formulas::defined(k, t))
          agree(cpu::binary, ref::binary, uint8_t(k), formulas::gives_bool(k));
      for (Unary k : {Unary::logical_not, Unary::isnan, Unary::isinf, Unary::isfinite})
        agree(cpu::unary, ref::unary, uint8_t(k), true);
    }
}

TEST_CASE("unary, gelu and select through the seam, with any strides") {
  for (const Layouts& l : kLayouts) {
    std::vector<float> a = numbers<float>(120000, 1, 3), b = numbers<float>(120000, 2);
    std::vector<uint8_t> p(120000);
    for (size_t i = 0; i < p.size(); i++) p[i] = number(i, 7) > 0;
    at_every_isa([&](cpu::Isa) {
      Guarded<float> out(80000);
      Strided y(&out[0], f32, l.shape, l.y), va(&a[40000], f32, l.shape, l.a), vb(&b[40000], f32, l.shape, l.b);
      Strided vp(&p[40000], boolean, l.shape, l.b);
      auto oy = offsets(y), oa = offsets(va), ob = offsets(vb);
      const View *one[] = {&va.view}, *two[] = {&va.view, &vb.view}, *three[] = {&vp.view, &va.view, &vb.view};
      const View* to[] = {&y.view};
      auto agree = [&](auto want) {
        int wrong = 0;
        for (size_t i = 0; i < oy.size(); i++) wrong += !(std::abs(out[oy[i]] - want(i)) <= 1e-6);
        CHECK(wrong == 0);
        CHECK(!out.broken());
      };
      auto x = [&](size_t i) { return double(a[size_t(40000 + oa[i])]); };
      CHECK(cpu::unary({.in = one, .out = to, .inputs = 1, .outputs = 1, .kind = uint8_t(Unary::tanh)}, {}));
      agree([&](size_t i) { return std::tanh(x(i)); });
      CHECK(cpu::gelu({.in = one, .out = to, .inputs = 1, .outputs = 1}, {}));
      agree([&](size_t i) { return x(i) * phi(x(i)); });
      CHECK(cpu::gelu_backward({.in = two, .out = to, .inputs = 2, .outputs = 1}, {Gelu::tanh}));
      agree([&](size_t i) { return x(i) * tanh_slope(b[size_t(40000 + ob[i])]); });
      CHECK(cpu::select({.in = three, .out = to, .inputs = 3, .outputs = 1}, {}));
      agree([&](size_t i) { return p[size_t(40000 + ob[i])] ? x(i) : b[size_t(40000 + ob[i])]; });
    });
  }
}

TEST_CASE("elementwise results do not depend on the number of threads") {
  std::vector<float> x = numbers<float>(100003, 1, 4);
  std::vector<std::vector<float>> results;
  for (int threads : {1, 2, 3, 7})
    with_threads(threads, [&] {
      std::vector<float> y(x.size());
      Strided vx(x.data(), f32, {100003}, {1}), vy(y.data(), f32, {100003}, {1});
      const View *in[] = {&vx.view}, *to[] = {&vy.view};
      CHECK(cpu::gelu({.in = in, .out = to, .inputs = 1, .outputs = 1}, {Gelu::tanh}));
      results.push_back(y);
    });
  for (auto& r : results) CHECK(same_bits(r, results[0]));
}
