// Attributes of built-in ops: plain structs, trivially copyable, at most 256 bytes, no tensors.
// Each lists its fields once; the hash that guards plug-ins, `--attrs` JSON, error values and traces come from that
// list. Names and defaults are PyTorch's.
#pragma once
#include <cstdint>
#include <type_traits>

#include "core/dtype.h"
#include "core/shape.h"

namespace fovea {

template <class A, class T> struct Field {
  const char* name;
  T A::*member;
};
template <class A, class T> Field(const char*, T A::*) -> Field<A, T>;

// The fields of an attrs struct, in order: `A::fields().each([](auto field) { ... })`. A tuple would do, at half a
// second for every file that includes this.
template <class... F> struct Fields;
template <> struct Fields<> {
  template <class Visit> constexpr void each(Visit&&) const {}
};
template <class First, class... Rest> struct Fields<First, Rest...> {
  constexpr Fields(First f, Rest... r) : first(f), rest(r...) {}
  template <class Visit> constexpr void each(Visit&& visit) const {
    visit(first);
    rest.each(visit);
  }
  First first;
  Fields<Rest...> rest;
};
template <class... F> Fields(F...) -> Fields<F...>;

// Aligned as others are: the kernel of a slot may be shared by rows with attributes and rows without.
struct alignas(8) NoAttrs {
  static constexpr auto fields() { return Fields{}; }
};
inline constexpr NoAttrs kNoAttrs;  // what ops without attributes are given

// fill: every element becomes `value` (floating) or `integer` (integer and boolean dtypes).
struct FillAttrs {
  double value = 0;
  int64_t integer = 0;
  static constexpr auto fields() {
    return Fields{Field{"value", &FillAttrs::value}, Field{"integer", &FillAttrs::integer}};
  }
};

// iota: out[i] = start + i * step, computed in f64 (floating) or i64 (integers).
struct IotaAttrs {
  double start = 0, step = 1;
  int64_t integer_start = 0, integer_step = 1;
  static constexpr auto fields() {
    return Fields{Field{"start", &IotaAttrs::start}, Field{"step", &IotaAttrs::step},
                  Field{"integer_start", &IotaAttrs::integer_start}, Field{"integer_step", &IotaAttrs::integer_step}};
  }
};

struct CastAttrs {
  DType dtype = DType::f32;
  static constexpr auto fields() { return Fields{Field{"dtype", &CastAttrs::dtype}}; }
};

// Reductions over the axes of `dim` (an empty list means all). keepdim leaves them with size 1.
struct ReduceAttrs {
  Shape dim;
  bool keepdim = false;
  static constexpr auto fields() {
    return Fields{Field{"dim", &ReduceAttrs::dim}, Field{"keepdim", &ReduceAttrs::keepdim}};
  }
};

// Variance: the sum of squared deviations over max(0, count - correction).
struct VarAttrs {
  Shape dim;
  double correction = 1;
  bool keepdim = false;
  static constexpr auto fields() {
    return Fields{Field{"dim", &VarAttrs::dim}, Field{"correction", &VarAttrs::correction},
                  Field{"keepdim", &VarAttrs::keepdim}};
  }
};
// The order of a norm may be an infinity.
struct VectorNormAttrs {
  double ord = 2;
  Shape dim;
  bool keepdim = false;
  static constexpr auto fields() {
    return Fields{Field{"ord", &VectorNormAttrs::ord}, Field{"dim", &VectorNormAttrs::dim},
                  Field{"keepdim", &VectorNormAttrs::keepdim}};
  }
};

// One axis: scan, softmax, gather, scatter, cat, ...
struct DimAttrs {
  int64_t dim = -1;
  static constexpr auto fields() { return Fields{Field{"dim", &DimAttrs::dim}}; }
};

struct DimKeepAttrs {
  int64_t dim = -1;
  bool keepdim = false;
  static constexpr auto fields() {
    return Fields{Field{"dim", &DimKeepAttrs::dim}, Field{"keepdim", &DimKeepAttrs::keepdim}};
  }
};

// Of the sorted range only the first `k`; -1: all.
struct SortAttrs {
  int64_t dim = -1;
  bool descending = false;
  int64_t k = -1;
  static constexpr auto fields() {
    return Fields{Field{"dim", &SortAttrs::dim}, Field{"descending", &SortAttrs::descending},
                  Field{"k", &SortAttrs::k}};
  }
};

// How many there are, where no input's shape tells.
struct CountAttrs {
  int64_t count = 0;
  static constexpr auto fields() { return Fields{Field{"count", &CountAttrs::count}}; }
};

// scatter: `size` is the extent of `dim` where the base is absent (a base of zeros).
struct ScatterAttrs {
  int64_t dim = 0, size = -1;
  static constexpr auto fields() {
    return Fields{Field{"dim", &ScatterAttrs::dim}, Field{"size", &ScatterAttrs::size}};
  }
};

// Views and shapes.
struct ShapeAttrs {
  Shape shape;
  static constexpr auto fields() { return Fields{Field{"shape", &ShapeAttrs::shape}}; }
};
struct PermuteAttrs {
  Shape dims;
  static constexpr auto fields() { return Fields{Field{"dims", &PermuteAttrs::dims}}; }
};
struct TransposeAttrs {
  int64_t dim0 = 0, dim1 = 1;
  static constexpr auto fields() {
    return Fields{Field{"dim0", &TransposeAttrs::dim0}, Field{"dim1", &TransposeAttrs::dim1}};
  }
};
// x[..., start : stop : step, ...] on `dim`; 0 <= start, a negative step counts down from start; `length` elements.
struct SliceAttrs {
  int64_t dim = 0, start = 0, length = 0, step = 1;
  static constexpr auto fields() {
    return Fields{Field{"dim", &SliceAttrs::dim}, Field{"start", &SliceAttrs::start},
                  Field{"length", &SliceAttrs::length}, Field{"step", &SliceAttrs::step}};
  }
};
// The gradient of slice: g laid into zeros, `size` long on `dim`.
struct SliceBackwardAttrs {
  int64_t dim = 0, start = 0, step = 1, size = 0;
  static constexpr auto fields() {
    return Fields{Field{"dim", &SliceBackwardAttrs::dim}, Field{"start", &SliceBackwardAttrs::start},
                  Field{"step", &SliceBackwardAttrs::step}, Field{"size", &SliceBackwardAttrs::size}};
  }
};

// Elements move by `shift` along an axis, those that leave it come in at its other end.
struct RollAttrs {
  int64_t shift = 0, dim = 0;
  static constexpr auto fields() { return Fields{Field{"shift", &RollAttrs::shift}, Field{"dim", &RollAttrs::dim}}; }
};

// The diagonal at which a triangle of the last two axes ends; above the main one it is positive.
struct TriangleAttrs {
  int64_t diagonal = 0;
  static constexpr auto fields() { return Fields{Field{"diagonal", &TriangleAttrs::diagonal}}; }
};

struct DiagonalAttrs {
  int64_t offset = 0, dim1 = 0, dim2 = 1;
  static constexpr auto fields() {
    return Fields{Field{"offset", &DiagonalAttrs::offset}, Field{"dim1", &DiagonalAttrs::dim1},
                  Field{"dim2", &DiagonalAttrs::dim2}};
  }
};
// The gradient of diagonal: g laid into zeros of shape `shape`.
struct DiagonalBackwardAttrs {
  Shape shape;
  int64_t offset = 0, dim1 = 0, dim2 = 1;
  static constexpr auto fields() {
    return Fields{Field{"shape", &DiagonalBackwardAttrs::shape}, Field{"offset", &DiagonalBackwardAttrs::offset},
                  Field{"dim1", &DiagonalBackwardAttrs::dim1}, Field{"dim2", &DiagonalBackwardAttrs::dim2}};
  }
};
// Windows of `size` elements along an axis, `step` from each other, as a new last axis.
struct UnfoldAttrs {
  int64_t dimension = 0, size = 1, step = 1;
  static constexpr auto fields() {
    return Fields{Field{"dimension", &UnfoldAttrs::dimension}, Field{"size", &UnfoldAttrs::size},
                  Field{"step", &UnfoldAttrs::step}};
  }
};
// The gradient of unfold: windows added into zeros, `extent` long on the axis.
struct UnfoldBackwardAttrs {
  int64_t dimension = 0, extent = 0, step = 1;
  static constexpr auto fields() {
    return Fields{Field{"dimension", &UnfoldBackwardAttrs::dimension}, Field{"extent", &UnfoldBackwardAttrs::extent},
                  Field{"step", &UnfoldBackwardAttrs::step}};
  }
};
// A copy on another device. Devices are {backend, index} of this process.
struct ToDeviceAttrs {
  int64_t backend = 0, index = 0;
  static constexpr auto fields() {
    return Fields{Field{"backend", &ToDeviceAttrs::backend}, Field{"index", &ToDeviceAttrs::index}};
  }
};

// x + value a b.
struct AddcmulAttrs {
  double value = 1;
  static constexpr auto fields() { return Fields{Field{"value", &AddcmulAttrs::value}}; }
};

enum class Gelu : int32_t { none, tanh };  // PyTorch's approximate="none" | "tanh"
constexpr Gelu last_of(Gelu) { return Gelu::tanh; }
struct GeluAttrs {
  Gelu approximate = Gelu::none;
  static constexpr auto fields() { return Fields{Field{"approximate", &GeluAttrs::approximate}}; }
};

// What the slots activation and activation_backward are given: the attributes of the row, which are up to three
// numbers. Kernels read as many as the kind has.
struct ActivationAttrs {
  double first = 0, second = 0, third = 0;
  static constexpr auto fields() {
    return Fields{Field{"first", &ActivationAttrs::first}, Field{"second", &ActivationAttrs::second},
                  Field{"third", &ActivationAttrs::third}};
  }
};
// A bound that is NaN is none.
struct ClampAttrs {
  double min = 0, max = 0;
  static constexpr auto fields() { return Fields{Field{"min", &ClampAttrs::min}, Field{"max", &ClampAttrs::max}}; }
};
struct NanToNumAttrs {
  double nan = 0, posinf = 0, neginf = 0;
  static constexpr auto fields() {
    return Fields{Field{"nan", &NanToNumAttrs::nan}, Field{"posinf", &NanToNumAttrs::posinf},
                  Field{"neginf", &NanToNumAttrs::neginf}};
  }
};
struct SoftplusAttrs {
  double beta = 1, threshold = 20;
  static constexpr auto fields() {
    return Fields{Field{"beta", &SoftplusAttrs::beta}, Field{"threshold", &SoftplusAttrs::threshold}};
  }
};
struct LeakyReluAttrs {
  double negative_slope = 0.01;
  static constexpr auto fields() { return Fields{Field{"negative_slope", &LeakyReluAttrs::negative_slope}}; }
};
struct EluAttrs {
  double alpha = 1;
  static constexpr auto fields() { return Fields{Field{"alpha", &EluAttrs::alpha}}; }
};

// The normalised axes are the last `normalized_dims`.
struct LayerNormAttrs {
  int64_t normalized_dims = 1;
  double eps = 1e-5;
  static constexpr auto fields() {
    return Fields{Field{"normalized_dims", &LayerNormAttrs::normalized_dims}, Field{"eps", &LayerNormAttrs::eps}};
  }
};

struct GroupNormAttrs {
  int64_t num_groups = 1;
  double eps = 1e-5;
  static constexpr auto fields() {
    return Fields{Field{"num_groups", &GroupNormAttrs::num_groups}, Field{"eps", &GroupNormAttrs::eps}};
  }
};

// Pairs of the first `dims` channels turn by position * scale * base^(-2 pair / dims).
struct RopeAttrs {
  int64_t dims = 0;  // even
  double base = 10000, scale = 1;
  bool interleaved = false;   // pairs are neighbours, else a channel of the first half and one of the second
  bool heads_inside = false;  // x is [..., T, H, D] in place of [..., T, D]
  bool inverse = false;       // by minus the angle: the gradient
  static constexpr auto fields() {
    return Fields{Field{"dims", &RopeAttrs::dims},
                  Field{"base", &RopeAttrs::base},
                  Field{"scale", &RopeAttrs::scale},
                  Field{"interleaved", &RopeAttrs::interleaved},
                  Field{"heads_inside", &RopeAttrs::heads_inside},
                  Field{"inverse", &RopeAttrs::inverse}};
  }
};

struct EmbeddingAttrs {
  int64_t padding_idx = -1;  // this row gets no gradient; -1: none
  static constexpr auto fields() { return Fields{Field{"padding_idx", &EmbeddingAttrs::padding_idx}}; }
};
struct EmbeddingBackwardAttrs {
  int64_t num_embeddings = 0, padding_idx = -1;
  static constexpr auto fields() {
    return Fields{Field{"num_embeddings", &EmbeddingBackwardAttrs::num_embeddings},
                  Field{"padding_idx", &EmbeddingBackwardAttrs::padding_idx}};
  }
};

// Windows of `kernel_size` numbers, `dilation` apart, that begin `stride` apart on the last axis, which is longer by
// `padding` at both ends; with ceil_mode a last window that is not full counts too.
struct MaxPoolAttrs {
  int64_t kernel_size = 1, stride = 1, padding = 0, dilation = 1;
  bool ceil_mode = false;
  static constexpr auto fields() {
    return Fields{Field{"kernel_size", &MaxPoolAttrs::kernel_size}, Field{"stride", &MaxPoolAttrs::stride},
                  Field{"padding", &MaxPoolAttrs::padding}, Field{"dilation", &MaxPoolAttrs::dilation},
                  Field{"ceil_mode", &MaxPoolAttrs::ceil_mode}};
  }
};

enum class Reduction : int32_t { none, mean, sum };
constexpr Reduction last_of(Reduction) { return Reduction::sum; }
struct CrossEntropyAttrs {
  int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
  double label_smoothing = 0;
  static constexpr auto fields() {
    return Fields{Field{"ignore_index", &CrossEntropyAttrs::ignore_index},
                  Field{"reduction", &CrossEntropyAttrs::reduction},
                  Field{"label_smoothing", &CrossEntropyAttrs::label_smoothing}};
  }
};

struct NllLossAttrs {
  int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
  static constexpr auto fields() {
    return Fields{Field{"ignore_index", &NllLossAttrs::ignore_index}, Field{"reduction", &NllLossAttrs::reduction}};
  }
};

// Of numbers and their targets, of whose differences the first three are; logits are of odds.
enum class PairLoss : int32_t { squared, absolute, huber, logits };
constexpr PairLoss last_of(PairLoss) { return PairLoss::logits; }
struct PairLossAttrs {
  PairLoss kind = PairLoss::squared;
  Reduction reduction = Reduction::mean;
  double delta = 1, scale = 1;  // of huber
  static constexpr auto fields() {
    return Fields{Field{"kind", &PairLossAttrs::kind}, Field{"reduction", &PairLossAttrs::reduction},
                  Field{"delta", &PairLossAttrs::delta}, Field{"scale", &PairLossAttrs::scale}};
  }
};

// The scalars of a mask (DESIGN.md section 7); documents and lengths are inputs. Unbounded is -1.
struct AttentionAttrs {
  double scale = 0;  // 0: 1/sqrt(D)
  int64_t left = -1, right = -1, prefix = 0, sinks = 0, global = 0;
  bool causal = false, top_left = false;
  bool heads_inside = false;  // arrays are [B, T, H, D] in place of [B, H, T, D]
  static constexpr auto fields() {
    return Fields{Field{"scale", &AttentionAttrs::scale},
                  Field{"left", &AttentionAttrs::left},
                  Field{"right", &AttentionAttrs::right},
                  Field{"prefix", &AttentionAttrs::prefix},
                  Field{"sinks", &AttentionAttrs::sinks},
                  Field{"global", &AttentionAttrs::global},
                  Field{"causal", &AttentionAttrs::causal},
                  Field{"top_left", &AttentionAttrs::top_left},
                  Field{"heads_inside", &AttentionAttrs::heads_inside}};
  }
};

// random_bits: what the 64 random bits of element i become.
struct DropoutAttrs {
  double p = 0.5;
  static constexpr auto fields() { return Fields{Field{"p", &DropoutAttrs::p}}; }
};

// adamw over lists of n parameters; lr, step number and gradient scale are 0-dim inputs. `decay_count`: the first that
// many decay.
struct AdamWAttrs {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0.01;
  int64_t decay_count = 0;
  static constexpr auto fields() {
    return Fields{Field{"beta1", &AdamWAttrs::beta1}, Field{"beta2", &AdamWAttrs::beta2},
                  Field{"eps", &AdamWAttrs::eps}, Field{"weight_decay", &AdamWAttrs::weight_decay},
                  Field{"decay_count", &AdamWAttrs::decay_count}};
  }
};

namespace detail {
constexpr uint64_t hash_bytes(uint64_t h, const char* s) {
  for (; *s; s++) h = (h ^ uint8_t(*s)) * 0x100000001b3;
  return h;
}
constexpr uint64_t hash_number(uint64_t h, uint64_t n) { return (h ^ n) * 0x100000001b3; }
template <class T> constexpr uint64_t type_tag() {
  return sizeof(T) * 8 + std::is_floating_point_v<T> * 4 + std::is_enum_v<T> * 2 + std::is_same_v<T, bool>;
}
}  // namespace detail

// Names, kinds and size of the fields: two builds that agree on it mean the same attrs.
template <class A> constexpr uint64_t attrs_hash() {
  static_assert(std::is_trivially_copyable_v<A> && sizeof(A) <= 256, "attrs are plain structs of at most 256 bytes");
  uint64_t h = detail::hash_number(0xcbf29ce484222325, std::is_empty_v<A> ? 0 : sizeof(A));
  A::fields().each(
      [&]<class T>(Field<A, T> f) { h = detail::hash_number(detail::hash_bytes(h, f.name), detail::type_tag<T>()); });
  return h;
}

}  // namespace fovea
