// Rules broken as people break them: the check says which mistake it is, on a smaller case, and right ones pass.
#include <cmath>
#include <string>

#include <doctest/doctest.h>
#include "autograd/apply.h"
#include "autograd/function.h"
#include "autograd/ops/advanced_index.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/index.h"
#include "autograd/ops/linalg.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "autograd/proof/check.h"
#include "core/device.h"
#include "core/dispatch.h"

using namespace fovea;
using namespace fovea::proof;

namespace {

void one_matrix(Samples& s) { s.add({proof::reals({3, 4})}); }
void square_matrix(Samples& s) { s.add({proof::reals({3, 3})}); }
void matrix_and_row(Samples& s) { s.add({proof::reals({3, 4}), proof::reals({4})}); }

void infer_as_x(Infer& i) { i.like(0, i.x(0)); }
void compose_cube(Compose& c) { c.out[0] = c.x(0) * c.x(0) * c.x(0); }
void compose_copy(Compose& c) { c.out[0] = c.x(0) + 0.0; }

struct Broken {
  const char* name;
  void (*compose)(Compose&);
  void (*backward)(Backward&);
  void (*samples)(Samples&) = one_matrix;
  void (*infer)(Infer&) = infer_as_x;
  int inputs = 1;
};
int define_broken(const Broken& b) {
  NewOp op{.name = b.name,
           .inputs = b.inputs,
           .saves = {in(0)},
           .infer = b.infer,
           .compose = b.compose,
           .gradient = Gradient::backward,
           .backward = b.backward,
           .samples = b.samples};
  return define_op(op);
}
Report report_of(const Broken& b, int order = 1) {
  return check_op(define_broken(b), {.order = order, .device = device("ref")});
}

void finds(const Report& r, Cause cause, const std::string& words) {
  INFO(r.to_string());
  CHECK(std::string(name_of(r.verdict)) == "fail");
  CHECK(std::string(name_of(r.cause)) == std::string(name_of(cause)));
  CHECK(r.detail.find(words) != r.detail.npos);
}

int rule_calls = 0;
Tensor rule_kept;  // what a rule must not keep

}  // namespace

TEST_CASE("a wrong gradient is diagnosed") {
  auto cube_times = [](const char* name, void (*rule)(Backward&)) { return Broken{name, compose_cube, rule}; };
  finds(report_of(cube_times("broken_factor", [](Backward& b) { b.add(0, square(b.x(0)) * b.g() * 4.5); })),
        Cause::factor, "1.5 times the right one");
  finds(report_of(cube_times("broken_sign", [](Backward& b) { b.add(0, square(b.x(0)) * b.g() * -3); })), Cause::factor,
        "the wrong sign");
  finds(report_of(cube_times("broken_zero", [](Backward& b) { b.zero(0); })), Cause::factor, "0 everywhere");
  finds(report_of(cube_times("broken_power", [](Backward& b) { b.add(0, b.x(0) * b.g() * 3); })), Cause::missing_factor,
        "lacks a factor: input 0");
  finds(report_of(cube_times("broken_ignores", [](Backward& b) { b.add(0, square(b.x(0)) * 3); })),
        Cause::ignores_cotangent, "the one for ones");

  finds(report_of({"broken_mean", [](Compose& c) { c.out[0] = sum(c.x(0), {.dim = {1}}) / 4; },
                   [](Backward& b) { b.add(0, expand(unsqueeze(b.g(), 1), b.shape(0))); }, one_matrix,
                   [](Infer& i) { i.set(0, i.x(0).dtype, {3}); }}),
        Cause::missing_scale, "4 times the right one, and 4 elements lie along an axis: a mean's division is missing");

  finds(report_of({"broken_transposed", [](Compose& c) { c.out[0] = c.x(0) * 2; },
                   [](Backward& b) { b.add(0, transpose(b.g(), 0, 1) * 2); }, square_matrix}),
        Cause::transposed, "axes (1, 0)");

  finds(report_of({"broken_bias", [](Compose& c) { c.out[0] = c.x(0) + c.x(1); },
                   [](Backward& b) {
                     b.add(0, b.g());
                     b.add(1, select(b.g(), 0, 0));
                   },
                   matrix_and_row, infer_as_x, 2}),
        Cause::missing_sum, "broadcast from [4] to [3,4], the gradient is that of its first copy");

  finds(report_of({"broken_overwrites",
                   [](Compose& c) {
                     c.out[0] = index_select(
                         c.x(0), 0, Tensor::of(std::vector<int64_t>{0, 0, 1}, {3}, {.device = c.x(0).device()}));
                   },
                   [](Backward& b) {  // row 0 twice: the second one wins
                     Tensor g = b.g();
                     b.add(0, cat({narrow(where(ne(narrow(g, 0, 1, 1), 0.0), narrow(g, 0, 1, 1), narrow(g, 0, 0, 1)), 0,
                                          0, 1),
                                   narrow(g, 0, 2, 1), zeros_like(narrow(g, 0, 0, 1))},
                                  0));
                   }}),
        Cause::overwrites, "the last write wins");

  finds(report_of({"broken_shape", compose_copy, [](Backward& b) { b.add(0, sum(b.g())); }}), Cause::exception,
        "gave a gradient of shape [] for input 0 (expected [3,4])");
}

TEST_CASE("what is wrong only in some rule_calls is found there") {
  finds(report_of({"broken_stale", compose_copy,
                   [](Backward& b) {
                     if (!rule_kept.defined() || !(rule_kept.shape() == b.g().shape())) rule_kept = b.g() + 0.0;
                     b.add(0, rule_kept);
                   }}),
        Cause::ignores_cotangent, "the same for every cotangent");
  rule_kept = Tensor();
  finds(report_of({"broken_kept_input", compose_cube,
                   [](Backward& b) {
                     if (!rule_kept.defined()) rule_kept = b.x(0).detach();
                     b.add(0, square(rule_kept) * b.g() * 3);
                   }}),
        Cause::stale, "right in the first call");
  rule_kept = Tensor();
  finds(report_of({"broken_layout", compose_cube,
                   [](Backward& b) {  // reads x as if it were dense
                     Tensor x = b.x(0), flat = Tensor::of(std::vector<double>(x.array().data<double>(),
                                                                              x.array().data<double>() + x.numel()),
                                                          x.shape(), {.device = x.device()});
                     b.add(0, square(flat) * b.g() * 3);
                   }}),
        Cause::layout, "wrong only where inputs and cotangents are transposed");
  finds(
      report_of({"broken_second", compose_cube, [](Backward& b) { b.add(0, square(b.x(0).detach()) * b.g() * 3); }}, 2),
      Cause::second_order, "right in first order, wrong in second");
  finds(report_of({"broken_alternating", compose_cube,
                   [](Backward& b) { b.add(0, square(b.x(0)) * b.g() * (rule_calls++ % 2 ? 3.5 : 3)); }}),
        Cause::stale, "another gradient the second time");
}

TEST_CASE("a kernel that is wrong on one backend only") {
  int id = define_broken(
      {"broken_on_cpu", [](Compose& c) { c.out[0] = c.x(0) * 2; }, [](Backward& b) { b.add(0, b.g() * 2); }});
  set_kernel("cpu", id, Slot{.thunk = [](const Call&, const void*) -> Status { return {}; }, .dtypes = only(f64)});
  int outer = define_broken({"calls_broken_on_cpu", [](Compose& c) { c.out[0] = c.x(0) * 2; },
                             [](Backward& b) {
                               static const int inner = find_op("broken_on_cpu");
                               b.add(0, fovea::apply(inner, std::vector<Tensor>{b.g()})[0]);
                             }});
  CHECK(check_op(outer, {.device = device("ref")}).verdict == Verdict::pass);
  finds(check_op(outer, {.device = device("cpu")}), Cause::device, "right on ref, wrong on cpu");
}

TEST_CASE("rules that break a contract beside right numbers") {
  finds(report_of({"broken_linear", compose_copy,
                   [](Backward& b) {
                     b.add(0, b.g() + (b.g() - b.g().detach()) * 0 + 0.0 * square(b.g()) +
                                  where(gt(b.g(), 2.5), 1e-3, 0.0));
                   }}),
        Cause::contract, "linear");
  finds(report_of({"broken_writes", [](Compose& c) { c.out[0] = c.x(0) * 2; },
                   [](Backward& b) {
                     Tensor doubled = b.g() * 2;
                     Array memory = b.g().array();
                     fill(memory, 0.5);
                     b.add(0, doubled);
                   }}),
        Cause::contract, "manners");
}

TEST_CASE("verdicts of kinks and of noise") {
  auto absolute = [](const char* name, void (*rule)(Backward&)) {
    return Broken{name, [](Compose& c) { c.out[0] = abs(c.x(0)); }, rule,
                  [](Samples& s) {
                    s.add({exactly({3}, {0, 1, -2})});
                  }};
  };
  Report r = report_of(absolute("kink_right", [](Backward& b) { b.add(0, b.g() * sign(b.x(0))); }));
  INFO(r.to_string());
  CHECK(std::string(name_of(r.verdict)) == "non-smooth");
  r = report_of(
      absolute("kink_wrong", [](Backward& b) { b.add(0, b.g() * (sign(b.x(0)) + where(eq(b.x(0), 0.0), 1.5, 0.0))); }));
  CHECK(std::string(name_of(r.verdict)) == "fail");

  r = report_of({"noisy", compose_cube, [](Backward& b) {
                   b.add(0, square(b.x(0)) * b.g() * (3 + 1e-8 * std::sin(double(rule_calls++) * 12.9898)));
                 }});
  INFO(r.to_string());
  CHECK(std::string(name_of(r.verdict)) == "too-noisy");
  r = report_of({"noisy_and_wrong", compose_cube, [](Backward& b) {
                   b.add(0, square(b.x(0)) * b.g() * (3.001 + 1e-8 * std::sin(double(rule_calls++) * 12.9898)));
                 }});
  CHECK(std::string(name_of(r.verdict)) == "fail");
}

TEST_CASE("one wrong entry of a Jacobian of 1024 x 1024 is found, and named") {
  auto matrix = [](Samples& s) { s.add({proof::reals({1024}), proof::reals({1024, 1024})}).sums(1024); };
  Broken b{"broken_entry",
           [](Compose& c) { c.out[0] = matmul(c.x(1), c.x(0)); },
           [](Backward& b) {
             Tensor w = b.x(1);
             Tensor right = matmul(transpose(w, 0, 1), b.g());
             b.add(0, right + one_hot(full({}, 700, {.dtype = i64, .device = w.device()}), 1024).to(w.dtype()) *
                                  (select(b.g(), 0, 321) * 1e-4));
             b.zero(1);
           },
           matrix,
           [](Infer& i) { i.like(0, i.x(0)); },
           2};
  int id = define_op({.name = b.name,
                      .inputs = 2,
                      .no_gradient = 2,
                      .saves = {in(1), 0},
                      .infer = b.infer,
                      .compose = b.compose,
                      .gradient = Gradient::backward,
                      .backward = b.backward,
                      .samples = b.samples});
  Report r = check_op(id, {.device = device("cpu"), .explain = false});
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::fail);
  CHECK(r.worst.index == std::vector<int64_t>{700});
  CHECK(r.detail.find("output [321]") != r.detail.npos);
  CHECK(r.limit < 1e-4);
}

TEST_CASE("a failure is shown on a smaller case, and a command that runs it") {
  Report r = report_of({"broken_to_shrink", compose_cube, [](Backward& b) { b.add(0, square(b.x(0)) * b.g() * 2); },
                        [](Samples& s) {
                          s.add({proof::reals({6, 5, 4})});
                        }});
  CHECK(r.smallest == std::vector<Shape>{{1, 1, 1}});
  CHECK(r.repro == "fovea gradcheck --op broken_to_shrink --order 1 --device ref --sample 1 --shapes \"[1,1,1]\"");
}

TEST_CASE("functions of a user are checked where they are called") {
  Tensor x = Tensor::of({0.5, -1.5, 2.0, 0.25, 1.0, -0.75}, {2, 3}), w = Tensor::of({1.0, 2.0, -1.0}, {3});
  auto smooth = [](const std::vector<Tensor>& in) -> Sample::Outputs { return {sum(tanh(in[0] * in[1]))}; };
  Report r = check("smooth", smooth, {x, w}, {.order = 2});
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::pass);
  CHECK(r.exact);
  CHECK_NOTHROW(r.or_throw());

  Function root{.name = "cube_root",
                .forward =
                    [](const std::vector<Tensor>& in) {
                      std::vector<double> v = in[0].to_vector<double>();
                      for (double& e : v) e = std::cbrt(e);
                      return std::vector{Tensor::of(v, in[0].shape(), {.device = in[0].device()})};
                    },
                .backward = [](Backward& b) { b.add(0, b.g() / (square(b.y()) * 3)); },
                .saves = out(0)};
  auto host = [&](const std::vector<Tensor>& in) -> Sample::Outputs { return root({in[0]}); };
  r = check("cube_root", host, {x});
  INFO(r.to_string());
  CHECK(r.verdict == Verdict::pass);
  CHECK(!r.exact);

  root.backward = [](Backward& b) { b.add(0, b.g() / (square(b.y()) * 2)); };
  r = check("cube_root", host, {x});
  const std::string line = std::to_string(__LINE__ - 1);
  CHECK(r.verdict == Verdict::fail);
  CHECK(r.repro == "check(\"cube_root\") at test_diagnose.cpp:" + line);
  CHECK_THROWS_AS(r.or_throw(), GradientError);

  // At a kink of host code both sides' slopes part.
  Function kink{.name = "host_abs",
                .forward =
                    [](const std::vector<Tensor>& in) {
                      std::vector<double> v = in[0].to_vector<double>();
                      for (double& e : v) e = std::abs(e);
                      return std::vector{Tensor::of(v, in[0].shape(), {.device = in[0].device()})};
                    },
                .backward = [](Backward& b) { b.add(0, b.g() * sign(b.x(0))); },
                .saves = in(0)};
  r = check("host_abs", [&](const std::vector<Tensor>& in) -> Sample::Outputs { return kink({in[0]}); },
            {Tensor::of({1.0, 0.0, -1.0}, {3})});
  INFO(r.to_string());
  CHECK(std::string(name_of(r.verdict)) == "non-smooth");
  kink.backward = [](Backward& b) { b.add(0, b.g() * (sign(b.x(0)) + where(eq(b.x(0), 0.0), 1.5, 0.0))); };
  r = check("host_abs", [&](const std::vector<Tensor>& in) -> Sample::Outputs { return kink({in[0]}); },
            {Tensor::of({1.0, 0.0, -1.0}, {3})});
  CHECK(std::string(name_of(r.verdict)) == "fail");
}
