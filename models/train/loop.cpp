#include "models/train/loop.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "models/plan.h"
#include "models/train/metrics.h"
#include "models/train/plot.h"
#include "nn/checkpoint_file.h"

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

// In what two runs differ, "" for nothing. How long they run, and how often they save, may change.
std::string difference(const Config& then, const Config& now) {
  for (const std::string& key : differing_keys(then, now)) {
    if (key == "train.steps" || key == "train.save_every" || key == "train.keep" || key == "train.eval_every") continue;
    auto value = [&](const Config& c) {
      auto dot = key.find('.');
      return to_json(c)[key.substr(0, dot)][key.substr(dot + 1)].dump();
    };
    return key + " is " + value(then) + " there and " + value(now) + " now";
  }
  return "";
}

class Trainer {
 public:
  explicit Trainer(const LmRun& run)
      : run_(run),
        o_(run.config.train),
        file_(run.folder + "/checkpoint.h5"),
        metrics_(run.folder + "/metrics.jsonl"),
        held_(file_ + ".old") {
    check(run.config);
    GptConfig shape = GptConfig::from(run.config.model, run.tokenizer->vocab_size());
    check_memory(shape);
    make_folder(run.folder);
    lock_folder();
    tidy();
    std::unique_ptr<nn::checkpoint::File> before = newest();
    if (before) {
      check_same_run(*before);
      nn::ShapesOnly no_data;
      model_.emplace(shape);
    } else {
      manual_seed(uint64_t(o_.seed));
      model_.emplace(shape);
    }
    model_->to(dtype_named(o_.dtype));
    adam_.emplace(
        *model_,
        optim::AdamWOptions{
            .lr = o_.lr, .beta1 = o_.beta1, .beta2 = o_.beta2, .weight_decay = o_.weight_decay, .clip = o_.clip});
    if (before) resume(*before);
    before.reset();
    if (run.fresh) {
      for (const std::string& f : checkpoints()) std::remove(f.c_str());
      std::remove(metrics_.c_str());
    }
    out_.emplace(metrics_, step_);
    if (step_ > 0) draw();  // a run that was killed behind its last checkpoint has an older picture, or none
    if (run.config.data.validation > 0 && o_.eval_every > 0) evaluation_ = run.source->evaluation();
  }

  LmResult run() {
    LmResult result;
    model_->train();
    optim::Schedule schedule{o_.lr, o_.min_lr, o_.warmup, o_.steps, optim::schedule_of(o_.schedule)};
    bool saved = step_ > 0;
    while (step_ < o_.steps) {
      if (run_.before_step) run_.before_step(step_ + 1);
      auto begin = std::chrono::steady_clock::now();
      adam_->set_lr(schedule(step_));
      Report r = one_step();
      step_++;
      r.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
      r.tokens_per_s = double(o_.batch * run_.config.model.context * o_.accumulate) / r.seconds;
      bool last = step_ == o_.steps, stop = run_.stop && run_.stop->load();
      if (!evaluation_.empty() && (last || (step_ % o_.eval_every == 0))) {
        r.eval_loss = result.eval_loss = evaluate(*model_, evaluation_);
        if (!std::isfinite(r.eval_loss)) not_finite("the validation loss is " + text_of(r.eval_loss));
        r.evaluated = true;
      }
      result.loss = r.loss;
      write(r);
      saved = last || stop || (step_ % o_.save_every == 0);
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
      if (!std::isfinite(value)) not_finite("the loss is " + text_of(value), 1);
      r.loss += value / double(o_.accumulate);
      (o_.accumulate > 1 ? loss / double(o_.accumulate) : loss).backward();
    }
    try {
      adam_->step();
    } catch (const ValueError& e) {
      not_finite(e.what(), 1);
    }
    r.norm = adam_->last_norm();
    return r;
  }

  static std::string text_of(double loss) { return std::isnan(loss) ? "nan" : std::to_string(loss); }  // never "-nan"
  [[noreturn]] void not_finite(const std::string& what, int64_t ahead = 0) {
    throw ValueError("train: step " + std::to_string(step_ + ahead) + ": " + what + ". " +
                     (exists(file_) ? file_ + " keeps the last good state" : "Nothing was saved yet") +
                     ". Start anew with a smaller train.lr (--fresh, or another folder)");
  }

  void save() {
    // What the last update made of the model is not known yet, and a model without a loss is nothing to go on from.
    double loss = evaluate(*model_, {run_.source->batch(step_ * o_.accumulate)});
    if (!std::isfinite(loss)) not_finite("the loss after it is " + text_of(loss));
    nn::checkpoint::RunState state;
    state.config = to_json(run_.config);
    state.tokenizer = run_.tokenizer->to_json();
    state.train = Json::Object{};
    state.train.set("step", step_);
    state.train.set("data", run_.data);
    Json generator{Json::Object{}};
    generator.set("seed", int64_t(default_generator().seed));
    generator.set("counter", int64_t(default_generator().counter));
    state.train.set("generator", generator);
    bool held = hold_old();
    try {
      nn::checkpoint::save(file_, *model_, *adam_, state);
    } catch (...) {
      if (held) std::remove(held_.c_str());
      throw;
    }
    if (held) rotate();
    whole_ = true;
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

  // The current checkpoint, then those before it.
  std::vector<std::string> checkpoints() const {
    std::vector<std::string> names = {file_};
    for (int64_t i = 1; exists(numbered(i)); i++) names.push_back(numbered(i));
    return names;
  }
  std::string numbered(int64_t i) const { return run_.folder + "/checkpoint." + std::to_string(i) + ".h5"; }

  // The newest checkpoint whose every byte is what was written. A damaged one is told, never passed over in silence.
  std::unique_ptr<nn::checkpoint::File> newest() {
    if (run_.fresh || (!exists(file_) && !exists(numbered(1)))) return nullptr;
    std::string first = exists(file_) ? "" : file_ + " is missing";
    for (const std::string& name : checkpoints()) {
      if (!exists(name)) continue;
      try {
        auto file = std::make_unique<nn::checkpoint::File>(name);
        if (auto problems = file->verify(); !problems.empty()) throw FileError(name + ": " + problems[0]);
        whole_ = first.empty();
        if (!whole_ && run_.note) run_.note("warning: " + first + ". Going on from the one before, " + name);
        return file;
      } catch (const FileError& e) {
        if (first.empty()) first = e.what();
      }
    }
    throw FileError(first + ". Use --fresh to start over, or another folder");
  }

  // A second name keeps the old checkpoint when the new one takes its place. Only then do older ones move on, so that a
  // save that fails loses none of them.
  bool hold_old() const {
    if (o_.keep < 2 || !whole_ || !exists(file_)) return false;
    std::remove(held_.c_str());
    bool held = link(file_.c_str(), held_.c_str()) == 0;
    if (!held && run_.note)
      run_.note("warning: " + file_ + ": the old checkpoint cannot be kept: " + std::strerror(errno));
    return held;
  }
  void rotate() const {
    for (int64_t i = o_.keep - 1; i > 1; i--)
      if (exists(numbered(i - 1))) std::rename(numbered(i - 1).c_str(), numbered(i).c_str());
    std::rename(held_.c_str(), numbered(1).c_str());
  }

  // What a killed save has left: the second name of a checkpoint that still is the first, or the one before it.
  // (Temporary files are replaced by the next of their kind: the picture by draw(), a checkpoint by save().)
  void tidy() const {
    struct stat held, now;
    if (stat(held_.c_str(), &held) != 0) return;
    if (run_.fresh || (stat(file_.c_str(), &now) == 0 && held.st_ino == now.st_ino)) std::remove(held_.c_str());
    else rotate();
  }

  void check_memory(const GptConfig& shape) const {
    MemoryPlan plan = plan_training(shape, o_.batch, run_.config.model.context, dtype_named(o_.dtype));
    if (int64_t most = available_memory(); plan.reserved > most)
      throw MemoryError("train: a step needs " + bytes_text(double(plan.reserved)) + " of memory, and there are " +
                        bytes_text(double(most)) + ": weights " + bytes_text(double(plan.weights)) +
                        ", gradients as much, optimizer " + bytes_text(double(plan.optimizer)) + ", activations " +
                        bytes_text(double(plan.activations())) +
                        ". A smaller model.dim or train.batch (with train.accumulate) needs less");
  }

  void lock_folder() {
    lock_.fd = open(run_.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock_.fd >= 0 && flock(lock_.fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
      throw FileError(run_.folder + ": another program trains in this folder");
  }

  void check_same_run(const nn::checkpoint::File& before) {
    std::string d;
    try {
      Config then;
      set_options(then, before.state().config);
      d = difference(then, run_.config);
      if (d.empty() && before.state().train["data"].as_string() != run_.data) d = "the data are others";
    } catch (const ValueError& e) {
      throw FileError(file_ + ": its config cannot be read: " + e.what());
    }
    if (d.empty() && before.state().tokenizer != run_.tokenizer->to_json()) d = "the tokenizer is another";
    if (!d.empty())
      throw FileError(file_ + ": is another run: " + d + ". Use --fresh to start over, or another folder");
  }

  void resume(const nn::checkpoint::File& before) {
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
    if (run_.note && step_ < o_.steps)
      run_.note("goes on at step " + std::to_string(step_) + " of " + std::to_string(o_.steps));
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

  struct Lock {  // goes with the process, however it ends
    int fd = -1;
    ~Lock() {
      if (fd >= 0) close(fd);
    }
  } lock_;
  const LmRun& run_;
  TrainConfig o_;
  std::string file_, metrics_, held_;
  std::optional<Gpt> model_;
  std::optional<optim::AdamW> adam_;
  std::vector<data::Batch> evaluation_;
  std::optional<MetricsWriter> out_;
  int64_t step_ = 0;
  bool whole_ = true;  // checkpoint.h5 is known to be what was saved (or is not there)
};

}  // namespace

Tensor lm_loss(Gpt& model, const data::Batch& batch) {
  return cross_entropy(flatten(model(batch.inputs), 0, 1), flatten(batch.targets), {.ignore_index = data::kIgnored});
}

double evaluate(Gpt& model, const std::vector<data::Batch>& batches) {
  NoGrad guard;
  Evaluating mode;
  double total = 0;
  int64_t counted = 0;
  for (const data::Batch& b : batches) {
    total += lm_loss(model, b).item() * double(b.counted);
    counted += b.counted;
  }
  return total / double(counted);
}

LmResult train_lm(const LmRun& run, std::source_location where) {
  return at_line(where, [&] { return Trainer(run).run(); });
}

}  // namespace fovea::train
