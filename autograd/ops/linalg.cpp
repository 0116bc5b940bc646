#include "autograd/ops/linalg.h"

#include <algorithm>
#include <array>
#include <string>

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

void check_rank(const Tensor& t, int rank, const char* name) {
  if (t.dim() != rank)
    throw ShapeError(std::string(name) + " is " + to_string(t.shape()) + " (expected " + std::to_string(rank) +
                     (rank == 1 ? " axis)" : " axes)"));
}

// An axis is known by its label: the letter, or kEllipsis + n for the n-th axis from the right of "...".
using Label = int;
using Labels = std::vector<Label>;
constexpr Label kEllipsis = 256;

bool has(const Labels& l, Label x) { return std::find(l.begin(), l.end(), x) != l.end(); }
int place(const Labels& l, Label x) { return int(std::find(l.begin(), l.end(), x) - l.begin()); }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
std::string name_of_label(Label x) { return x >= kEllipsis ? "an axis of '...'" : std::string("'") + char(x) + "'"; }

// An operand whose axes are labelled, each label once.
struct Term {
  Tensor x;
  Labels labels;

  int64_t size(Label l) const { return x.size(place(labels, l)); }
  void sum_out(Label l) {
    const int d = place(labels, l);
    x = sum(x, d);
    labels.erase(labels.begin() + d);
  }
  void widen(Label l, int64_t size) {
    const int d = place(labels, l);
    if (x.size(d) == size) return;
    Shape s = x.shape();
    s[d] = size;
    x = expand(x, s);
  }
  // Axes in the order of `order`.
  Tensor in_order(const Labels& order) const {
    Shape dims;
    for (Label l : order) dims.push_back(place(labels, l));
    return permute(x, dims);
  }
};

// The letters of one operand, or of the result: "..." becomes as many labels as `ellipsis` says.
Labels parse(std::string_view part, int ellipsis) {
  Labels labels;
  bool dots = false;
  for (size_t i = 0; i < part.size(); i++) {
    if (part[i] == ' ') continue;
    if (part.substr(i, 3) == "...") {
      if (dots) throw ValueError("'...' twice in '" + std::string(part) + "'");
      for (int n = ellipsis; n-- > 0;) labels.push_back(kEllipsis + n);
      dots = true, i += 2;
    } else if (is_letter(part[i])) {
      labels.push_back(part[i]);
    } else {
      throw ValueError(std::string("'") + part[i] + "' in '" + std::string(part) +
                       "' (expected letters, ',', '->' and '...')");
    }
  }
  return labels;
}

Term labelled(const Tensor& x, std::string_view part, size_t number) {
  const int letters = int(std::count_if(part.begin(), part.end(), is_letter));
  const bool dots = part.find("...") != part.npos;
  Term t{x, parse(part, std::max(x.dim() - letters, 0))};
  if (dots ? x.dim() < letters : x.dim() != letters)
    throw ShapeError("operand " + std::to_string(number) + " is " + to_string(x.shape()) + ", its letters are '" +
                     std::string(part) + "'");
  for (size_t i = 0; i < t.labels.size(); i++)  // a letter twice: the diagonal, as the last axis
    while (std::count(t.labels.begin(), t.labels.end(), t.labels[i]) > 1) {
      const Label l = t.labels[i];
      const int a = int(i), b = int(std::find(t.labels.begin() + a + 1, t.labels.end(), l) - t.labels.begin());
      if (t.x.size(a) != t.x.size(b))
        throw ShapeError("operand " + std::to_string(number) + " is " + to_string(x.shape()) + ": " + name_of_label(l) +
                         " is both " + std::to_string(t.x.size(a)) + " and " + std::to_string(t.x.size(b)));
      t.x = diagonal(t.x, 0, a, b);
      t.labels.erase(t.labels.begin() + b);
      t.labels.erase(t.labels.begin() + a);
      t.labels.push_back(l);
      i = 0;
    }
  return t;
}

// Sums over what both have and `kept` has not, as a product of matrices with batches: shared labels that are kept.
Term contract(Term a, Term b, const Labels& kept) {
  Labels batch, inner, left, right;
  for (Label l : Labels(a.labels)) {
    if (!has(b.labels, l)) {
      if (has(kept, l)) left.push_back(l);
      else a.sum_out(l);
      continue;
    }
    const int64_t n = a.size(l), m = b.size(l);
    if (has(kept, l)) {
      a.widen(l, n == 1 ? m : n), b.widen(l, n == 1 ? m : n);
      batch.push_back(l);
    } else if (n != m) {  // one of them is 1: the other is summed alone
      (n == 1 ? b : a).sum_out(l);
      Term& one = n == 1 ? a : b;
      one.x = squeeze(one.x, place(one.labels, l));
      one.labels.erase(one.labels.begin() + place(one.labels, l));
    } else {
      inner.push_back(l);
    }
  }
  for (Label l : Labels(b.labels))
    if (!has(a.labels, l) && !has(batch, l) && !has(inner, l)) {
      if (has(kept, l)) right.push_back(l);
      else b.sum_out(l);
    }
  auto joined = [](std::initializer_list<const Labels*> lists) {
    Labels all;
    for (const Labels* l : lists) all.insert(all.end(), l->begin(), l->end());
    return all;
  };
  Shape shape;
  int64_t items = 1, rows = 1, columns = 1, deep = 1;
  for (Label l : batch) shape.push_back(a.size(l)), items *= a.size(l);
  for (Label l : left) shape.push_back(a.size(l)), rows *= a.size(l);
  for (Label l : right) shape.push_back(b.size(l)), columns *= b.size(l);
  for (Label l : inner) deep *= a.size(l);
  Tensor y;
  if (inner.empty() && left.empty() && right.empty()) {  // element by element
    y = a.in_order(batch) * b.in_order(batch);
  } else {
    Tensor p = reshape(a.in_order(joined({&batch, &left, &inner})), {items, rows, deep});
    Tensor q = reshape(b.in_order(joined({&batch, &inner, &right})), {items, deep, columns});
    y = reshape(matmul(p, q), shape);
  }
  return {y, joined({&batch, &left, &right})};
}

void check_sizes(const std::vector<Term>& terms) {
  Labels seen;
  for (size_t i = 0; i < terms.size(); i++)
    for (Label l : terms[i].labels) {
      if (has(seen, l)) continue;
      seen.push_back(l);
      int64_t size = terms[i].size(l);
      for (size_t j = i + 1; j < terms.size(); j++) {
        if (!has(terms[j].labels, l)) continue;
        const int64_t other = terms[j].size(l);
        if (size != 1 && other != 1 && size != other)
          throw ShapeError(name_of_label(l) + " is " + std::to_string(size) + " and, in operand " + std::to_string(j) +
                           ", " + std::to_string(other));
        if (size == 1) size = other;
      }
    }
}

Tensor einsum_of(std::string_view equation, const std::vector<Tensor>& operands) {
  const size_t arrow = equation.find("->");
  std::string_view inputs = equation.substr(0, arrow);
  std::vector<std::string_view> parts;
  for (size_t begin = 0;;) {
    const size_t comma = inputs.find(',', begin);
    parts.push_back(inputs.substr(begin, comma - begin));
    if (comma == inputs.npos) break;
    begin = comma + 1;
  }
  if (parts.size() != operands.size())
    throw ValueError("'" + std::string(equation) + "' has " + std::to_string(parts.size()) + " operands, " +
                     std::to_string(operands.size()) + " are given");
  std::vector<Term> terms;
  int ellipsis = 0;
  std::array<int, 128> times{};
  for (size_t i = 0; i < parts.size(); i++) {
    if (!operands[i].defined()) throw ValueError("operand " + std::to_string(i) + " is undefined");
    terms.push_back(labelled(operands[i], parts[i], i));
    const Labels& l = terms.back().labels;
    ellipsis = std::max(ellipsis, int(std::count_if(l.begin(), l.end(), [](Label x) { return x >= kEllipsis; })));
    for (char c : parts[i])
      if (is_letter(c)) times[size_t(c)]++;
  }
  check_sizes(terms);
  Labels result;
  if (arrow != equation.npos) {
    result = parse(equation.substr(arrow + 2), ellipsis);
    for (Label l : result) {
      if (std::count(result.begin(), result.end(), l) > 1)
        throw ValueError(name_of_label(l) + " is twice in the result");
      if (l < kEllipsis && times[size_t(l)] == 0)
        throw ValueError(name_of_label(l) + " of the result is in no operand");
    }
  } else {
    for (int n = ellipsis; n-- > 0;) result.push_back(kEllipsis + n);
    for (int c = 0; c < 128; c++)
      if (times[size_t(c)] == 1) result.push_back(c);
  }
  Term all = terms[0];
  for (size_t i = 1; i < terms.size(); i++) {
    Labels kept = result;
    for (size_t j = i + 1; j < terms.size(); j++)
      kept.insert(kept.end(), terms[j].labels.begin(), terms[j].labels.end());
    all = contract(all, terms[i], kept);
  }
  for (Label l : Labels(all.labels))
    if (!has(result, l)) all.sum_out(l);
  return all.in_order(result);
}

}  // namespace

Tensor bmm(const Operand& lhs, const Operand& rhs) {
  return detail::called("bmm", lhs.where(), [&] {
    const Tensor &a = detail::tensor_of(lhs, "bmm"), &b = detail::tensor_of(rhs, "bmm");
    check_rank(a, 3, "lhs"), check_rank(b, 3, "rhs");
    if (a.size(0) != b.size(0))
      throw ShapeError("batch sizes differ: lhs " + to_string(a.shape()) + ", rhs " + to_string(b.shape()));
    return matmul(a, b);
  });
}

Tensor addmm(const Operand& input, const Operand& mat1, const Operand& mat2, AddmmOptions o) {
  return detail::called("addmm", input.where(), [&] {
    const Tensor &x = detail::tensor_of(input, "addmm"), &a = detail::tensor_of(mat1, "addmm"),
                 &b = detail::tensor_of(mat2, "addmm");
    check_rank(a, 2, "mat1"), check_rank(b, 2, "mat2");
    Tensor y = matmul(a, b);
    bool fits = x.dim() <= 2;
    for (int d = 1; fits && d <= x.dim(); d++) fits = x.size(-d) == 1 || x.size(-d) == y.size(-d);
    if (!fits)
      throw ShapeError("input is " + to_string(x.shape()) + " (expected a shape that broadcasts to " +
                       to_string(y.shape()) + ")");
    if (o.alpha.real() != 1) y = y * o.alpha;
    if (o.beta.real() == 0) return y;
    return (o.beta.real() == 1 ? x : x * o.beta) + y;
  });
}

Tensor dot(const Operand& lhs, const Operand& rhs) {
  return detail::called("dot", lhs.where(), [&] {
    const Tensor &a = detail::tensor_of(lhs, "dot"), &b = detail::tensor_of(rhs, "dot");
    check_rank(a, 1, "lhs"), check_rank(b, 1, "rhs");
    return matmul(a, b);
  });
}

Tensor outer(const Operand& lhs, const Operand& rhs) {
  return detail::called("outer", lhs.where(), [&] {
    const Tensor &a = detail::tensor_of(lhs, "outer"), &b = detail::tensor_of(rhs, "outer");
    check_rank(a, 1, "lhs"), check_rank(b, 1, "rhs");
    return unsqueeze(a, 1) * b;
  });
}

Tensor bilinear(const Operand& x1, const Operand& x2, const Operand& weight, const Operand& bias) {
  return detail::called("bilinear", x1.where(), [&] {
    const Tensor &a = detail::tensor_of(x1, "bilinear"), &b = detail::tensor_of(x2, "bilinear"),
                 &w = detail::tensor_of(weight, "bilinear");
    const Tensor* c = detail::optional_of(bias, "bilinear");
    check_rank(w, 3, "weight");
    if (a.dim() < 1 || a.dim() != b.dim() || a.size(-1) != w.size(1) || b.size(-1) != w.size(2))
      throw ShapeError("x1 " + to_string(a.shape()) + ", x2 " + to_string(b.shape()) + ", weight " +
                       to_string(w.shape()) + " (expected [..., i], [..., j] and [o, i, j])");
    Tensor y = einsum_of("...i,oij,...j->...o", {a, w, b});
    return c->defined() ? y + *c : y;
  });
}

Tensor einsum(std::string_view equation, const std::vector<Tensor>& operands, std::source_location where) {
  return detail::called("einsum", where, [&] { return einsum_of(equation, operands); });
}

}  // namespace fovea
