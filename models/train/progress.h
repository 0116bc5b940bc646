// How far a training run is: a bar on a terminal, a plain line now and then anywhere else. Written to stderr, since
// results go to stdout.
#pragma once
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

namespace fovea::train {

double clock_seconds();  // of a steady clock

struct ProgressState {
  int64_t step = 0, total = 0;
  std::optional<double> loss = {};
  double tokens_per_s = 0;   // 0 is not shown
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
  void update(int64_t step, std::optional<double> loss, double tokens_per_s);
  // A line of its own, above the bar.
  void note(const std::string& text);
  // Draws the last state and ends the line; the destructor does it where nobody did.
  void finish();

 private:
  void draw();

  FILE* out_;
  bool terminal_, colour_, drawn_ = false, shown_ = true;
  int64_t first_step_;
  ProgressState state_;
  double start_, last_draw_ = 0;  // seconds of a steady clock
};

// `for (const auto& batch : train::progress(text.batches(500))) ...`: a bar for a loop of one's own, over a range that
// has a size. Tokens are what the elements say in `counted`; a loop that names the bar can tell it the loss:
//   auto bar = train::progress(text.batches(500));
//   for (const auto& batch : bar) { ...; bar.loss(loss.item()); }
template <class Range> class ProgressRange {
 public:
  explicit ProgressRange(Range range) : range_(std::move(range)) {}
  class Iterator {
   public:
    Iterator(decltype(std::declval<const Range&>().begin()) at, ProgressRange* of) : at_(at), of_(of) {}
    decltype(auto) operator*() const {
      if constexpr (requires { (*at_).counted; }) {
        auto element = *at_;
        of_->tokens_ = double(element.counted);
        return element;
      } else {
        return *at_;
      }
    }
    Iterator& operator++() {
      ++at_;
      of_->step();
      return *this;
    }
    bool operator!=(const Iterator& o) const { return at_ != o.at_; }

   private:
    decltype(std::declval<const Range&>().begin()) at_;
    ProgressRange* of_;
  };
  Iterator begin() {
    progress_.emplace(0, int64_t(range_.size()));
    last_ = clock_seconds();
    return {range_.begin(), this};
  }
  Iterator end() { return {range_.end(), this}; }
  void loss(double value) { loss_ = value; }  // shown until the next

 private:
  void step() {
    double now = clock_seconds(), seconds = now - last_;
    last_ = now;
    progress_->update(++done_, loss_, seconds > 0 ? tokens_ / seconds : 0);
  }
  Range range_;
  std::optional<Progress> progress_;
  double last_ = 0;
  int64_t done_ = 0;
  double tokens_ = 0;
  std::optional<double> loss_;
};
template <class Range> ProgressRange<Range> progress(Range range) { return ProgressRange<Range>(std::move(range)); }

}  // namespace fovea::train
