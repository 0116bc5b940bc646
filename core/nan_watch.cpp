#include "core/nan_watch.h"

#include <atomic>
#include <cmath>
#include <limits>

#include "core/array.h"
#include "core/device.h"
#include "core/half.h"
#include "core/parallel.h"

namespace fovea {
namespace {

// Adding one to an exponent of all ones carries into the sign bit, which was cleared before: no comparisons, so every
// dtype is three instructions a vector.
template <class U> bool none_full(const U* p, int64_t n, U unit) {
  typedef U Vector [[gnu::vector_size(16), gnu::aligned(alignof(U)), gnu::may_alias]];
  constexpr int64_t kLanes = 16 / sizeof(U);
  constexpr U kSign = U(U(1) << (8 * sizeof(U) - 1)), kRest = U(~kSign);
  Vector a = {}, b = {}, c = {}, d = {};
  auto at = [p](int64_t i) { return *reinterpret_cast<const Vector*>(p + i); };
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    a |= (at(i) & kRest) + unit;
    b |= (at(i + kLanes) & kRest) + unit;
    c |= (at(i + 2 * kLanes) & kRest) + unit;
    d |= (at(i + 3 * kLanes) & kRest) + unit;
  }
  a |= b | c | d;
  U sum = 0;
  for (; i < n; i++) sum |= U((p[i] & kRest) + unit);
  for (int64_t k = 0; k < kLanes; k++) sum |= a[k];
  return !(sum & kSign);
}

template <class U> bool all_finite(const void* data, int64_t n, U unit) {
  constexpr int64_t kGrain = (1 << 16) / int64_t(sizeof(U));
  std::atomic<bool> finite{true};
  parallel_for(0, n, kGrain, [&](int64_t begin, int64_t end) {
    if (!none_full(static_cast<const U*>(data) + begin, end - begin, unit)) finite = false;
  });
  return finite;
}

double number(DType t, const void* data, int64_t i) {
  switch (t) {
    case DType::f64: return static_cast<const double*>(data)[i];
    case DType::f32: return static_cast<const float*>(data)[i];
    case DType::bf16: return double(float(static_cast<const BFloat16*>(data)[i]));
    default: return double(float(static_cast<const Float16*>(data)[i]));
  }
}

// Floating numbers with data: others have nothing to find.
bool readable(const View& v) {
  return v.present() && v.data && v.numel > 0 && is_floating(v.dtype) && !is_dual(v.dtype);
}

bool all_finite(DType t, const void* data, int64_t n) {
  switch (t) {
    case DType::f64: return all_finite<uint64_t>(data, n, uint64_t(1) << 52);
    case DType::f32: return all_finite<uint32_t>(data, n, 1u << 23);
    case DType::bf16: return all_finite<uint16_t>(data, n, 1u << 7);
    default: return all_finite<uint16_t>(data, n, 1u << 10);
  }
}

// From the first to the last element in memory, whatever the order: true for all of most views at once.
bool stretch_finite(const View& v) {
  int64_t begin = 0, span = 1, count = 1;
  for (int d = 0; d < v.rank; d++) {
    if (v.strides[d] == 0) continue;
    const int64_t reach = (v.shape[d] - 1) * v.strides[d];
    span += std::abs(reach), count *= v.shape[d];
    if (reach < 0) begin += reach;
  }
  return span <= 2 * count && all_finite(v.dtype, static_cast<const char*>(v.data) + begin * size_of(v.dtype), span);
}

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();  // without the sign that arithmetic gives it

// The first NaN of an array, or else its first infinity.
struct Found {
  enum Kind : int { finite, infinite, nan } kind = finite;
  double value = 0;
  Shape index;
};

Found search(const View& v) {
  Found found;
  if (!readable(v)) return found;
  if (on_host(v.device) && stretch_finite(v)) return found;
  const Array dense = host_copy(v);
  if (all_finite(v.dtype, dense.view().data, v.numel)) return found;
  int64_t at = 0;
  for (int64_t i = 0; i < v.numel && found.kind != Found::nan; i++) {
    const double x = number(v.dtype, dense.view().data, i);
    const Found::Kind kind = std::isnan(x) ? Found::nan : std::isinf(x) ? Found::infinite : Found::finite;
    if (kind > found.kind) found.kind = kind, found.value = std::isnan(x) ? kNan : x, at = i;
  }
  found.index = shape_of(v);
  for (int d = v.rank - 1; d >= 0; d--) found.index.dims[d] = at % v.shape[d], at /= v.shape[d];
  return found;
}

std::string described(const View& v) { return std::string(name_of(v.dtype)) + " " + to_string(v.shape, v.rank); }

bool shares(const View& v, const View* const* others, int n) {
  for (int i = 0; i < n; i++)
    if (others[i]->present() && others[i]->data == v.data) return true;
  return false;
}

}  // namespace

std::string NonFinite::to_string() const {
  const std::string what = text_of(value) + " at " + fovea::to_string(index) + " of ";
  const std::string type = std::string(name_of(dtype)) + " " + fovea::to_string(shape);
  if (backward)
    return "backward: " + what + "the gradient of input " + std::to_string(place) + ", " + type + ", from " + from +
           ", of " + op + (where.line() > 0 ? ", recorded at " + describe(where) : "") +
           (module.empty() ? "" : " (" + module + ")");
  const bool inner = !function.empty() && function != op;
  std::string text = inner ? function + ": " + op + " gave " + what : op + ": " + what;
  return text + (inner ? "" : "its ") + "result" + (place ? " " + std::to_string(place) : "") + ", " + type +
         ", from " + from;
}

NonFiniteError::NonFiniteError(NonFinite f) : Error(f.to_string()), found(std::move(f)) {
  if (!found.backward) locate("", found.where, found.module);  // backward's caller is still to be named
}

void NanWatch::report(NonFinite f) {
  if (options_.throws) throw NonFiniteError(std::move(f));
  found_ = std::move(f);
}

// What is worse than what it came from was made here. NaN from NaN is reported too, since no op before has made it.
void NanWatch::op(const TraceEvent& e) {
  if (e.depth > 0 || found_) return;
  for (int k = 0; k < e.outputs; k++) {
    const Found bad = search(*e.out[k]);
    if (bad.kind == Found::finite || (bad.kind == Found::infinite && (k > 0 || !options_.infinities))) continue;
    if (k > 0 && e.out[0]->numel == 0) continue;  // statistics of nothing
    NonFinite f{.op = e.op, .place = k, .value = bad.value, .dtype = e.out[k]->dtype, .index = bad.index};
    bool written = e.inputs == 0;  // fill: what the user wrote
    for (int i = 0; i < e.inputs; i++) {
      if (shares(*e.in[i], e.out, e.outputs)) continue;  // overwritten
      const Found before = search(*e.in[i]);
      written |= before.kind >= bad.kind && (e.update || bad.kind == Found::infinite);
      if (before.kind == Found::finite || !f.from.empty()) continue;
      f.from = "input " + std::to_string(i) + ", " + described(*e.in[i]) + " with " + text_of(before.value) + " at " +
               fovea::to_string(before.index);
      f.made = before.kind < bad.kind;
    }
    if (written) continue;
    if (f.from.empty()) f.from = "finite inputs";
    const ThreadState& s = state();
    f.shape = shape_of(*e.out[k]);
    if (s.op) f.function = s.op;
    if (s.where) f.where = *s.where;
    if (s.module) f.module = s.module;
    return report(std::move(f));
  }
}

void NanWatch::gradients(const GradientEvent& e) {
  if (e.depth > 0 || found_) return;
  for (int i = 0; i < e.inputs; i++) {
    const View& g = *e.gradients[i];
    if (shares(g, e.cotangents, e.outputs)) continue;  // handed on as it came
    const Found bad = search(g);
    if (bad.kind == Found::finite || (bad.kind == Found::infinite && !options_.infinities)) continue;
    NonFinite f{.op = e.op, .backward = true, .place = i, .value = bad.value, .dtype = g.dtype, .index = bad.index};
    for (int k = 0; k < e.outputs && f.from.empty(); k++)
      if (const Found before = search(*e.cotangents[k]); before.kind != Found::finite) {
        f.from = "a cotangent, " + described(*e.cotangents[k]) + " with " + text_of(before.value) + " at " +
                 fovea::to_string(before.index);
        f.made = before.kind < bad.kind;
      }
    if (bad.kind == Found::infinite && !f.made) continue;
    if (f.from.empty()) f.from = "a finite cotangent";
    f.shape = shape_of(g);
    f.where = *e.where;
    if (e.module) f.module = e.module;
    return report(std::move(f));
  }
}

}  // namespace fovea
