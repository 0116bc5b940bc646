#include "models/train/plot.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "nn/io/replace_file.h"

namespace fovea::train {
namespace {

constexpr double kWidth = 860, kHeight = 480, kLeft = 70, kRight = 24, kTop = 56, kBottom = 58;
constexpr const char *kInk = "#24292f", *kMuted = "#57606a", *kGrid = "#e6e8eb", *kTraining = "#2f6fb5",
                     *kValidation = "#d1661b", *kFloor = "#2e8b57";

std::string escaped(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (c == '"') out += "&quot;";
    else out += c;
  }
  return out;
}

Curve usable(const Curve& c, bool log_x) {
  Curve out;
  for (size_t i = 0; i < std::min(c.x.size(), c.y.size()); i++)
    if (std::isfinite(c.x[i]) && std::isfinite(c.y[i]) && (!log_x || c.x[i] >= 1)) {
      out.x.push_back(c.x[i]);
      out.y.push_back(c.y[i]);
    }
  return out;
}

// Mean over a window of the neighbours on both sides that grows with the index, so that the steep start stays sharp; at
// the end it lacks its right part, since a single value there would be a spike.
Curve smoothed(const Curve& c) {
  size_t n = c.y.size();
  std::vector<double> sum(n + 1, 0);
  for (size_t i = 0; i < n; i++) sum[i + 1] = sum[i] + c.y[i];
  Curve out{c.x, {}};
  for (size_t i = 0; i < n; i++) {
    size_t reach = std::min(i / 8, n / 50 + 1), begin = i - reach, end = std::min(i + reach + 1, n);
    out.y.push_back((sum[end] - sum[begin]) / double(end - begin));
  }
  return out;
}

// About `count` round values that cover [low, high]: steps of 1, 2 or 5 times a power of ten.
std::vector<double> ticks(double low, double high, int count) {
  double raw = (high - low) / count, power = std::pow(10, std::floor(std::log10(raw)));
  double unit = raw / power, step = power * (unit <= 1 ? 1 : unit <= 2 ? 2 : unit <= 5 ? 5 : 10);
  std::vector<double> out;
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) out.push_back(k * step);
  return out;
}

std::vector<double> log_ticks(double low, double high) {
  std::vector<double> out;
  bool few = high / low < 100;
  for (double power = 1; power <= high; power *= 10)
    for (double digit : {1, 2, 5})
      if ((digit == 1 || few) && power * digit >= low && power * digit <= high) out.push_back(power * digit);
  return out;
}

std::string tick_text(double v) {
  if (v != 0 && std::abs(v) >= 1e6) return fmt::format("{:g}M", v / 1e6);
  if (std::abs(v) >= 1e4) return fmt::format("{:g}k", v / 1e3);
  return fmt::format("{:g}", std::abs(v) < 1e-12 ? 0.0 : v);
}

class Drawing {
 public:
  explicit Drawing(const LossPlot& plot) : plot_(plot) {
    raw_ = usable(plot.training, plot.log_x);
    smooth_ = smoothed(raw_);
    validation_ = usable(plot.validation, plot.log_x);
    range();
  }

  std::string svg() {
    out_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" "
        "font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif\" font-size=\"13\">\n"
        "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
        kWidth, kHeight);
    text(kLeft, 32, plot_.title, "start", kInk, "font-size=\"16\" font-weight=\"600\"");
    axes();
    if (plot_.floor) floor();
    if (!raw_.x.empty()) {
      line(raw_, fmt::format("stroke=\"{}\" stroke-opacity=\"0.35\" stroke-width=\"1\"", kTraining));
      line(smooth_, fmt::format("stroke=\"{}\" stroke-width=\"2\"", kTraining));
    }
    line(validation_, fmt::format("stroke=\"{}\" stroke-width=\"1.2\" stroke-opacity=\"0.6\"", kValidation));
    for (size_t i = 0; i < validation_.x.size(); i++) dot(x(validation_.x[i]), y(validation_.y[i]));
    legend();
    return out_ + "</svg>\n";
  }

 private:
  void range() {
    std::vector<double> xs = raw_.x, ys = smooth_.y;
    xs.insert(xs.end(), validation_.x.begin(), validation_.x.end());
    ys.insert(ys.end(), validation_.y.begin(), validation_.y.end());
    for (double v : raw_.y) low_y_ = std::min(low_y_, v);
    if (plot_.floor && std::isfinite(*plot_.floor)) ys.push_back(*plot_.floor);
    if (xs.empty()) xs = {plot_.log_x ? 1.0 : 0.0, plot_.log_x ? 10.0 : 1.0};
    if (ys.empty()) ys = {0, 1};
    low_x_ = plot_.log_x ? *std::min_element(xs.begin(), xs.end()) : 0;
    high_x_ = std::max(*std::max_element(xs.begin(), xs.end()), plot_.log_x ? low_x_ * 2 : low_x_ + 1);
    low_y_ = std::min(low_y_, *std::min_element(ys.begin(), ys.end()));
    high_y_ = *std::max_element(ys.begin(), ys.end());
    double room = std::max(high_y_ - low_y_, 1e-3 * std::max(1.0, std::abs(high_y_)));
    bool from_zero = low_y_ >= 0 && low_y_ < 0.4 * high_y_;  // zero is near: show it
    low_y_ = from_zero ? 0 : low_y_ - 0.08 * room;
    high_y_ += 0.05 * room;
  }

  double x(double v) const {
    double t = plot_.log_x ? std::log(v / low_x_) / std::log(high_x_ / low_x_) : (v - low_x_) / (high_x_ - low_x_);
    return kLeft + t * (kWidth - kLeft - kRight);
  }
  double y(double v) const {
    double t = (std::clamp(v, low_y_, high_y_) - low_y_) / (high_y_ - low_y_);
    return kHeight - kBottom - t * (kHeight - kTop - kBottom);
  }

  void text(double at_x, double at_y, const std::string& s, const char* anchor, const char* fill,
            const char* more = "") {
    out_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"{}\" {}>{}</text>\n", at_x, at_y,
                        anchor, fill, more, escaped(s));
  }
  void segment(double x1, double y1, double x2, double y2, const std::string& style) {
    out_ += fmt::format("<path d=\"M{:.1f} {:.1f}L{:.1f} {:.1f}\" fill=\"none\" {}/>\n", x1, y1, x2, y2, style);
  }
  // Of the points within half a pixel's width only the least and the greatest are drawn.
  void line(const Curve& c, const std::string& style) {
    if (c.x.size() < 2) return;
    out_ += "<path fill=\"none\" stroke-linejoin=\"round\" " + style + " d=\"";
    const char* letter = "M";
    for (size_t i = 0, end; i < c.x.size(); i = end, letter = "L") {
      size_t least = i, greatest = i;
      for (end = i; end < c.x.size() && x(c.x[end]) < x(c.x[i]) + 0.5; end++) {
        if (c.y[end] < c.y[least]) least = end;
        if (c.y[end] > c.y[greatest]) greatest = end;
      }
      size_t first = std::min(least, greatest), second = std::max(least, greatest);
      out_ += fmt::format("{}{:.1f} {:.1f}", letter, x(c.x[first]), y(c.y[first]));
      if (second != first) out_ += fmt::format("L{:.1f} {:.1f}", x(c.x[second]), y(c.y[second]));
    }
    out_ += "\"/>\n";
  }
  void dot(double at_x, double at_y) {
    out_ += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.4\" fill=\"{}\" stroke=\"white\"/>\n", at_x, at_y,
                        kValidation);
  }

  void axes() {
    std::string grid = fmt::format("stroke=\"{}\"", kGrid), axis = fmt::format("stroke=\"{}\"", kMuted);
    double bottom = kHeight - kBottom, right = kWidth - kRight;
    for (double v : ticks(low_y_, high_y_, 6)) {
      segment(kLeft, y(v), right, y(v), grid);
      text(kLeft - 9, y(v) + 4.5, tick_text(v), "end", kMuted);
    }
    for (double v : plot_.log_x ? log_ticks(low_x_, high_x_) : ticks(low_x_, high_x_, 8)) {
      segment(x(v), kTop, x(v), bottom, grid);
      text(x(v), bottom + 19, tick_text(v), "middle", kMuted);
    }
    segment(kLeft, bottom, right, bottom, axis);
    segment(kLeft, kTop, kLeft, bottom, axis);
    text((kLeft + right) / 2, kHeight - 14, plot_.x_label + (plot_.log_x ? " (log scale)" : ""), "middle", kInk);
    double middle = (kTop + bottom) / 2;
    text(0, 0, plot_.y_label, "middle", kInk,
         fmt::format("transform=\"translate(20 {:.1f}) rotate(-90)\"", middle).c_str());
  }

  void floor() {
    double at = y(*plot_.floor);
    segment(kLeft, at, kWidth - kRight, at,
            fmt::format("stroke=\"{}\" stroke-width=\"1.6\" stroke-dasharray=\"7 5\"", kFloor));
  }

  // In the right upper corner, where a falling curve leaves room.
  void legend() {
    struct Entry {
      std::string label;
      const char* colour;
      char mark;  // line, dot, dashes
    };
    std::vector<Entry> entries;
    if (!raw_.x.empty()) entries.push_back({"training, smoothed", kTraining, 'l'});
    if (!validation_.x.empty()) entries.push_back({"validation", kValidation, 'd'});
    if (plot_.floor) entries.push_back({plot_.floor_label.empty() ? "floor" : plot_.floor_label, kFloor, '-'});
    if (entries.empty()) return;
    size_t longest = 0;
    for (const Entry& e : entries) longest = std::max(longest, e.label.size());
    double wide = 52 + 7.4 * double(longest), high = 12 + 21 * double(entries.size());
    double left = kWidth - kRight - 12 - wide, top = kTop + 12;
    out_ += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"5\" fill=\"white\" "
        "fill-opacity=\"0.9\" "
        "stroke=\"{}\"/>\n",
        left, top, wide, high, kGrid);
    for (size_t i = 0; i < entries.size(); i++) {
      double at = top + 17 + 21 * double(i);
      const Entry& e = entries[i];
      std::string stroke = fmt::format("stroke=\"{}\" stroke-width=\"2\"", e.colour);
      if (e.mark == 'd') dot(left + 22, at);
      else segment(left + 10, at, left + 34, at, stroke + (e.mark == '-' ? " stroke-dasharray=\"7 5\"" : ""));
      text(left + 42, at + 4.5, e.label, "start", kInk);
    }
  }

  const LossPlot& plot_;
  Curve raw_, smooth_, validation_;
  double low_x_ = 0, high_x_ = 1, low_y_ = HUGE_VAL, high_y_ = 1;
  std::string out_;
};

}  // namespace

std::string to_svg(const LossPlot& plot) { return Drawing(plot).svg(); }

LossPlot loss_plot(const std::vector<io::Json>& metrics) {
  LossPlot plot;
  for (const io::Json& record : metrics) {
    double step = record["step"].as_real();
    auto add = [&](Curve& curve, const char* key) {
      if (const io::Json* v = record.find(key); v && v->is_number()) {
        curve.x.push_back(step);
        curve.y.push_back(v->as_real());
      }
    };
    add(plot.training, "loss");
    add(plot.validation, "val_loss");
  }
  return plot;
}

void save_svg(const LossPlot& plot, const std::string& path) { io::replace_file(path, to_svg(plot)); }

}  // namespace fovea::train
