// Two passes over the elements to be shown: the first finds the widths and whether exponents are needed, the second
// writes. Nothing is copied, so printing a large array costs what is shown of it. The rules are those of NumPy 2's
// str(); the tests hold texts that NumPy printed.
#include "core/print.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "core/dispatch.h"
#include "core/dual.h"

namespace fovea {
namespace {

constexpr size_t kLineWidth = 75;

// One element: floating numbers exactly as double, others as i64.
struct Element {
  double real = 0;
  int64_t whole = 0;
};

Element read(const View& v, int64_t at) {
  auto floating = [](double x) { return Element{x, 0}; };
  auto whole = [](int64_t x) { return Element{0, x}; };
  switch (v.dtype) {
    case DType::f32: return floating(double(v.as<float>()[at]));
    case DType::f64: return floating(v.as<double>()[at]);
    case DType::bf16: return floating(double(float(v.as<BFloat16>()[at])));
    case DType::f16: return floating(double(float(v.as<Float16>()[at])));
    case DType::i64: return whole(v.as<int64_t>()[at]);
    case DType::i32: return whole(v.as<int32_t>()[at]);
    case DType::u8: return whole(v.as<uint8_t>()[at]);
    case DType::i8: return whole(v.as<int8_t>()[at]);
    case DType::boolean: return whole(v.as<bool>()[at]);
    case DType::dual: return floating(real(v.as<Dual1>()[at]));
    case DType::dual2: return floating(real(v.as<Dual2>()[at]));
  }
  return {};
}

std::string printed(const char* format, int precision, double x) {
  char text[1200];  // the longest double has 309 digits before the point, the least one 1074 behind it
  std::snprintf(text, sizeof text, format, precision, x);
  return text;
}

// A positive finite number as d.ddd x 10^exponent, with the fewest digits that still read back as the same element.
struct Digits {
  std::string digits;
  int exponent = 0;
};

template <class Half> Digits shortest_half(double x) {
  for (int n = 0;; n++) {
    std::string s = printed("%.*e", n, x);
    if (n < 8 && float(Half(cut_to_float(std::strtod(s.c_str(), nullptr)))) != float(x)) continue;
    size_t e = s.find('e');
    std::string digits = s.substr(0, 1) + (n ? s.substr(2, e - 2) : "");
    return {digits, std::atoi(s.c_str() + e + 1)};
  }
}

template <class T> Digits shortest_real(T x) {
  char text[64];
  auto end = std::to_chars(text, text + sizeof text, x, std::chars_format::scientific).ptr;
  std::string s(text, end);
  size_t e = s.find('e');
  return {s.substr(0, 1) + (e > 1 ? s.substr(2, e - 2) : ""), std::atoi(s.c_str() + e + 1)};
}

Digits shortest(double x, DType t) {
  if (x == 0) return {"0", 0};
  if (t == bf16) return shortest_half<BFloat16>(x);
  if (t == f16) return shortest_half<Float16>(x);
  return t == f32 ? shortest_real(float(x)) : shortest_real(x);
}

// |x| with all its shortest digits, or rounded to `precision` digits behind the point; "12." has none behind it.
std::string fixed(double x, DType t, int precision) {
  Digits d = shortest(x, t);
  int behind = int(d.digits.size()) - 1 - d.exponent;
  std::string s;
  if (behind > precision) {
    s = printed("%.*f", precision, x);
    if (precision == 0) s += '.';
    while (s.back() == '0' && s[s.size() - 2] != '.' && s.find('.') < s.size() - 1) s.pop_back();
    if (s.back() == '0' && s[s.size() - 2] == '.') s.pop_back();
    return s;
  }
  if (d.exponent < 0) return "0." + (x == 0 ? "" : std::string(size_t(-d.exponent - 1), '0') + d.digits);
  d.digits.resize(std::max(d.digits.size(), size_t(d.exponent) + 1), '0');
  s = d.digits;
  return s.insert(size_t(d.exponent) + 1, ".");
}

// The same with an exponent.
std::string scientific(double x, DType t, int precision) {
  Digits d = shortest(x, t);
  int behind = int(d.digits.size()) - 1;
  if (behind > precision) {
    std::string s = printed("%.*e", precision, x);
    size_t e = s.find('e'), end = e;
    while (s[end - 1] == '0' && end > 2) end--;
    s.erase(end, e - end);
    return precision ? s : s.insert(1, ".");
  }
  char exponent[16];
  std::snprintf(exponent, sizeof exponent, "e%+03d", d.exponent);
  return d.digits.insert(1, ".") + exponent;
}

class Printer {
 public:
  Printer(const View& v, int precision, int64_t edge_items, bool shorten)
      : v_(v), precision_(std::clamp(precision, 0, 17)), edge_(std::max<int64_t>(edge_items, 1)), shorten_(shorten) {}

  std::string text() {
    if (v_.rank == 0) return scalar(read(v_, 0));
    if (v_.numel == 0) return "[]";
    measure();
    return block(0, 0, kLineWidth);
  }

 private:
  // The places of axis d that are shown; -1 stands for dots.
  template <class F> void places(int d, F&& f) const {
    int64_t n = v_.shape[d];
    bool cut = shorten_ && n > 2 * edge_;
    for (int64_t i = 0; i < (cut ? edge_ : n); i++) f(i);
    if (!cut) return;
    f(-1);
    for (int64_t i = n - edge_; i < n; i++) f(i);
  }

  void visit(int d, int64_t at, const std::function<void(Element)>& f) const {
    if (d == v_.rank) return f(read(v_, at));
    places(d, [&](int64_t i) {
      if (i >= 0) visit(d + 1, at + i * v_.strides[d], f);
    });
  }

  // Exponents where the largest has more digits before the point than the dtype keeps, or more than 8, where the
  // smallest is below 1e-4, or where the largest is more than 1000 times the smallest. Points are aligned.
  void measure() {
    if (!is_floating(v_.dtype)) return visit(0, 0, [&](Element x) { left_ = std::max(left_, other(x).size()); });
    double largest = 0, smallest = INFINITY;
    visit(0, 0, [&](Element x) {
      double a = std::fabs(x.real);
      if (a == 0 || !std::isfinite(a)) return;
      largest = std::max(largest, a), smallest = std::min(smallest, a);
    });
    exponents_ = largest > 0 &&
                 (largest >= std::min(1e8, most()) || smallest < in_dtype(1e-4) || in_dtype(largest / smallest) > 1000);
    if (exponents_)  // digits behind the point, and of the exponent, are as many for all
      visit(0, 0, [&](Element x) {
        if (!std::isfinite(x.real)) return;
        std::string s = scientific(std::fabs(x.real), v_.dtype, precision_);
        size_t e = s.find('e');
        behind_ = std::max(behind_, int(e) - 2), exponent_ = std::max(exponent_, s.size() - e - 2);
      });
    visit(0, 0, [&](Element x) {
      if (!std::isfinite(x.real)) return;
      std::string s = finite(x.real);
      size_t point = s.find('.');
      left_ = std::max(left_, point), right_ = std::max(right_, s.size() - point);
    });
    visit(0, 0, [&](Element x) {
      if (!std::isfinite(x.real)) left_ = std::max(left_, other(x).size() - std::min(other(x).size(), right_));
    });
  }

  // From here on whole numbers have digits that the dtype does not keep.
  double most() const { return v_.dtype == f32 ? 1e6 : v_.dtype == bf16 || v_.dtype == f16 ? 1e3 : 1e16; }

  // NumPy compares in the array's own dtype.
  double in_dtype(double x) const {
    if (v_.dtype == f32) return double(float(x));
    return v_.dtype == f16 ? double(float(Float16(cut_to_float(x)))) : x;
  }

  std::string finite(double x) const {
    std::string sign = std::signbit(x) ? "-" : "";
    if (!exponents_) return sign + fixed(std::fabs(x), v_.dtype, precision_);
    std::string s = printed("%.*e", behind_, std::fabs(x));
    if (behind_ == 0) s.insert(1, ".");
    size_t e = s.find('e') + 2;
    return sign + s.insert(e, exponent_ - (s.size() - e), '0');
  }

  // What has no point: whole numbers, booleans, NaN and infinities.
  std::string other(Element x) const {
    if (v_.dtype == boolean) return x.whole ? (v_.rank ? " True" : "True") : "False";
    if (!is_floating(v_.dtype)) return std::to_string(x.whole);
    return std::isnan(x.real) ? "nan" : x.real > 0 ? "inf" : "-inf";
  }

  // A single number stands alone, with all its digits.
  std::string scalar(Element x) const {
    if (!is_floating(v_.dtype) || !std::isfinite(x.real)) return other(x);
    double a = std::fabs(x.real);
    std::string sign = std::signbit(x.real) ? "-" : "";
    if (a != 0 && (a < 1e-4 || a >= most())) {
      std::string s = scientific(a, v_.dtype, 1100);
      return sign + (s[2] == 'e' ? s.erase(1, 1) : s);
    }
    std::string s = fixed(a, v_.dtype, 1100);
    return sign + (s.back() == '.' ? s + "0" : s);
  }

  // Padded to the common width, with points below each other.
  std::string word(Element x) const {
    if (is_floating(v_.dtype) && std::isfinite(x.real)) {
      std::string s = finite(x.real);
      size_t point = s.find('.');
      return std::string(left_ - point, ' ') + s + std::string(right_ - (s.size() - point), ' ');
    }
    std::string s = other(x);
    return std::string(left_ + right_ - s.size(), ' ') + s;
  }

  std::string block(int d, int64_t at, size_t width) const {
    std::string indent(size_t(d) + 1, ' '), out;
    if (d + 1 == v_.rank) {
      // A line ends before the word that would leave no room for what follows it: a bracket.
      std::string line = indent;
      int64_t left = shorten_ && v_.shape[d] > 2 * edge_ ? 2 * edge_ + 1 : v_.shape[d];
      places(d, [&](int64_t i) {
        std::string w = i < 0 ? "..." : word(read(v_, at + i * v_.strides[d]));
        if (line.size() + w.size() > width - 1 && line.size() > indent.size()) {
          while (line.back() == ' ') line.pop_back();
          out += line + "\n";
          line = indent;
        }
        line += w;
        if (--left > 0) line += " ";
      });
      out += line;
    } else {
      std::string gap(size_t(v_.rank - d - 1), '\n');
      places(d, [&](int64_t i) {
        out += (out.empty() ? "" : gap) + indent + (i < 0 ? "..." : block(d + 1, at + i * v_.strides[d], width - 1));
      });
    }
    return "[" + out.substr(indent.size()) + "]";
  }

  const View& v_;
  int precision_;
  int64_t edge_;
  bool shorten_, exponents_ = false;
  int behind_ = 0;
  size_t exponent_ = 2;
  size_t left_ = 0, right_ = 0;  // characters before the point, and from it on
};

}  // namespace

std::string format_array(const Array& a, int precision, int64_t edge_items, int64_t threshold) {
  std::string kind = std::string(" ") + name_of(a.dtype()) + to_string(a.shape());
  if (a.is_shape_only()) return "(no data)" + kind;
  if (!on_host(a.device()))
    return format_array(to_device(a, default_device()), precision, edge_items, threshold) + " " +
           device_name(a.device());
  return Printer(a.view(), precision, edge_items, a.numel() > threshold).text() + kind;
}

}  // namespace fovea
