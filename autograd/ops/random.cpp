#include "autograd/ops/random.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/index.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"
#include "core/dispatch.h"

namespace fovea {
namespace {

thread_local detail::DrawTape* innermost_tape = nullptr;

// 64 bits an element.
Tensor bits_of(const Tensor& draw, const Shape& shape) {
  Array out = Array::empty(shape, i64, draw.device());
  update(state(), op::random_bits, &draw.array(), 1, &kNoAttrs, &out, 1);
  return Tensor(std::move(out));
}

// Those that decide over the elements of x: without data where x has none.
Tensor bits_over(const Tensor& x, const Tensor& draw, const Shape& shape) {
  const bool planned = x.array().is_shape_only() || draw.array().is_shape_only();
  return planned ? Tensor(Array::shape_only(shape, i64, x.device())) : bits_of(draw, shape);
}

// How many of them make a uniform number: as many as the dtype holds between 1/2 and 1, so that none is rounded to 1.
int digits_of(DType t) { return t == f64 ? 53 : t == bf16 ? 8 : t == f16 ? 11 : 24; }

Tensor uniform_from(const Tensor& bits, DType t) {
  int n = digits_of(t);
  return cast(shift_right(bits, 64 - n), t) * std::ldexp(1.0, -n);
}

RandomOptions beside(const Tensor& x, RandomOptions o) {
  o.like = x;
  return o;
}

// What the options come to: dtype, device, and the draw.
struct Plan {
  DType dtype;
  Device device;
  Tensor draw;
  bool requires_grad;

  Plan(const RandomOptions& o, DType otherwise)
      : dtype(o.dtype            ? *o.dtype
              : o.like.defined() ? o.like.dtype()
                                 : otherwise),
        device(TensorOptions{.device = o.device, .like = o.like}.the_device()),
        draw((o.generator ? *o.generator : default_generator()).draw(device)),
        requires_grad(o.requires_grad) {
    check_listed(dtype, "dtype");
  }
  void check_floating(const char* op) const {
    if (!is_floating(dtype))
      throw DTypeError(std::string(op) + ": dtype " + name_of(dtype) + " (expected a floating dtype)");
  }
  // The dtype holds v and all whole numbers from 0 to it.
  void check_whole(int64_t v) const {
    const bool fits = is_floating(dtype) ? std::abs(double(v)) <= std::ldexp(1.0, digits_of(dtype))
                      : dtype == boolean ? v == 0 || v == 1
                                         : holds(dtype, v);
    if (!fits)
      throw ValueError(std::string(name_of(dtype)) + " cannot tell " + std::to_string(v) +
                       " from its neighbours or has no such number. Choose a wider dtype");
  }
  Tensor bits(const Shape& shape) const { return bits_of(draw, shape); }
  Tensor done(const Tensor& x) const { return requires_grad ? x.requires_grad_() : x; }
};

// The largest number of the dtype that is less than v.
double below(DType t, double v) {
  double y = nearest(t, v);
  for (double step = std::max(std::abs(v) * 0x1p-60, std::numeric_limits<double>::denorm_min()); y >= v; step *= 2)
    y = nearest(t, v - step);
  return y;
}

Tensor uniform_numbers(const Plan& p, const Shape& shape) { return uniform_from(p.bits(shape), p.dtype); }

// f of pieces of x one after another on the host, where what f makes on its way then stays in the caches.
template <class F> Tensor by_pieces(const Tensor& x, DType t, const F& f) {
  constexpr int64_t kPiece = 1 << 16;
  const int64_t n = x.numel();
  if (n < 4 * kPiece || !on_host(x.device())) return f(x);
  Array out = Array::empty(x.shape(), t, x.device()), flat = out.reshape_view({n});
  Tensor all = reshape(x, -1);
  for (int64_t i = 0; i < n; i += kPiece) {
    const int64_t some = std::min(kPiece, n - i);
    Tensor piece = f(narrow(all, 0, i, some));
    Array to = flat.narrow(0, i, some);
    update(state(), op::assign, &piece.array(), 1, &kNoAttrs, &to, 1);
  }
  return Tensor(std::move(out));
}

// sqrt(-2 log u) cos(2 pi v). f32 and below: u from the top 40 bits, so |z| reaches 7.4, v from the low 24. f64: 53
// bits each, of two words.
Tensor normal_numbers(const Plan& p, const Shape& shape) {
  auto fraction = [](const Tensor& bits, DType t, int n, double of = 1) { return cast(bits, t) * std::ldexp(of, -n); };
  auto normal = [](const Tensor& u, const Tensor& angle) { return sqrt(log(u) * -2.0) * cos(angle); };
  const double circle = 2 * std::numbers::pi;
  if (p.dtype == f64) {
    Tensor words = p.bits({2, numel(shape)});
    Tensor u = fraction(shift_right(select(words, 0, 0), 11) + 1, f64, 53);
    return reshape(normal(u, fraction(shift_right(select(words, 0, 1), 11), f64, 53, circle)), shape);
  }
  return by_pieces(p.bits(shape), p.dtype, [&](const Tensor& words) {
    Tensor u = fraction(shift_right(words, 24) + 1, f32, 40);
    return normal(u, fraction(bitwise_and(words, (int64_t(1) << 24) - 1), f32, 24, circle)).to(p.dtype);
  });
}

// The high 64 bits of u n, both unsigned, from products of 32-bit halves.
Tensor high_product(const Tensor& u, uint64_t n) {
  auto high = [](const Tensor& x) { return shift_right(x, 32); };
  auto low = [](const Tensor& x) { return bitwise_and(x, int64_t(0xffffffff)); };
  int64_t n1 = int64_t(n >> 32), n0 = int64_t(n & 0xffffffff);
  Tensor u1 = high(u), u0 = low(u);
  Tensor middle = u1 * n0 + high(u0 * n0);
  if (n1 == 0) return high(middle);
  return u1 * n1 + high(middle) + high(u0 * n1 + low(middle));
}

// Of 0, ..., n - 1 one that 64 bits choose: the high word of u n. For small n as many of the top bits of u decide as
// leave room for the product, which makes another choice once in 2^31 draws at most.
Tensor choices(const Tensor& u, uint64_t n) {
  const int width = std::bit_width(n - 1), taken = 63 - width;
  if (width > 16) return high_product(u, n);
  return shift_right(shift_right(u, 64 - taken) * int64_t(n), taken);
}

// Places by odds p [rows, n]: how many running sums a uniform part of the whole has passed. [rows, count]. Some rows at
// a time, whose sums then stay in the caches.
Tensor drawn_by_odds(const Tensor& p, int64_t count, const Tensor& draw) {
  constexpr int64_t kPiece = 1 << 19, kTogether = 16;
  const int64_t rows = p.size(0), n = p.size(1), most = std::max(kPiece / n / kTogether, int64_t(1)) * kTogether;
  Tensor u = uniform_from(bits_over(p, draw, {rows, count}), f64);
  auto places = [&](int64_t begin, int64_t some) {
    Tensor passed = cumsum(narrow(p, 0, begin, some).to(f64), 1);
    Tensor part = narrow(u, 0, begin, some) * narrow(passed, 1, n - 1, 1);
    return apply<op::upper_bound, 2>({&passed, &part}, {}, std::source_location::current());
  };
  if (rows <= most) return places(0, rows);
  std::vector<Tensor> pieces;
  for (int64_t i = 0; i < rows; i += most) pieces.push_back(places(i, std::min(most, rows - i)));
  return cat(pieces, 0);
}

// Different places: each waits for a time that is exponential with its odds as rate, and the first ones are taken.
Tensor drawn_in_a_race(const Tensor& p, int64_t count, const Tensor& draw) {
  Tensor wait = -log1p(-uniform_from(bits_over(p, draw, p.shape()), f64));
  return topk(where(eq(p, 0), -1.0, p.to(f64) / wait), count, 1).second;
}

// The first element that is not good, as "-0.5 at [0,2]"; "" where all are, or where no host can look.
std::string first_not(const Tensor& good, const Tensor& x) {
  if (!on_host(x.device()) || x.array().is_shape_only() || all(good).item<bool>()) return "";
  int64_t flat = argmin(cast(good, u8)).item<int64_t>();
  Shape at = x.shape();
  const std::string value = text_of(select(reshape(x, {-1}), 0, flat).item());
  for (int d = at.rank - 1; d >= 0; d--) {
    const int64_t n = at[d];
    at[d] = flat % n, flat /= n;
  }
  return at.rank ? value + " at " + to_string(at) : value;
}

void infer_dropout(Infer& c) {
  double p = c.attrs<DropoutAttrs>().p;
  detail::check_floating(c.x(0), "x");
  if (!(p >= 0 && p <= 1)) throw ValueError("p is " + text_of(p) + " (expected 0 to 1)");
  detail::check_dtype(c.x(1), "the draw", i64);
  detail::check_shape(c.x(1), "the draw", {2});
  c.like(0, c.x(0));
}

void dropout_compose(Compose& c) {
  double p = c.attrs<DropoutAttrs>().p;
  const Tensor& x = c.x(0);
  Tensor keep = shift_right(bits_over(x, c.x(1), x.shape()), 40) >= int64_t(std::ceil(std::ldexp(p, 24)));
  c.out[0] = where(keep, x * (p < 1 ? 1 / (1 - p) : 0.0), 0.0);
}

void infer_randperm(Infer& c) {
  detail::check_dtype(c.x(0), "the draw", i64);
  detail::check_shape(c.x(0), "the draw", {2});
  const int64_t n = c.attrs<CountAttrs>().count;
  if (n < 0) throw ValueError("n is " + std::to_string(n) + " (expected 0 or more)");
  c.set(0, i64, {n});
}

void randperm_compose(Compose& c) { c.out[0] = argsort(bits_over(c.x(0), c.x(0), {c.attrs<CountAttrs>().count})); }

}  // namespace

detail::DrawTape::DrawTape(std::vector<Generator>& draws, bool replay)
    : draws_(draws), replay_(replay), outer_(innermost_tape) {
  innermost_tape = this;
}
detail::DrawTape::~DrawTape() { innermost_tape = outer_; }

Generator detail::DrawTape::next(Generator& from) {
  DrawTape* source = innermost_tape;
  while (source && !source->replay_) source = source->outer_;
  Generator draw;
  if (source) {
    if (source->at_ == source->draws_.size())
      throw GradientError("checkpoint: the function drew more random numbers when it ran again");
    draw = source->draws_[source->at_++];
  } else {
    draw = from;
    from.counter++;
  }
  for (DrawTape* t = innermost_tape; t != source; t = t->outer_) t->draws_.push_back(draw);
  return draw;
}

Tensor Generator::draw(Device device) {
  Generator g = detail::DrawTape::next(*this);
  int64_t words[2] = {int64_t(g.seed), int64_t(g.counter)};
  return tensor_from_host(words, i64, {2}, {.dtype = i64, .device = device});
}

Generator& default_generator() {
  static thread_local Generator g;
  return g;
}
void manual_seed(uint64_t seed) { default_generator() = {seed, 0}; }

void define_random_ops() {
  define(op::randperm, {.doc = "0, ..., count - 1 in the order of as many draws of 64 bits, as signed numbers",
                        .infer = infer_randperm,
                        .compose = randperm_compose,
                        .gradient = Gradient::not_differentiable});
  define(op::dropout,
         {.doc = "zeroes elements with probability p and scales the others by 1 / (1 - p)",
          .infer = infer_dropout,
          .compose = dropout_compose,
          .gradient = Gradient::backward,
          .backward = [](Backward& b) {  // linear in x, with the same draw
            Tensor draw = b.x(1);
            b.add(0, apply<op::dropout, 2>({&b.g(), &draw}, b.attrs<DropoutAttrs>(), std::source_location::current()));
          }});
}

Tensor rand(const Shape& shape, const RandomOptions& o, std::source_location where) {
  return detail::called("rand", where, [&] {
    NoGrad guard;
    Plan p(o, f32);
    p.check_floating("rand");
    return p.done(uniform_numbers(p, shape));
  });
}

Tensor uniform(const Shape& shape, double low, double high, const RandomOptions& o, std::source_location where) {
  return detail::called("uniform", where, [&] {
    NoGrad guard;
    Plan p(o, f32);
    p.check_floating("uniform");
    bool fits = low <= high;
    for (double v : {low, high, high - low}) fits &= std::isfinite(nearest(p.dtype, v));
    if (!fits)
      throw ValueError("uniform: low " + text_of(low) + ", high " + text_of(high) +
                       " (expected low <= high, and both and high - low finite in " + name_of(p.dtype) + ")");
    Tensor u = uniform_numbers(p, shape);
    if (low == 0 && high == 1) return p.done(u);
    // Neither sum nor rounding may reach the upper bound.
    const double most = std::max(below(p.dtype, high), nearest(p.dtype, low));
    return p.done(clamp(detail::wide(u) * (high - low) + low, {}, most).to(p.dtype));
  });
}

Tensor randn(const Shape& shape, const RandomOptions& o, std::source_location where) {
  return detail::called("randn", where, [&] {
    NoGrad guard;
    Plan p(o, f32);
    p.check_floating("randn");
    return p.done(normal_numbers(p, shape));
  });
}

Tensor normal(double mean, double std, const Shape& shape, const RandomOptions& o, std::source_location where) {
  return detail::called("normal", where, [&] {
    NoGrad guard;
    Plan p(o, f32);
    p.check_floating("normal");
    if (!(std >= 0)) throw ValueError("normal: std " + text_of(std) + " (expected 0 or more)");
    return p.done(normal_numbers(p, shape) * std + mean);
  });
}

Tensor randint(Integer low, Integer high, const Shape& shape, const RandomOptions& o, std::source_location where) {
  return detail::called("randint", where, [&] {
    NoGrad guard;
    Plan p(o, i64);
    if (low >= high)
      throw ValueError("randint: low " + std::to_string(low) + ", high " + std::to_string(high) +
                       " (expected low < high)");
    p.check_whole(low), p.check_whole(high - 1);
    Tensor x = by_pieces(p.bits(shape), p.dtype, [&](const Tensor& u) {
      Tensor from_zero = choices(u, uint64_t(high) - uint64_t(low));
      return (low == 0 ? from_zero : from_zero + int64_t(low)).to(p.dtype);
    });
    return p.done(x);
  });
}

Tensor randint(Integer high, const Shape& shape, const RandomOptions& o, std::source_location where) {
  return randint(0, high, shape, o, where);
}

Tensor rand_like(const Tensor& x, const RandomOptions& o, std::source_location where) {
  return rand(x.shape(where), beside(x, o), where);
}
Tensor randn_like(const Tensor& x, const RandomOptions& o, std::source_location where) {
  return randn(x.shape(where), beside(x, o), where);
}
Tensor randint_like(const Tensor& x, Integer low, Integer high, const RandomOptions& o, std::source_location where) {
  return randint(low, high, x.shape(where), beside(x, o), where);
}

Tensor randperm(Integer n, const RandomOptions& o, std::source_location where) {
  return detail::called("randperm", where, [&] {
    NoGrad guard;
    Plan p(o, i64);
    if (n > 0) p.check_whole(n - 1);
    return p.done(apply<op::randperm, 1>({&p.draw}, {n}, where).to(p.dtype));
  });
}

Tensor random_bits(const Shape& shape, const RandomOptions& o, std::source_location where) {
  return detail::called("random_bits", where, [&] {
    Plan p(o, i64);
    if (p.dtype != i64) throw DTypeError(std::string("random_bits: dtype ") + name_of(p.dtype) + " (expected i64)");
    return p.bits(shape);
  });
}

Tensor bernoulli(const Operand& p, Generator* generator) {
  return detail::called("bernoulli", p.where(), [&] {
    NoGrad guard;
    Tensor odds = p.is_number() ? p.number_beside(f32, default_device()) : detail::tensor_of(p, "bernoulli");
    detail::check_floating(odds.array().view(), "p");
    if (std::string bad = first_not(logical_and(odds >= 0, odds <= 1), odds); !bad.empty())
      throw ValueError("p is " + bad + " (expected 0 to 1)");
    Tensor draw = (generator ? *generator : default_generator()).draw(odds.device());
    DType t = odds.dtype() == f64 ? f64 : f32;
    return cast(uniform_from(bits_over(odds, draw, odds.shape()), t) < odds.to(t), odds.dtype());
  });
}

Tensor multinomial(const Operand& p, Integer num_samples, MultinomialOptions o) {
  return detail::called("multinomial", p.where(), [&] {
    NoGrad guard;
    const Tensor& t = detail::tensor_of(p, "multinomial");
    detail::check_floating(t.array().view(), "p");
    if (t.dim() < 1 || t.dim() > 2 || t.size(-1) == 0)
      throw ShapeError("p is " + to_string(t.shape()) + " (expected [n] or [rows, n], n above 0)");
    const int64_t n = t.size(-1);
    if (num_samples < 1 || (!o.replacement && num_samples > n))
      throw ValueError("num_samples is " + std::to_string(num_samples) + " (expected 1 " +
                       (o.replacement ? "or more)" : "to " + std::to_string(n) + ", without replacement)"));
    Tensor odds = reshape(t, {t.numel() / n, n});
    if (t.dtype() == f64) odds = odds / amax(odds, 1, {.keepdim = true});  // parts of a denormal sum are all of it
    const Tensor low = amin(t, -1), high = amax(t, -1);
    if (!first_not(logical_and(low >= 0, isfinite(high)), low).empty())
      throw ValueError("p is " + first_not(logical_and(t >= 0, isfinite(t)), t) +
                       " (expected finite numbers, 0 or more)");
    const int64_t least = o.replacement ? 1 : int64_t(num_samples);
    Tensor possible = least == 1 ? cast(high > 0, i64) : sum(t > 0, -1);
    if (std::string bad = first_not(possible >= least, possible); !bad.empty())
      throw ValueError("the number of elements of p above 0 is " + bad + " (expected " + std::to_string(least) +
                       " or more)");
    Tensor draw = (o.generator ? *o.generator : default_generator()).draw(t.device());
    const bool once = o.replacement || num_samples == 1;  // nothing drawn is missed
    Tensor places = (once ? drawn_by_odds : drawn_in_a_race)(odds, num_samples, draw);
    return t.dim() == 1 ? reshape(places, -1) : places;
  });
}

Tensor categorical(const Operand& logits, Generator* generator) {
  return detail::called("categorical", logits.where(), [&] {
    NoGrad guard;
    const Tensor& t = detail::tensor_of(logits, "categorical");
    detail::check_floating(t.array().view(), "logits");
    if (t.dim() < 1 || t.size(-1) == 0)
      throw ShapeError("logits are " + to_string(t.shape()) + " (expected [..., n], n above 0)");
    Shape rows(t.shape().dims, size_t(t.dim() - 1));
    Tensor x = reshape(t, {numel(rows), t.size(-1)}).to(f64), largest = amax(x, 1, {.keepdim = true});
    if (std::string bad = first_not(isfinite(largest), largest); !bad.empty())
      throw ValueError("the largest of a row of logits is " + bad + " (expected a finite number)");
    Tensor draw = (generator ? *generator : default_generator()).draw(t.device());
    return reshape(drawn_by_odds(exp(x - largest), 1, draw), rows);
  });
}

Tensor dropout(const Operand& x, double p, DropoutOptions o) {
  const Tensor& t = detail::tensor_of(x, "dropout");
  if (!(p >= 0 && p <= 1)) detail::fail<ValueError>("dropout", x.where(), "p is " + text_of(p) + " (expected 0 to 1)");
  if (!o.training || p == 0) return t;
  Tensor draw = (o.generator ? *o.generator : default_generator()).draw(t.device());
  return apply<op::dropout, 2>({&t, &draw}, {p}, x.where());
}

}  // namespace fovea
