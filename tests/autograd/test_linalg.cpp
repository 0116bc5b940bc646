// einsum against the sum over all indices written out, its gradients by its linearity in every operand; the other
// products against einsum; what the notation does not allow.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "tests/helpers.h"

using namespace fovea;

namespace {

Tensor random(const Shape& s) { return randn(s, {.dtype = f64}); }

// The definition: for all values of all letters, the product of the operands' elements goes to the result's element.
// Letters only, each size 1 or the letter's.
std::vector<double> written_out(const std::string& equation, const std::vector<Tensor>& x, Shape& shape) {
  const size_t arrow = equation.find("->");
  std::vector<std::string> parts{""};
  for (char c : equation.substr(0, arrow)) c == ',' ? parts.push_back("") : parts.back().push_back(c);
  const std::string result = equation.substr(arrow + 2);
  std::map<char, int64_t> size, at;
  std::vector<std::vector<double>> data;
  for (size_t i = 0; i < x.size(); i++) {
    data.push_back(x[i].to_vector<double>());
    for (size_t d = 0; d < parts[i].size(); d++) size[parts[i][d]] = std::max(size[parts[i][d]], x[i].size(int(d)));
  }
  shape = {};
  int64_t all = 1, total = 1;
  for (char c : result) shape.push_back(size[c]), total *= size[c];
  for (auto& [c, n] : size) all *= n;
  std::vector<double> y(size_t(total), 0);
  for (int64_t n = 0; n < all; n++) {
    int64_t rest = n, to = 0;
    for (auto& [c, m] : size) at[c] = rest % m, rest /= m;
    double product = 1;
    for (size_t i = 0; i < x.size(); i++) {
      int64_t from = 0;
      for (size_t d = 0; d < parts[i].size(); d++)
        from = from * x[i].size(int(d)) + (x[i].size(int(d)) == 1 ? 0 : at[parts[i][d]]);
      product *= data[i][size_t(from)];
    }
    for (char c : result) to = to * size[c] + at[c];
    y[size_t(to)] += product;
  }
  return y;
}

double max_abs(const Tensor& x) { return x.numel() == 0 ? 0 : amax(abs(x)).item(); }

struct Einsum {
  const char* equation;
  std::vector<Shape> shapes;
};

TEST_CASE("einsum is the sum over all indices, and linear in every operand") {
  manual_seed(3);
  const std::vector<Einsum> cases = {
      {"ij,jk->ik", {{3, 4}, {4, 5}}},
      {"bij,bjk->bik", {{2, 3, 4}, {2, 4, 5}}},
      {"bij,bjk->kbi", {{2, 3, 4}, {2, 4, 5}}},
      {"i,i->", {{5}, {5}}},
      {"i,j->ij", {{3}, {4}}},
      {"i,j->", {{3}, {4}}},
      {"ij->ji", {{3, 4}}},
      {"ij->", {{3, 4}}},
      {"ij->j", {{3, 4}}},
      {"ii->i", {{4, 4}}},
      {"ii->", {{4, 4}}},
      {"iij->ji", {{3, 3, 2}}},
      {"iii->i", {{3, 3, 3}}},
      {"iji,jk->ki", {{3, 2, 3}, {2, 4}}},
      {"ij,ij->ij", {{3, 4}, {3, 4}}},
      {"ij,j->ij", {{3, 4}, {4}}},
      {"bi,oij,bj->bo", {{4, 3}, {2, 3, 5}, {4, 5}}},
      {"ab,bc,cd,da->", {{2, 3}, {3, 4}, {4, 5}, {5, 2}}},
      {"ab,bc,cd->ad", {{2, 3}, {3, 4}, {4, 5}}},
      {"bhqd,bhkd->bhqk", {{2, 3, 4, 5}, {2, 3, 6, 5}}},
      {"ij,kj->ik", {{1, 4}, {3, 1}}},
      {"ij,jk->ik", {{3, 1}, {4, 5}}},
      {"bi,bi->b", {{1, 4}, {3, 4}}},
      {"ij,jk->ik", {{3, 0}, {0, 5}}},
      {"ij,jk->ik", {{0, 4}, {4, 5}}},
      {"A,a->aA", {{2}, {3}}},
  };
  for (const Einsum& c : cases) {
    CAPTURE(c.equation);
    std::vector<Tensor> x;
    for (const Shape& s : c.shapes) x.push_back(random(s).requires_grad_());
    Tensor y = einsum(c.equation, x);
    Shape shape;
    const std::vector<double> expected = written_out(c.equation, x, shape), got = y.to_vector<double>();
    CHECK(y.shape() == shape);
    REQUIRE(got.size() == expected.size());
    double error = 0;
    for (size_t i = 0; i < got.size(); i++) error = std::max(error, std::abs(got[i] - expected[i]));
    CHECK(error < 1e-13);
    // <g, y(dx_i)> = <dy/dx_i, dx_i>
    Tensor g = random(y.shape());
    std::vector<Tensor> gradients = grad({y}, x, {g});
    for (size_t i = 0; i < x.size(); i++) {
      std::vector<Tensor> moved;
      for (const Tensor& t : x) moved.push_back(t.detach());
      moved[i] = random(x[i].shape());
      const double one = sum(g * einsum(c.equation, moved)).item(), other = sum(gradients[i] * moved[i]).item();
      CHECK(one == doctest::Approx(other).epsilon(1e-12));
    }
  }
}

void check_same(const Tensor& a, const Tensor& b) {
  CHECK(a.shape() == b.shape());
  if (!(a.shape() == b.shape())) return;
  CHECK(max_abs(a - b) < 1e-13);
}

TEST_CASE("einsum without an arrow, with spaces and with leading axes") {
  manual_seed(4);
  Tensor a = random({3, 4}), b = random({4, 5}), x = random({2, 6, 3, 4}), w = random({6, 4, 5});
  check_same(einsum("ij,jk", {a, b}), matmul(a, b));
  check_same(einsum("ba", {a}), transpose(a, 0, 1));
  check_same(einsum(" i j , j k -> k i ", {a, b}), transpose(matmul(a, b), 0, 1));
  check_same(einsum("...ij,...jk->...ik", {x, w}), matmul(x, w));
  check_same(einsum("...ij,...jk", {x, w}), matmul(x, w));
  check_same(einsum("...ij,jk->...ik", {x, b}), matmul(x, b));
  check_same(einsum("...ij->i...", {x}), permute(sum(x, 3), {2, 0, 1}));
  check_same(einsum("...->...", {x}), x);
  check_same(einsum("i...,...->i...", {a, random({4}) * 0 + 1}), a);
  check_same(einsum("...,...", {a, random({}) * 0 + 2}), a * 2);
  // Whole numbers, exactly.
  Tensor n = arange(12, {.dtype = i64});
  CHECK(einsum("ij,ij->i", {reshape(n, {3, 4}), reshape(n, {3, 4})}).to_vector<int64_t>() ==
        std::vector<int64_t>{14, 126, 366});
}

TEST_CASE("bmm, addmm, dot, outer and bilinear are what einsum says") {
  manual_seed(5);
  Tensor a = random({2, 3, 4}), b = random({2, 4, 5}), m = random({3, 4}), n = random({4, 5}), v = random({4});
  check_same(bmm(a, b), einsum("bij,bjk->bik", {a, b}));
  check_same(dot(v, v), einsum("i,i->", {v, v}));
  check_same(outer(v, random({3}) * 0 + 1), expand(unsqueeze(v, 1), {4, 3}));
  Tensor bias = random({5});
  check_same(addmm(bias, m, n), matmul(m, n) + bias);
  check_same(addmm(bias, m, n, {.beta = 0.5, .alpha = -2}), bias * 0.5 - matmul(m, n) * 2);
  check_same(addmm(bias * NAN, m, n, {.beta = 0}), matmul(m, n));
  Tensor w = random({6, 4, 5}), x1 = random({2, 3, 4}), x2 = random({2, 3, 5}), c = random({6});
  check_same(bilinear(x1, x2, w), einsum("abi,oij,abj->abo", {x1, w, x2}));
  check_same(bilinear(x1, x2, w, c), einsum("abi,oij,abj->abo", {x1, w, x2}) + c);
}

template <class E> void check_error(void (*f)(), const std::string& part) {
  CAPTURE(part);
  const std::string text = error_of<E>(f);
  CHECK(has(text, part));
  CHECK(has(text, "test_linalg.cpp:"));
}

TEST_CASE("what these products refuse, by name, sizes and line") {
  static const Tensor a = zeros({3, 4}), b = zeros({5, 6}), v = zeros({4}), t = zeros({2, 3, 4});
  check_error<ShapeError>([] { einsum("ij,jk->ik", {a, b}); }, "einsum: 'j' is 4 and, in operand 1, 5");
  check_error<ShapeError>([] { einsum("ijk", {a}); }, "operand 0 is [3,4], its letters are 'ijk'");
  check_error<ShapeError>([] { einsum("ii", {a}); }, "'i' is both 3 and 4");
  check_error<ShapeError>([] { einsum("...i,...i->...", {a, zeros({2, 4})}); }, "an axis of '...' is 3");
  check_error<ValueError>([] { einsum("ij,jk->ik", {a}); }, "has 2 operands, 1 are given");
  check_error<ValueError>([] { einsum("ij->ii", {a}); }, "'i' is twice in the result");
  check_error<ValueError>([] { einsum("ij->k", {a}); }, "'k' of the result is in no operand");
  check_error<ValueError>([] { einsum("i.j", {a}); }, "'.' in 'i.j'");
  check_error<ValueError>([] { einsum("...i...", {a}); }, "'...' twice");
  check_error<ValueError>([] { einsum("i1", {a}); }, "'1' in 'i1'");
  check_error<ValueError>([] { einsum("ij->i->j", {a}); }, "in 'i->j'");
  check_error<ValueError>([] { einsum("ij", {Tensor()}); }, "operand 0 is undefined");
  check_error<ShapeError>([] { bmm(a, t); }, "bmm: lhs is [3,4] (expected 3 axes)");
  check_error<ShapeError>([] { bmm(t, zeros({1, 4, 5})); }, "batch sizes differ");
  check_error<ShapeError>([] { dot(a, v); }, "dot: lhs is [3,4] (expected 1 axis)");
  check_error<ShapeError>([] { dot(v, zeros({5})); }, "inner sizes differ");
  check_error<ShapeError>([] { outer(v, a); }, "outer: rhs is [3,4]");
  check_error<ShapeError>([] { addmm(zeros({7}), a, zeros({4, 5})); }, "input is [7]");
  check_error<ShapeError>([] { bilinear(a, a, t); }, "expected [..., i], [..., j] and [o, i, j]");
}

}  // namespace
