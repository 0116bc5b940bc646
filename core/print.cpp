// Two passes over the elements to be shown: the first finds the widths and whether exponents are needed, the second
// writes. Nothing is copied, so printing a large array costs what is shown of it.
#include "core/print.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

#include "core/dispatch.h"
#include "core/dual.h"

namespace fovea {
namespace {

constexpr size_t kLineWidth = 75;

// One element: floating numbers exactly as double, others as i64.
struct Number {
  double real = 0;
  int64_t whole = 0;
};

Number read(const View& v, int64_t at) {
  auto floating = [](double x) { return Number{x, 0}; };
  auto whole = [](int64_t x) { return Number{0, x}; };
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
  char text[400];  // the longest double has 309 digits before the point
  std::snprintf(text, sizeof text, format, precision, x);
  return text;
}

class Printer {
 public:
  Printer(const View& v, int precision, int64_t edge_items, bool shorten)
      : v_(v), precision_(std::clamp(precision, 0, 17)), edge_(std::max<int64_t>(edge_items, 1)), shorten_(shorten) {
    measure();
  }

  std::string text() const {
    if (v_.rank == 0) return word(read(v_, 0));
    return block(0, 0);
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

  void visit(int d, int64_t at, const std::function<void(Number)>& f) const {
    if (d == v_.rank) return f(read(v_, at));
    places(d, [&](int64_t i) {
      if (i >= 0) visit(d + 1, at + i * v_.strides[d], f);
    });
  }

  // NumPy's rule: exponents where a number has more than 8 digits before the point, where the smallest is below 1e-4,
  // or where the largest is more than 1000 times the smallest.
  void measure() {
    double largest = 0, smallest = INFINITY;
    if (is_floating(v_.dtype))
      visit(0, 0, [&](Number x) {
        double a = std::fabs(x.real);
        if (a == 0 || !std::isfinite(a)) return;
        largest = std::max(largest, a), smallest = std::min(smallest, a);
      });
    exponents_ = largest > 0 && (largest >= 1e8 || smallest < 1e-4 || largest / smallest > 1000);
    if (is_floating(v_.dtype))
      visit(0, 0, [&](Number x) {
        if (std::isfinite(x.real)) digits_ = std::max(digits_, digits_needed(x.real));
      });
    visit(0, 0, [&](Number x) { width_ = std::max(width_, bare(x).size()); });
  }

  // Digits behind the point, less the zeros at the end.
  int digits_needed(double x) const {
    std::string s = printed(exponents_ ? "%.*e" : "%.*f", precision_, x);
    size_t point = s.find('.'), end = std::min(s.find('e'), s.size());
    if (point == std::string::npos) return 0;
    while (s[end - 1] == '0') end--;
    return int(end - point - 1);
  }

  // As wide as it is; fixed notation has spaces for the digits that only others need.
  std::string bare(Number x) const {
    if (v_.dtype == boolean) return x.whole ? "true" : "false";
    if (!is_floating(v_.dtype)) return std::to_string(x.whole);
    if (std::isnan(x.real)) return "nan";
    if (std::isinf(x.real)) return x.real > 0 ? "inf" : "-inf";
    std::string s = printed(exponents_ ? "%.*e" : "%.*f", digits_, x.real);
    if (digits_ == 0) s.insert(std::min(s.find('e'), s.size()), ".");
    for (size_t i = s.size(); !exponents_ && i-- > 0 && s[i] == '0' && s.find('.') < i;) s[i] = ' ';
    return s;
  }

  std::string word(Number x) const {
    std::string s = bare(x);
    return std::string(width_ - std::min(width_, s.size()), ' ') + s;
  }

  std::string block(int d, int64_t at) const {
    std::string out = "[", indent(size_t(d) + 1, ' '), line;
    bool first = true;
    if (d + 1 == v_.rank) {
      places(d, [&](int64_t i) {
        std::string w = i < 0 ? "..." : word(read(v_, at + i * v_.strides[d]));
        if (!first && indent.size() + line.size() + w.size() + 2 > kLineWidth) {
          out += line + "\n" + indent;
          line = w;
        } else {
          line += (first ? "" : " ") + w;
        }
        first = false;
      });
      return out + line + "]";
    }
    std::string gap = std::string(size_t(v_.rank - d - 1), '\n') + indent;
    places(d, [&](int64_t i) {
      out += (first ? "" : gap) + (i < 0 ? "..." : block(d + 1, at + i * v_.strides[d]));
      first = false;
    });
    return out + "]";
  }

  const View& v_;
  int precision_;
  int64_t edge_;
  bool shorten_, exponents_ = false;
  int digits_ = 0;
  size_t width_ = 0;
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
