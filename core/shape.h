// Shape: up to eight sizes by value. Also used for strides, lists of axes and other short lists of numbers in attrs.
#pragma once
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <source_location>
#include <string>
#include <vector>

namespace fovea {

inline constexpr int kMaxRank = 8;

struct Shape {
  int32_t rank = 0;
  int64_t dims[kMaxRank] = {};

  Shape() = default;
  using Where = std::source_location;  // the caller's line, for errors
  Shape(std::initializer_list<int64_t> sizes, Where w = Where::current()) : Shape(sizes.begin(), sizes.size(), w) {}
  Shape(const std::vector<int64_t>& sizes, Where w = Where::current()) : Shape(sizes.data(), sizes.size(), w) {}
  // One size or axis without braces: sum(x, 1), zeros(3), view(-1).
  template <class T>
  requires(std::integral<T> && !std::same_as<T, bool>) Shape(T size) : rank(1) { dims[0] = int64_t(size); }
  Shape(const int64_t* sizes, size_t n, Where w = Where::current()) : rank(int32_t(n)) {
    if (n > kMaxRank) too_long(n, w);
    for (size_t i = 0; i < n; i++) dims[i] = sizes[i];
  }
  int64_t operator[](int i) const { return dims[i]; }
  int64_t& operator[](int i) { return dims[i]; }
  const int64_t* begin() const { return dims; }
  const int64_t* end() const { return dims + rank; }
  // With shapes only: no number is taken for one.
  template <std::same_as<Shape> S> bool operator==(const S& o) const {
    if (rank != o.rank) return false;
    for (int i = 0; i < rank; i++)
      if (dims[i] != o.dims[i]) return false;
    return true;
  }
  void push_back(int64_t d) {
    if (rank == kMaxRank) too_long(size_t(rank) + 1, {});
    dims[rank++] = d;
  }

 private:
  [[noreturn]] static void too_long(size_t n, const Where& w);  // ShapeError
};

// Product of the sizes; ShapeError for a negative size or when it exceeds 2^62.
int64_t numel(const int64_t* dims, int rank);
inline int64_t numel(const Shape& s) { return numel(s.dims, s.rank); }

// Row-major strides (in elements) of a dense array.
void dense_strides(const int64_t* dims, int rank, int64_t* strides);

// `[8,128,64]`.
std::string to_string(const int64_t* dims, int rank);
template <std::same_as<Shape> S> std::string to_string(const S& s) { return to_string(s.dims, s.rank); }

// NumPy's rule: sizes aligned at the right, equal or 1. ShapeError names both.
Shape broadcast(const Shape& a, const Shape& b);

// The axis counted from the left; ShapeError unless -rank <= dim < rank (a 0-dim array takes -1 and 0).
int wrap_dim(int64_t dim, int rank);

}  // namespace fovea
