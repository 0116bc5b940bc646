#include "autograd/proof/sample.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>

#include "autograd/apply.h"

namespace fovea::proof {
namespace {

// The numbers of input `place` as doubles, row-major.
std::vector<double> numbers(const Input& in, uint64_t place, uint64_t variant) {
  const uint64_t seed = place + (in.floating() ? 64 * variant : 0);  // ids stay: they may be chosen
  auto n = size_t(numel(in.shape));
  std::vector<double> v(n);
  switch (in.kind) {
    case Input::absent: break;
    case Input::real:
      for (size_t i = 0; i < n; i++) {
        double z = noise(i, seed);
        if (in.gap > 0) v[i] = std::copysign(in.gap + (in.high - in.gap) * std::abs(z), z);
        else v[i] = in.low + (in.high - in.low) * 0.5 * (z + 1);
      }
      break;
    case Input::apart: {
      std::vector<size_t> order(n);
      std::iota(order.begin(), order.end(), size_t(0));
      std::sort(order.begin(), order.end(),
                [&](size_t a, size_t b) { return noise(a, seed + 77) < noise(b, seed + 77); });
      double step = n <= 64 ? 1 / 8.0 : 8 / double(n);
      for (size_t i = 0; i < n; i++) v[i] = (double(order[i]) - double(n / 2) + 0.5) * step + in.low;
      break;
    }
    case Input::exact:
    case Input::given:
      for (size_t i = 0; i < n; i++) v[i] = in.values[i % in.values.size()];
      if (in.kind == Input::given && in.floating() && variant > 0)
        for (size_t i = 0; i < n; i++) v[i] *= 1 - std::abs(noise(i, seed)) / 16;
      break;
    case Input::whole:
      for (size_t i = 0; i < n; i++) v[i] = std::floor(in.low + (in.high - in.low) * 0.5 * (noise(i, seed) + 1));
      break;
    case Input::truth:
      for (size_t i = 0; i < n; i++) v[i] = noise(i, seed) > 0;
      break;
  }
  return v;
}

}  // namespace

Input::~Input() = default;

Input none() { return {}; }
Input reals(const Shape& s, double low, double high) { return {Input::real, s, low, high}; }
Input nonzero(const Shape& s, double gap) { return {Input::real, s, -2, 2, gap}; }
Input apart(const Shape& s, double shift) { return {Input::apart, s, shift}; }
Input exactly(const Shape& s, std::vector<double> values, DType t) {
  return {Input::exact, s, 0, 0, 0, std::move(values), t};
}
Input integers(const Shape& s, int64_t low, int64_t high, DType t) {
  return {Input::whole, s, double(low), double(high), 0, {}, t};
}
Input ids(const Shape& s, int64_t below) { return integers(s, 0, below); }
Input truths(const Shape& s) { return {Input::truth, s, 0, 0, 0, {}, boolean}; }
Input like(const Tensor& t) {
  if (!t.defined()) return none();
  return {Input::given,
          t.shape(),
          0,
          0,
          0,
          t.to_vector<double>(),
          t.dtype(),
          t.array().dense() ? Shape() : t.array().strides()};
}

Sample& Sample::named(std::string_view what) { return name.append(" ").append(what), *this; }
Sample& Sample::sums(int64_t n) { return factor = std::sqrt(double(std::max<int64_t>(n, 1))), *this; }
Sample& Sample::at_kink(std::string_view reason) { return kink = true, order = 1, why = reason, *this; }
Sample& Sample::up_to(int most, std::string_view reason) { return order = most, why = reason, *this; }
Sample& Sample::only(DTypeSet t, std::string_view reason) { return dtypes = t, why = reason, *this; }

double noise(uint64_t i, uint64_t seed) {
  uint64_t x = i * 0x9e3779b97f4a7c15 + (seed + 1) * 0xd1b54a32d192ed03;
  x ^= x >> 32, x *= 0xd6e8feb86659fd93, x ^= x >> 32;
  return double(x >> 11) * 0x1p-52 - 1;
}

Sample::Outputs::Outputs(std::initializer_list<Tensor> tensors) : list(tensors) {}
Sample::Outputs::Outputs(std::vector<Tensor> tensors) : list(std::move(tensors)) {}
Sample::Outputs::Outputs(const std::pair<Tensor, Tensor>& two) : list{two.first, two.second} {}

std::string Sample::subject() const { return op == op::none ? function_name : row(op).name; }
int Sample::number() const {
  const size_t at = name.find(" #");
  return at == name.npos ? 0 : std::atoi(name.c_str() + at + 2);
}
Sample Sample::shaped(const std::vector<Shape>& shapes) const {
  if (shapes.size() != inputs.size())
    throw ValueError(name + ": " + std::to_string(shapes.size()) + " shapes (expected " +
                     std::to_string(inputs.size()) + ", one for each input)");
  Sample s = *this;
  for (size_t i = 0; i < shapes.size(); i++)
    if (s.inputs[i].kind != Input::absent) s.inputs[i].shape = shapes[i];
  return s;
}
bool Sample::given() const {
  return std::any_of(inputs.begin(), inputs.end(), [](const Input& in) { return in.kind == Input::given; });
}
bool Sample::without_gradient() const { return op != op::none && op_def(op).gradient == Gradient::not_differentiable; }

Sample& Samples::append(int id, std::initializer_list<Input> inputs, uint64_t attrs_hash) {
  const OpRow& r = row(id);
  if (r.attrs_hash != attrs_hash)
    throw ValueError("samples of " + std::string(r.name) + ": these attrs are of another op");
  Sample& s = append(r.name, inputs);
  s.op = id;
  return s;
}

Sample& Samples::add(const char* function, std::initializer_list<Input> inputs, Sample::Function f) {
  Sample& s = append(function, inputs);
  s.function = std::move(f);
  s.function_name = function;
  return s;
}

Sample& Samples::append(const std::string& subject, std::initializer_list<Input> inputs) {
  int before = 0;
  for (const Sample& s : all_) before += s.subject() == subject;
  Sample& s = all_.emplace_back();
  s.name = subject + " #" + std::to_string(before + 1);
  s.inputs = inputs;
  return s;
}

std::vector<Tensor> call(const Sample& s, const std::vector<Tensor>& inputs, std::source_location where) {
  return s.function ? s.function(inputs).list : apply(s.op, inputs, s.attrs.get(), where);
}

const std::deque<Sample>& all_samples() {
  static std::mutex mutex;
  static auto* all = new std::deque<Sample>;
  static int seen = 0;
  std::lock_guard lock(mutex);
  if (all->empty()) {
    Samples s(*all);
    for (auto family :
         {detail::elementwise_samples, detail::view_samples, detail::reduce_samples, detail::matmul_samples,
          detail::index_samples, detail::softmax_samples, detail::norm_samples, detail::loss_samples,
          detail::attention_samples, detail::random_samples, detail::function_samples, detail::nn_samples})
      family(s);
    seen = op::count;
  }
  for (; seen < op_count(); seen++)  // ops defined since
    if (op_def(seen).samples) {
      Samples s(*all, seen);
      op_def(seen).samples(s);
    }
  return *all;
}

std::vector<const Sample*> samples_of(std::string_view name) {
  std::vector<const Sample*> mine;
  for (const Sample& s : all_samples())
    if (s.subject() == name) mine.push_back(&s);
  return mine;
}
std::vector<std::string> sampled_functions() {
  std::vector<std::string> names;
  for (const Sample& s : all_samples())
    if (s.function && s.order > 0 && has_floating_input(s) &&
        std::find(names.begin(), names.end(), s.function_name) == names.end())
      names.push_back(s.function_name);
  return names;
}
std::vector<const Sample*> samples_of(int op) { return samples_of(row(op).name); }

std::vector<Tensor> raw_inputs(const Sample& s, DType t, Device d, uint64_t variant) {
  std::vector<Tensor> x;
  for (size_t i = 0; i < s.inputs.size(); i++) {
    const Input& in = s.inputs[i];
    if (in.kind == Input::absent) {
      x.emplace_back();
      continue;
    }
    std::vector<double> v = numbers(in, i, variant);
    x.push_back(tensor_from_host(v.data(), f64, in.shape, {.dtype = in.floating() ? t : in.dtype, .device = d}));
  }
  return x;
}

std::vector<Tensor> completed(const Sample& s, std::vector<Tensor> x) {
  NoGrad guard;
  if (s.complete) s.complete(s.attrs.get(), x);
  return x;
}

bool differentiated(const Sample& s, int i) {
  if (!s.inputs[size_t(i)].floating() || s.inputs[size_t(i)].constant || s.without_gradient()) return false;
  return s.op == op::none || !((row(s.op).no_gradient | row(s.op).statistic) >> (i < 16 ? i : 15) & 1);
}

bool has_floating_input(const Sample& s) {
  return std::any_of(s.inputs.begin(), s.inputs.end(), [](const Input& in) { return in.floating(); });
}

}  // namespace fovea::proof
