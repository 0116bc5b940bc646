// A text file as batches for a training loop of one's own:
//   data::TextWindows text{"book.txt", {.context = 64, .batch = 16}};
//   for (const data::Batch& batch : text.batches(500)) ...
// Tokens are the bytes of the text, so a model needs a vocabulary of 256.
#pragma once
#include <source_location>
#include <string>

#include "models/data/source.h"

namespace fovea::data {

// Batches number first .. first + count - 1 of a source, made when they are asked for.
class Batches {
 public:
  Batches(const LmSource& source, int64_t first, int64_t count) : source_(source), first_(first), count_(count) {}
  class Iterator {
   public:
    Iterator(const LmSource& source, int64_t at) : source_(source), at_(at) {}
    Batch operator*() const { return source_.batch(at_); }
    Iterator& operator++() {
      at_++;
      return *this;
    }
    bool operator!=(const Iterator& o) const { return at_ != o.at_; }

   private:
    const LmSource& source_;
    int64_t at_;
  };
  Iterator begin() const { return {source_, first_}; }
  Iterator end() const { return {source_, first_ + count_}; }
  int64_t size() const { return count_; }

 private:
  const LmSource& source_;
  int64_t first_, count_;
};

class TextWindows {
 public:
  // FileError for a file that is missing, empty or no UTF-8 (null: none was named), ValueError when it is too short.
  TextWindows(const char* path, const WindowOptions& o = {},
              std::source_location where = std::source_location::current());
  TextWindows(const std::string& path, const WindowOptions& o = {},
              std::source_location where = std::source_location::current())
      : TextWindows(path.c_str(), o, where) {}

  // `steps` batches, from batch number `from` on; whoever resumes at a step says so and sees what comes next.
  Batches batches(int64_t steps, int64_t from = 0, std::source_location where = std::source_location::current()) const;
  // The first window alone, [1, context]: for a look at a model, or a check of its gradients.
  Batch first() const;
  // What is held out.
  std::vector<Batch> evaluation() const { return source_.evaluation(); }

 private:
  TextSource source_;
};

}  // namespace fovea::data
