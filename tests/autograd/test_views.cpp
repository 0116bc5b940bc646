// Chains of views against a naive model of indices, with gradients through them; axes out of range; empty tensors.
#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/view.h"
#include "core/random.h"

using namespace fovea;

namespace {

// What a tensor over `base` numbers 0, 1, 2, ... must hold: its shape and its elements, written out.
struct Model {
  Shape shape;
  std::vector<int64_t> elements;

  // The same elements in another arrangement: f gives, for each new index, the old one.
  Model rearranged(const Shape& to, const std::function<Shape(const Shape&)>& f) const {
    Model m{to, {}};
    Shape index;
    index.rank = to.rank;
    for (int64_t i = 0, n = numel(to); i < n; i++) {
      for (int64_t d = to.rank - 1, rest = i; d >= 0; d--) index[int(d)] = rest % to[int(d)], rest /= to[int(d)];
      Shape old = f(index);
      int64_t at = 0;
      for (int d = 0; d < shape.rank; d++) at = at * shape[d] + old[d];
      m.elements.push_back(elements[size_t(at)]);
    }
    return m;
  }
};

class Dice {
 public:
  explicit Dice(uint64_t seed) : seed_(seed) {}
  int64_t upto(int64_t n) { return int64_t(random_bits(seed_, 7, at_++) % uint64_t(n + 1)); }  // 0 to n
  int64_t between(int64_t low, int64_t high) { return low + upto(high - low); }

 private:
  uint64_t seed_, at_ = 0;
};

// One random view of x, done to the model as well.
Tensor step(Dice& dice, const Tensor& x, Model& m, std::string& told) {
  const Shape s = m.shape;
  int rank = s.rank;
  auto axis = [&] { return int(dice.upto(rank - 1)); };
  auto tell = [&](const std::string& what, const Shape& numbers) { told += " " + what + to_string(numbers); };
  switch (rank == 0 ? 6 : dice.upto(8)) {
    case 0: {  // slice
      int d = axis();
      int64_t n = s[d], step = dice.between(1, 3) * (dice.upto(1) ? 1 : -1);
      Slice part{dice.between(-n - 1, n + 1), dice.between(-n - 1, n + 1), step};
      if (dice.upto(2) == 0) part.start = {};
      if (dice.upto(2) == 0) part.stop = {};
      std::vector<int64_t> kept;
      auto place = [&](int64_t p) {
        return p < 0 ? std::max<int64_t>(p + n, step > 0 ? 0 : -1) : std::min(p, step > 0 ? n : n - 1);
      };
      int64_t from = part.start ? place(*part.start)
                     : step > 0 ? 0
                                : n - 1,
              to = part.stop  ? place(*part.stop)
                   : step > 0 ? n
                              : -1;
      for (int64_t i = from; step > 0 ? i < to : i > to; i += step) kept.push_back(i);
      Shape out = s;
      out[d] = int64_t(kept.size());
      tell("slice", {d, from, to, step});
      m = m.rearranged(out, [&](Shape i) { return i[d] = kept[size_t(i[d])], i; });
      return x.slice(d, part);
    }
    case 1: {  // permute
      Shape order;
      for (int i = 0; i < rank; i++) order.push_back(i);
      for (int i = rank - 1; i > 0; i--) std::swap(order[i], order[int(dice.upto(i))]);
      Shape out = s;
      for (int i = 0; i < rank; i++) out[i] = s[int(order[i])];
      tell("permute", order);
      m = m.rearranged(out, [&](const Shape& i) {
        Shape old = i;
        for (int k = 0; k < rank; k++) old[int(order[k])] = i[k];
        return old;
      });
      return x.permute(order);
    }
    case 2: {  // transpose
      int a = axis(), b = axis();
      Shape out = s;
      std::swap(out[a], out[b]);
      tell("transpose", {a, b});
      m = m.rearranged(out, [&](Shape i) { return std::swap(i[a], i[b]), i; });
      return x.transpose(a, b - rank);
    }
    case 3: {  // narrow
      int d = axis();
      int64_t start = dice.upto(s[d]), length = dice.upto(s[d] - start);
      Shape out = s;
      out[d] = length;
      tell("narrow", {d, start, length});
      m = m.rearranged(out, [&](Shape i) { return i[d] += start, i; });
      return x.narrow(d, start, length);
    }
    case 4: {  // select
      int d = axis();
      if (s[d] == 0) return x;
      int64_t at = dice.upto(s[d] - 1);
      Shape out;
      for (int i = 0; i < rank; i++)
        if (i != d) out.push_back(s[i]);
      tell("select", {d, at});
      m = m.rearranged(out, [&](const Shape& i) {
        Shape old;
        for (int k = 0; k < rank; k++) old.push_back(k < d ? i[k] : k == d ? at : i[k - 1]);
        return old;
      });
      return x.select(d, at - (dice.upto(1) ? s[d] : 0));
    }
    case 5: {  // diagonal
      if (rank < 2) return x;
      int a = axis(), b = axis();
      if (a == b) return x;
      int64_t offset = dice.between(-s[a], s[b]), length = 0;
      while (length + std::max<int64_t>(offset, 0) < s[b] && length + std::max<int64_t>(-offset, 0) < s[a]) length++;
      Shape out;
      for (int i = 0; i < rank; i++)
        if (i != a && i != b) out.push_back(s[i]);
      out.push_back(length);
      tell("diagonal", {offset, a, b});
      m = m.rearranged(out, [&](const Shape& i) {
        Shape old = s;
        for (int k = 0, j = 0; k < rank; k++)
          if (k != a && k != b) old[k] = i[j++];
        old[a] = i[i.rank - 1] + std::max<int64_t>(-offset, 0);
        old[b] = i[i.rank - 1] + std::max<int64_t>(offset, 0);
        return old;
      });
      return x.diagonal(offset, a, b);
    }
    case 6: {  // unsqueeze, then expand the new axis
      if (rank >= 5) return x;
      int d = int(dice.upto(rank));
      int64_t n = dice.upto(3);
      Shape out;
      for (int i = 0; i <= rank; i++) {
        if (i == d) out.push_back(n);
        if (i < rank) out.push_back(s[i]);
      }
      if (numel(out) > 4000) return x;
      tell("expand", out);
      m = m.rearranged(out, [&](const Shape& i) {
        Shape old;
        for (int k = 0; k <= rank; k++)
          if (k != d) old.push_back(i[k]);
        return old;
      });
      return x.unsqueeze(d).expand(out);
    }
    case 7: {  // reshape: a view where there is one, else a copy
      int d = axis();
      Shape out;
      for (int i = 0; i < rank; i++) {
        if (i == d && s[i] % 2 == 0 && s[i] > 0 && rank < 6) out.push_back(2), out.push_back(s[i] / 2);
        else out.push_back(s[i]);
      }
      tell("reshape", out);
      m.shape = out;
      return x.reshape(out);
    }
    default: {  // flatten
      int a = axis(), b = int(dice.between(a, rank - 1));
      Tensor y = x.flatten(a, b);
      tell("flatten", {a, b});
      Shape out;
      for (int i = 0; i < rank; i++) {
        if (i > a && i <= b) out[out.rank - 1] *= s[i];
        else out.push_back(s[i]);
      }
      m.shape = out;
      return y;
    }
  }
}

}  // namespace

TEST_CASE("chains of views hold what a model of indices says, and gradients come back through them") {
  const std::vector<Shape> bases{{4, 6}, {2, 3, 4}, {12}, {3, 1, 4, 2}, {2, 0, 3}, {}};
  int copies = 0, empty = 0, backwards = 0;
  for (uint64_t seed = 0; seed < 3000; seed++) {
    Dice dice(seed);
    Shape base = bases[size_t(dice.upto(int64_t(bases.size()) - 1))];
    int64_t n = numel(base);
    Model m{base, {}};
    for (int64_t i = 0; i < n; i++) m.elements.push_back(i);
    Tensor leaf = arange(n, {.dtype = f64}).reshape(base).requires_grad_();
    Tensor x = leaf;
    std::string told = to_string(base);
    for (int64_t k = dice.between(1, 6); k > 0; k--) x = step(dice, x, m, told);
    INFO(seed, ": ", told);
    REQUIRE(x.shape() == m.shape);
    REQUIRE(x.to_vector<int64_t>() == m.elements);
    copies += x.array().storage() != leaf.array().storage();
    empty += x.numel() == 0;
    for (int64_t s : x.strides()) backwards += s < 0;
    if (!x.requires_grad()) continue;
    // d sum(x^2) / d leaf_i = 2 i for each time that element i is in x.
    std::vector<double> expected(size_t(n), 0.0);
    for (int64_t e : m.elements) expected[size_t(e)] += 2 * double(e);
    sum(square(x)).backward();
    REQUIRE(leaf.grad().shape() == base);
    REQUIRE(leaf.grad().to_vector<double>() == expected);
  }
  CHECK(copies > 30);  // the dice reach all corners
  CHECK(empty > 300);
  CHECK(backwards > 50);
}

TEST_CASE("pitfall 42: every axis from -rank-2 to rank+1 works or is refused by name, mlx#4021, mlx#4118") {
  using Call = Tensor (*)(const Tensor&, int64_t);
  const std::vector<std::pair<const char*, Call>> calls = {
      {"sum", [](const Tensor& x, int64_t d) { return sum(x, {d}); }},
      {"mean", [](const Tensor& x, int64_t d) { return mean(x, {d}); }},
      {"prod", [](const Tensor& x, int64_t d) { return prod(x, {d}); }},
      {"amax", [](const Tensor& x, int64_t d) { return amax(x, {d}); }},
      {"any", [](const Tensor& x, int64_t d) { return any(x, {d}); }},
      {"argmax", [](const Tensor& x, int64_t d) { return argmax(x, d); }},
      {"cumsum", [](const Tensor& x, int64_t d) { return cumsum(x, d); }},
      {"softmax", [](const Tensor& x, int64_t d) { return softmax(x, d); }},
      {"log_softmax", [](const Tensor& x, int64_t d) { return log_softmax(x, d); }},
      {"logsumexp", [](const Tensor& x, int64_t d) { return logsumexp(x, {d}); }},
      {"transpose", [](const Tensor& x, int64_t d) { return x.transpose(0, d); }},
      {"squeeze", [](const Tensor& x, int64_t d) { return x.squeeze(d); }},
      {"slice",
       [](const Tensor& x, int64_t d) {
         return x.slice(d, {0, 1});
       }},
      {"narrow", [](const Tensor& x, int64_t d) { return x.narrow(d, 0, 1); }},
      {"select", [](const Tensor& x, int64_t d) { return x.select(d, 0); }},
      {"split", [](const Tensor& x, int64_t d) { return split(x, 1, d)[0]; }},
      {"chunk", [](const Tensor& x, int64_t d) { return chunk(x, 2, d)[0]; }},
      {"cat",
       [](const Tensor& x, int64_t d) {
         return cat({x, x}, d);
       }},
      {"flatten", [](const Tensor& x, int64_t d) { return x.flatten(d, -1); }},
  };
  for (int rank = 1; rank <= 4; rank++) {
    Tensor x = ones(Shape(std::vector<int64_t>(size_t(rank), 2)));
    for (auto& [name, call] : calls)
      for (int64_t d = -rank - 2; d <= rank + 1; d++) {
        INFO(std::string(name), ", axis ", d, " of rank ", rank);
        bool inside = d >= -rank && d < rank;
        try {
          Tensor y = call(x, d);
          CHECK(inside);
          CHECK(y.to_vector<float>() == call(x, d < 0 ? d + rank : d).to_vector<float>());
        } catch (const ShapeError& e) {
          CHECK(!inside);
          std::string text = e.what();
          CHECK(text.rfind(std::string(name) + ": ", 0) == 0);
          CHECK(text.find(std::to_string(d)) != text.npos);
          CHECK(text.find("test_views.cpp:") != text.npos);
        }
      }
    for (int64_t d : {int64_t(-rank - 2), int64_t(rank + 1), INT64_MIN, INT64_MAX})
      CHECK_THROWS_AS(x.unsqueeze(d), ShapeError);
    for (int64_t d : {INT64_MIN, INT64_MAX}) CHECK_THROWS_AS(sum(x, {d}), ShapeError);
    CHECK_THROWS_AS(sum(x, {0, 0}), ShapeError);
  }
}

TEST_CASE(
    "pitfall 41: empty tensors through every family, forward and backward, pt#29578, pt#17262, pt#120803, pt#169208") {
  using Call = Tensor (*)(const Tensor&);
  const std::vector<std::pair<const char*, Call>> calls = {
      {"unary", [](const Tensor& x) { return exp(x); }},
      {"binary", [](const Tensor& x) { return x * ones(x.shape()); }},
      {"broadcast",
       [](const Tensor& x) {
         return x + ones({1, 1, 1});
       }},
      {"compare", [](const Tensor& x) { return where(x > 0, x, 0); }},
      {"sum", [](const Tensor& x) { return sum(x, {1}); }},
      {"sum of all", [](const Tensor& x) { return sum(x); }},
      {"mean", [](const Tensor& x) { return mean(x, {-1}, {.keepdim = true}); }},
      {"prod", [](const Tensor& x) { return prod(x, {0}); }},
      {"cumsum", [](const Tensor& x) { return cumsum(x, 1); }},
      {"softmax", [](const Tensor& x) { return softmax(x, -1); }},
      {"log_softmax", [](const Tensor& x) { return log_softmax(x, 0); }},
      {"logsumexp", [](const Tensor& x) { return logsumexp(x, {1}); }},
      {"layer_norm", [](const Tensor& x) { return layer_norm(x, {x.size(2)}); }},
      {"matmul left",
       [](const Tensor& x) {
         return matmul(x, ones({x.size(0), x.size(2), 4}));
       }},
      {"matmul right",
       [](const Tensor& x) {
         return matmul(ones({5, x.size(1)}), x);
       }},
      {"linear",
       [](const Tensor& x) {
         return linear(x, ones({3, x.size(2)}), ones({3}));
       }},
      {"views", [](const Tensor& x) { return x.transpose(0, 2).flatten(0, 1).unsqueeze(0); }},
      {"slice", [](const Tensor& x) { return x.slice(1, {.step = -2}); }},
      {"diagonal", [](const Tensor& x) { return x.diagonal(0, 0, 2); }},
      {"cat",
       [](const Tensor& x) {
         return cat({x, x}, 1);
       }},
      {"contiguous", [](const Tensor& x) { return x.transpose(0, 1).contiguous(); }},
      {"cast", [](const Tensor& x) { return x.to(f64); }},
  };
  for (auto& [name, call] : calls)
    for (int zeros_at = 1; zeros_at < 8; zeros_at++) {
      Shape s{2, 3, 4};
      for (int d = 0; d < 3; d++)
        if (zeros_at >> d & 1) s[d] = 0;
      INFO(std::string(name), " of ", to_string(s));
      Tensor x = ones(s, {.requires_grad = true});
      Tensor y;
      CHECK_NOTHROW(y = call(x));
      if (!y.defined()) continue;
      CHECK(int64_t(y.to_vector<float>().size()) == y.numel());
      CHECK_NOTHROW(sum(y).backward());
      CHECK(x.grad().shape() == s);
    }
  // Reductions of nothing.
  CHECK(sum(zeros({0})).item() == 0);
  CHECK(prod(zeros({0})).item() == 1);
  CHECK(std::isnan(mean(zeros({0})).item()));
  CHECK(all(zeros({0})).item<bool>());
  CHECK(!any(zeros({0})).item<bool>());
  CHECK(logsumexp(zeros({0}), {}).item() == -INFINITY);
  CHECK_THROWS_AS(amax(zeros({0})), ShapeError);  // there is no largest of nothing
  CHECK_THROWS_AS(amin(zeros({2, 0}), {1}), ShapeError);
  CHECK(amax(zeros({2, 0}), {0}).shape() == Shape{0});
  CHECK_THROWS_AS(argmax(zeros({2, 0}), 1), ShapeError);
  CHECK(argmax(zeros({2, 0}), 0).shape() == Shape{0});
}
