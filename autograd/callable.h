// Functions of tensors as users write them: f(x), f(x, y), ... or f(std::vector<Tensor>), giving a Tensor or a
// std::vector<Tensor>. Here they become one kind.
#pragma once
#include <concepts>
#include <string>
#include <utility>
#include <vector>

#include "autograd/tensor.h"

namespace fovea {
namespace detail {

[[noreturn]] void wrong_count(size_t given, size_t expected);  // ValueError

template <class F, size_t... i>
decltype(auto) call_spread(F& f, const std::vector<Tensor>& x, std::index_sequence<i...>) {
  if constexpr (std::is_invocable_v<F&, decltype(x[i])...>) {
    if (x.size() != sizeof...(i)) wrong_count(x.size(), sizeof...(i));
    return f(x[i]...);
  } else {
    static_assert(sizeof...(i) < 6, "a function of one to six tensors, or of a std::vector<Tensor>");
    return call_spread(f, x, std::make_index_sequence<sizeof...(i) + 1>());
  }
}
// What f returns, given its arguments as a list.
template <class F> decltype(auto) call_with(F& f, const std::vector<Tensor>& x) {
  // A list is asked for last: `[](auto x) {...}` means one tensor.
  if constexpr (std::is_invocable_v<F&, const Tensor&>) return call_spread(f, x, std::make_index_sequence<1>());
  else if constexpr (std::is_invocable_v<F&, const std::vector<Tensor>&>) return f(x);
  else return call_spread(f, x, std::make_index_sequence<2>());
}
template <class F> using ResultOf = std::remove_cvref_t<decltype(call_with(std::declval<F&>(), {}))>;

template <class F> std::vector<Tensor> call_listed(F& f, const std::vector<Tensor>& x) {
  if constexpr (std::same_as<ResultOf<F>, Tensor>) return {call_with(f, x)};
  else return call_with(f, x);
}

}  // namespace detail

// A reference to such a function, for the time of a call.
class TensorFunction {
 public:
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, TensorFunction>) TensorFunction(F&& f)
      : f_((void*)&f), call_([](void* g, const std::vector<Tensor>& x) {
          return detail::call_listed(*(std::remove_reference_t<F>*)(g), x);
        }) {}
  std::vector<Tensor> operator()(const std::vector<Tensor>& x) const { return call_(f_, x); }

 private:
  void* f_;
  std::vector<Tensor> (*call_)(void*, const std::vector<Tensor>&);
};

}  // namespace fovea
