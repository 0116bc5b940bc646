// A NaN planted in every op of the table, forward and backward, is found and named; what is finite alarms nobody.
#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <string>

#include "autograd/ops/elementwise.h"
#include "autograd/proof/evaluate.h"
#include "core/array.h"
#include "core/device.h"
#include "core/nan_watch.h"

using namespace fovea;
using namespace fovea::proof;

namespace {

int call_line = 0;
std::vector<Tensor> called(const Sample& s, const std::vector<Tensor>& x) {
  call_line = __LINE__ + 1;
  return call(s, x);
}

// Writes a NaN into the last element of a result, or gradient, of the op that was called on call_line: as if its
// kernel had. Told before the watch.
struct Planter final : TraceSink {
  std::string subject;
  bool backward, of_ops;  // of_ops: a function made of them
  bool planted = false;
  int place = 0;
  Shape index;

  Planter(std::string name, bool in_backward, bool made_of_ops)
      : subject(std::move(name)), backward(in_backward), of_ops(made_of_ops) {}
  void op(const TraceEvent& e) override {
    const ThreadState& s = state();
    const bool mine =
        of_ops ? s.op && s.op == subject : e.op == subject && s.where && int(s.where->line()) == call_line;
    if (!backward && e.depth == 0 && mine) plant(e.out, e.outputs, nullptr, 0);
  }
  void gradients(const GradientEvent& e) override {
    if (backward && e.depth == 0 && e.op == subject && int(e.where->line()) == call_line)
      plant(e.gradients, e.inputs, e.cotangents, e.outputs);
  }
  void plant(const View* const* list, int n, const View* const* others, int m) {
    for (int k = 0; k < n && !planted; k++) {
      const View& v = *list[k];
      bool mine = v.present() && v.dtype == f32 && v.numel > 0;
      for (int i = 0; i < m; i++) mine &= !others[i]->present() || others[i]->data != v.data;
      if (!mine) continue;
      float* last = v.as<float>();
      for (int d = 0; d < v.rank; d++) last += (v.shape[d] - 1) * v.strides[d];
      *last = NAN;
      planted = true;
      place = k;
      const Array copy = host_copy(v);
      int64_t at = 0;
      while (!std::isnan(copy.data<float>()[at])) at++;
      index = shape_of(v);
      for (int d = v.rank - 1; d >= 0; d--) index.dims[d] = at % v.shape[d], at /= v.shape[d];
    }
  }
};

// The sample in a longer graph: something before it, something behind it.
std::vector<Tensor> run_longer(const Sample& s, Device d) {
  std::vector<Tensor> x = make_inputs(s, f32, d), leaves, roots, cotangents;
  std::vector<Tensor> all = x;  // what is to be finite
  for (int i : differentiated_inputs(s)) {
    leaves.push_back(x[size_t(i)].requires_grad_());
    x[size_t(i)] = leaves.back() * 1;
  }
  std::vector<Tensor> ys = called(s, x);
  all.push_back(ys[0].detach());  // further ones may be statistics
  for (const Tensor& y : ys)
    if (y.requires_grad()) roots.push_back(y * 2), cotangents.push_back(probe_like(y, Probe::signs, 1));
  for (const Tensor& y : roots) all.push_back(y.detach());
  if (!roots.empty())
    for (const Tensor& g : grad(roots, leaves, cotangents, {.allow_unused = true})) all.push_back(g);
  return all;
}

bool finite_results(const std::vector<Tensor>& all) {
  for (const Tensor& t : all)
    if (t.defined())
      for (double v : numbers(t.detach()))
        if (!std::isfinite(v)) return false;
  return true;
}

bool takes_part(const Sample& s) { return s.op < op::count && contains(s.dtypes, f32) && !s.large; }

}  // namespace

TEST_CASE("a NaN planted in any op of the table is found and named, forward and backward") {
  for (const char* name : {"ref", "cpu"})
    for (bool backward : {false, true}) {
      std::set<std::string> found, silent;
      for (const Sample& s : all_samples()) {
        if (!takes_part(s) || s.op == op::none || found.count(s.subject()) ||
            !finite_results(run_longer(s, device(name))))
          continue;
        INFO(s.name << " on " << std::string(name) << std::string(backward ? ", backward" : ", forward"));
        NanWatch watch{{.throws = false}};
        Planter planter(s.subject(), backward, false);
        {
          TraceScope scope(state(), planter);
          run_longer(s, device(name));
        }
        if (!planter.planted) {
          silent.insert(s.subject());
          CHECK(!watch.found());
          continue;
        }
        found.insert(s.subject());
        REQUIRE(watch.found());
        CHECK(watch.found()->op == s.subject());
        CHECK(watch.found()->backward == backward);
        CHECK(watch.found()->place == planter.place);
        CHECK(watch.found()->index == planter.index);
        CHECK(int(watch.found()->where.line()) == call_line);
      }
      for (const std::string& op : found) silent.erase(op);
      for (int id = 1; id < op::count; id++) {
        if (row(id).form == Form::update || row(id).form == Form::slot) continue;
        INFO(std::string(row(id).name) << " on " << std::string(name) << " was not tried");
        CHECK(found.count(row(id).name) + silent.count(row(id).name) == 1);
      }
      INFO(std::string(name) << std::string(backward ? ", backward: " : ", forward: ") << found.size() << " ops");
      CHECK(found.size() >= (backward ? 90 : 130));
      for (const std::string& op : silent) {
        INFO(op);  // makes no floating numbers, or hands its cotangent on
        const OpRow& r = row(samples_of(op)[0]->op);
        CHECK((backward || r.form == Form::view || samples_of(op)[0]->without_gradient()));
      }
    }
}

TEST_CASE("a NaN planted in a function that is made of ops is found under the function's name") {
  std::set<std::string> found;
  for (const Sample& s : all_samples()) {
    if (!takes_part(s) || s.op != op::none || found.count(s.subject())) continue;
    if (s.subject() == "multinomial") continue;  // refuses NaN itself
    if (!finite_results(run_longer(s, device("cpu")))) continue;
    INFO(s.name);
    NanWatch watch{{.throws = false}};
    Planter planter(s.subject(), false, true);
    {
      TraceScope scope(state(), planter);
      run_longer(s, device("cpu"));
    }
    if (!planter.planted) continue;
    found.insert(s.subject());
    REQUIRE(watch.found());
    CHECK(watch.found()->function == s.subject());
    CHECK(watch.found()->index == planter.index);
  }
  CHECK(found.size() >= 50);
}

TEST_CASE("samples whose results are finite alarm nobody, forward and backward") {
  int calm = 0;
  for (const char* name : {"ref", "cpu"})
    for (const Sample& s : all_samples()) {
      if (!takes_part(s) || !finite_results(run_longer(s, device(name)))) continue;
      INFO(s.name << " on " << std::string(name));
      NanWatch watch{{.throws = false}};
      run_longer(s, device(name));
      CHECK((watch.found() ? watch.found()->to_string() : "") == "");
      calm++;
    }
  CHECK(calm > 1000);
}
