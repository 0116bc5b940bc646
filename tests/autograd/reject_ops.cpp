// Misuse of ops and tensors that must not compile; tools/dev/must_not_compile.py reads the cases.
#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <span>
#include <string_view>

#include "autograd/checkpoint.h"
#include "autograd/op_def.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/norm.h"
#include "autograd/ops/random.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/view.h"
#include "autograd/transforms.h"
using namespace fovea;

// accept: a rule is a plain function, operands are tensors and numbers
void define_twice() {
  define_op({.name = "twice",
             .infer = [](Infer& i) { i.like(0, i.x(0)); },
             .compose = [](Compose& c) { c.out[0] = *c.in[0] * 2; }});
}
Tensor f(const Tensor& x) { return x * 2 + x; }

// accept: axes and places of every width
Tensor places(const Tensor& x, size_t n, uint8_t k, const std::vector<int64_t>& v) {
  return softmax(x, n) + cumsum(x, v[0]) + max(x, k).first + argmax(x, 0L) + x[n][k] + x[{1, Slice{n, 5}, x > 0}] +
         squeeze(x, 1) + squeeze(x, {0, 1}) + split(x, n)[0] + split(x, {1, 2})[0] + select(x, 'a', -1);
}

// accept: one size or axis without braces, of any width, and lists as ever
Tensor sizes(const Tensor& x, size_t n, int k) {
  std::vector<int64_t> list = {1, 2};
  Shape none, one = 3, two = {1, 2}, zero = 0, from = list, empty = {};
  Tensor made = zeros(3) + ones(n) + full(k, 1.5) + rand(0) + normal(0, 1, 3) + randint(0, 5, 3) + zeros(list) +
                randint(0, 5, {}) + randint(5, {0}) + randint(0, 5, {0}) + randint(k, list);
  Tensor of = Tensor::of(list, 2), as = Tensor::of(list, {2}), with = Tensor::of(list, 2, {.dtype = f32});
  return sum(x, 1, {.keepdim = true}) + mean(x, 0) + amax(x, -1) + logsumexp(x, k) + sum(x, {}) + sum(x, {0, 1}) +
         x.view(-1) + x.reshape(6) + x.view({2, 3}) + x.expand(3) + x.permute(0) + layer_norm(x, 3) + view(x, n) +
         any(x, 0) + made + of + as + with + sum(x, zero) + sum(x, x.dim() - 1);
}

// accept: an absent bias or weight as {}, operators of truths, shapes and dtypes written to a stream
Tensor absent(const Tensor& x, const Tensor& w, std::ostream& out) {
  out << x.shape() << x.dtype();
  const Tensor m = x > 0, n = !m & ~(w > 0) | (m ^ m) | m & 1;
  return layer_norm(x, {3}, {}, {}) + layer_norm(x, 3, {}, {}, {.eps = 1}) + where(n, x, w);
}

// accept: options in PyTorch's order, options without what comes before them, and lists of one
Tensor ordered(const Tensor& x, const Tensor& y, const Tensor& w) {
  return cross_entropy(x, y, {.weight = w, .ignore_index = 1, .reduction = Reduction::sum, .label_smoothing = 0.1}) +
         nll_loss(x, y, {.weight = w, .ignore_index = 1, .reduction = Reduction::none}) + eye(3, {.dtype = f64}) +
         eye(3, 4, {.dtype = f64}) + eye(3, {}, {.dtype = f64}) + split(x, {3}, 1)[0] + split(x, {3})[0] +
         linspace(0, 1, 5, {.dtype = f64}) + randint(5, {3}, {.dtype = i32}) + flip(x, {0}) + roll(x, {1}, {0}) +
         sum(x, {0}) + repeat(x, {2}) + tile(x, {2}) + pad(x, {1, 1}, {.value = 2}) + clamp(x, {}, 1);
}

// accept: a function of one tensor without its type
Tensor slopes(const Tensor& x) {
  return jacobian([](auto y) { return y * y.unsqueeze(0); }, x) + checkpoint([](auto y) { return y * 2; }, x) +
         checkpoint([](auto y, auto z) { return y * z; }, {x, x}) +
         checkpoint([](const std::vector<Tensor>& y) { return y[0]; }, {x, x});
}

// reject: whole numbers of two types, which made truths once: no matching function
Tensor mixed() { return Tensor::of({0L, 1}); }

// reject: the same with a shape: no matching function
Tensor mixed_sizes() { return Tensor::of({size_t(1), size_t(0), 1}, {3}); }

// accept: truths, and whole numbers of one type
Tensor listed(const std::vector<bool>& v) {
  return Tensor::of(v) + Tensor::of(v, {2}) + Tensor::of({true, false}) + Tensor::of({0L, 1L}) +
         Tensor::of<int64_t>({0L, 1}) + Tensor::of({1, 0}, {2});
}

// reject: a fraction as an axis: from expression of type 'double'
Tensor fraction(const Tensor& x) { return sum(x, 1.5); }

// reject: a fraction as the axis of a running sum: from 'double' to 'fovea::Integer'
Tensor running(const Tensor& x) { return cumsum(x, 0.9); }

// reject: a fraction as an axis that may be absent: from 'double' to 'std::optional<fovea::Integer>'
Tensor best(const Tensor& x) { return argmax(x, 0.5); }

// reject: a fraction where an axis tells two functions apart: no matching function for call to 'max
Tensor largest(const Tensor& x) { return max(x, 1.0).first; }

// reject: a fraction as an axis of a method: cannot convert 'float' to 'fovea::Integer'
Tensor turned(const Tensor& x, float axis) { return x.transpose(0, axis); }

// reject: a fraction as an index: no match for 'operator[]'
Tensor part(const Tensor& x) { return x[0.9]; }

// reject: a fraction as one of several indices: no match for 'operator[]'
Tensor parts(const Tensor& x) { return x[{0, 0.5}]; }

// reject: a fraction in a slice: from 'double' to 'std::optional<fovea::Integer>'
Tensor sliced(const Tensor& x) { return x[Slice{.stop = 2.5}]; }

// reject: a truth as a count: from 'bool' to 'fovea::Integer'
std::vector<Tensor> pieces(const Tensor& x) { return chunk(x, true); }

// reject: keepdim in the place of the axis: from expression of type 'bool'
Tensor keep(const Tensor& x) { return sum(x, true); }

// reject: a number beside a shape: no match for 'operator=='
bool alike(const Tensor& x) { return x.shape() == 3; }

// reject: a rule that captures: convert
void define_scaled(double scale) {
  define_op({.name = "scaled", .compose = [scale](Compose& c) { c.out[0] = *c.in[0] * scale; }});
}

// reject: a text as an operand: no match for 'operator+'
Tensor g(const Tensor& x) { return x + "one"; }

// reject: attributes with a constructor of their own: attrs are plain structs
struct Named {
  std::string name;
  static constexpr auto fields() { return Fields{Field{"name", &Named::name}}; }
};
int h() { return define_op<Named>({.name = "named"}); }

// reject: what was read, written to: read-only location
void write(const Array& a) { *a.data<float>() = 1; }

// reject: attributes that list no fields: 'fields' is not a member
struct Bare {
  int a;
};
int bare() { return define_op<Bare>({.name = "bare"}); }

// reject: a kernel for the attributes of another op: const fovea::FillAttrs
Status fills(const Call&, const FillAttrs&);
void enrol(Kernels& table) { table.set<op::softmax, fills>(); }

// reject: an argument changed in place: discards qualifiers
void grow(const Tensor& x) { x += 1; }

// accept: memory borrowed with what keeps it, or moved in
Tensor kept(float* data, std::shared_ptr<void> keeper, std::unique_ptr<float[]> only, std::vector<float> v,
            const std::shared_ptr<const std::vector<float>>& shared) {
  return Tensor::borrow(data, 2, keeper) + Tensor::borrow(data, {2}, std::move(only)) +
         Tensor::borrow(data, {2}, shared) + Tensor::borrow(v.data(), {2}, std::move(v)) +
         Tensor::adopt(std::vector<float>(2), {2});
}

// accept: what keeps memory is told from what only points to it, watches it or may be absent
template <class... K> constexpr bool keeps() { return (detail::Keeper<K> && ...); }
template <class... K> constexpr bool keeps_nothing() { return !(detail::Keeper<K> || ...); }
struct Empty {};
auto function = [] {};
static_assert(keeps<std::shared_ptr<void>, std::shared_ptr<float[]>, std::unique_ptr<float>, std::vector<char>,
                    std::shared_ptr<std::array<float, 2>>, std::shared_ptr<Empty>, std::string>());
static_assert(keeps_nothing<std::nullptr_t, float*, void*, double, int, Empty, decltype(function), std::weak_ptr<float>,
                            std::reference_wrapper<std::vector<float>>, std::vector<float>::iterator>());
static_assert(keeps_nothing<std::span<float>, std::string_view, std::array<float, 2>, std::optional<std::vector<float>>,
                            std::shared_ptr<float*>, std::shared_ptr<std::span<float>>, std::unique_ptr<float*>>());

// reject: memory borrowed without a keeper: what keeps the memory is a shared_ptr
Tensor borrowed(float* data) { return Tensor::borrow(data, {2}, data); }

// reject: memory borrowed with a container that stays here: moved in
Tensor with_copy(std::vector<float>& v) { return Tensor::borrow(v.data(), {2}, v); }

// reject: memory borrowed with a unique pointer that stays here: moved in
Tensor with_lent(std::unique_ptr<float[]>& only) { return Tensor::borrow(only.get(), {2}, only); }

// reject: a container adopted that somebody else still has: no matching function
Tensor adopted(const std::vector<float>& v) { return Tensor::adopt(v, {2}); }

// reject: a span adopted: no matching function
Tensor seen(std::vector<float>& v) { return Tensor::adopt(std::span<float>(v), {2}); }

// Pitfalls 35 and 36 of the catalogue (pt#12230, pt#39637, pt#33867, NVIDIA/Fuser#5356, bitsandbytes#1187): writing
// into memory that overlaps, or into a copy. Ops do not write into tensors here.

// reject: an op in place: has no member named 'masked_fill_'
void in_place(Tensor& x, const Tensor& mask) { x.masked_fill_(mask, 0.0); }

// reject: a result written where the caller says: too many arguments
void where_told(Tensor& x, const Tensor& a, const Tensor& b) { x = add(a, b, {.out = x}); }

// reject: an element of a tensor written to: operator=
void element(Tensor& x, const Tensor& y) { x[0] = y; }
