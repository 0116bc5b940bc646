// Writes into memory that a graph has saved: backward throws, naming both lines (pytorch#14571, #197887).
#include <functional>

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
  std::string text = error_of<GradientError>([&] { y.backward(); });
  if (!text.empty()) CHECK(text.ends_with(" at test_versions.cpp:" + std::to_string(__LINE__ - 1)));
  return text;
}

TEST_CASE(
    "pitfall 34: a write through the tensor, a view, a slice or a detached handle is noticed, pt#197887, pt#178315, "
    "pt#14571") {
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
    CHECK(has(text, ", written at test_versions.cpp:" + std::to_string(written) + ")"));
    CHECK(has(text, "of mul, recorded at test_versions.cpp:" + std::to_string(saved)));
  }
}

TEST_CASE("fill, assign and update ops count as writes and name the writer's line; reading does not") {
  NoLeak check;
  int line = 0, written = 0;
  using Writer = std::function<void(Array&)>;
  const AdamWAttrs attrs{0.9, 0.999, 1e-8, 0, 0};
  Array like = full({4}, 7.0).array(), one = full({}, 1.0, {f64}).array();
  for (const Writer& write : {
           Writer([&](Array& a) { written = __LINE__, assign(a, like); }),
           Writer([&](Array& a) { written = __LINE__, fill(a, 7); }),
           Writer([&](Array& a) { written = __LINE__, fill_integer(a, 7); }),
           Writer([&](Array& a) {
             const Array in[] = {one, one, one, like};
             Array out[] = {a, dense_copy(like), dense_copy(like)};
             written = __LINE__, update(state(), op::adamw, in, 4, &attrs, out, 3);
           }),
           Writer([&](Array& a) {
             fill(a, 7);
             written = __LINE__, *a.mutable_data<float>() = 1;  // the last writer
           }),
       }) {
    std::string text = after(
        [&](const Tensor& x) {
          Array a = x.array();
          write(a);
        },
        &line);
    CHECK(has(text, "written at test_versions.cpp:" + std::to_string(written) + ")"));
    CHECK(has(text, "recorded at test_versions.cpp:" + std::to_string(line)));
  }
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
