// NaN, infinities, both zeros, denormals and the ends of the range: the CPU's kernels against the reference.
#include <bit>
#include <cfloat>
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "autograd/apply.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/softmax.h"
#include "tests/autograd/pitfalls.h"

using namespace fovea;

namespace {

std::vector<double> special(DType t) {
  std::vector<double> v{0.0, -0.0, NAN, INFINITY, -INFINITY, 1, -1, 0.5, -2.5, 3, 88.8, -87.4, -104, 20, -20};
  if (t == f64) v.insert(v.end(), {5e-324, -5e-324, 2e-308, DBL_MIN, DBL_MAX, -DBL_MAX, 709.9, -745.2});
  else v.insert(v.end(), {1e-45, -1e-45, 1e-39, FLT_MIN, FLT_MAX, -FLT_MAX, 1e-20, -1e-20});
  return v;
}
Tensor numbers(const std::vector<double>& v, DType t, const char* where) {
  return Tensor::of(v, {int64_t(v.size())}, {.dtype = t, .device = device(where)});
}

// Same NaN places, same infinities, same bits of finite numbers where the op is exact, else close; zeros keep their
// sign.
// `least`: errors count against numbers of this size at least.
std::string differ(const Tensor& a, const Tensor& b, bool exact, double least = 0) {
  if (a.dtype() != b.dtype() || !(a.shape() == b.shape())) return "dtype or shape";
  std::vector<double> x = a.to_vector<double>(), y = b.to_vector<double>();
  double eps = a.dtype() == f64 ? 0x1p-50 : 0x1p-20;
  if (least == 0) least = a.dtype() == f64 ? DBL_MIN : double(FLT_MIN);
  for (size_t i = 0; i < x.size(); i++) {
    bool same = std::isnan(x[i]) ? std::isnan(y[i]) : x[i] == y[i] && std::signbit(x[i]) == std::signbit(y[i]);
    if (!same && !exact && std::isfinite(x[i]) && std::isfinite(y[i]))
      same = std::abs(x[i] - y[i]) <= eps * std::max(std::abs(x[i]), least);
    if (!same) return "element " + std::to_string(i) + ": " + std::to_string(x[i]) + " and " + std::to_string(y[i]);
  }
  return "";
}

bool is_exact(int id) {
  for (op::Id e :
       {op::neg,         op::abs,     op::sign,        op::sqrt,       op::reciprocal, op::square,       op::relu,
        op::logical_not, op::isnan,   op::isfinite,    op::contiguous, op::add,        op::sub,          op::mul,
        op::div,         op::maximum, op::minimum,     op::eq,         op::ne,         op::lt,           op::le,
        op::gt,          op::ge,      op::logical_and, op::logical_or, op::remainder,  op::floor_divide, op::amax,
        op::amin,        op::any,     op::all})
    if (e == id) return true;
  return false;
}

}  // namespace

TEST_CASE("pitfall 47: special values in elementwise ops, CPU against the reference, mlx#4222, mlx#4146") {
  (void)op_def(op::add);
  int ops = 0;
  for (DType t : {f32, f64}) {
    std::vector<double> v = special(t), a, b;
    for (double x : v)
      for (double y : v) a.push_back(x), b.push_back(y);
    for (int id = 1; id < op::count; id++) {
      const OpRow& r = row(id);
      if (!r.elementwise || r.form != Form::pure || r.attrs_size || r.inputs > 2) continue;
      if (id == op::shift_right || (id >= op::bitwise_and && id <= op::bitwise_xor) || id == op::bitwise_not) continue;
      INFO(std::string(r.name), " ", std::string(name_of(t)));
      ops++;
      std::vector<Tensor> x{numbers(a, t, "ref")}, y{numbers(a, t, "cpu")};
      if (r.inputs == 2) x.push_back(numbers(b, t, "ref")), y.push_back(numbers(b, t, "cpu"));
      Tensor ref = fovea::apply(id, x)[0], cpu = fovea::apply(id, y)[0];
      CHECK(differ(ref, cpu, is_exact(id)) == "");
      // One at a time: the rest of a vector of any length does what its body does.
      for (size_t n : {size_t(1), size_t(3), size_t(7), v.size()}) {
        std::vector<double> end(v.end() - int64_t(n), v.end());
        std::vector<Tensor> p{numbers(end, t, "ref")}, q{numbers(end, t, "cpu")};
        if (r.inputs == 2) p.push_back(numbers({-0.0}, t, "ref")), q.push_back(numbers({-0.0}, t, "cpu"));
        CHECK(differ(fovea::apply(id, p)[0], fovea::apply(id, q)[0], is_exact(id)) == "");
      }
    }
  }
  CHECK(ops > 60);
}

TEST_CASE("pitfall 47: special values in reductions, at every place of a vector and behind it") {
  const std::pair<const char*, Tensor (*)(const Tensor&)> calls[] = {
      {"sum", [](const Tensor& x) { return sum(x, {1}); }},
      {"mean", [](const Tensor& x) { return mean(x, {1}); }},
      {"prod", [](const Tensor& x) { return prod(x, {1}); }},
      {"amax", [](const Tensor& x) { return amax(x, {1}); }},
      {"amin", [](const Tensor& x) { return amin(x, {1}); }},
      {"any", [](const Tensor& x) { return any(x, {1}); }},
      {"all", [](const Tensor& x) { return all(x, {1}); }},
      {"argmax", [](const Tensor& x) { return argmax(x, 1); }},
      {"argmin", [](const Tensor& x) { return argmin(x, 1); }},
      {"cumsum", [](const Tensor& x) { return cumsum(x, 1); }},
      {"softmax", [](const Tensor& x) { return softmax(x, 1); }},
      {"log_softmax", [](const Tensor& x) { return log_softmax(x, 1); }},
      {"logsumexp", [](const Tensor& x) { return logsumexp(x, {1}); }},
      {"down", [](const Tensor& x) { return amax(x, {0}); }},
      {"sum down", [](const Tensor& x) { return sum(x, {0}); }},
  };
  for (DType t : {f32, f64})
    for (int64_t n : {1, 5, 8, 19, 37}) {
      // Row (p, i) is ordinary numbers with special value i at place p.
      std::vector<double> all_rows;
      std::vector<double> v = special(t);
      int64_t rows = 0;
      for (int64_t p = 0; p < n; p++)
        for (double s : v) {
          rows++;
          for (int64_t k = 0; k < n; k++) all_rows.push_back(k == p ? s : double((k * 7 + p) % 11) / 8 - 0.5);
        }
      auto on = [&](const char* d) { return Tensor::of(all_rows, {rows, n}, {.dtype = t, .device = device(d)}); };
      for (auto& [name, call] : calls) {
        INFO(std::string(name), " ", std::string(name_of(t)), " of ", n);
        bool exact = name[0] == 'a' || name[0] == 'd';  // extrema and what is true
        bool soft = std::string(name).find("soft") != std::string::npos || name[0] == 'l';
        CHECK(differ(call(on("ref")), call(on("cpu")), exact, soft ? 1.0 : 0.0) == "");
      }
    }
}

TEST_CASE(
    "pitfall 18: a[argmax(a)] is amax(a) bit for bit, also where a NaN stands anywhere, mlx#4274, apache/tvm#19518, "
    "burn#4814") {
  for (const char* d : {"ref", "cpu"})
    for (DType t : {f32, f64, bf16, f16}) {
      INFO(std::string(d), " ", std::string(name_of(t)));
      for (int64_t n : {1, 2, 7, 8, 9, 31, 64, 67})
        for (int64_t p = 0; p < n; p++)
          for (double s : {double(NAN), double(INFINITY), double(-INFINITY), 99.0, -99.0}) {
            std::vector<double> v;
            for (int64_t k = 0; k < n; k++) v.push_back(k == p ? s : double(k % 5));
            if (std::isnan(s) && p + 3 < n) v[size_t(p + 3)] = NAN;
            Tensor x = numbers(v, t, d);
            int64_t most = argmax(x, 0).item<int64_t>(), least = argmin(x, 0).item<int64_t>();
            int64_t first_most = 0, first_least = 0;  // the first NaN, else the first of the largest
            for (int64_t k = 1; k < n; k++) {
              auto beats = [&](double a, double b, bool up) {
                return !std::isnan(b) && (std::isnan(a) || (up ? a > b : a < b));
              };
              if (beats(v[size_t(k)], v[size_t(first_most)], true)) first_most = k;
              if (beats(v[size_t(k)], v[size_t(first_least)], false)) first_least = k;
            }
            REQUIRE(most == first_most);
            REQUIRE(least == first_least);
            REQUIRE(differ(x[most], amax(x), true) == "");
            REQUIRE(differ(x[least], amin(x), true) == "");
          }
    }
}

TEST_CASE("pitfall 47: sort puts NaN last in both directions and keeps equal ones in order, zeros too") {
  for (const char* d : {"ref", "cpu"}) {
    Tensor x = numbers({0.0, NAN, -0.0, 3, -INFINITY, NAN, 0.0, INFINITY}, f32, d);
    CHECK(argsort(x, 0).to_vector<int>() == std::vector<int>{4, 0, 2, 6, 3, 7, 1, 5});
    CHECK(argsort(x, 0, {.descending = true}).to_vector<int>() == std::vector<int>{7, 3, 0, 2, 6, 4, 1, 5});
  }
}

TEST_CASE("the slope of 0^b by b is its limit: -inf below 0, then 0") {
  Tensor a({0, 0, 0, 0}), b = Tensor({-1, 0, 2, NAN}, {.requires_grad = true});
  sum(pow(a, b)).backward();
  const std::vector<float> g = b.grad().to_vector<float>();
  CHECK(g[0] == -INFINITY);
  CHECK((g[1] == 0 && g[2] == 0));
  CHECK(std::isnan(g[3]));
}

TEST_CASE("gelu has no second derivative where x is NaN, and 0 at the infinities and far out") {
  for (const char* d : kDevices) {
    Tensor x = leaf({NAN, INFINITY, -INFINITY, 1e30, -1e30, 16, -16}, {7}, f32, d);
    Tensor slope = grad({sum(gelu(x, {Gelu::tanh}))}, {x}, {}, {.create_graph = true})[0];
    const std::vector<float> second = grad({sum(slope)}, {x})[0].to_vector<float>();
    CHECK(std::isnan(second[0]));
    CHECK(std::vector<float>(second.begin() + 1, second.end()) == std::vector<float>(6, 0));
  }
}

TEST_CASE("smooth_l1_loss with the least of betas is l1_loss") {
  for (DType t : {f32, f64, bf16})
    for (double beta : {0x1p-126, 1e-42, 1e-300, 1e-310}) {
      Tensor x = Tensor({2, -3, 1, 1e-5}, {.dtype = t, .requires_grad = true});
      Tensor y = smooth_l1_loss(x, Tensor({1, 1, 1, 0}, {.dtype = t}), {Reduction::none, beta});
      sum(y).backward();
      INFO(std::string(name_of(t)), " ", beta, " ", y.to_string(), " ", x.grad().to_string());
      CHECK(y.to_vector<float>() == abs(x.detach() - Tensor({1, 1, 1, 0}, {.dtype = t})).to_vector<float>());
      CHECK(x.grad().to_vector<float>() == std::vector<float>{1, -1, 0, 1});
    }
  CHECK(smooth_l1_loss(Tensor({2}), 1, {.beta = 1e-300}).item() == 1);
}

TEST_CASE("quotients and hypot of denormals have slopes, though a reciprocal would leave the range") {
  const std::pair<DType, double> denormals[] = {{f16, 1e-5}, {bf16, 1e-39}, {f32, 1e-40}, {f64, 1e-310}};
  for (const char* d : {"ref", "cpu"})
    for (auto [t, tiny] : denormals) {
      INFO(std::string(d), " ", std::string(name_of(t)));
      Tensor a = full({}, tiny, {.dtype = t, .device = device(d), .requires_grad = true}),
             b = a.detach().requires_grad_();
      Tensor zero = zeros({}, {.like = a.detach()});
      hypot(a, b).backward();
      for (const Tensor& x : {a, b}) CHECK(x.grad().item() == doctest::Approx(std::sqrt(0.5)).epsilon(0.05));
      std::vector<Tensor> g = grad({hypot(a, zero.requires_grad_())}, {a});
      CHECK(g[0].item() == 1);
      CHECK(grad({zero / a}, {a})[0].item() == 0);
      CHECK(grad({a / b}, {b})[0].item() < 0);
    }
}

TEST_CASE("cross-entropy of equal logits is log(classes), and its gradient 1/classes, however large they are") {
  for (const char* d : kDevices)
    for (DType t : {f32, f64, bf16, f16})
      for (double size : {0.0, 3e4, -3e4, 1e20, -1e20, 1e38}) {
        if (t == f16 && std::abs(size) > 6e4) continue;
        for (double smoothing : {0.0, 0.1}) {
          Tensor x = leaf({size, size, size, size, size}, {1, 5}, t, d);
          Tensor target = zeros({1}, {.dtype = i64, .device = device(d)});
          Tensor loss = cross_entropy(x, target, {.label_smoothing = smoothing});
          loss.backward();
          const double hit = 1 - smoothing, each = smoothing / 5, eps = t == bf16 ? 0x1p-7 : t == f16 ? 0x1p-10 : 1e-6;
          INFO(std::string(d), " ", std::string(name_of(t)), " of ", size, ", smoothing ", smoothing, ": loss ",
               loss.item(), ", gradient ", x.grad().to_string());
          CHECK(std::abs(loss.item() - std::log(5)) <= 2 * eps);
          CHECK(gap(x.grad(), Tensor({{0.2 - hit - each, 0.2 - each, 0.2 - each, 0.2 - each, 0.2 - each}},
                                     {.dtype = f64, .device = device(d)})) <= eps);
        }
      }
}

TEST_CASE("what all logits of a row have in common changes neither the loss nor its gradient, in f64 to the last bit") {
  for (const char* d : kDevices)
    for (double offset : {100.0, 1e3, 0x1p27, -0x1p27, 0x1p60})
      for (double smoothing : {0.0, 0.1})
        for (bool weighted : {false, true}) {
          std::vector<double> v = noise_of(12, 3), moved;
          double spacing = std::max(std::abs(offset) * 0x1p-52, 0x1p-30);  // what both hold exactly
          for (double& n : v) n = std::round(n * 4 / spacing) * spacing, moved.push_back(n + offset);
          Tensor x = leaf(v, {3, 4}, f64, d), y = leaf(moved, {3, 4}, f64, d);
          Tensor target = Tensor::of(std::vector<int64_t>{1, 3, 0}, {3}, {.device = device(d)});
          CrossEntropyOptions o{.label_smoothing = smoothing};
          if (weighted) o.weight = Tensor({0.5, 1, 2, 3}, {.dtype = f64, .device = device(d)});
          Tensor here = cross_entropy(x, target, o), there = cross_entropy(y, target, o);
          here.backward();
          there.backward();
          INFO(std::string(d), ", offset ", offset, ", smoothing ", smoothing, ", weights ", weighted);
          CHECK(here.item() == there.item());
          CHECK(equal(x.grad(), y.grad()));
        }
}
