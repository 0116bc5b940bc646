#include "nn/module.h"

#include <cxxabi.h>

#include <cstdlib>
#include <mutex>
#include <set>
#include <unordered_set>

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "core/edit_distance.h"

namespace fovea::nn {
namespace {

thread_local bool shapes_only = false;

// Paths live for ever: nodes and traces keep pointers to them after their module is gone.
const char* intern(const std::string& text) {
  static std::mutex lock;
  static auto* known = new std::set<std::string>;
  std::lock_guard guard(lock);
  return known->insert(text).first->c_str();
}

// "fovea::models::Gpt" -> "Gpt"; template arguments stay out.
std::string short_type_name(const std::type_info& type) {
  int status = 0;
  char* text = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
  std::string name = status == 0 ? text : type.name();
  std::free(text);
  if (auto angle = name.find('<'); angle != name.npos && angle > 0) name.resize(angle);
  if (auto colon = name.rfind(':'); colon != name.npos) name.erase(0, colon + 1);
  return name;
}

std::string snake_case(const std::string& camel) {
  std::string out;
  for (size_t i = 0; i < camel.size(); i++) {
    char c = camel[i];
    bool upper = c >= 'A' && c <= 'Z';
    if (upper && i > 0 && !(camel[i - 1] >= 'A' && camel[i - 1] <= 'Z')) out += '_';
    out += upper ? char(c - 'A' + 'a') : c;
  }
  return out;
}

std::string join(const std::string& a, const std::string& b) { return a.empty() ? b : b.empty() ? a : a + "." + b; }

}  // namespace

ShapesOnly::ShapesOnly() : before_(shapes_only) { shapes_only = true; }
ShapesOnly::~ShapesOnly() { shapes_only = before_; }

ModuleBase::ModuleBase(Parent parent, const std::type_info& type, bool lends)
    : parent_(parent.module),
      name_(std::move(parent.name)),
      type_(short_type_name(type)),
      made_at_(parent_ && parent_->lends_ ? parent_->made_at_ : parent.where),
      lends_(lends) {
  if (!parent_) {
    path_ = intern(name_.empty() ? snake_case(type_) : name_);
    return;
  }
  if (!name_.empty()) parent_->check_name(name_, made_at_);
  dotted_ = join(parent_->dotted_, name_);
  path_ = intern(join(parent_->path_, name_));
  parent_->children_.push_back(this);
}

struct ModuleBase::Hooks {
  struct Entry {
    int number;
    PreHook pre;
    ForwardHook post;
  };
  std::vector<Entry> entries;
  int next = 0;
};

ModuleBase::~ModuleBase() {
  while (!owned_.empty()) {
    delete owned_.back();
    owned_.pop_back();
  }
  delete hooks_;
  for (ModuleBase* child : children_) child->parent_ = nullptr;
  if (parent_) std::erase(parent_->children_, this);
}

void ModuleBase::check_name(const std::string& name, const Where& w) const {
  auto fail = [&](const std::string& text) { fovea::detail::fail<ValueError>("module", w, text); };
  if (name.empty() || name.find_first_of(".*/ ") != name.npos)
    fail("'" + name + "' cannot name a member of " + path_ + " (expected no dots, stars, slashes or blanks)");
  const ModuleBase* owner = this;  // an unnamed module shares the names of its parent
  while (owner->parent_ && owner->name_.empty()) owner = owner->parent_;
  if (owner->has(name)) fail(std::string(path_) + " has a member '" + name + "' already");
}

bool ModuleBase::has(const std::string& name) const {
  for (const Entry& e : parameters_)
    if (e.name == name) return true;
  for (const ModuleBase* child : children_)
    if (child->name_ == name || (child->name_.empty() && child->has(name))) return true;
  return false;
}

ModuleBase* ModuleBase::member(const std::string& name, std::string& known) const {
  for (ModuleBase* child : children_) {
    if (child->name_ == name) return child;
    if (child->name_.empty()) {
      if (ModuleBase* found = child->member(name, known)) return found;
    } else {
      known += (known.empty() ? "" : ", ") + child->name_;
    }
  }
  return nullptr;
}

void ModuleBase::not_final(const std::type_info& made_for) const {
  throw ValueError("module: " + short_type_name(typeid(*this)) + " derives from " + short_type_name(made_for) +
                   ", whose forward would run. Module types are final: hold one as a member instead");
}

std::string ModuleBase::full(const std::string& name) const { return join(dotted_, name); }

Ref<Parameter> ModuleBase::add_parameter(const std::string& name, Role role, const Shape& shape,
                                         const Initializer& init, DType dtype, Where w) {
  const Where& line = lends_ ? made_at_ : w;
  check_name(name, line);
  NoGrad guard;
  ThreadState& s = state();
  WhereScope lines(s, &line);
  struct Path {
    ThreadState& s;
    const char* before = s.module;
    ~Path() { s.module = before; }
  } restore{s};
  s.module = path_;
  Tensor value;
  try {
    for (int64_t d : shape)
      if (d < 1) throw ShapeError(name + " has shape " + fovea::to_string(shape) + " (expected sizes of at least 1)");
    if (shapes_only) {
      value = Tensor(Array::shape_only(shape, dtype, default_device()));
    } else {
      value = init(shape);
      if (!(value.shape() == shape))
        throw ShapeError("the initialiser of " + name + " gave " + fovea::to_string(value.shape()) + " (expected " +
                         fovea::to_string(shape) + ")");
      if (is_floating(dtype) && value.dtype() != dtype) value = value.to(dtype);
    }
  } catch (Error& e) {
    locate(e, line);
    throw;
  }
  auto p = make_ref<Parameter>(full(name), role, value);
  parameters_.push_back({name, p, false});
  return p;
}

void ModuleBase::tie(const std::string& name, const Ref<Parameter>& parameter, Where w) {
  const Where& line = lends_ ? made_at_ : w;
  if (!parameter)
    fovea::detail::fail<ValueError>("module", line, "'" + join(path_, name) + "' is tied to no parameter");
  check_name(name, line);
  parameters_.push_back({name, parameter, true});
}

void ModuleBase::visit(const std::function<void(const ModuleBase&)>& f) const {
  f(*this);
  for (const ModuleBase* child : children_) child->visit(f);
}

NamedParameters ModuleBase::collect(bool buffers) const {
  NamedParameters all;
  std::unordered_set<const Parameter*> seen;
  // A tie comes after the parameter it names, wherever the members stand.
  for (bool tied : {false, true})
    visit([&](const ModuleBase& m) {
      for (const Entry& e : m.parameters_)
        if (e.tied == tied && (buffers || e.parameter->role() != Role::buffer) && seen.insert(e.parameter.get()).second)
          all.emplace_back(m.full(e.name), e.parameter);
    });
  return all;
}

ParameterList ModuleBase::parameters() const {
  ParameterList list;
  for (auto& [name, p] : collect(false)) list.push_back(p);
  return list;
}

std::vector<std::pair<std::string, std::string>> ModuleBase::ties() const {
  std::vector<std::pair<std::string, std::string>> all;
  NamedParameters state = named_state();
  visit([&](const ModuleBase& m) {
    for (const Entry& e : m.parameters_)
      for (auto& [name, p] : state)
        if (p == e.parameter && name != m.full(e.name)) all.emplace_back(m.full(e.name), name);
  });
  return all;
}

void ModuleBase::locate(Error& e, const Where& w) const {
  ThreadState& s = state();
  e.locate(snake_case(type_).c_str(), s.where ? *s.where : w, path_);
}

void ModuleBase::locate(Error& e) {
  ThreadState& s = state();
  if (s.where && s.depth == 0) e.locate("", *s.where, s.module ? s.module : "");
}

Ref<Parameter> ModuleBase::find_parameter(const std::string& dotted, Where w) const {
  NamedParameters all = named_state();
  std::vector<std::string_view> known;
  for (auto& [name, p] : all) {
    if (name == dotted) return p;
    known.push_back(name);
  }
  std::string_view near = text::nearest(dotted, known);
  std::string hint = near.empty() ? "" : ". Did you mean " + std::string(near) + "?";
  fovea::detail::fail<ValueError>("module", w, std::string(path_) + " has no parameter '" + dotted + "'" + hint);
}

ModuleBase& ModuleBase::find(const std::string& dotted, Where w) {
  ModuleBase* m = this;
  for (size_t at = 0; at < dotted.size();) {
    size_t dot = std::min(dotted.find('.', at), dotted.size());
    std::string part = dotted.substr(at, dot - at), known;
    ModuleBase* next = m->member(part, known);
    if (!next)
      fovea::detail::fail<ValueError>("module", w,
                                      std::string(m->path_) + " has no member '" + part + "' (it has: " + known + ")");
    m = next;
    at = dot + 1;
  }
  return *m;
}

int64_t ModuleBase::num_parameters() const {
  int64_t n = 0;
  for (auto& [name, p] : named_parameters()) n += p->value().numel();
  return n;
}

void ModuleBase::train(bool on) {
  training_ = on;
  for (ModuleBase* child : children_) child->train(on);
}

void ModuleBase::to(DType dtype, Where w) {
  if (!is_floating(dtype))
    fovea::detail::fail<DTypeError>("module", w, std::string("to(") + name_of(dtype) + ") (expected a floating dtype)");
  NoGrad guard;
  for (auto& [name, p] : named_state())
    if (is_floating(p->value().dtype()) && p->value().dtype() != dtype) p->set(p->value().to(dtype));
}

void ModuleBase::to(Device device) {
  NoGrad guard;
  for (auto& [name, p] : named_state())
    if (!(p->value().device() == device)) p->set(p->value().to(device));
}

int ModuleBase::freeze(const std::string& glob, bool frozen, Where w) {
  int n = 0;
  for (auto& [name, p] : named_parameters())
    if (glob_match(glob, name)) {
      p->freeze(frozen);
      n++;
    }
  if (n == 0)
    fovea::detail::fail<ValueError>("freeze", w, "no parameter of " + std::string(path_) + " matches '" + glob + "'");
  return n;
}

void ModuleBase::zero_grad() {
  for (auto& [name, p] : named_parameters()) p->clear_grad();
}

int ModuleBase::on_call(PreHook hook) {
  if (!hooks_) hooks_ = new Hooks;
  hooks_->entries.push_back({hooks_->next, std::move(hook), nullptr});
  return hooks_->next++;
}

int ModuleBase::on_result(ForwardHook hook) {
  if (!hooks_) hooks_ = new Hooks;
  hooks_->entries.push_back({hooks_->next, nullptr, std::move(hook)});
  return hooks_->next++;
}

void ModuleBase::remove_hook(int number) {
  if (hooks_) std::erase_if(hooks_->entries, [&](const Hooks::Entry& e) { return e.number == number; });
}

// Copies of the entries are called, so that a hook may remove itself.
void ModuleBase::run_pre_hooks(std::span<const Tensor* const> inputs, bool gives_tensor) {
  for (auto entries = hooks_->entries; const Hooks::Entry& e : entries) {
    if (e.pre) e.pre(*this, inputs);
    else if (!gives_tensor)
      throw UnsupportedError("module: on_result of " + std::string(path_) + ": its forward does not return one Tensor");
  }
}

Tensor ModuleBase::run_forward_hooks(Tensor result) {
  for (auto entries = hooks_->entries; const Hooks::Entry& e : entries)
    if (e.post)
      if (Tensor other = e.post(*this, result); other.defined()) result = other;
  return result;
}

bool glob_match(const std::string& glob, const std::string& text) {
  size_t g = 0, t = 0, star = glob.npos, mark = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      mark = t;
    } else if (g < glob.size() && glob[g] == text[t]) {
      g++;
      t++;
    } else if (star != glob.npos) {
      g = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') g++;
  return g == glob.size();
}

}  // namespace fovea::nn
