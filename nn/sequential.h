// Modules that hold many: List<M> of one type, and Sequential, which calls its members in order.
#pragma once
#include "nn/module.h"

namespace fovea::nn {

namespace detail {
struct NoOptions {};
template <class M> struct OptionsOf { using type = NoOptions; };
template <class M>
requires requires { typename M::Options; }
struct OptionsOf<M> {
  using type = typename M::Options;
};
}  // namespace detail

// `List<TransformerBlock> blocks{this, "blocks", 4, {.dim = 128}}`: members blocks.0 to blocks.3, made by `M(Parent,
// arguments...)`.
template <class M> class List final : public Layer<List<M>> {
 public:
  List(Owner owner, const char* name) : Layer<List<M>>(owner, name) {}
  List(Owner owner, const char* name, int64_t n, const typename detail::OptionsOf<M>::type& o) : List(owner, name) {
    for (int64_t i = 0; i < checked(n); i++) append(o);
  }
  template <class... A> List(Owner owner, const char* name, int64_t n, const A&... a) : List(owner, name) {
    for (int64_t i = 0; i < checked(n); i++) append(a...);
  }

  template <class... A> M& append(const A&... a) {
    M* m = new M(Parent{this, std::to_string(size())}, a...);
    this->owned_.push_back(m);
    return *m;
  }
  int64_t size() const { return int64_t(this->owned_.size()); }
  M& operator[](int64_t i) { return static_cast<M&>(*this->owned_[size_t(i)]); }

  class Iterator {
   public:
    explicit Iterator(ModuleBase* const* at) : at_(at) {}
    M& operator*() const { return static_cast<M&>(**at_); }
    Iterator& operator++() {
      at_++;
      return *this;
    }
    bool operator!=(const Iterator& o) const { return at_ != o.at_; }

   private:
    ModuleBase* const* at_;
  };
  Iterator begin() { return Iterator(this->owned_.data()); }
  Iterator end() { return Iterator(this->owned_.data() + size()); }

 private:
  int64_t checked(int64_t n) const {
    if (n < 0 || n > 100000) this->template refuse<ValueError>(std::to_string(n) + " members (expected 0 to 100000)");
    return n;
  }
};

// Modules and plain functions Tensor -> Tensor, in order:
//   nn::Sequential net{this, "net"}; net.add<nn::Linear>(16, 16); net.add([](const Tensor& x) { return relu(x); });
class Sequential final : public Layer<Sequential> {
 public:
  using Module::Module;

  template <class M, class... A> M& add(const A&... a) {
    M* m = new M(Parent{this, std::to_string(calls_.size())}, a...);
    owned_.push_back(m);
    calls_.push_back([m](const Tensor& x) { return (*m)(x); });
    return *m;
  }
  void add(std::function<Tensor(const Tensor&)> f) { calls_.push_back(std::move(f)); }
  int64_t size() const { return int64_t(calls_.size()); }

  Tensor forward(Tensor x) {
    for (auto& f : calls_) x = f(x);
    return x;
  }

 private:
  std::vector<std::function<Tensor(const Tensor&)>> calls_;
};

}  // namespace fovea::nn
