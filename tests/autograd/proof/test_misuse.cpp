// What samples call is called wrong, in every way that a mutation of its inputs and attributes gives: another rank,
// size, dtype or device, nothing where something belongs, places outside of an axis, attributes outside of their
// range, sizes whose product leaves 64 bits. Each call is refused by a typed error that names the op, the values and
// the caller's line, alike on both backends; or it is right: both backends give the same, of the shape inferred.
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <string>

#include <doctest/doctest.h>
#include "autograd/apply.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/view.h"
#include "autograd/proof/evaluate.h"
#include "core/device.h"
#include "core/dispatch.h"

using namespace fovea;
using namespace fovea::proof;

namespace {

constexpr int64_t kLowest = std::numeric_limits<int64_t>::min(), kHighest = std::numeric_limits<int64_t>::max();

// A call: a sample with some of its inputs and attributes replaced.
struct Misuse {
  const Sample* sample;
  std::vector<Tensor> x;
  const void* attrs;
  std::string what;        // "input 1 without its first axis"
  std::string wrong = {};  // the number that is wrong: an error about numbers names it
};

struct Outcome {
  std::vector<Tensor> y, dx;
  std::string error, kind;  // of what was thrown
  bool typed = true, backward = false;
};

// Ones like y, which take no memory.
Tensor cotangent(const Tensor& y) {
  if (y.array().is_shape_only()) return y.detach();
  return expand(ones({}, {.like = y}), y.shape());
}

Outcome outcome(const Misuse& c) {
  Outcome o;
  try {
    std::vector<Tensor> x = c.x, leaves, roots, ones;
    for (Tensor& t : x)
      if (t.defined() && is_floating(t.dtype())) leaves.push_back(t = t.requires_grad_());
    const Sample& s = *c.sample;
    o.y = s.function ? s.function(x).list : apply(s.op, x, c.attrs);
    o.backward = true;
    for (const Tensor& y : o.y)
      if (y.requires_grad()) roots.push_back(y), ones.push_back(cotangent(y));
    if (!roots.empty() && !leaves.empty()) o.dx = grad(roots, leaves, ones, {.allow_unused = true});
  } catch (const Error& e) {
    o.error = e.what(), o.kind = typeid(e).name();
  } catch (const std::exception& e) {
    o.error = std::string("untyped: ") + e.what(), o.typed = false;
  }
  return o;
}

// `op: what is wrong, with values at file:line`.
std::string fault_of_text(const Misuse& c, const std::string& text, bool backward) {
  const Sample& s = *c.sample;
  std::string name = s.subject();
  if (backward || s.function) name = text.substr(0, text.find(": "));
  if (text.rfind(name + ": ", 0) != 0 || s.subject().rfind(backward ? "" : name, 0) != 0)
    return "does not begin with the op's name";
  size_t at = text.rfind(" at ");
  if (at == std::string::npos ||
      (!backward && text.find(s.function ? "samples_" : "test_misuse.cpp:", at) == std::string::npos))
    return "does not end with the caller's line";
  std::string middle = text.substr(name.size() + 1, at - name.size() - 1);
  bool values = middle.find_first_of("0123456789[") != std::string::npos;
  for (const char* word : {"undefined", "defined tensor", "bool", "nan", "NaN", "inf"})
    values |= middle.find(word) != std::string::npos;
  if (!values) return "has no values";
  if (middle.find(c.wrong) == std::string::npos) return "does not name the number that is wrong";
  if (text.find('\n') != std::string::npos) return "has several lines";
  return "";
}

// The same shapes, dtypes, NaN and infinities; the numbers nearly.
std::string differ(const std::vector<Tensor>& a, const std::vector<Tensor>& b, bool exactly) {
  if (a.size() != b.size()) return "the number of results";
  for (size_t k = 0; k < a.size(); k++) {
    std::string name = "result " + std::to_string(k);
    if (a[k].defined() != b[k].defined()) return name + ": one is none";
    if (!a[k].defined()) continue;
    if (!(a[k].shape() == b[k].shape()) || a[k].dtype() != b[k].dtype()) return name + ": shape or dtype";
    if (a[k].array().is_shape_only() != b[k].array().is_shape_only()) return name + ": one has no data";
    if (a[k].array().is_shape_only()) continue;
    Numbers p = numbers(a[k]), q = numbers(b[k]);
    double eps = is_floating(a[k].dtype()) ? (size_of(a[k].dtype()) == 2 ? 0.1 : 1e-3) : 0, largest = 1;
    for (double v : q)
      if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
    for (size_t i = 0; i < p.size(); i++)
      if (!exactly && !std::isfinite(p[i]) && !std::isfinite(q[i])) continue;
      else if (!(p[i] == q[i] || (std::isnan(p[i]) && std::isnan(q[i])) || std::abs(p[i] - q[i]) <= eps * largest))
        return name + " at " + std::to_string(i) + ": " + std::to_string(p[i]) + " and " + std::to_string(q[i]);
  }
  return "";
}

Tensor moved(const Tensor& t, Device d) { return t.defined() ? Tensor(to_device(t.array(), d)) : t; }

Tensor shape_only(const Tensor& t, const Shape& s) { return Tensor(Array::shape_only(s, t.dtype(), t.device())); }

int accepted = 0, refused = 0;

void try_call(Misuse c, bool mixed = false) {
  Outcome cpu = outcome(c), ref;
  std::string problem;
  bool shapes = false;
  for (const Tensor& t : c.x) shapes |= t.defined() && t.array().is_shape_only();
  if (!cpu.typed) problem = "error of another type";
  else if (!cpu.error.empty()) problem = fault_of_text(c, cpu.error, cpu.backward);
  if (problem.empty() && !mixed && (c.sample->function || !row(c.sample->op).statistic)) {
    Misuse r = c;
    for (Tensor& t : r.x)
      if (t.defined())
        t = shapes ? Tensor(Array::shape_only(t.shape(), t.dtype(), device("ref"))) : moved(t, device("ref"));
    ref = outcome(r);
    if (!ref.typed) problem = "untyped";
    else if (cpu.kind != ref.kind && !shapes) problem = "the reference says '" + ref.error + "'";
    else if (cpu.error.empty() && ref.error.empty()) {
      bool exactly = c.what.find("with inf") == std::string::npos;  // of NaN and infinities: what inf - inf is
      problem = differ(cpu.y, ref.y, exactly);
      // A kernel may be recorded where a composition finds nothing to record.
      if (!cpu.dx.empty() && !ref.dx.empty()) problem += differ(cpu.dx, ref.dx, false);
    }
  }
  (cpu.error.empty() ? accepted : refused)++;
  INFO(c.sample->name << ": " << c.what << ": " << cpu.error);
  CHECK(problem == "");
}

Tensor filled(const Tensor& t, const Shape& s) { return zeros(s, {.dtype = t.dtype(), .device = t.device()}); }

void mutate_inputs(const Sample& s, const std::vector<Tensor>& x) {
  const void* attrs = s.attrs.get();
  auto with = [&](size_t i, const Tensor& t, const std::string& what, bool mixed = false, std::string wrong = "") {
    Misuse c{&s, x, attrs, "input " + std::to_string(i) + " " + what, std::move(wrong)};
    c.x[i] = t;
    try_call(c, mixed);
  };
  for (size_t i = 0; i < x.size(); i++) {
    const Tensor& t = x[i];
    if (!t.defined()) continue;
    with(i, Tensor(), "undefined");
    Shape shape = t.shape();
    if (shape.rank > 0 && shape[0] > 0) with(i, select(t, 0, 0), "without its first axis");
    if (shape.rank < kMaxRank) with(i, unsqueeze(t, 0), "with one more axis");
    for (int d = 0; d < shape.rank; d++) {
      for (int64_t n : {shape[d] + 1, int64_t(0), int64_t(1)}) {
        Shape other = shape;
        other[d] = n;
        with(i, filled(t, other), "of shape " + to_string(other));
      }
      for (int64_t n : {int64_t(1) << 31, int64_t(1) << 32, int64_t(1) << 61, (int64_t(1) << 62) - 1}) {
        Shape other = shape;
        other[d] = n;
        Misuse c{&s, x, attrs, "input " + std::to_string(i) + " without data, of shape " + to_string(other)};
        try {
          for (size_t k = 0; k < x.size(); k++)
            if (x[k].defined()) c.x[k] = shape_only(x[k], k == i ? other : x[k].shape());
        } catch (const Error&) {
          continue;  // there is no such tensor
        }
        try_call(c);
      }
    }
    for (DType other : {boolean, i64, u8, f64, bf16})
      if (other != t.dtype()) with(i, t.to(other), std::string("as ") + name_of(other));
    with(i, moved(t, device("ref")), "on ref", true);
    if (t.numel() == 0) continue;
    std::vector<double> v = numbers(t);
    if (is_floating(t.dtype())) {
      for (double bad : {double(NAN), double(INFINITY)}) {
        v[0] = bad;
        with(i, Tensor::of(v, shape, {.dtype = t.dtype(), .device = t.device()}), "with " + std::to_string(bad), false,
             bad != bad ? "nan" : "inf");
      }
    } else if (t.dtype() != boolean) {
      std::vector<int64_t> ids = t.to_vector<int64_t>();
      for (int64_t bad :
           {int64_t(-1), int64_t(-1000), int64_t(1000), int64_t(INT32_MIN), int64_t(1) << 50, kLowest, kHighest}) {
        if (t.dtype() != i64 && (bad > INT32_MAX || bad < INT32_MIN)) continue;
        ids[0] = bad;
        with(i, Tensor::of(ids, shape, {.dtype = t.dtype(), .device = t.device()}), "with " + std::to_string(bad),
             false, std::to_string(bad));
      }
    }
  }
  // All axes of one size grow together, so that sizes go on fitting.
  std::set<int64_t> sizes;
  for (const Tensor& t : x)
    if (t.defined())
      for (int64_t n : t.shape()) sizes.insert(n);
  for (int64_t n : sizes)
    for (int64_t huge : {int64_t(1) << 31, int64_t(1) << 32, int64_t(1) << 61}) {
      Misuse c{&s, x, attrs, "every size " + std::to_string(n) + " is " + std::to_string(huge)};
      try {
        for (Tensor& t : c.x) {
          if (!t.defined()) continue;
          Shape other = t.shape();
          for (int d = 0; d < other.rank; d++)
            if (other[d] == n) other[d] = huge;
          t = shape_only(t, other);
        }
      } catch (const Error&) {
        continue;
      }
      try_call(c);
    }
}

// Where the fields of a row's attributes lie.
enum class FieldKind { integer, real, truth, choice, list };
struct Place {
  const char* name;
  size_t offset;
  FieldKind kind;
};
template <class A> void places(std::vector<Place>& all) {
  static const A a{};
  A::fields().each([&]<class T>(Field<A, T> f) {
    FieldKind kind = std::is_same_v<T, int64_t>  ? FieldKind::integer
                     : std::is_same_v<T, double> ? FieldKind::real
                     : std::is_same_v<T, bool>   ? FieldKind::truth
                     : std::is_same_v<T, Shape>  ? FieldKind::list
                                                 : FieldKind::choice;
    all.push_back(
        {f.name, size_t(reinterpret_cast<const char*>(&(a.*f.member)) - reinterpret_cast<const char*>(&a)), kind});
  });
}
constexpr void (*kPlaces[])(std::vector<Place>&) = {nullptr,
#define FOVEA_PLACES(id, A, ...) places<A>,
                                                    FOVEA_OPS(FOVEA_PLACES)
#undef FOVEA_PLACES
};

void mutate_attrs(const Sample& s, const std::vector<Tensor>& x) {
  const OpRow& r = row(s.op);
  if (!s.attrs || r.attrs_size == 0) return;
  std::vector<Place> all;
  kPlaces[s.op](all);
  std::vector<char> attrs(r.attrs_size);
  for (const Place& p : all) {
    auto with = [&](const auto& value, const std::string& text, bool data = true) {
      std::memcpy(attrs.data(), s.attrs.get(), attrs.size());
      std::memcpy(attrs.data() + p.offset, &value, sizeof value);
      Misuse c{&s, x, attrs.data(), std::string(p.name) + " " + text};
      for (Tensor& t : c.x)
        if (!data && t.defined()) t = shape_only(t, t.shape());
      try_call(c);
    };
    switch (p.kind) {
      case FieldKind::integer:
        for (int64_t v :
             {int64_t(-1), int64_t(-9), int64_t(9), int64_t(0), int64_t(1) << 31, int64_t(1) << 40, kLowest, kHighest})
          with(v, std::to_string(v), v < 1 << 30);
        break;
      case FieldKind::real:
        for (double v : {double(NAN), double(INFINITY), -1.0, 0.0, 1e300}) with(v, std::to_string(v));
        break;
      case FieldKind::truth: with(!(*(static_cast<const char*>(s.attrs.get()) + p.offset)), "turned"); break;
      case FieldKind::choice: break;  // an enumeration has no wrong values
      case FieldKind::list: {
        Shape given;
        std::memcpy(&given, static_cast<const char*>(s.attrs.get()) + p.offset, sizeof given);
        for (int64_t v : {int64_t(-9), int64_t(9), int64_t(1) << 40, kLowest, kHighest}) {
          Shape other = given;
          if (other.rank == 0) other.push_back(v);
          else other[0] = v;
          with(other, to_string(other), v < 1 << 30);
          if (given.rank == 0 || given.rank == kMaxRank) continue;
          other = given, other.push_back(v);
          with(other, to_string(other), v < 1 << 30);
        }
        if (given.rank) {
          Shape less = given;
          less.rank--;
          with(less, to_string(less));
          if (given.rank < kMaxRank) {
            Shape twice = given;
            twice.push_back(given[0]);
            with(twice, to_string(twice));
          }
        }
      }
    }
  }
}

}  // namespace

TEST_CASE("calls that are wrong are refused by name, values and line, alike on both backends; others are right") {
  for (const Sample& s : all_samples()) {
    if (s.large || s.op >= op::count) continue;
    std::vector<Tensor> x = make_inputs(s, f32, device("cpu"));
    mutate_inputs(s, x);
    if (!s.function) mutate_attrs(s, x);
  }
  CHECK(accepted > 10000);
  CHECK(refused > 10000);
}
