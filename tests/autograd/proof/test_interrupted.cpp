// A step that is cut short by an exception, in every place that there is.
#include <algorithm>
#include <string>

#include <doctest/doctest.h>
#include "autograd/proof/evaluate.h"
#include "core/device.h"
#include "core/mode.h"
#include "core/trace.h"

using namespace fovea;
using namespace fovea::proof;

namespace {

struct Cut {};
struct Scissors final : TraceSink {
  int left;
  explicit Scissors(int n) : left(n) {}
  void op(const TraceEvent&) override {
    if (left-- == 0) throw Cut();
  }
};

std::vector<Numbers> step(const Sample& s, Device d) {
  std::vector<Tensor> x = make_inputs(s, f32, d), leaves, roots, cotangents;
  for (int i : differentiated_inputs(s)) leaves.push_back(x[size_t(i)] = x[size_t(i)].requires_grad_());
  std::vector<Tensor> all = call(s, x);
  for (const Tensor& y : all)
    if (y.requires_grad()) roots.push_back(y), cotangents.push_back(probe_like(y, Probe::signs, 1));
  if (!roots.empty())
    for (const Tensor& g : grad(roots, leaves, cotangents, {.allow_unused = true})) all.push_back(g);
  std::vector<Numbers> bits;
  for (const Tensor& t : all) bits.push_back(t.defined() ? numbers(t.detach()) : Numbers());
  return bits;
}

bool same(const std::vector<Numbers>& a, const std::vector<Numbers>& b) {
  auto equal = [](double p, double q) { return p == q || (p != p && q != q); };
  auto alike = [&](const Numbers& p, const Numbers& q) {
    return std::equal(p.begin(), p.end(), q.begin(), q.end(), equal);
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), alike);
}

}  // namespace

TEST_CASE(
    "pitfall 43: thrown out of at any kernel, every op leaves nothing behind; the next step is the same, mlx#3675") {
  int cuts = 0;
  for (const char* name : {"ref", "cpu"})
    for (const Sample& s : all_samples()) {
      if (s.large || s.op >= op::count) continue;
      const Device d = device(name);
      const std::vector<Numbers> clean = step(s, d);
      ThreadState& now = state();
      const int64_t live = now.blocks.live;
      for (int n = 0; n < 1000; n++) {
        try {
          Scissors scissors(n);
          TraceScope scope(state(), scissors);
          step(s, d);
          break;
        } catch (const Cut&) {
          cuts++;
        }
        INFO(s.name << " on " << std::string(name) << ", cut after " << n << " kernels");
        CHECK(now.mode == kGrad);
        CHECK(now.depth == 0);
        CHECK((!now.where && !now.op && !now.module && !now.trace && !now.dying));
        CHECK((!now.fault.raised && !now.releasing));
        CHECK(now.blocks.live == live);  // nothing is lost
      }
      INFO(s.name << " on " << std::string(name));
      CHECK(same(step(s, d), clean));
    }
  CHECK(cuts > 10000);
}
