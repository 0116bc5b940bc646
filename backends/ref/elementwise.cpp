// fill, iota, copy, select, unary and binary: one loop over strided views each; broadcasting arrives as zero strides.
#include <array>
#include <cstring>
#include <utility>

#include "backends/common/formulas.h"
#include "backends/ref/elements.h"
#include "backends/ref/kernels.h"

namespace fovea::ref {
namespace {

constexpr Status kUndefined{Status::unsupported, "not defined for this dtype"};
constexpr Status kDivisor{Status::invalid, "integer division by zero (expected divisors other than 0)"};
constexpr Status kLosesTangent{Status::invalid,
                               "a cast from dual numbers to a floating type would lose the derivative"};

// One kind on a block of elements. Results that are booleans become 0 and 1.
template <class W, Unary k> void unary_block(const W* x, W* y, int64_t n) {
  if constexpr (!std::is_integral_v<W> || formulas::defined(k, i64) || formulas::defined(k, boolean))
    for (int64_t i = 0; i < n; i++) y[i] = W(formulas::unary<k>(x[i]));
}
template <class W, Binary k> void binary_block(const W* a, const W* b, W* y, int64_t n) {
  if constexpr (formulas::defined(k, dtype_of<W>()))
    for (int64_t i = 0; i < n; i++) y[i] = W(formulas::binary<k>(a[i], b[i]));
}

// Blocks by kind.
constexpr size_t kUnaries = size_t(Unary::isfinite) + 1, kBinaries = size_t(Binary::shift_right) + 1;
template <class W, size_t... k> constexpr auto unary_table(std::index_sequence<k...>) {
  return std::array{&unary_block<W, Unary(k)>...};
}
template <class W, size_t... k> constexpr auto binary_table(std::index_sequence<k...>) {
  return std::array{&binary_block<W, Binary(k)>...};
}

}  // namespace

Status unary(const Call& c, const NoAttrs&) {
  const View &x = c.x(0), &y = c.y();
  Unary kind = Unary(c.kind);
  if (c.kind >= kUnaries || !formulas::defined(kind, x.dtype)) return kUndefined;
  if (y.dtype != (formulas::gives_bool(kind) ? boolean : x.dtype)) return kMixed;
  return by_class(x.dtype, [&]<class W>() {
    static constexpr auto table = unary_table<W>(std::make_index_sequence<kUnaries>{});
    Loops<2> loops({&y, &x});
    in_blocks(loops, [&](const int64_t* at, int64_t n) {
      W from[kBlock], to[kBlock];
      load(x, at[1], loops.step(1), n, from);
      table[c.kind](from, to, n);
      if (kind == Unary::bitwise_not && x.dtype == boolean)
        for (int64_t i = 0; i < n; i++) to[i] = W(from[i] == W(0));
      store(y, at[0], loops.step(0), n, to);
    });
    return Status{};
  });
}

Status binary(const Call& c, const NoAttrs&) {
  const View &a = c.x(0), &b = c.x(1), &y = c.y();
  Binary kind = Binary(c.kind);
  if (c.kind >= kBinaries || !formulas::defined(kind, a.dtype)) return kUndefined;
  if (b.dtype != a.dtype || y.dtype != (formulas::gives_bool(kind) ? boolean : a.dtype)) return kMixed;
  return by_class(a.dtype, [&]<class W>() {
    static constexpr auto table = binary_table<W>(std::make_index_sequence<kBinaries>{});
    Loops<3> loops({&y, &a, &b});
    bool by_zero = false;
    in_blocks(loops, [&](const int64_t* at, int64_t n) {
      W left[kBlock], right[kBlock], to[kBlock];
      load(a, at[1], loops.step(1), n, left);
      load(b, at[2], loops.step(2), n, right);
      if constexpr (std::is_integral_v<W>) {
        if (formulas::divides(kind))
          for (int64_t i = 0; i < n; i++)
            if (right[i] == 0) by_zero = true, right[i] = 1;
        int bits = 8 * size_of(a.dtype);
        if (kind == Binary::shift_right &&
            bits < 64)  // logical: the bits of the narrow type come in from the left as 0
          for (int64_t i = 0; i < n; i++) left[i] &= (int64_t(1) << bits) - 1;
      }
      table[c.kind](left, right, to, n);
      store(y, at[0], loops.step(0), n, to);
    });
    return by_zero ? kDivisor : Status{};
  });
}

Status fill(const Call& c, const FillAttrs& a) {
  const View& y = c.y();
  return by_class(y.dtype, [&]<class W>() {
    W block[kBlock];
    for (W& w : block) w = std::is_integral_v<W> ? convert<W>(a.integer) : convert<W>(a.value);
    Loops<1> loops({&y});
    in_blocks(loops, [&](const int64_t* at, int64_t n) { store(y, at[0], loops.step(0), n, block); });
    return Status{};
  });
}

Status iota(const Call& c, const IotaAttrs& a) {
  const View& y = c.y();
  return by_class(y.dtype, [&]<class W>() {
    Loops<1> loops({&y});
    int64_t k = 0;
    in_blocks(loops, [&](const int64_t* at, int64_t n) {
      W block[kBlock];
      for (int64_t i = 0; i < n; i++, k++) {
        if constexpr (std::is_integral_v<W>)
          block[i] = int64_t(uint64_t(a.integer_start) + uint64_t(k) * uint64_t(a.integer_step));
        else block[i] = W(a.start + double(k) * a.step);
      }
      store(y, at[0], loops.step(0), n, block);
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
  if (x.dtype == y.dtype)
    return by_size(x.dtype, [&]<class T>() {
      loops.run([&](const int64_t* at, int64_t n) {
        for (int64_t i = 0; i < n; i++) y.as<T>()[at[0] + i * sy] = x.as<T>()[at[1] + i * sx];
      });
      return Status{};
    });
  if (is_dual(x.dtype) && is_floating(y.dtype) && y.dtype < x.dtype) return kLosesTangent;
  return by_class(x.dtype, [&]<class W>() {
    in_blocks(loops, [&](const int64_t* at, int64_t n) {
      W block[kBlock];
      load(x, at[1], sx, n, block);
      store(y, at[0], sy, n, block);
    });
    return Status{};
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
