#include "models/train/loop.h"

#include <fmt/core.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <optional>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "models/train/metrics.h"
#include "models/train/plot.h"

namespace fovea::train {
namespace {

using io::Json;

void make_folder(const std::string& path) {
  for (size_t at = 1; at <= path.size(); at++)
    if (at == path.size() || path[at] == '/')
      if (mkdir(path.substr(0, at).c_str(), 0777) != 0 && errno != EEXIST)
        throw FileError(path + ": cannot be made: " + std::strerror(errno));
  struct stat st;
  if (stat(path.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) throw FileError(path + ": is not a folder");
}

bool exists(const std::string& path) {
  struct stat st;
  return stat(path.c_str(), &st) == 0;
}

// The first key in which two configs differ, "" for none. Numbers of steps may change between runs.
std::string difference(const Json& then, const Json& now, const std::string& prefix) {
  for (const Json* from : {&then, &now})
    for (auto& [key, value] : from->as_object()) {
      std::string name = prefix.empty() ? key : prefix + "." + key;
      if (name == "train.steps" || name == "train.save_every" || name == "train.eval_every") continue;
      const Json *a = then.find(key), *b = now.find(key);
      if (a && b && *a == *b) continue;
      if (a && b && a->is_object() && b->is_object()) {
        if (std::string d = difference(*a, *b, name); !d.empty()) return d;
      } else {
        return name + " is " + (a ? a->dump() : "absent") + " there and " + (b ? b->dump() : "absent") + " now";
      }
    }
  return "";
}

class Trainer {
 public:
  explicit Trainer(const LmRun& run)
      : run_(run), o_(run.train), file_(run.folder + "/checkpoint.h5"), metrics_(run.folder + "/metrics.jsonl") {
    o_.check();
    config_ = Json::Object{};
    config_.set("model", run.model.to_json());
    config_.set("train", o_.to_json());
    config_.set("data", run.data);
    make_folder(run.folder);
    std::optional<nn::checkpoint::File> before;
    if (!run.fresh && exists(file_)) before.emplace(file_);
    if (before) {
      const Json& then = before->state().config;
      std::string d = then.is_object() ? difference(then, config_, "") : "it says nothing about its config";
      if (!d.empty())
        throw FileError(file_ + ": is another run: " + d + ". Use --fresh to start over, or another folder");
      nn::ShapesOnly no_data;
      model_.emplace(run.model);
    } else {
      manual_seed(o_.seed);
      model_.emplace(run.model);
    }
    if (o_.dtype != f32) model_->to(o_.dtype);
    adam_.emplace(
        *model_,
        optim::AdamWOptions{
            .lr = o_.lr, .beta1 = o_.beta1, .beta2 = o_.beta2, .weight_decay = o_.weight_decay, .clip = o_.clip});
    if (before) resume(*before);
    out_.emplace(metrics_, step_);
    evaluation_ = run.source->evaluation();
  }

  LmResult run() {
    LmResult result;
    model_->train();
    optim::Schedule schedule{o_.lr, o_.min_lr, o_.warmup, o_.steps, optim::schedule_of(o_.schedule)};
    bool saved = step_ > 0;
    while (step_ < o_.steps) {
      auto begin = std::chrono::steady_clock::now();
      adam_->set_lr(schedule(step_));
      Report r = one_step();
      step_++;
      r.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      r.tokens_per_s = double(o_.batch * run_.model.context * o_.accumulate) / r.seconds;
      bool last = step_ == o_.steps, stop = run_.stop && run_.stop->load();
      if (!evaluation_.empty() && (last || (o_.eval_every > 0 && step_ % o_.eval_every == 0))) {
        r.eval_loss = result.eval_loss = evaluate(*model_, evaluation_);
        r.evaluated = true;
      }
      result.loss = r.loss;
      write(r);
      saved = last || stop || (o_.save_every > 0 && step_ % o_.save_every == 0);
      if (saved) save();
      if (run_.on_step) run_.on_step(r);
      if (stop && !last) {
        result.interrupted = true;
        break;
      }
    }
    if (!saved) save();
    result.step = step_;
    return result;
  }

 private:
  Report one_step() {
    Report r;
    r.steps = o_.steps;
    r.step = step_ + 1;
    r.lr = adam_->lr();
    adam_->zero_grad();
    for (int64_t i = 0; i < o_.accumulate; i++) {
      Tensor loss = lm_loss(*model_, run_.source->batch(step_ * o_.accumulate + i));
      double value = loss.item();
      if (!std::isfinite(value)) not_finite("the loss is " + std::to_string(value));
      r.loss += value / double(o_.accumulate);
      (o_.accumulate > 1 ? loss / double(o_.accumulate) : loss).backward();
    }
    try {
      adam_->step();
    } catch (const ValueError& e) {
      not_finite(e.what());
    }
    r.norm = adam_->last_norm();
    return r;
  }

  [[noreturn]] void not_finite(const std::string& what) {
    throw ValueError("train: step " + std::to_string(step_ + 1) + ": " + what + ". " +
                     (exists(file_) ? file_ + " keeps the last good state" : "Nothing was saved yet") +
                     "; a smaller train.lr may help");
  }

  void save() {
    // Without clipping nobody has looked at the gradients yet.
    if (!(o_.clip > 0))
      for (auto& [name, p] : model_->named_parameters())
        if (!all(isfinite(p->value())).item<bool>()) not_finite("'" + name + "' has a NaN or an infinity");
    nn::checkpoint::RunState state;
    state.config = config_;
    state.tokenizer = run_.tokenizer->to_json();
    state.train = Json::Object{};
    state.train.set("step", step_);
    Json generator{Json::Object{}};
    generator.set("seed", int64_t(default_generator().seed));
    generator.set("counter", int64_t(default_generator().counter));
    state.train.set("generator", generator);
    nn::checkpoint::save(file_, *model_, *adam_, state);
    draw();
  }

  void draw() {
    LossPlot plot = loss_plot(read_metrics(metrics_));
    plot.title = run_.title;
    if (double floor = run_.source->entropy(); std::isfinite(floor)) {
      plot.floor = floor;
      plot.floor_label = "entropy of the corpus";
    }
    save_svg(plot, run_.folder + "/loss.svg");
  }

  void resume(const nn::checkpoint::File& before) {
    if (before.state().tokenizer != run_.tokenizer->to_json())
      throw FileError(file_ +
                      ": has another tokenizer than the data gives. Use --fresh to start over, or another folder");
    before.load(*model_);
    before.load(*adam_);
    const Json& train = before.state().train;
    try {
      step_ = train["step"].as_int();
      default_generator().seed = uint64_t(train["generator"]["seed"].as_int());
      default_generator().counter = uint64_t(train["generator"]["counter"].as_int());
    } catch (const ValueError& e) {
      throw FileError(file_ + ": train/state: " + e.what());
    }
    if (run_.note) run_.note("goes on at step " + std::to_string(step_) + " of " + std::to_string(o_.steps));
  }

  void write(const Report& r) {
    Json line{Json::Object{}};
    line.set("step", r.step);
    line.set("loss", r.loss);
    line.set("lr", r.lr);
    if (std::isfinite(r.norm)) line.set("grad_norm", r.norm);
    line.set("tokens_per_s", r.tokens_per_s);
    if (r.evaluated) line.set("val_loss", r.eval_loss);
    out_->write(line);
  }

  const LmRun& run_;
  TrainOptions o_;
  std::string file_, metrics_;
  Json config_;
  std::optional<Gpt> model_;
  std::optional<optim::AdamW> adam_;
  std::vector<data::Batch> evaluation_;
  std::optional<MetricsWriter> out_;
  int64_t step_ = 0;
};

}  // namespace

void TrainOptions::check() const {
  auto at_least = [](const char* key, double x, double least) {
    if (!(x >= least && std::isfinite(x)))
      throw ValueError(fmt::format("train.{} is {} (expected {} or more)", key, x, least));
  };
  at_least("steps", double(steps), 1);
  at_least("batch", double(batch), 1);
  at_least("warmup", double(warmup), 0);
  at_least("accumulate", double(accumulate), 1);
  at_least("save_every", double(save_every), 0);
  at_least("eval_every", double(eval_every), 0);
  at_least("lr", lr, 0);
  at_least("min_lr", min_lr, 0);
  at_least("weight_decay", weight_decay, 0);
  at_least("clip", clip, 0);
  optim::schedule_of(schedule);
}

Json TrainOptions::to_json() const {
  Json j{Json::Object{}};
  j.set("steps", steps);
  j.set("batch", batch);
  j.set("lr", lr);
  j.set("min_lr", min_lr);
  j.set("warmup", warmup);
  j.set("schedule", schedule);
  j.set("weight_decay", weight_decay);
  j.set("beta1", beta1);
  j.set("beta2", beta2);
  j.set("clip", clip);
  j.set("accumulate", accumulate);
  j.set("save_every", save_every);
  j.set("eval_every", eval_every);
  j.set("dtype", name_of(dtype));
  j.set("seed", int64_t(seed));
  return j;
}

TrainOptions TrainOptions::from_json(const Json& j) {
  TrainOptions o;
  auto integer = [&](const char* key, int64_t& x) {
    if (const Json* v = j.find(key)) x = v->as_int();
  };
  auto real = [&](const char* key, double& x) {
    if (const Json* v = j.find(key)) x = v->as_real();
  };
  integer("steps", o.steps);
  integer("batch", o.batch);
  integer("warmup", o.warmup);
  integer("accumulate", o.accumulate);
  integer("save_every", o.save_every);
  integer("eval_every", o.eval_every);
  real("lr", o.lr);
  real("min_lr", o.min_lr);
  real("weight_decay", o.weight_decay);
  real("beta1", o.beta1);
  real("beta2", o.beta2);
  real("clip", o.clip);
  if (const Json* v = j.find("schedule")) o.schedule = v->as_string();
  if (const Json* v = j.find("seed")) o.seed = uint64_t(v->as_int());
  if (const Json* v = j.find("dtype")) {
    bool known = false;
    for (DType t : {f32, f64, bf16, f16})
      if (v->as_string() == name_of(t)) o.dtype = t, known = true;
    if (!known) throw ValueError("train.dtype is '" + v->as_string() + "' (expected f32, f64, bf16 or f16)");
  }
  return o;
}

Tensor lm_loss(Gpt& model, const data::Batch& batch) {
  return cross_entropy(flatten(model(batch.inputs), 0, 1), flatten(batch.targets), {.ignore_index = data::kIgnored});
}

double evaluate(Gpt& model, const std::vector<data::Batch>& batches) {
  NoGrad guard;
  struct Eval {
    Gpt& model;
    bool was = model.training();
    explicit Eval(Gpt& m) : model(m) { m.eval(); }
    ~Eval() { model.train(was); }
  } eval(model);
  double total = 0;
  int64_t counted = 0;
  for (const data::Batch& b : batches) {
    total += lm_loss(model, b).item() * double(b.counted);
    counted += b.counted;
  }
  return total / double(counted);
}

LmResult train_lm(const LmRun& run) { return Trainer(run).run(); }

}  // namespace fovea::train
