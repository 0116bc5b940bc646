// Slots unary, binary, select, hypot, logaddexp, lerp and addcmul; activations are in activation.cpp.
#include "backends/cpu/elementwise.h"

#include "backends/common/formulas.h"
#include "backends/cpu/elementwise_rows.h"
#include "backends/cpu/kernels.h"
#include "backends/ref/kernels.h"

#define FOVEA_FAMILY "backends/cpu/elementwise_kernels.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {
namespace {

template <class T>
constexpr const ElementwiseKernels<T>* kTables[kIsaLevels] = {&sse2::kElementwiseTable<T>, &avx2::kElementwiseTable<T>,
                                                              &avx512::kElementwiseTable<T>};
// f64 serves checks, not training: one level of it is enough code.
template <>
constexpr const ElementwiseKernels<double>* kTables<double>[kIsaLevels] = {
    &sse2::kElementwiseTable<double>, &sse2::kElementwiseTable<double>, &sse2::kElementwiseTable<double>};
// Whole numbers and booleans have two levels: what is wider is no faster than memory.
template <class T> const ElementwiseKernels<T>& kernels() {
  if constexpr (!std::is_integral_v<T>) return *kTables<T>[int(isa())];
  else return isa() == Isa::sse2 ? sse2::kWholeTable<T> : avx2::kWholeTable<T>;
}

// Whether by_type finds a kernel: of f64 there are fewer, where lane by lane through the C library would gain nothing.
template <class Of> bool has(DType t, const Of& of) {
  if (t == f64) return of(kernels<double>());
  return (t == f32 || contains(kHalves, t)) && of(kernels<float>());
}

constexpr bool is_cheap(Unary k) {
  return k == Unary::neg || k == Unary::abs || k == Unary::sign || k == Unary::square || k == Unary::relu ||
         (k >= Unary::floor && k <= Unary::trunc);
}

}  // namespace

float by_library(Unary k, float x) {
  double v = x;
  return float(k == Unary::sin ? std::sin(v) : k == Unary::cos ? std::cos(v) : std::tan(v));
}
float by_library(Binary k, float a, float b) {
  double x = a, y = b;
  if (k == Binary::pow) return float(std::pow(x, y));
  if (k == Binary::fmod) return float(std::fmod(x, y));
  return k == Binary::remainder ? float(formulas::remainder(x, y)) : float(formulas::floor_divide(x, y));
}

template <> const ElementwiseKernels<float>& elementwise_kernels(Isa level) { return *kTables<float>[int(level)]; }
template <> const ElementwiseKernels<double>& elementwise_kernels(Isa level) { return *kTables<double>[int(level)]; }

Status unary(const Call& c, const NoAttrs& a) {
  const View &x = c.x(0), &y = c.y();
  auto one = [&](const auto& t) { return t.unary[c.kind]; };
  auto test = [&](const auto& t) { return t.test[c.kind]; };
  if (c.kind >= kUnaries) return ref::unary(c, a);
  auto whole = [&]<class T>() {
    auto kernel = y.dtype == x.dtype ? one(kernels<T>()) : nullptr;
    if (kernel) run1<T, T>(x, y, kCheap, kernel);
    return kernel ? Status{} : ref::unary(c, a);
  };
  if (x.dtype == i64) return whole.operator()<int64_t>();
  if (x.dtype == i32) return whole.operator()<int32_t>();
  if (x.dtype == boolean && Unary(c.kind) == Unary::logical_not) {
    run1<uint8_t, uint8_t>(x, y, kCheap, kernels<uint8_t>().unary[c.kind]);
    return {};
  }
  if (contains(kHalves, x.dtype) && (Unary(c.kind) == Unary::neg || Unary(c.kind) == Unary::abs)) {
    run1<uint16_t, uint16_t>(x, y, kCheap, Unary(c.kind) == Unary::neg ? negate_halves : clear_signs);
    return {};
  }
  if (y.dtype == x.dtype && has(x.dtype, one))
    return by_type(x.dtype, [&]<class T, class S>() {
      run1<T, S>(x, y, is_cheap(Unary(c.kind)) ? kCheap : kDear, one(kernels<T>()));
    });
  if (y.dtype == boolean && has(x.dtype, test))
    return by_type(x.dtype, [&]<class T, class S>() { run2<T, S, bool, bool>(x, x, y, kCheap, test(kernels<T>())); });
  return ref::unary(c, a);
}

namespace {

// One number for all elements.
bool is_one(const View& v) {
  for (int d = 0; d < v.rank; d++)
    if (v.strides[d] != 0 && v.shape[d] > 1) return false;
  return v.numel > 0;
}

[[gnu::noinline]] Status any_binary(const Call& c, const NoAttrs& attrs) {
  const View &a = c.x(0), &b = c.x(1), &y = c.y();
  auto same = [&](const auto& t) { return t.binary[c.kind]; };
  auto compare = [&](const auto& t) { return t.compare[c.kind]; };
  auto same_by = [&]<class T, class S>() { run2<T, S, T, S>(a, b, y, kCheap, same(kernels<T>())); };
  auto compare_by = [&]<class T, class S>() { run2<T, S, bool, bool>(a, b, y, kCheap, compare(kernels<T>())); };
  if (c.kind >= kBinaries || b.dtype != a.dtype) return ref::binary(c, attrs);
  if (y.dtype == a.dtype && has(a.dtype, same)) return by_type(a.dtype, same_by);
  if (y.dtype == boolean && has(a.dtype, compare)) return by_type(a.dtype, compare_by);
  auto whole = [&]<class T>(const auto& of, const auto& by) {
    return of(kernels<T>()) ? (by.template operator()<T, T>(), true) : false;
  };
  if (Binary(c.kind) == Binary::shift_right && a.dtype == i64 && y.dtype == i64 && is_one(b)) {  // random bits
    if (const int64_t by = *b.as<int64_t>(); by >= 0 && by < 64) {
      run1<int64_t, int64_t>(a, y, kCheap, [by](int64_t n, const int64_t* x, int64_t* to) {
        for (int64_t i = 0; i < n; i++) to[i] = int64_t(uint64_t(x[i]) >> by);
      });
      return {};
    }
  }
  bool done = false;
  if (y.dtype == a.dtype && a.dtype == i64) done = whole.operator()<int64_t>(same, same_by);
  else if (y.dtype == a.dtype && a.dtype == i32) done = whole.operator()<int32_t>(same, same_by);
  else if (y.dtype == a.dtype && a.dtype == boolean) done = whole.operator()<uint8_t>(same, same_by);
  else if (y.dtype == boolean && a.dtype == i64) done = whole.operator()<int64_t>(compare, compare_by);
  else if (y.dtype == boolean && a.dtype == i32) done = whole.operator()<int32_t>(compare, compare_by);
  return done ? Status{} : ref::binary(c, attrs);
}

}  // namespace

// Short and simple calls, of which small models are made, come first.
Status binary(const Call& c, const NoAttrs& attrs) {
  const View &a = c.x(0), &b = c.x(1), &y = c.y();
  if (a.dtype == f32 && b.dtype == f32 && y.dtype == f32 && a.dense && b.dense && y.dense && y.numel <= kCheap)
    if (auto kernel = kernels<float>().binary[c.kind]) {
      kernel(y.numel, a.as<float>(), 1, b.as<float>(), 1, y.as<float>());
      return {};
    }
  return any_binary(c, attrs);
}

bool same_dtypes(const Call& c, const void*) {
  for (int i = 1; i < c.inputs; i++)
    if (c.x(i).dtype != c.x(0).dtype) return false;
  return c.y().dtype == c.x(0).dtype;
}
Status hypot(const Call& c, const NoAttrs&) {
  return f32_or_half(
      c.y().dtype, [&]<class S>() { run2<float, S, float, S>(c.x(0), c.x(1), c.y(), kDear, kernels<float>().hypot); });
}
Status logaddexp(const Call& c, const NoAttrs&) {
  return f32_or_half(c.y().dtype, [&]<class S>() {
    run2<float, S, float, S>(c.x(0), c.x(1), c.y(), kDear, kernels<float>().logaddexp);
  });
}

namespace {
Status of_three(const Call& c, decltype(ElementwiseKernels<float>::lerp) row, double value) {
  return f32_or_half(c.y().dtype, [&]<class S>() {
    auto kernel = [row, v = float(value)](int64_t n, auto p, int64_t sp, auto q, int64_t sq, auto r, int64_t sr,
                                          auto y) { row(n, p, sp, q, sq, r, sr, y, v); };
    run3<float, S>(c.x(0), c.x(1), c.x(2), c.y(), kCheap, kernel);
  });
}

template <class T> Status whole_between(const Call& c) {
  run3<T, T>(c.x(0), c.x(1), c.x(2), c.y(), kCheap,
             [k = kernels<T>().between](int64_t n, auto p, int64_t sp, auto q, int64_t sq, auto r, int64_t sr, auto y) {
               k(n, p, sp, q, sq, r, sr, y, 0);
             });
  return {};
}
}  // namespace
Status clamp_between(const Call& c, const NoAttrs&) {
  if (c.y().dtype == i64) return whole_between<int64_t>(c);
  if (c.y().dtype == i32) return whole_between<int32_t>(c);
  return of_three(c, kernels<float>().between, 0);
}
Status lerp(const Call& c, const NoAttrs&) { return of_three(c, kernels<float>().lerp, 0); }
Status addcmul(const Call& c, const AddcmulAttrs& a) { return of_three(c, kernels<float>().addcmul, a.value); }

namespace {
// Words by masks, so that there is no branch to guess.
template <class T>
void select_words(int64_t n, const bool* p, const T* a, int64_t step_a, const T* b, int64_t step_b, T* y) {
  for (int64_t i = 0; i < n; i++) {
    const T left = a[i * step_a], right = b[i * step_b];
    y[i] = T(right ^ ((left ^ right) & T(-T(p[i]))));
  }
}
}  // namespace

// Moves bits, whatever they mean. Those of 4 bytes have kernels as floats, which loads and stores do not touch.
Status select(const Call& c, const NoAttrs& attrs) {
  const View &p = c.x(0), &a = c.x(1), &b = c.x(2), &y = c.y();
  if (p.dtype != boolean || a.dtype != y.dtype || b.dtype != y.dtype) return ref::select(c, attrs);
  auto run = [&]<class T>(auto* row) {
    Loops<4> loops({&y, &p, &a, &b});
    const int64_t sy = loops.step(0), sp = loops.step(1), sa = loops.step(2), sb = loops.step(3);
    bool chunked = sy != 1 || sp != 1 || uint64_t(sa) > 1 || uint64_t(sb) > 1;
    walk(loops, kCheap, chunked, [&](const int64_t* at, int64_t n) {
      alignas(64) bool choice[kChunk];
      alignas(64) T left[kChunk], right[kChunk], out[kChunk], *to = y.as<T>() + at[0];
      const bool* choose = p.as<bool>() + at[1];
      if (sp != 1) {
        for (int64_t i = 0; i < n; i++) choice[i] = choose[i * sp];
        choose = choice;
      }
      Operand<T> l(a.as<T>() + at[2], sa, n, left), r(b.as<T>() + at[3], sb, n, right);
      row(n, choose, l.p, l.step, r.p, r.step, sy == 1 ? to : out);
      if (sy != 1) put_row(to, sy, out, n);
    });
  };
  switch (size_of(y.dtype)) {
    case 1: run.template operator()<uint8_t>(select_words<uint8_t>); break;
    case 2: run.template operator()<uint16_t>(select_words<uint16_t>); break;
    case 4: run.template operator()<float>(kernels<float>().select); break;
    default: run.template operator()<uint64_t>(select_words<uint64_t>);
  }
  return {};
}

}  // namespace fovea::cpu
