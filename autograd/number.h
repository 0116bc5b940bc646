// Numbers as users write them: whole ones, any kept exactly, and nested lists of them.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <type_traits>

namespace fovea {

// An axis, a place, a count: a whole number. Fractions and truths do not convert: softmax(x, 0.5) does not compile.
class Integer {
 public:
  template <class T>
  requires(std::is_integral_v<T> && !std::is_same_v<T, bool>) constexpr Integer(T v) : value_(int64_t(v)) {}
  constexpr operator int64_t() const { return value_; }

 private:
  int64_t value_;
};

// bool, whole or floating.
class Number {
 public:
  enum Kind : uint8_t { boolean, whole, floating };
  template <class T>
  requires std::is_arithmetic_v<T>
  constexpr Number(T v) : kind_(std::is_same_v<T, bool> ? boolean : std::is_integral_v<T> ? whole : floating) {
    if constexpr (!std::is_integral_v<T>) real_ = double(v);
    else if (std::is_unsigned_v<T> && uint64_t(v) > uint64_t(INT64_MAX)) real_ = double(v), kind_ = floating;
    else integer_ = int64_t(v);
  }
  constexpr Kind kind() const { return kind_; }
  constexpr double real() const { return kind_ == floating ? real_ : double(integer_); }
  // Whole part; 0 for NaN and for what i64 cannot hold.
  constexpr int64_t integer() const {
    return kind_ != floating ? integer_ : real_ >= -0x1p63 && real_ < 0x1p63 ? int64_t(real_) : 0;
  }

 private:
  union {
    double real_;
    int64_t integer_;
  };
  Kind kind_;
};

// `{{1, 2}, {3, 4}}`: numbers in lists in lists. Lives for the expression it is written in.
class Nested {
 public:
  template <class T>
  requires std::is_arithmetic_v<T> Nested(T v) : number_(v) {}
  Nested(std::initializer_list<Nested> list) : list_(list), is_list_(true) {}
  bool is_list() const { return is_list_; }
  std::initializer_list<Nested> list() const { return list_; }
  Number number() const { return number_; }

 private:
  Number number_ = 0;
  std::initializer_list<Nested> list_;
  bool is_list_ = false;
};

}  // namespace fovea
