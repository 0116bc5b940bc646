// fill, iota, copy, select, unary and binary: one loop over strided views each; broadcasting arrives as zero strides.
#include <array>
#include <cstring>
#include <utility>

#include "backends/common/formulas.h"
#include "backends/ref/kernels.h"

namespace fovea::ref {
namespace {

constexpr Status kUndefined{Status::unsupported, "not defined for this dtype"};
constexpr Status kDivisor{Status::invalid, "integer division by zero"};
constexpr Status kLosesTangent{Status::invalid,
                               "a cast from dual numbers to a floating type would lose the derivative"};

// y = f(x), y = f(a, b) for elements of type T, computed in Compute<T>.
template <class T, Unary k> Status unary_loop(const Call& c) {
  if constexpr (!formulas::defined(k, dtype_of<T>())) {
    return kUndefined;
  } else {
    using R = std::conditional_t<formulas::gives_bool(k), bool, T>;
    const View &x = c.x(0), &y = c.y();
    if (y.dtype != dtype_of<R>()) return kMixed;
    Loops<2> loops({&y, &x});
    int64_t sy = loops.step(0), sx = loops.step(1);
    loops.run([&](const int64_t* at, int64_t n) {
      R* to = y.as<R>() + at[0];
      const T* from = x.as<T>() + at[1];
      for (int64_t i = 0; i < n; i++) to[i * sy] = R(formulas::unary<k>(Compute<T>(from[i * sx])));
    });
    return {};
  }
}

template <class T, Binary k> Status binary_loop(const Call& c) {
  if constexpr (!formulas::defined(k, dtype_of<T>())) {
    return kUndefined;
  } else {
    using R = std::conditional_t<formulas::gives_bool(k), bool, T>;
    const View &a = c.x(0), &b = c.x(1), &y = c.y();
    if (y.dtype != dtype_of<R>() || b.dtype != a.dtype) return kMixed;
    Loops<3> loops({&y, &a, &b});
    int64_t sy = loops.step(0), sa = loops.step(1), sb = loops.step(2);
    bool by_zero = false;
    loops.run([&](const int64_t* at, int64_t n) {
      R* to = y.as<R>() + at[0];
      const T *left = a.as<T>() + at[1], *right = b.as<T>() + at[2];
      for (int64_t i = 0; i < n; i++) {
        Compute<T> p(left[i * sa]), q(right[i * sb]);
        if constexpr (std::is_integral_v<T> && formulas::divides(k))
          if (q == 0) by_zero = true, q = 1;
        to[i * sy] = R(formulas::binary<k>(p, q));
      }
    });
    return by_zero ? kDivisor : Status{};
  }
}

// Loops by kind.
constexpr size_t kUnaries = size_t(Unary::isfinite) + 1, kBinaries = size_t(Binary::shift_right) + 1;
using Loop = Status (*)(const Call&);
template <class T, size_t... k> constexpr std::array<Loop, sizeof...(k)> unary_table(std::index_sequence<k...>) {
  return {&unary_loop<T, Unary(k)>...};
}
template <class T, size_t... k> constexpr std::array<Loop, sizeof...(k)> binary_table(std::index_sequence<k...>) {
  return {&binary_loop<T, Binary(k)>...};
}

}  // namespace

Status unary(const Call& c, const NoAttrs&) {
  if (c.kind >= kUnaries) return kUndefined;
  return visit(EveryType{}, c.x(0).dtype, [&]<class T>() {
    static constexpr auto table = unary_table<T>(std::make_index_sequence<kUnaries>{});
    return table[c.kind](c);
  });
}

Status binary(const Call& c, const NoAttrs&) {
  if (c.kind >= kBinaries) return kUndefined;
  return visit(EveryType{}, c.x(0).dtype, [&]<class T>() {
    static constexpr auto table = binary_table<T>(std::make_index_sequence<kBinaries>{});
    return table[c.kind](c);
  });
}

Status fill(const Call& c, const FillAttrs& a) {
  const View& y = c.y();
  return visit(EveryType{}, y.dtype, [&]<class T>() {
    T value = std::is_integral_v<T> ? convert<T>(a.integer) : convert<T>(a.value);
    Loops<1> loops({&y});
    loops.run([&](const int64_t* at, int64_t n) {
      for (int64_t i = 0; i < n; i++) y.as<T>()[at[0] + i * loops.step(0)] = value;
    });
    return Status{};
  });
}

Status iota(const Call& c, const IotaAttrs& a) {
  const View& y = c.y();
  return visit(EveryType{}, y.dtype, [&]<class T>() {
    Loops<1> loops({&y});
    int64_t k = 0;
    loops.run([&](const int64_t* at, int64_t n) {
      for (int64_t i = 0; i < n; i++, k++) {
        T& to = y.as<T>()[at[0] + i * loops.step(0)];
        if constexpr (std::is_integral_v<T>)
          to = convert<T>(int64_t(uint64_t(a.integer_start) + uint64_t(k) * uint64_t(a.integer_step)));
        else to = convert<T>(a.start + double(k) * a.step);
      }
    });
    return Status{};
  });
}

// y = x, cast.
Status copy(const Call& c, const NoAttrs&) {
  const View &x = c.x(0), &y = c.y();
  if (x.dtype == y.dtype && x.dense && y.dense) {
    if (y.numel) std::memmove(y.data, x.data, size_t(y.numel) * size_t(size_of(y.dtype)));
    return {};
  }
  Loops<2> loops({&y, &x});
  int64_t sy = loops.step(0), sx = loops.step(1);
  auto run = [&]<class To, class From>() {
    loops.run([&](const int64_t* at, int64_t n) {
      To* to = y.as<To>() + at[0];
      const From* from = x.as<From>() + at[1];
      for (int64_t i = 0; i < n; i++) to[i * sy] = convert<To>(from[i * sx]);
    });
    return Status{};
  };
  if (x.dtype == y.dtype) return by_size(x.dtype, [&]<class T>() { return run.template operator()<T, T>(); });
  return visit(EveryType{}, x.dtype, [&]<class From>() {
    return visit(EveryType{}, y.dtype, [&]<class To>() {
      if constexpr (std::is_same_v<To, From>) return Status{};  // moved above
      else if constexpr (is_dual_v<From> && !std::is_integral_v<To> && !std::is_same_v<To, Dual<From>>)
        return kLosesTangent;
      else return run.template operator()<To, From>();
    });
  });
}

// y = condition ? a : b.
Status select(const Call& c, const NoAttrs&) {
  const View &p = c.x(0), &a = c.x(1), &b = c.x(2), &y = c.y();
  if (p.dtype != boolean || a.dtype != b.dtype || a.dtype != y.dtype) return kMixed;
  return by_size(y.dtype, [&]<class T>() {
    Loops<4> loops({&y, &p, &a, &b});
    loops.run([&](const int64_t* at, int64_t n) {
      for (int64_t i = 0; i < n; i++) {
        bool first = p.as<bool>()[at[1] + i * loops.step(1)];
        y.as<T>()[at[0] + i * loops.step(0)] =
            first ? a.as<T>()[at[2] + i * loops.step(2)] : b.as<T>()[at[3] + i * loops.step(3)];
      }
    });
    return Status{};
  });
}

}  // namespace fovea::ref
