// How far a training run is: a bar on a terminal, a plain line now and then anywhere else. Written to stderr, since
// results go to stdout.
#pragma once
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace fovea::train {

struct ProgressState {
  int64_t step = 0, total = 0;
  double loss = 0, tokens_per_s = 0;
  double seconds_left = -1;  // negative: not known yet
};

// ` 42% [=======>       ] 840/2000  loss 1.2345  12.3k tok/s  0:35 left`, at most `width` columns; what does not fit is
// left out, the bar first. Without `bar` there is none.
std::string progress_line(const ProgressState& state, int width, bool bar, bool colour);

class Progress {
 public:
  // The run starts behind `first_step` and ends with `total`. A bar needs a terminal with TERM other than dumb; colours
  // need NO_COLOR unset or empty, too.
  Progress(int64_t first_step, int64_t total, FILE* out = stderr);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Redraws at most ten times a second; off a terminal it prints the first step, then a line every ten seconds.
  void update(int64_t step, double loss, double tokens_per_s);
  // A line of its own, above the bar.
  void note(const std::string& text);
  // Draws the last state and ends the line; the destructor does it where nobody did.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  void draw();

  FILE* out_;
  bool terminal_, colour_, drawn_ = false, shown_ = true;
  int64_t first_step_;
  ProgressState state_;
  Clock::time_point start_ = Clock::now(), last_draw_{};
};

}  // namespace fovea::train
