// What a model costs: counted without making it, and what it then really takes.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "autograd/ops/loss.h"
#include "autograd/ops/random.h"
#include "autograd/ops/view.h"
#include "models/data/text_windows.h"
#include "models/plan.h"
#include "models/train/progress.h"
#include "nn/optim/adamw.h"

using namespace fovea;

namespace {

TEST_CASE("gpt2-small has exactly 124,439,808 parameters, and nothing is allocated to know it") {
  reset_peak_memory();
  int64_t before = memory_stats().peak;
  nn::ShapesOnly no_data;
  Gpt model(gpt_preset("gpt2-small"));
  CHECK(model.num_parameters() == 124'439'808);
  CHECK(matmul_parameters(model) == 12 * 12 * 768 * 768 + 50257 * 768);
  // 2 per parameter, and 4 per width, layer and visible key: 512.5 of 1024 on average.
  CHECK(plan_flops(model, 1024).forward == doctest::Approx(2 * 123532032.0 + 4 * 12 * 768 * 512.5));
  MemoryPlan plan = plan_training(gpt_preset("gpt2-small"), 4, 1024);
  CHECK(plan.weights == 4 * 124'439'808);
  CHECK(plan.optimizer == 8 * 124'439'808);
  CHECK(plan.peak > plan.weights + plan.gradients + plan.optimizer + 4 * 4 * 1024 * 50257);
  // Nor where attention is composed, masks and all.
  plan_training({.layers = 1, .dim = 8, .heads = 1, .context = 4096, .vocab = 10}, 1, 4096, f64);
  CHECK(memory_stats().peak - before < 4 << 20);
}

TEST_CASE("a window bounds the attention's flops") {
  GptConfig c{.layers = 1, .dim = 8, .heads = 1, .context = 100, .vocab = 10};
  nn::ShapesOnly no_data;
  c.window = 10;
  Gpt model(c);
  double keys = 0;
  for (int t = 0; t < 100; t++) keys += std::min(t + 1, 10);
  CHECK(plan_flops(model, 100).attention == doctest::Approx(4 * 8 * keys / 100));
}

TEST_CASE("the planned peak of a training step is what a training step takes") {
  for (double dropout : {0.0, 0.1}) {
    GptConfig c{.layers = 3, .dim = 64, .heads = 4, .context = 64, .vocab = 300, .dropout = dropout};
    Generator before = default_generator();
    MemoryPlan plan = plan_training(c, 8, 64);
    CHECK(default_generator().counter == before.counter);
    int64_t live = memory_stats().live;
    Gpt model(c);
    optim::AdamW adam(model);
    Tensor ids = randint(0, c.vocab, {8, 64}).to(i32);
    int64_t peak = 0;
    for (int step = 0; step < 3; step++) {
      adam.zero_grad();
      reset_peak_memory();
      cross_entropy(flatten(model(ids), 0, 1), flatten(ids)).backward();
      adam.step();
      peak = memory_stats().peak - live;
    }
    INFO(dropout, " planned ", plan.peak, " taken ", peak);
    CHECK(double(peak) < 1.1 * double(plan.peak));
    CHECK(double(peak) > 0.9 * double(plan.peak));
  }
}

// Large blocks are mapped one by one; small ones are cut from chunks of 1 MiB, so a few MB more are taken.
TEST_CASE("what a plan reserves is what a training run asks of the system") {
  GptConfig c{.layers = 2, .dim = 128, .heads = 4, .context = 128, .vocab = 2000};
  MemoryPlan plan = plan_training(c, 16, 128);
  release_cached_memory();
  int64_t before = memory_stats().reserved;
  Gpt model(c);
  optim::AdamW adam(model);
  Tensor ids = randint(0, c.vocab, {16, 128}).to(i32);
  for (int step = 0; step < 3; step++) {
    adam.zero_grad();
    cross_entropy(flatten(model(ids), 0, 1), flatten(ids)).backward();
    adam.step();
  }
  int64_t taken = memory_stats().reserved - before;
  INFO("planned ", plan.reserved, ", at its peak ", plan.peak, ", taken ", taken);
  CHECK(plan.reserved >= plan.peak);
  CHECK(double(taken) < 1.02 * double(plan.reserved) + (8 << 20));
  CHECK(double(taken) > 0.9 * double(plan.reserved));
}

TEST_CASE("text windows give a source's batches, and progress counts them") {
  std::string path = std::filesystem::temp_directory_path() / ("fovea_windows_" + std::to_string(getpid()));
  std::ofstream(path) << [] {
    std::string s;
    for (int i = 0; i < 400; i++) s += "line " + std::to_string(i) + "\n";
    return s;
  }();
  data::TextWindows text{path, {.context = 16, .batch = 4}};
  std::vector<std::vector<int32_t>> plain, counted;
  for (const data::Batch& b : text.batches(5)) plain.push_back(b.inputs.to_vector<int32_t>());
  CHECK(plain.size() == 5);
  std::FILE* err = std::freopen("/dev/null", "w", stderr);
  REQUIRE(err);
  for (const auto& b : train::progress(text.batches(5))) counted.push_back(b.inputs.to_vector<int32_t>());
  CHECK(plain == counted);
  std::string log = path + ".log";
  err = std::freopen(log.c_str(), "w", stderr);
  REQUIRE(err);
  {
    auto bar = train::progress(text.batches(2));
    double loss = 5;
    for ([[maybe_unused]] const auto& b : bar) bar.loss(loss -= 1);
  }
  std::ostringstream shown;
  shown << std::ifstream(log).rdbuf();
  CHECK(shown.str().find("1/2  loss 4.0000") != std::string::npos);
  CHECK(shown.str().find("2/2  loss 3.0000") != std::string::npos);
  std::filesystem::remove(log);
  size_t at = 3;  // a later start gives the later batches
  for (const auto& b : text.batches(2, 3)) CHECK(b.inputs.to_vector<int32_t>() == plain[at++]);
  CHECK(text.first().inputs.shape() == Shape{1, 16});
  CHECK(!text.evaluation().empty());
  CHECK_THROWS_AS(text.batches(-1), ValueError);
  const char* none = nullptr;
  CHECK_THROWS_AS(data::TextWindows(none, {}), FileError);
  std::filesystem::remove(path);
}

}  // namespace
