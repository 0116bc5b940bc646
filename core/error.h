// Typed exceptions for users' mistakes. Everything Fovea throws derives from fovea::Error.
// Form of a text: `op: what is wrong: values (expected ...). hint at file:line (module.path)`.
// The code that notices a mistake gives the middle; apply() adds the op's name before it and the caller's line behind
// it.
#pragma once
#include <cstdint>
#include <exception>
#include <source_location>
#include <string>

namespace fovea {

class Error : public std::exception {
 public:
  explicit Error(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }
  // Names the op ("" for a text that does) and the user's line, once: the innermost caller that knows them wins.
  void locate(const char* op, std::source_location where, const std::string& module_path);
  bool located() const { return located_; }

 private:
  std::string text_;
  bool located_ = false;
};

// clang-format off
struct ShapeError : Error { using Error::Error; };        // sizes, ranks or axes that do not fit
struct DTypeError : Error { using Error::Error; };        // a dtype the op does not take
struct DeviceError : Error { using Error::Error; };       // unknown device, or arrays on different ones
struct IndexError : Error { using Error::Error; };        // an index outside its axis
struct ValueError : Error { using Error::Error; };        // an attribute or argument outside its range
struct UnsupportedError : Error { using Error::Error; };  // nobody provides this op for this dtype and device
struct KernelError : Error { using Error::Error; };       // a backend's kernel failed
struct GradientError : Error { using Error::Error; };     // backward on a freed graph, a changed saved array, a missing rule
struct FileError : Error { using Error::Error; };         // missing, unreadable, damaged or foreign files
struct MemoryError : Error { using Error::Error; };       // out of memory on a device
// clang-format on

// ValueError for an option whose enum has no such value. Those that are fields of attributes, dtypes too, are checked
// where the op is called.
[[noreturn]] void refuse_unlisted(const char* name, int64_t value, int64_t last);
template <class E> void check_listed(E value, const char* name) {
  if (uint64_t(value) > uint64_t(last_of(value))) refuse_unlisted(name, int64_t(value), int64_t(last_of(value)));
}

// Prints one line to stderr and returns 1: for `main() try {...} catch (const Error& e) { return report(e); }`.
int report(const std::exception& e);

// The shortest form that reads back as the same number.
std::string text_of(double v);

// The user's line as `model.cpp:41` (file name only).
std::string describe(std::source_location where);

}  // namespace fovea
