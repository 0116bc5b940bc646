#include "tools/cli/trace_file.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "core/device.h"
#include "core/error.h"
#include "core/shape.h"
#include "nn/io/hdf5.h"
#include "nn/io/replace_file.h"
#include "tools/cli/verb.h"

namespace fovea::cli {
namespace {

using io::Json;

std::string describe(const View* const* views, int n) {
  std::string text;
  for (int i = 0; i < n; i++) {
    if (i > 0) text += ", ";
    if (i == 8) return text + fmt::format("and {} more", n - i);
    const View& v = *views[i];
    if (!v.present()) text += "-";
    else text += std::string(name_of(v.dtype)) + " " + to_string(v.shape, v.rank) + (v.dense ? "" : " strided");
  }
  return text;
}

double seconds(int64_t nanoseconds) { return 1e-9 * double(nanoseconds); }

}  // namespace

OpTrace::OpTrace(const std::string& path) : path_(path), keeps_results_(path.ends_with(".h5")) {
  if (!path.empty() && !keeps_results_ && !path.ends_with(".json"))
    throw UsageError(path + ": unknown kind of trace (expected F.json for Chrome's format, or F.h5 for results)");
}

void OpTrace::op(const TraceEvent& e) {
  const char* ran = e.composed ? "composed" : e.reference ? "ref" : e.backend;
  // With results: one of a composition, whoever composed it, so that backends compare.
  while (keeps_results_ && e.composed && !events_.empty() && events_.back().depth > e.depth &&
         events_.back().begin >= e.begin)
    events_.pop_back();
  const ThreadState& s = state();
  events_.push_back({e.op,
                     ran,
                     e.depth,
                     e.begin,
                     e.end,
                     describe(e.in, e.inputs),
                     describe(e.out, e.outputs),
                     s.where && s.where->line() > 0 ? fovea::describe(*s.where) : "",
                     s.module,
                     {}});
  for (int k = 0; keeps_results_ && k < e.outputs; k++)
    if (e.out[k]->present() && e.out[k]->data) events_.back().results.push_back(host_copy(*e.out[k]));
}

std::vector<OpTrace::Line> OpTrace::lines() const {
  std::map<std::pair<std::string, std::string>, Line> all;
  for (const Event& e : events_) {
    Line& line = all[{e.op, e.ran}];
    line.op = e.op, line.ran = e.ran, line.count++;
    line.seconds += seconds(e.end - e.begin);
  }
  std::vector<Line> sorted;
  for (auto& [key, line] : all) sorted.push_back(line);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Line& a, const Line& b) { return a.seconds > b.seconds; });
  return sorted;
}

std::string OpTrace::table(int steps) const {
  double kernels = 0;
  int64_t calls = 0;
  auto composed = [](const Line& l) { return l.ran == "composed"; };
  for (const Line& l : lines())
    if (!composed(l)) kernels += l.seconds, calls += l.count;
  std::string text = fmt::format("{:28} {:10} {:>8} {:>10} {:>7}\n", "op", "ran", "calls", "ms", "%");
  for (const Line& l : lines())  // a composition's time is that of the ops inside it: no share of its own
    text += fmt::format("{:28} {:10} {:8.4g} {:10.4f} {:>7}\n", l.op, l.ran, double(l.count) / steps,
                        1e3 * l.seconds / steps, composed(l) ? "" : fmt::format("{:.1f}", 100 * l.seconds / kernels));
  double span = 0;
  if (!events_.empty()) {
    int64_t first = events_[0].begin, last = events_[0].end;
    for (const Event& e : events_) first = std::min(first, e.begin), last = std::max(last, e.end);
    span = seconds(last - first);
  }
  return text +
         fmt::format("{:28} {:10} {:8.4g} {:10.4f} {:>7}\n", "all kernels", "", double(calls) / steps,
                     1e3 * kernels / steps, "") +
         fmt::format("{:28} {:10} {:>8} {:10.4f} {:>7}", "from first to last", "", "", 1e3 * span / steps, "");
}

std::vector<Json> OpTrace::rows() const {
  std::vector<Json> all;
  for (const Line& l : lines()) {
    Json j{Json::Object{}};
    j.set("op", l.op);
    j.set("ran", l.ran);
    j.set("count", l.count);
    j.set("seconds", l.seconds);
    all.push_back(std::move(j));
  }
  return all;
}

void OpTrace::save() const {
  if (path_.empty()) return;
  if (keeps_results_) save_results();
  else save_chrome();
}

// ops/0000017/0 is the first result of the 18th op.
void OpTrace::save_results() const {
  uint64_t bytes = 0;
  for (const Event& e : events_)
    for (const Array& a : e.results) bytes += uint64_t(a.numel()) * uint64_t(size_of(a.dtype()));
  io::replace_file(path_, bytes, [&](const std::string& temporary) {
    io::H5Writer file(temporary);
    file.attribute("/", "trace", "1");
    for (size_t i = 0; i < events_.size(); i++) {
      const Event& e = events_[i];
      io::H5Attributes told = {{"op", e.op}, {"ran", e.ran}, {"in", e.in}, {"depth", std::to_string(e.depth)}};
      if (!e.at.empty()) told.emplace_back("at", e.at);
      if (e.module) told.emplace_back("module", e.module);
      for (size_t k = 0; k < e.results.size(); k++) file.array(fmt::format("ops/{:07}/{}", i, k), e.results[k], told);
    }
    file.close();
  });
}

void OpTrace::save_chrome() const {
  std::string text = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [";
  int64_t first = events_.empty() ? 0 : events_[0].begin;
  for (const Event& e : events_) first = std::min(first, e.begin);
  for (const Event& e : events_) {
    Json args{Json::Object{}};
    args.set("in", e.in);
    args.set("out", e.out);
    args.set("depth", e.depth);
    if (!e.at.empty()) args.set("at", e.at);
    if (e.module) args.set("module", e.module);
    Json j{Json::Object{}};
    j.set("name", e.op);
    j.set("cat", e.ran);
    j.set("ph", "X");
    j.set("ts", 1e6 * seconds(e.begin - first));
    j.set("dur", 1e6 * seconds(e.end - e.begin));
    j.set("pid", 1);
    j.set("tid", 1);
    j.set("args", std::move(args));
    text += (&e == events_.data() ? "\n" : ",\n") + j.dump();
  }
  io::replace_file(path_, text + "\n]}\n");
}

}  // namespace fovea::cli
