#include "models/train/progress.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <string_view>

namespace fovea::train {
namespace {

std::string rate(double per_second) {
  if (per_second >= 1e6) return fmt::format("{:.2f}M tok/s", per_second / 1e6);
  if (per_second >= 1e4) return fmt::format("{:.1f}k tok/s", per_second / 1e3);
  return fmt::format("{:.0f} tok/s", per_second);
}

std::string duration(double seconds) {
  int64_t s = int64_t(std::min(std::ceil(seconds), 1e9));
  if (s < 3600) return fmt::format("{}:{:02}", s / 60, s % 60);
  if (s < 86400) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}d {}h", s / 86400, s / 3600 % 24);
}

// A progress line that cannot be written is no reason to stop a run.
void put(FILE* out, const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), out) == text.size()) std::fflush(out);
}

bool set(const char* name) {
  const char* value = std::getenv(name);
  return value && *value;
}

}  // namespace

double clock_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string progress_line(const ProgressState& s, int width, bool bar, bool colour) {
  double done = s.total > 0 ? std::clamp(double(s.step) / double(s.total), 0.0, 1.0) : 0;
  std::string percent = fmt::format("{:3.0f}%", std::floor(100 * done));
  std::string rest = fmt::format(" {}/{}", s.step, s.total);
  int left = width - int(percent.size() + rest.size());
  // In the order in which they are given up, last first.
  std::string pieces[] = {s.loss ? fmt::format("  loss {:.4f}", *s.loss) : "",
                          s.seconds_left >= 0 ? "  " + duration(s.seconds_left) + " left" : "",
                          s.tokens_per_s > 0 ? "  " + rate(s.tokens_per_s) : ""};
  for (std::string& piece : pieces) {
    if (int(piece.size()) > left) piece.clear();
    left -= int(piece.size());
  }
  rest += pieces[0] + pieces[2] + pieces[1];
  std::string drawn;
  constexpr int kLeast = 8, kMost = 40;
  if (bar && left >= kLeast + 3) {
    int inside = std::min(left - 3, kMost), full = int(done * inside);
    drawn = std::string(size_t(full), '=') + (full < inside ? ">" : "") +
            std::string(size_t(std::max(0, inside - full - 1)), ' ');
    drawn = colour ? " [\x1b[32m" + drawn + "\x1b[0m]" : " [" + drawn + "]";
  }
  return drawn.empty() ? (percent + rest).substr(0, size_t(std::max(width, 1))) : percent + drawn + rest;
}

Progress::Progress(int64_t first_step, int64_t total, FILE* out)
    : out_(out), first_step_(first_step), start_(clock_seconds()) {
  const char* term = std::getenv("TERM");
  terminal_ = isatty(fileno(out)) && term && std::string_view(term) != "dumb";
  colour_ = terminal_ && !set("NO_COLOR");
  state_.step = first_step;
  state_.total = total;
}

Progress::~Progress() { finish(); }

void Progress::update(int64_t step, std::optional<double> loss, double tokens_per_s) {
  double time = clock_seconds(), seconds = time - start_;
  state_.step = step;
  state_.loss = loss;
  state_.tokens_per_s = tokens_per_s;
  if (step > first_step_)
    state_.seconds_left = seconds / double(step - first_step_) * double(std::max<int64_t>(0, state_.total - step));
  shown_ = false;
  if (!drawn_ || time - last_draw_ >= (terminal_ ? 0.1 : 10)) draw();
}

void Progress::draw() {
  last_draw_ = clock_seconds();
  shown_ = drawn_ = true;
  if (!terminal_) {
    put(out_, progress_line(state_, 1000, false, false) + "\n");
  } else {
    winsize size{};
    int width = ioctl(fileno(out_), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
    // One column stays free: a full line would make some terminals wrap.
    put(out_, "\r" + progress_line(state_, width - 1, true, colour_) + "\x1b[K");
  }
}

void Progress::note(const std::string& text) {
  put(out_, (terminal_ && drawn_ ? "\r\x1b[K" : "") + text + "\n");
  if (terminal_ && drawn_) draw();
}

void Progress::finish() {
  if (!shown_) draw();
  if (terminal_ && drawn_) put(out_, "\n");
  drawn_ = false;
}

}  // namespace fovea::train
