#include "tools/cli/trace_picture.h"

#include <fmt/core.h>

#include <algorithm>

#include "core/dtype.h"
#include "core/shape.h"

namespace fovea::cli {
namespace {

std::string type_of(const View& v) { return std::string(name_of(v.dtype)) + " " + to_string(v.shape, v.rank); }

// The bytes of a view, gaps included.
std::pair<const char*, const char*> extent(const View& v) {
  const char *begin = v.as<char>(), *end = begin + size_of(v.dtype);
  for (int d = 0; d < v.rank; d++) {
    const int64_t reach = (v.shape[d] - 1) * v.strides[d] * size_of(v.dtype);
    (reach < 0 ? begin : end) += reach;
  }
  return {begin, end};
}

}  // namespace

// The box that wrote this memory last; what none has, a parameter or data, gets one.
size_t GraphPicture::maker_of(const View& v) {
  const auto [begin, end] = extent(v);
  auto at = written_.upper_bound(begin);
  if (at != written_.begin() && begin < std::prev(at)->second.end) return std::prev(at)->second.box;
  boxes_.push_back({type_of(v), nullptr, false, {}});
  written_[begin] = {end, boxes_.size() - 1};
  return boxes_.size() - 1;
}

void GraphPicture::op(const TraceEvent& e) {
  if (e.composed || e.outputs == 0 || !e.out[0]->data) return;  // a composition's ops are there already
  Box box{std::string(e.op) + "\\n" + type_of(*e.out[0]), state().module, state().rules > 0, {}};
  for (int i = 0; i < e.inputs; i++) {
    if (!e.in[i]->present() || !e.in[i]->data || e.in[i]->numel == 0) continue;
    const size_t from = maker_of(*e.in[i]);
    if (std::find(box.from.begin(), box.from.end(), from) == box.from.end()) box.from.push_back(from);
  }
  for (int k = 0; k < e.outputs; k++) {
    if (!e.out[k]->present() || !e.out[k]->data || e.out[k]->numel == 0) continue;
    const auto [begin, end] = extent(*e.out[k]);
    auto at = written_.lower_bound(begin);  // what lies there is overwritten
    while (at != written_.end() && at->first < end) at = written_.erase(at);
    written_[begin] = {end, boxes_.size()};
  }
  boxes_.push_back(std::move(box));
}

std::string GraphPicture::dot() const {
  std::string text = "digraph ops {\n  node [shape=box, fontname=\"sans-serif\"];\n";
  std::map<std::string, std::vector<size_t>> modules;
  for (size_t i = 0; i < boxes_.size(); i++)
    if (boxes_[i].module) modules[boxes_[i].module].push_back(i);
  for (size_t i = 0; i < boxes_.size(); i++) {
    const Box& b = boxes_[i];
    text += fmt::format("  n{} [label=\"{}\"{}];\n", i, b.label,
                        b.from.empty() ? ", shape=ellipse"
                        : b.backward   ? ", style=filled, fillcolor=lightgrey"
                                       : "");
    for (size_t from : b.from) text += fmt::format("  n{} -> n{};\n", from, i);
  }
  for (auto& [name, list] : modules) {
    text += fmt::format("  subgraph \"cluster {}\" {{\n    label=\"{}\";\n   ", name, name);
    for (size_t i : list) text += fmt::format(" n{};", i);
    text += "\n  }\n";
  }
  return text + "}";
}

}  // namespace fovea::cli
