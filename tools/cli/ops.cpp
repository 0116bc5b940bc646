// ops: the table of ops: who computes each, in which dtypes, and how its gradient comes about.
#include "tools/cli/ops.h"
#include "backends/common/formulas.h"

#include <fmt/core.h>

#include <algorithm>

#include "autograd/proof/sample.h"
#include "core/edit_distance.h"
#include "tools/cli/op_functions.h"
#include "tools/cli/verbs.h"

namespace fovea::cli {
namespace {

using io::Json;

const char* gradient_name(int id) {
  const OpDef& d = op_def(id);
  switch (d.gradient) {
    case Gradient::backward: return "rule";
    case Gradient::derived: return "derived";
    default: return "none";
  }
}

std::string names(DTypeSet set) {
  std::string text;
  for (int t = 0; t < fovea::kDTypes; t++)
    if (contains(set, DType(t))) text += (text.empty() ? "" : " ") + std::string(name_of(DType(t)));
  return text;
}

// The dtypes in which an op of a shared slot means anything: the bits of whole numbers, say.
DTypeSet meant(const OpRow& r) {
  DTypeSet set = 0;
  for (int t = 0; t < fovea::kDTypes; t++) {
    const auto dtype = DType(t);
    const bool is = r.slot == op::unary    ? formulas::defined(Unary(r.kind), dtype)
                    : r.slot == op::binary ? formulas::defined(Binary(r.kind), dtype)
                                           : true;
    if (is) set |= only(dtype);
  }
  return set;
}

// Who computes an op on one backend: `own` dtypes by kernels of its own, `reference` ones by the reference's, the rest
// by the op's composition or not at all.
struct Support {
  DTypeSet own = 0, reference = 0;
  bool composed = false, view = false;

  Support(int id, const KernelTable& table) {
    const OpRow& r = row(id);
    view = r.form == Form::view;
    composed = op_def(id).compose != nullptr;
    const Slot& slot = table.slots[r.slot];
    if (slot.thunk) (slot.reference ? reference : own) = slot.dtypes & ~kDuals;
    if (slot.thunk && !slot.reference && table.rest && table.rest->slots[r.slot].thunk)
      reference = table.rest->slots[r.slot].dtypes & ~own & ~kDuals;
    own &= meant(r), reference &= meant(r);
  }
  std::string to_string() const {
    if (view) return "view";
    std::string text;
    auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
    auto dtypes = [&](DTypeSet set) { return set == (kAllDTypes & ~kDuals) ? "all" : names(set); };
    if (own) add(dtypes(own));
    if (reference) add("ref: " + (own ? std::string("others") : dtypes(reference)));
    if (composed && (own | reference) != (kAllDTypes & ~kDuals)) add("composed" + std::string(own ? ": others" : ""));
    return text.empty() ? "-" : text;
  }
};

// A bar would end a cell.
std::string escaped(std::string text) {
  for (size_t i = 0; (i = text.find('|', i)) != text.npos; i += 2) text.insert(i, "\\");
  return text;
}

// Public functions that are no rows.
std::vector<OpFunction> made_of_ops(const std::vector<int>& ids) {
  std::vector<OpFunction> list = all_forms();
  std::erase_if(list, [&](const OpFunction& f) {
    return std::any_of(ids.begin(), ids.end(), [&](int id) { return std::string_view(row(id).name) == f.name; });
  });
  std::sort(list.begin(), list.end(), [](auto& a, auto& b) { return std::string_view(a.name) < b.name; });
  return list;
}

// Of a function made of ops: whether samples check its gradient.
bool has_gradient(const char* name) {
  std::vector<std::string> all = proof::sampled_functions();
  return std::find(all.begin(), all.end(), name) != all.end();
}

int run_ops(const Args& args) {
  if (args.json()) refuse(args, {"--markdown"}, "and --json exclude each other");
  std::vector<int> ids = all_ops();
  std::vector<std::vector<std::string>> rows = {{"op", "gradient"}};
  std::vector<int> backends;
  for (int b = 0; b < backend_count(); b++) {
    backends.push_back(b);
    rows[0].push_back(detail::backends[b].backend->name());
  }
  rows[0].push_back("meaning");
  for (int id : ids) {
    std::vector<std::string> line = {row(id).name, gradient_name(id)};
    Json j{Json::Object{}}, support{Json::Object{}};
    j.set("op", row(id).name);
    j.set("doc", op_def(id).doc);
    j.set("gradient", gradient_name(id));
    for (int b : backends) {
      Support s(id, *detail::backends[b].table);
      line.push_back(s.to_string());
      Json mine{Json::Object{}};
      mine.set("kernels", names(s.own));
      mine.set("reference", names(s.reference));
      mine.set("composed", s.composed);
      mine.set("view", s.view);
      support.set(detail::backends[b].backend->name(), mine);
    }
    j.set("backends", support);
    j.set("samples", int64_t(proof::samples_of(id).size()));
    line.push_back(op_def(id).doc);
    if (args.json()) print_json(j);
    rows.push_back(line);
  }
  for (const OpFunction& f : made_of_ops(ids)) {
    const char* gradient = has_gradient(f.name) ? "of its ops" : "none";
    const char* doc = f.inputs ? "made of ops" : "makes a tensor";
    const std::vector<const proof::Sample*> samples = proof::samples_of(std::string_view(f.name));
    if (args.json())
      print_json(Json::Object{{"op", f.name},
                              {"doc", doc},
                              {"gradient", gradient},
                              {"inputs", f.inputs},
                              {"samples", int64_t(samples.size())}});
    std::vector<std::string>& line = rows.emplace_back(std::vector<std::string>{f.name, gradient});
    line.resize(rows[0].size() - 1, "composed");
    line.push_back(doc);
  }
  if (args.json()) return 0;
  bool markdown = args.has("--markdown");
  std::vector<size_t> widths(rows[0].size());
  for (auto& line : rows)
    for (size_t c = 0; c < line.size(); c++) widths[c] = std::max(widths[c], line[c].size());
  for (size_t r = 0; r < rows.size(); r++) {
    std::string text = markdown ? "|" : "";
    for (size_t c = 0; c < rows[r].size(); c++) {
      if (markdown) text += " " + escaped(rows[r][c]) + " |";
      else text += c + 1 < rows[r].size() ? fmt::format("{:{}}  ", rows[r][c], widths[c]) : rows[r][c];
    }
    print_line(text);
    if (markdown && r == 0) {
      text = "|";
      for (size_t c = 0; c < rows[r].size(); c++) text += "---|";
      print_line(text);
    }
  }
  note("dtypes: the backend's own kernels; ref: the reference's; composed: in simpler ops; view: no kernel is needed");
  return 0;
}

}  // namespace

std::vector<int> all_ops() {
  (void)op_def(op::add);  // defines the built-in ones
  std::vector<int> ids;
  for (int id = 1; id < op_count(); id++)
    if (row(id).form == Form::pure || row(id).form == Form::view) ids.push_back(id);
  return ids;
}

int op_named(const std::string& name) {
  std::vector<std::string_view> known;
  for (int id : all_ops()) {
    if (name == row(id).name) return id;
    known.push_back(row(id).name);
  }
  std::string_view near = text::nearest(name, known);
  throw UsageError("unknown op '" + name + "'" + (near.empty() ? "." : "; did you mean " + std::string(near) + "?") +
                   " fovea ops lists them");
}

const Verb kOps = {"ops",
                   "the table of ops and functions: who computes them, in which dtypes, with which gradient",
                   {{"--markdown", Option::flag, "as a table for documentation"}, kPlugins},
                   false,
                   run_ops};

}  // namespace fovea::cli
