#include "nn/statistics.h"

#include <fmt/core.h>

#include <cmath>

#include "nn/io/json.h"

namespace fovea {

io::Json to_json(const GradientReport& r) {
  using io::Json;
  Json::Array unreached;
  for (size_t i = 0; i < r.unreached.size(); i++) {
    Json::Array cuts;
    for (const GradientCut& c : i < r.cuts.size() ? r.cuts[i] : std::vector<GradientCut>())
      cuts.push_back(Json::Object{{"op", c.op}, {"why", c.why}, {"at", describe(c.where)}, {"module", c.module}});
    unreached.push_back(Json::Object{{"parameter", r.unreached[i]}, {"cuts", Json(std::move(cuts))}});
  }
  return Json::Object{{"unreached", Json(std::move(unreached))},
                      {"all_zero", Json(Json::Array(r.all_zero.begin(), r.all_zero.end()))},
                      {"non_finite", Json(Json::Array(r.non_finite.begin(), r.non_finite.end()))}};
}

namespace nn {
namespace {

void add(ModuleStatistics::Numbers& n, const View& v) {
  if (!v.present() || !v.data || v.numel == 0 || !is_floating(v.dtype) || is_dual(v.dtype)) return;
  for (double x : Tensor(host_copy(v)).to_vector<double>()) {
    n.count++;
    if (!std::isfinite(x)) {
      n.non_finite++;
      continue;
    }
    n.zeros += x == 0;
    n.sum += x, n.squares += x * x;
    n.largest = std::max(n.largest, std::abs(x));
  }
}

std::string text(const ModuleStatistics::Numbers& n) {
  if (n.count == 0) return fmt::format(" {:>10} {:>10} {:>10} {:>7} {:>9}", "-", "-", "-", "-", "-");
  return fmt::format(" {:10.3g} {:10.3g} {:10.3g} {:7.1f} {:9}", n.mean(), n.rms(), n.largest, 100 * n.zero_share(),
                     n.non_finite);
}

}  // namespace

double ModuleStatistics::Numbers::mean() const { return sum / double(count - non_finite); }
double ModuleStatistics::Numbers::rms() const { return std::sqrt(squares / double(count - non_finite)); }
double ModuleStatistics::Numbers::zero_share() const { return double(zeros) / double(count); }

ModuleStatistics::Line& ModuleStatistics::line(const char* module) {
  const std::string name = module ? module : "";
  for (Line& l : lines_)
    if (l.module == name) return l;
  return lines_.emplace_back(Line{name, {}, {}});
}

void ModuleStatistics::op(const TraceEvent& e) {
  if (e.depth > 0 || e.update) return;
  Line& l = line(state().module);
  Untold guard;
  add(l.activations, *e.out[0]);
}

void ModuleStatistics::gradients(const GradientEvent& e) {
  if (e.depth > 0) return;
  Line& l = line(e.module);
  Untold guard;
  for (int i = 0; i < e.inputs; i++) add(l.gradients, *e.gradients[i]);
}

std::string ModuleStatistics::table() const {
  std::string all =
      fmt::format("{:32} {:>10} {:>10} {:>10} {:>7} {:>9} {:>10} {:>10} {:>10} {:>7} {:>9}", "module", "mean", "rms",
                  "largest", "zero %", "nan, inf", "gradient", "rms", "largest", "zero %", "nan, inf");
  for (const Line& l : lines_)
    all +=
        fmt::format("\n{:32}", l.module.empty() ? "(no module)" : l.module) + text(l.activations) + text(l.gradients);
  return all;
}

}  // namespace nn
}  // namespace fovea
