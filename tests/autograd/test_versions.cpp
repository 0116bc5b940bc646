// Writes into memory that a graph has saved: backward throws, naming both lines (pytorch#14571, #197887).
#include "core/dispatch.h"
#include "tests/autograd/engine_helpers.h"

using namespace fovea;

namespace {

// The text of what backward throws after `write` has written into x, which exp(x) * x keeps.
template <class Write> std::string after(Write&& write, int* line) {
  Tensor x = full({4}, 2.0), w = leaf({1, 1, 1, 1});
  Tensor y = sum(w * x);
  *line = __LINE__ - 1;
  write(x);
  return error_of<GradientError>([&] { y.backward(); });
}

TEST_CASE("a write through the tensor, a view, a slice or a detached handle is noticed") {
  NoLeak check;
  struct Case {
    const char* name;
    Tensor (*other)(const Tensor&);
  };
  for (Case c :
       {Case{"itself", [](const Tensor& x) { return x; }},
        Case{"a view",
             [](const Tensor& x) {
               return view(x, {2, 2});
             }},
        Case{"a slice",
             [](const Tensor& x) {
               return slice(x, 0, {1, 3});
             }},
        Case{"a transposed view",
             [](const Tensor& x) {
               return transpose(view(x, {2, 2}), 0, 1);
             }},
        Case{"detach", [](const Tensor& x) { return x.detach(); }}, Case{"a view of a view", [](const Tensor& x) {
                                                                           return select(view(x, {2, 2}), 0, 1);
                                                                         }}}) {
    INFO(std::string(c.name));
    int saved = 0, written = 0;
    std::string text = after(
        [&](const Tensor& x) {
          Array to = c.other(x).array();
          *to.mutable_data<float>() = 5;
          written = __LINE__ - 1;
        },
        &saved);
    CHECK(has(text, "input 1 was overwritten after it was saved"));
    CHECK(has(text, "written at"));
    CHECK(has(text, "test_versions.cpp:" + std::to_string(written)));
    CHECK(has(text, "of mul, recorded at test_versions.cpp:" + std::to_string(saved)));
  }
}

TEST_CASE("fill, assign and update ops count as writes; reading does not") {
  NoLeak check;
  int line = 0;
  auto assigned = [](const Tensor& x) {
    Array to = x.array();
    assign(to, full({4}, 7.0).array());
  };
  auto filled = [](const Tensor& x) {
    Array to = x.array();
    fill(to, 7);
  };
  CHECK(has(after(assigned, &line), "was overwritten"));
  CHECK(has(after(filled, &line), "was overwritten"));
  CHECK(after([](const Tensor& x) { CHECK(x.data<float>()[0] == 2); }, &line).empty());
}

TEST_CASE("saved outputs are guarded too") {
  NoLeak check;
  Tensor x = leaf({1, 2}), y = exp(x), z = sum(y);
  Array to = y.array();
  *to.mutable_data<float>() = 0;
  CHECK(has(error_of<GradientError>([&] { z.backward(); }), "output 0 was overwritten after it was saved"));
}

TEST_CASE("what is not saved may be written") {
  NoLeak check;
  Tensor x = leaf({1, 2}), y = full({2}, 3.0), z = sum(x + y);
  Array to = y.array();
  *to.mutable_data<float>() = 0;
  z.backward();
  CHECK(numbers(x.grad()) == std::vector<double>{1, 1});
}

TEST_CASE("with a retained graph the first run passes and the one after the write throws") {
  NoLeak check;
  Tensor x = leaf({1, 2}), y = full({2}, 3.0), z = sum(x * y);
  z.backward({}, true);
  Array to = y.array();
  *to.mutable_data<float>() = 0;
  CHECK(has(error_of<GradientError>([&] { z.backward({}, true); }), "overwritten"));
  CHECK(has(error_of<GradientError>([&] { z.backward(); }), "overwritten"));  // not "another backward is running"
}

}  // namespace
