#include "autograd/proof/check_model.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "autograd/gradient_report.h"
#include "autograd/ops/random.h"
#include "autograd/proof/findings.h"
#include "autograd/proof/walk.h"
#include "core/dual.h"

namespace fovea::proof {
namespace {

using detail::short_number;

constexpr double kSmallest = 1e-6;  // of a derivative whose relative error is asked for

// Puts values and the generator back, also when the loss throws.
class Restore {
 public:
  explicit Restore(const NamedParameters& all) : all_(all), generator_(default_generator()) {
    for (auto& [name, p] : all) values_.push_back(p->value());
  }
  ~Restore() {
    for (size_t i = 0; i < all_.size(); i++) all_[i].second->set(values_[i]);
    default_generator() = generator_;
  }
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;
  const Generator& generator() const { return generator_; }

 private:
  const NamedParameters& all_;
  Generator generator_;
  std::vector<Tensor> values_;
};

// A range of elements of the parameters, counted through all of them.
struct Range {
  int64_t begin, end;
};

class ModelChecker {
 public:
  ModelChecker(const NamedParameters& all, const std::function<Tensor()>& loss, const ModelCheckOptions& o)
      : all_(all), loss_(loss), options_(o), restore_(all) {
    for (auto& [name, p] : all_) {
      if (!is_floating(p->value().dtype())) continue;
      p->set(p->value().to(f64));
      if (!p->trainable()) continue;
      checked_.push_back(&p);
      names_.push_back(name);
      values_.push_back(numbers(p->value()));
      starts_.push_back(count_);
      count_ += p->value().numel();
    }
  }

  ModelReport run() {
    gradient();
    for (int d = 0; d < options_.directions && report_.verdict == Verdict::pass; d++) {
      for (int64_t k = 0; k < count_; k++) direction_.push_back(noise(uint64_t(k), uint64_t(d) + 5) < 0 ? -1 : 1);
      Range whole{0, count_};
      if (!agrees(whole, d == 0)) find(whole);
      direction_.clear();
    }
    if (options_.nodes || report_.verdict != Verdict::pass) check_each_node();
    return report_;
  }

 private:
  Tensor evaluate() {
    default_generator() = restore_.generator();
    Tensor y;
    try {
      y = loss_();
    } catch (const DTypeError& e) {
      throw DTypeError(std::string(e.what()) + ". The check runs in f64: what the loss takes beside the parameters " +
                       "needs their dtype, as in x.to(weight.dtype())");
    }
    if (!y.defined() || y.numel() != 1)
      throw ValueError("check: the loss is " + (y.defined() ? fovea::to_string(y.shape()) : "undefined") +
                       " (expected one number)");
    return y;
  }

  void gradient() {
    Tensor y;
    GradientPaths paths;
    on_the_way_ = nodes_on_the_way([&] { return evaluate(); }, y);
    for (size_t i = 0; i < checked_.size(); i++)
      for (const GradientCut& cut : paths.cuts_of((*checked_[i])->value()))
        ends_[names_[i]] += (ends_[names_[i]].empty() ? "" : ", ") + cut.to_string();
    value_ = y.item();
    std::vector<Tensor> leaves;
    for (auto* p : checked_) leaves.push_back((*p)->value());
    std::vector<Tensor> g(leaves.size());
    if (y.requires_grad() && !leaves.empty()) g = grad({y}, leaves, {}, {.allow_unused = true});
    for (size_t i = 0; i < g.size(); i++) {
      if (!g[i].defined()) report_.unreached.push_back(names_[i]);
      Numbers v = g[i].defined() ? numbers(g[i]) : Numbers(values_[i].size());
      gradient_.insert(gradient_.end(), v.begin(), v.end());
    }
  }

  // Parameters moved by `shift` along the direction's part in `r`, made of T(value, direction).
  template <class T, class Make> void move(Range r, double shift, Make make) {
    for (size_t i = 0; i < checked_.size(); i++) {
      std::vector<T> moved(values_[i].size());
      for (size_t k = 0; k < moved.size(); k++) {
        int64_t at = starts_[i] + int64_t(k);
        double u = at >= r.begin && at < r.end ? direction_[size_t(at)] : 0;
        moved[k] = make(values_[i][k] + shift * u, u);
      }
      const Tensor& like = (*checked_[i])->value();
      (*checked_[i])
          ->set(tensor_from_host(moved.data(), dtype_of<T>(), like.shape(),
                                 {.dtype = dtype_of<T>(), .device = like.device()}));
    }
  }
  void move(Range r, double shift) {
    move<double>(r, shift, [](double v, double) { return v; });
  }

  // The derivative along the direction's part in `r`, with parameters moved by `shift` along it.
  struct Derivative {
    double slope, value, bar;  // of the slope: how far off it may be
  };
  Derivative derivative(Range r, double shift) {
    NoGrad guard;
    if (!report_.exact) return difference(r);
    move<Dual1>(r, shift, [](double v, double u) { return Dual1(v, u); });
    ModeScope composed(state(), kNoKernels, 0);
    Tensor y;
    try {
      y = evaluate();
    } catch (const UnsupportedError&) {  // host code, or a base op of a user's, without duals
      report_.exact = false;
      return difference(r);
    }
    if (y.dtype() != DType::dual) return {0, y.item(), 0};
    Dual1 d;
    copy_to_host(y.array(), &d, DType::dual);
    return {d.tangent, d.value, 0};
  }
  Derivative difference(Range r) {
    auto at = [&](double t) {
      move(r, t);
      return evaluate().item();
    };
    double largest = 0;
    for (const Numbers& v : values_)
      for (double x : v) largest = std::max(largest, std::abs(x));
    // All entries move at once: the longer the direction, the shorter the step.
    const Slope slope =
        slope_of(difference_step(largest) / std::sqrt(double(std::max<int64_t>(r.end - r.begin, 1))), at);
    return {slope.half, at(0), std::abs(slope.whole - slope.half)};
  }

  bool agrees(Range r, bool compare_values) {
    double a = 0, square = 0;
    for (int64_t k = r.begin; k < r.end; k++) {
      a += gradient_[size_t(k)] * direction_[size_t(k)];
      square += gradient_[size_t(k)] * gradient_[size_t(k)];
    }
    const auto [o, value, bar] = derivative(r, 0);
    // Nothing smaller than the rounding of a loss near 1 counts as wrong.
    double size = std::max({std::sqrt(square), std::abs(o), kSmallest * std::max(1.0, std::abs(value_))});
    double error = a == o ? 0 : std::abs(a - o) / size;
    double tolerance = report_.exact ? options_.tolerance : std::max(options_.tolerance, kDifferences + 4 * bar / size);
    report_.analytic = a, report_.oracle = o, report_.error = error, report_.limit = tolerance * size;
    if (!report_.exact && !(bar <= kNoise * size)) {
      report_.verdict = Verdict::too_noisy;
      report_.detail = "no exact oracle, and differences of two steps part by " + short_number(bar);
      return true;
    }
    bool same_loss = std::abs(value - value_) <= options_.tolerance * std::max(1.0, std::abs(value));
    if (compare_values && !same_loss) {
      report_.verdict = Verdict::fail;
      report_.detail = "the loss is " + short_number(value_) + " with kernels and " + short_number(value) +
                       " by compositions: a forward is wrong, or the loss is not the same function each time";
    }
    return error <= tolerance;
  }

  // Halves the range until one entry is left.
  void find(Range r) {
    while (r.end - r.begin > 1) {
      Range left{r.begin, r.begin + (r.end - r.begin) / 2}, right{left.end, r.end};
      if (!agrees(left, false)) {
        r = left;
      } else if (!agrees(right, false)) {
        r = right;
      } else {  // the halves hide below the tolerance
        agrees(r, false);
        break;
      }
    }
    agrees(r, false);
    size_t i = size_t(std::upper_bound(starts_.begin(), starts_.end(), r.begin) - starts_.begin()) - 1;
    report_.parameter = names_[i];
    if (r.end - r.begin == 1) {
      Shape shape = (*checked_[i])->value().shape();
      report_.index.resize(size_t(shape.rank));
      int64_t at = r.begin - starts_[i];
      for (int d = shape.rank - 1; d >= 0; d--) report_.index[size_t(d)] = at % shape[d], at /= shape[d];
    }
    if (!report_.exact) {
      report_.verdict = Verdict::fail;
      return;
    }
    double below = derivative(r, -1e-7).slope, above = derivative(r, 1e-7).slope, a = report_.analytic;
    bool kink = std::abs(above - below) > 1e-5 * std::max(1.0, std::abs(above)) && a >= std::min(below, above) - 1e-5 &&
                a <= std::max(below, above) + 1e-5;
    report_.verdict = kink ? Verdict::non_smooth : Verdict::fail;
    if (kink) report_.detail = "the derivative jumps here";
  }

  void check_each_node() {
    move({0, 0}, 0);
    const Walked walked = check_nodes([&] { return evaluate(); }, on_the_way_, all_, options_.tolerance);
    report_.nodes = walked.checked;
    const bool right = report_.verdict == Verdict::pass;
    if (walked.verdict == Verdict::fail || (!right && walked.verdict == report_.verdict)) {
      report_.node = walked.node;
      report_.verdict = walked.verdict;
    } else if (report_.verdict == Verdict::fail) {
      const std::string& ends = ends_[report_.parameter];
      report_.detail += (report_.detail.empty() ? "" : ". ") + std::string("Each of the ") +
                        std::to_string(walked.checked) + " nodes is right by itself: " +
                        (ends.empty() ? "a value was overwritten, a hook changed a gradient, or a checkpoint() ran "
                                        "differently the second time"
                                      : "the gradient's path ends too early. Ends are at " + ends);
    }
  }

  const NamedParameters& all_;
  const std::function<Tensor()>& loss_;
  const ModelCheckOptions& options_;
  Restore restore_;
  std::vector<const Ref<Parameter>*> checked_;
  std::vector<std::string> names_;
  std::vector<Numbers> values_;
  std::vector<int64_t> starts_;
  std::vector<bool> on_the_way_;
  std::map<std::string, std::string> ends_;  // of the paths of parameters' gradients, by name
  int64_t count_ = 0;
  Numbers gradient_, direction_;
  double value_ = 0;
  ModelReport report_;
};

std::string bracketed(const std::vector<int64_t>& index) {
  std::string text = " [";
  for (size_t i = 0; i < index.size(); i++) text += (i ? "," : "") + std::to_string(index[i]);
  return text + "]";
}

std::string numbers_of(double analytic, double oracle, double error) {
  return ": analytic " + short_number(analytic) + ", oracle " + short_number(oracle) + ", error " + short_number(error);
}

}  // namespace

std::string NodeReport::to_string() const {
  std::string text = op + (where.empty() ? "" : " at " + where) + (module.empty() ? "" : " (" + module + ")");
  if (input >= 0) text += ", input " + std::to_string(input) + bracketed(index) + numbers_of(analytic, oracle, error);
  if (!detail.empty()) text += ": " + detail;
  return parameter.empty() ? text : text + "; it reaches " + parameter;
}

std::string ModelReport::to_string() const {
  std::string text = std::string("check: ") + name_of(verdict);
  if (!parameter.empty()) text += " at " + parameter + (index.empty() ? "" : bracketed(index));
  if (verdict != Verdict::pass && parameter.empty() && !node.op.empty())
    return text + ": " + node.to_string() + ". In the gradient of the loss it does not show";
  text += numbers_of(analytic, oracle, error);
  if (!exact) text += " (by six-point differences)";
  for (size_t i = 0; i < unreached.size(); i++) text += (i ? ", " : "; not reached: ") + unreached[i];
  if (verdict == Verdict::pass) text += "; finds a single wrong entry above " + short_number(limit);
  if (verdict == Verdict::pass && nodes > 0) text += "; " + std::to_string(nodes) + " nodes are right by themselves";
  if (!node.op.empty())
    text +=
        std::string(". The first ") + (verdict == Verdict::fail ? "wrong" : "such") + " node is " + node.to_string();
  return detail.empty() ? text : text + ". " + detail;
}

const ModelReport& ModelReport::or_throw() const {
  if (verdict != Verdict::pass) throw GradientError(to_string());
  return *this;
}

ModelReport check_parameters(const NamedParameters& parameters, const std::function<Tensor()>& loss,
                             const ModelCheckOptions& o) {
  return ModelChecker(parameters, loss, o).run();
}

}  // namespace fovea::proof
