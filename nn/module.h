// Modules own parameters. `struct Net : nn::Module<Net> { nn::Linear out{this, "out", 128, 256}; Tensor forward(...);
// };` Members register themselves with their parent, so every parameter has a dotted path from the root. Calling
// `net(x)` opens the module's scope (errors, traces and memory name its path), runs hooks, then `forward`. A nested
// module says `using Module::Module;`, one with options has a constructor `(nn::Parent, Options)`. Modules are final
// and neither copy nor move.
#pragma once
#include <functional>
#include <source_location>
#include <span>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include "autograd/parameter.h"
#include "core/error.h"

namespace fovea::nn {

class ModuleBase;

// Whose member a module is (`this`), and the line that makes it: for a member with an initialiser of its own that is
// the line of its struct's constructor, or of the struct.
struct Owner {
  using Where = std::source_location;
  Owner(ModuleBase* m, Where w = Where::current()) : module(m), where(w) {}
  ModuleBase* module;
  Where where;
};

// The same and under which name. An empty name lends the parent's path (see Residual).
struct Parent : Owner {
  Parent(Where w = Where::current()) : Owner(nullptr, w) {}
  Parent(Owner owner, std::string n) : Owner(owner), name(std::move(n)) {}
  std::string name;
};

using NamedParameters = std::vector<std::pair<std::string, Ref<Parameter>>>;
// Makes a parameter's first value; see nn/init.h.
using Initializer = std::function<Tensor(const Shape&)>;

// Inside, modules are made without data: parameters have shapes only. For counting, planning, and before a load.
class ShapesOnly {
 public:
  ShapesOnly();
  ~ShapesOnly();
  ShapesOnly(const ShapesOnly&) = delete;
  ShapesOnly& operator=(const ShapesOnly&) = delete;

 private:
  bool before_;
};

class ModuleBase {
 public:
  ModuleBase(const ModuleBase&) = delete;
  ModuleBase& operator=(const ModuleBase&) = delete;

  const char* path() const { return path_; }               // "gpt.blocks.3.mlp", the root's name first; lives for ever
  const std::string& name() const { return name_; }        // "mlp"
  const char* type_name() const { return type_.c_str(); }  // "FeedForward"
  const std::vector<ModuleBase*>& children() const { return children_; }
  using Where = std::source_location;  // the caller's line, for errors
  // The module at a dotted path below this one; ValueError names what there is.
  ModuleBase& find(const std::string& dotted, Where w = Where::current());

  // Every parameter once, module by module, under the path of the module that made it ("blocks.3.mlp.up.weight").
  NamedParameters named_parameters() const { return collect(false); }
  ParameterList parameters() const;
  // Parameters and buffers: what a checkpoint keeps.
  NamedParameters named_state() const { return collect(true); }
  // Second names of shared parameters: {alias, name}.
  std::vector<std::pair<std::string, std::string>> ties() const;
  // ValueError naming the nearest for a name that there is not.
  Ref<Parameter> find_parameter(const std::string& dotted, Where w = Where::current()) const;
  int64_t num_parameters() const;  // elements, ties counted once, without buffers

  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_ && !(state().mode & kEvaluate); }
  // Casts or moves every floating parameter and buffer. What holds the parameters (optimizers, ties) sees the new
  // values.
  void to(DType dtype, Where w = Where::current());
  void to(Device device);
  // Stops (or resumes) training of what the glob names; * stands for any characters. Returns how many; ValueError when
  // none.
  int freeze(const std::string& glob, bool frozen = true, Where w = Where::current());
  void zero_grad();  // drops the gradients

  // Hooks run round every call of this module, in the order of registration; the number removes them. A forward hook
  // may return another result. Only modules whose forward returns a Tensor take forward hooks.
  using PreHook = std::function<void(ModuleBase&, std::span<const Tensor* const> inputs)>;
  using ForwardHook = std::function<Tensor(ModuleBase&, const Tensor& result)>;
  int on_call(PreHook hook);
  int on_result(ForwardHook hook);
  void remove_hook(int number);

 protected:
  ModuleBase(Parent parent, const std::type_info& type, bool lends);
  virtual ~ModuleBase();
  std::vector<ModuleBase*> owned_;  // children on the heap, which die with this (List, Sequential)

  // A new parameter of this module. ValueError when the name is taken or malformed.
  Ref<Parameter> add_parameter(const std::string& name, Role role, const Shape& shape, const Initializer& init,
                               DType dtype = f32, Where w = Where::current());
  // For constructors: throws E with the module's type and path, and the line that makes it.
  template <class E> [[noreturn]] void refuse(const std::string& text) const {
    E e(text);
    locate(e, made_at_);
    throw e;
  }
  // A parameter of another module under a name of this one.
  void tie(const std::string& name, const Ref<Parameter>& parameter, Where w = Where::current());

  bool hooked() const { return hooks_ != nullptr; }

  // While a call runs: path and line in the thread's state.
  class Scope {
   public:
    Scope(const ModuleBase& m, const std::type_info& made_for, const std::source_location* lent) : state_(state()) {
      if (typeid(m) != made_for) [[unlikely]]
        m.not_final(made_for);
      module_ = state_.module;
      where_ = state_.where;
      state_.module = m.path_;
      if (!lent) state_.where = nullptr;      // a user's module: its own lines count
      else if (!where_) state_.where = lent;  // ours: the caller's
    }
    ~Scope() {
      state_.module = module_;
      state_.where = where_;
    }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    ThreadState& state_;
    const char* module_;
    const std::source_location* where_;
  };

  void locate(Error& e, const Where& w) const;
  static void locate(Error& e);  // one that forward threw itself: adds the caller's line and the path
  void run_pre_hooks(std::span<const Tensor* const> inputs, bool gives_tensor);
  Tensor run_forward_hooks(Tensor result);

 private:
  struct Entry {
    std::string name;
    Ref<Parameter> parameter;
    bool tied;
  };
  NamedParameters collect(bool buffers) const;
  void visit(const std::function<void(const ModuleBase&)>& f) const;
  std::string full(const std::string& name) const;
  void check_name(const std::string& name, const Where& w) const;
  bool has(const std::string& name) const;
  ModuleBase* member(const std::string& name, std::string& known) const;
  [[noreturn]] void not_final(const std::type_info& made_for) const;

  struct Hooks;

  Hooks* hooks_ = nullptr;  // owned; null before the first one
  ModuleBase* parent_ = nullptr;
  std::string name_, type_, dotted_;  // dotted_: from the root, without the root's name
  const char* path_ = nullptr;
  Where made_at_;  // a module of the library inside another: where that was made
  bool training_ = true, lends_;
  std::vector<ModuleBase*> children_;
  std::vector<Entry> parameters_;
};

namespace detail {
template <class T> const Tensor* as_tensor(const T& t) {
  if constexpr (std::is_convertible_v<const T*, const Tensor*>) return &t;
  else return nullptr;
}
}  // namespace detail

// The base of every module. `kLends` is for modules of the library: errors inside name the line of their caller.
template <class Net, bool kLends = false> class Module : public ModuleBase {
 public:
  using Where = std::source_location;
  Module(Where w = Where::current()) : ModuleBase(w, typeid(Net), kLends) {}
  explicit Module(Parent parent) : ModuleBase(std::move(parent), typeid(Net), kLends) {}
  Module(Owner owner, std::string name) : ModuleBase({owner, std::move(name)}, typeid(Net), kLends) {}

  template <class A> decltype(auto) operator()(A&& a, Where w = Where::current()) {
    return call(w, std::forward<A>(a));
  }
  template <class A, class B> decltype(auto) operator()(A&& a, B&& b, Where w = Where::current()) {
    return call(w, std::forward<A>(a), std::forward<B>(b));
  }
  template <class A, class B, class C> decltype(auto) operator()(A&& a, B&& b, C&& c, Where w = Where::current()) {
    return call(w, std::forward<A>(a), std::forward<B>(b), std::forward<C>(c));
  }
  template <class A, class B, class C, class D>
  decltype(auto) operator()(A&& a, B&& b, C&& c, D&& d, Where w = Where::current()) {
    return call(w, std::forward<A>(a), std::forward<B>(b), std::forward<C>(c), std::forward<D>(d));
  }
  template <class A, class B, class C, class D, class E>
  decltype(auto) operator()(A&& a, B&& b, C&& c, D&& d, E&& e, Where w = Where::current()) {
    return call(w, std::forward<A>(a), std::forward<B>(b), std::forward<C>(c), std::forward<D>(d), std::forward<E>(e));
  }
  template <class A, class B, class C, class D, class E, class F>
  decltype(auto) operator()(A&& a, B&& b, C&& c, D&& d, E&& e, F&& f, Where w = Where::current()) {
    return call(w, std::forward<A>(a), std::forward<B>(b), std::forward<C>(c), std::forward<D>(d), std::forward<E>(e),
                std::forward<F>(f));
  }

 private:
  template <class... A> decltype(auto) call(const Where& where, A&&... a) {
    Scope scope(*this, typeid(Net), kLends ? &where : nullptr);
    Net& net = static_cast<Net&>(*this);
    if (hooked()) [[unlikely]] {
      const Tensor* inputs[] = {detail::as_tensor(a)...};
      constexpr bool tensor = std::is_same_v<decltype(net.forward(std::forward<A>(a)...)), Tensor>;
      run_pre_hooks(inputs, tensor);
      if constexpr (tensor) return run_forward_hooks(net.forward(std::forward<A>(a)...));
    }
    if constexpr (kLends) {
      try {
        return net.forward(std::forward<A>(a)...);
      } catch (Error& e) {
        locate(e);
        throw;
      }
    } else {
      return net.forward(std::forward<A>(a)...);
    }
  }
};

// A module of nn or models.
template <class Net> using Layer = Module<Net, true>;

// Does `glob` (with * for any characters) match the whole of `text`?
bool glob_match(const std::string& glob, const std::string& text);

}  // namespace fovea::nn
