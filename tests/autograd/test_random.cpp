// Generators and the ops that draw from them.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include <doctest/doctest.h>
#include "autograd/ops/elementwise.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "core/parallel.h"
#include "core/random.h"

using namespace fovea;

namespace {

template <class F> void with_threads(int n, F&& f) {
  int before = thread_count();
  set_thread_count(n);
  f();
  set_thread_count(before);
}

}  // namespace

TEST_CASE("each draw takes the next counter; element i depends on seed, counter and i alone") {
  Generator g{123456789, 5};
  std::vector<int64_t> bits = random_bits({1000}, {.generator = &g}).to_vector<int64_t>();
  CHECK(g.counter == 6);
  for (uint64_t i = 0; i < 1000; i++) REQUIRE(uint64_t(bits[i]) == random_bits(123456789, 5, i));
  CHECK(random_bits({10, 100}, {.generator = &g}).to_vector<int64_t>() != bits);
  g = {123456789, 5};
  CHECK(random_bits({10, 100}, {.generator = &g}).to_vector<int64_t>() == bits);  // the shape does not matter
  g = {123456789, 5};
  std::vector<int64_t> few = random_bits({10}, {.generator = &g}).to_vector<int64_t>();
  CHECK(std::equal(few.begin(), few.end(), bits.begin()));  // nor does the size
  // Every op takes one.
  g = {1, 0};
  RandomOptions o{.generator = &g};
  rand({3}, o), randn({3}, o), uniform({3}, 0, 1, o), normal(0, 1, {3}, o), randint(0, 9, {3}, o), randperm(5, o);
  bernoulli(full({3}, 0.5), &g), dropout(ones({3}), 0.5, {.generator = &g});
  multinomial(ones({3}), 2, {.generator = &g}), categorical(zeros({2, 3}), &g);
  CHECK(g.counter == 10);
}

TEST_CASE(
    "pitfall 45: equal bits for any threads and on both backends; the next draw differs, pt#176584, fa#2088, "
    "amrex#5662, ngraph#3006") {
  auto draws = [](Device d) {
    Generator g{99, 0};
    RandomOptions o{.generator = &g, .device = d};
    std::vector<std::vector<double>> all;
    for (DType t : {f32, f64, bf16, f16}) {
      o.dtype = t;
      all.push_back(rand({5, 1001}, o).to_vector<double>());
    }
    o.dtype = {};
    all.push_back(uniform({5000}, -3, 7, o).to_vector<double>());
    all.push_back(randint(-5, 1000, {5000}, o).to_vector<double>());
    all.push_back(randint(INT64_MIN, INT64_MAX, {5000}, o).to_vector<double>());
    all.push_back(randperm(5000, o).to_vector<double>());
    all.push_back(bernoulli(full({5000}, 0.3, {.device = d}), &g).to_vector<double>());
    all.push_back(dropout(ones({5000}, {.device = d}), 0.4, {.generator = &g}).to_vector<double>());
    return all;
  };
  auto expected = draws(device("ref"));
  for (size_t i = 0; i + 1 < expected.size(); i++) CHECK(expected[i] != expected[i + 1]);
  for (int threads : {1, 2, 3, 7})
    with_threads(threads, [&] {
      INFO(threads, " threads");
      auto got = draws(device("cpu"));
      for (size_t i = 0; i < expected.size(); i++) {
        INFO("draw ", i);
        CHECK(got[i] == expected[i]);
      }
    });
}

TEST_CASE("numbers are spread as they should be") {
  Generator g{2024, 0};
  RandomOptions o{.generator = &g};
  const int64_t n = 100000;
  for (DType t : {f32, f64, bf16, f16}) {
    INFO(name_of(t));
    o.dtype = t;
    Tensor u = rand({n}, o).to(f64);
    CHECK(amin(u).item() >= 0);
    CHECK(amax(u).item() < 1);
    CHECK(mean(u).item() == doctest::Approx(t == bf16 ? 0.498 : 0.5).epsilon(0.006));  // multiples of 2^-8: 1/512 less
    CHECK(mean(square(u - 0.5)).item() == doctest::Approx(1 / 12.0).epsilon(0.02));
    Tensor z = randn({n}, o).to(f64);
    CHECK(std::abs(mean(z).item()) < 0.012);
    CHECK(mean(square(z)).item() == doctest::Approx(1).epsilon(0.02));
    CHECK(std::abs(mean(z * z * z).item()) < 0.05);
    CHECK(mean(square(square(z))).item() == doctest::Approx(3).epsilon(0.05));
    CHECK(all(isfinite(z)).item<bool>());
  }
  o.dtype = {};
  CHECK(mean(normal(3, 2, {n}, o)).item() == doctest::Approx(3).epsilon(0.01));
  Tensor r = randint(-2, 3, {n}, o);
  CHECK(r.dtype() == i64);
  for (int v = -2; v < 3; v++) CHECK(mean(r == v).item() == doctest::Approx(0.2).epsilon(0.03));
  CHECK(amin(r).item() == -2);
  CHECK(amax(r).item() == 2);
  CHECK(randint(7, 8, {5}, o).to_vector<int>() == std::vector<int>(5, 7));
  CHECK(randint(0, 2, {5}, {.generator = &g, .dtype = u8}).dtype() == u8);
  for (int64_t size : {0, 1, 2, 1000}) {
    std::vector<int64_t> p = randperm(size, o).to_vector<int64_t>(), sorted = p;
    std::sort(sorted.begin(), sorted.end());
    std::vector<int64_t> all(static_cast<size_t>(size));
    std::iota(all.begin(), all.end(), 0);
    CHECK(sorted == all);
    if (size > 2) CHECK(p != all);
  }
  const int64_t many = 300000;  // the bits of places 106483 and 156606 agree in the first 43
  Generator alike{7, 609}, again = alike;
  CHECK(randperm(many, {.generator = &alike}).to_vector<int64_t>() ==
        randperm(many, {.generator = &again, .device = device("ref")}).to_vector<int64_t>());
  Tensor odds({0, 0.25, 1, 0.5});
  Tensor flips = bernoulli(odds.expand({20000, 4}), &g);
  CHECK(mean(flips, {0})[0].item() == 0);
  CHECK(mean(flips, {0})[1].item() == doctest::Approx(0.25).epsilon(0.05));
  CHECK(mean(flips, {0})[2].item() == 1);
}

TEST_CASE("places of many long rows are those of each row") {  // drawn some rows at a time
  Generator g{5, 1}, again = g;
  Tensor fine = multinomial(ones({35, 40000}), 4, {.replacement = true, .generator = &g});
  Tensor coarse = multinomial(ones({35, 400}), 4, {.replacement = true, .generator = &again});
  CHECK(floor_divide(fine, 100).to_vector<int>() == coarse.to_vector<int>());
}

TEST_CASE("places are drawn with their odds, and without replacement each once") {
  Generator g{11, 0};
  const int64_t n = 20000;
  auto shares = [&](const Tensor& places) {
    std::vector<double> share(4);
    for (int64_t k : places.to_vector<int64_t>()) share.at(size_t(k)) += 1.0 / double(places.numel());
    return share;
  };
  auto close = [&](const std::vector<double>& got, const std::vector<double>& expected) {
    for (size_t k = 0; k < 4; k++) CHECK(std::abs(got[k] - expected[k]) < 5 * std::sqrt(0.25 / double(n)));
  };
  const Tensor odds = Tensor({1, 0, 3, 4});  // need not add up to 1
  const std::vector<double> expected = {0.125, 0, 0.375, 0.5};
  close(shares(multinomial(odds, n, {.replacement = true, .generator = &g})), expected);
  close(shares(categorical(expand(log(odds) - 500, {n, 4}), &g)), expected);
  Tensor rows = multinomial(expand(odds, {n, 4}), 3, {.generator = &g});
  CHECK(rows.shape() == Shape{n, 3});
  close(shares(select(rows, 1, 0)), expected);
  // The second, given the first: 3/8 of (1/5, 4/5), 1/2 of (1/4, 3/4), 1/8 of (3/7, 4/7).
  close(shares(select(rows, 1, 1)), {3.0 / 40 + 1.0 / 8, 0, 3.0 / 8 + 3.0 / 56, 3.0 / 10 + 1.0 / 14});
  const std::vector<int64_t> all = rows.to_vector<int64_t>();
  for (size_t i = 0; i < all.size(); i += 3) REQUIRE(all[i] + all[i + 1] + all[i + 2] == 5);  // 0, 2 and 3
  CHECK(categorical(zeros({2, 3, 5}), &g).shape() == Shape{2, 3});
  CHECK(categorical(Tensor({-INFINITY, 0}), &g).item<int64_t>() == 1);
  CHECK_THROWS_AS(categorical(Tensor({NAN, 0})), ValueError);
  CHECK_THROWS_AS(categorical(Tensor({-INFINITY, -INFINITY})), ValueError);
  CHECK_THROWS_AS(multinomial(Tensor({1, 0}), 2), ValueError);
  CHECK_THROWS_AS(multinomial(Tensor({1, -1}), 1), ValueError);
  CHECK_THROWS_AS(multinomial(zeros({2, 2, 2}), 1), ShapeError);
}

TEST_CASE("a generator's state is two numbers: put back, it draws the same") {
  Generator g{7, 0};
  RandomOptions o{.generator = &g};
  rand({10}, o);
  Generator saved = g;
  auto first = randn({10}, o).to_vector<float>();
  rand({3}, o);
  g = saved;
  CHECK(randn({10}, o).to_vector<float>() == first);
  manual_seed(11);
  auto a = rand({4}).to_vector<float>();
  CHECK(rand({4}).to_vector<float>() != a);
  manual_seed(11);
  CHECK(rand({4}).to_vector<float>() == a);
  manual_seed(12);
  CHECK(rand({4}).to_vector<float>() != a);
}

TEST_CASE("uniform numbers never reach the upper bound, whatever the dtype rounds") {
  const std::pair<double, double> ranges[] = {{100, 101}, {-1, 0}, {0, 0.3}, {-2048, -2047}, {1, 1 + 0x1p-20}, {3, 3}};
  for (DType t : {bf16, f16, f32, f64})
    for (auto [low, high] : ranges) {
      INFO(std::string(name_of(t)), " ", low, " ", high);
      Tensor x = uniform({20000}, low, high, {.dtype = t}).to(f64);
      CHECK(amin(x).item() >= low);
      CHECK(
          (low == high ? amax(x).item() == low : amax(x).item() < high || full({}, low, {.dtype = t}).item() >= high));
    }
}

TEST_CASE("what no generator can draw is refused") {
  CHECK_THROWS_AS(rand({2}, {.dtype = i64}), DTypeError);
  CHECK_THROWS_AS(randint(3, 3, {2}), ValueError);
  CHECK_THROWS_AS(normal(0, -1, {2}), ValueError);
  CHECK_THROWS_AS(uniform({2}, 1, 0), ValueError);
  CHECK_THROWS_AS(uniform({2}, 0, INFINITY), ValueError);
  CHECK_THROWS_AS(uniform({2}, -3e38, 3e38), ValueError);
  CHECK_THROWS_AS(uniform({2}, 0, 1e39), ValueError);
  CHECK_THROWS_AS(uniform({2}, -60000, 60000, {.dtype = f16}), ValueError);
  CHECK_THROWS_AS(randperm(-1), ValueError);
  CHECK_THROWS_AS(bernoulli(Tensor({0.5, 1.5})), ValueError);
  CHECK_THROWS_AS(bernoulli(Tensor({NAN})), ValueError);
  CHECK_THROWS_AS(dropout(ones({2}), -0.1), ValueError);
  CHECK_THROWS_AS(dropout(ones({2}), NAN), ValueError);
}

TEST_CASE("pitfall 46: dropout with p = 0, p = 1, out of training; the gradient has the forward's choice") {
  Tensor x = full({1000}, 3.0, {.requires_grad = true});
  CHECK(dropout(x, 0).to_vector<float>() == std::vector<float>(1000, 3));
  CHECK(dropout(x, 0.7, {.training = false}).to_vector<float>() == std::vector<float>(1000, 3));
  Tensor none = dropout(x, 1);
  CHECK(none.to_vector<float>() == std::vector<float>(1000, 0));
  sum(none).backward();
  CHECK(x.grad().to_vector<float>() == std::vector<float>(1000, 0));
  x.clear_grad();
  Tensor inf = dropout(full({10}, INFINITY), 1);  // 0 times infinity is not what is meant
  CHECK(inf.to_vector<float>() == std::vector<float>(10, 0));
  Tensor y = dropout(x, 0.25);
  sum(y).backward();
  std::vector<float> out = y.to_vector<float>(), g = x.grad().to_vector<float>();
  int dropped = 0;
  for (size_t i = 0; i < 1000; i++) {
    CHECK((out[i] == 0 || out[i] == 4));
    CHECK(g[i] == out[i] / 3);
    dropped += out[i] == 0;
  }
  CHECK((dropped > 200 && dropped < 300));
}
