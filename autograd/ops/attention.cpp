#include "autograd/ops/attention.h"

#include <cmath>

#include "autograd/ops/checks.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/families.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/random.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/view.h"

namespace fovea {
namespace {

// The axes of [B, H, T, D], or of [B, T, H, D].
struct Axes {
  int heads, time;
  explicit Axes(bool heads_inside) : heads(heads_inside ? 2 : 1), time(heads_inside ? 1 : 2) {}
};

void check_qkv(const View& q, const View& k, const View& v, bool heads_inside) {
  const auto [heads, time] = Axes(heads_inside);
  detail::check_floating(q, "q");
  detail::check_dtype(k, "k", q.dtype);
  detail::check_dtype(v, "v", q.dtype);
  std::string all = "q " + to_string(shape_of(q)) + ", k " + to_string(shape_of(k)) + ", v " + to_string(shape_of(v));
  if (q.rank != 4 || k.rank != 4 || v.rank != 4)
    throw ShapeError(all + " " +
                     (heads_inside ? "(expected [B, Tq, H, D], [B, Tk, Hkv, D], [B, Tk, Hkv, Dv])"
                                   : "(expected [B, H, Tq, D], [B, Hkv, Tk, D], [B, Hkv, Tk, Dv])"));
  auto differ = [&](const char* what, int64_t a, int64_t b) {
    if (a != b)
      throw ShapeError(std::string(what) + " differ: " + std::to_string(a) + " and " + std::to_string(b) + ": " + all);
  };
  differ("batch sizes of q and k", q.shape[0], k.shape[0]);
  differ("batch sizes of k and v", k.shape[0], v.shape[0]);
  differ("heads of k and v", k.shape[heads], v.shape[heads]);
  differ("lengths of k and v", k.shape[time], v.shape[time]);
  differ("head sizes of q and k", q.shape[3], k.shape[3]);
  const int64_t hq = q.shape[heads], hk = k.shape[heads];
  if (hk == 0 ? hq != 0 : hq % hk != 0)
    throw ShapeError("q has " + std::to_string(hq) + " heads and k has " + std::to_string(hk) +
                     " (expected a multiple): " + all);
}

constexpr int64_t kFarthest = int64_t(1) << 40;  // of windows: sums of positions stay far from the end of i64

// Numbers of an i32 array that host memory holds: calls f(place, number).
template <class F> void each_number(const View& v, const F& f) {
  if (!v.data || !on_host(v.device)) return;
  const int64_t columns = v.rank > 1 ? v.shape[1] : 1, across = v.rank > 1 ? v.strides[1] : 0;
  for (int64_t i = 0; i < v.numel; i++) f(i, v.as<int32_t>()[i / columns * v.strides[0] + i % columns * across]);
}

// Lengths of at most all queries or keys; documents that begin before they end, within both.
void check_numbers(const View& v, const char* name, int64_t queries, int64_t keys) {
  int32_t before = 0;
  each_number(v, [&](int64_t i, int32_t n) {
    const bool of_q = v.rank > 1 ? i % 4 < 2 : name[0] == 'q', end = v.rank > 1 && i % 2 == 1;
    const int64_t least = end ? before : 0, most = of_q ? queries : keys;
    if (n < least || n > most)
      throw IndexError(std::string(name) + " has " + std::to_string(n) + " at position " + std::to_string(i) +
                       " (expected " + std::to_string(least) + " to " + std::to_string(most) + ", of " +
                       std::to_string(most) + (of_q ? " queries)" : " keys)"));
    before = n;
  });
}

void check_mask(const AttentionAttrs& a, const View* documents, const View* k_lengths, const View* q_lengths,
                const View& q, const View& k) {
  const int64_t batch = q.shape[0], queries = q.shape[Axes(a.heads_inside).time],
                keys = k.shape[Axes(a.heads_inside).time];
  auto at_least = [](const char* name, int64_t value, int64_t least) {
    if (value < least || value > kFarthest)
      throw ValueError(std::string(name) + " is " + std::to_string(value) + " (expected " + std::to_string(least) +
                       " or more, at most 2^40)");
  };
  at_least("left", a.left, -1);
  at_least("right", a.right, -1);
  at_least("prefix", a.prefix, 0);
  at_least("sinks", a.sinks, 0);
  at_least("global", a.global, 0);
  if (!std::isfinite(q.dtype == f64 ? a.scale : double(float(a.scale))))
    throw ValueError("scale is " + text_of(a.scale) + " (expected a finite number)");
  if (documents) {
    detail::check_dtype(*documents, "documents", i32);
    if (documents->rank != 2 || documents->shape[1] != 4)
      throw ShapeError("documents is " + to_string(shape_of(*documents)) + " (expected [n, 4])");
    check_numbers(*documents, "documents", queries, keys);
  }
  auto lengths = [&](const View* v, const char* name) {
    if (!v) return;
    detail::check_dtype(*v, name, i32);
    detail::check_shape(*v, name, {batch});
    check_numbers(*v, name, queries, keys);
  };
  lengths(k_lengths, "k_lengths");
  lengths(q_lengths, "q_lengths");
}

void check_fits(const char* name, const Shape& mask, const Shape& scores) {
  bool fits = mask.rank <= scores.rank;
  for (int d = 1; fits && d <= mask.rank; d++)
    fits = mask[mask.rank - d] == 1 || mask[mask.rank - d] == scores[scores.rank - d];
  if (!fits)
    throw ShapeError(std::string(name) + " is " + to_string(mask) + " (expected a shape that broadcasts to " +
                     to_string(scores) + ")");
}

// A dense mask [B or 1, H or 1, Tq or 1, Tk] of numbers that are added to the scores; -inf hides a key.
void check_dense_mask(const View* mask, const View& q, const View& k, bool heads_inside) {
  if (!mask) return;
  const auto [heads, time] = Axes(heads_inside);
  if (mask->dtype != q.dtype) detail::check_dtype(*mask, "the mask", acc_dtype(q.dtype));
  check_fits("the mask", shape_of(*mask), {q.shape[0], q.shape[heads], q.shape[time], k.shape[time]});
  if (mask->rank != 4 || mask->shape[3] != k.shape[time])
    throw ShapeError("the mask is " + to_string(shape_of(*mask)) + " (expected [B or 1, H or 1, Tq or 1, Tk])");
}

const View* present(const Infer& c, int i) { return c.has(i) ? &c.x(i) : nullptr; }

// o [B, H, Tq, Dv] and the log-sum-exp of each row's visible scores [B, H, Tq], -inf where it sees nothing.
void infer_attention(Infer& c) {
  const View &q = c.x(0), &k = c.x(1), &v = c.x(2);
  const auto& a = c.attrs<AttentionAttrs>();
  check_qkv(q, k, v, a.heads_inside);
  check_mask(a, present(c, 3), present(c, 4), present(c, 5), q, k);
  check_dense_mask(present(c, 6), q, k, a.heads_inside);
  const auto [heads, time] = Axes(a.heads_inside);
  c.set(0, q.dtype, {q.shape[0], q.shape[1], q.shape[2], v.shape[3]});
  c.set(1, acc_dtype(q.dtype), {q.shape[0], q.shape[heads], q.shape[time]});
}

// Inputs g, q, k, v, documents, k_lengths, q_lengths, o, lse, dense mask; outputs dq, dk, dv.
void infer_attention_backward(Infer& c) {
  const View &q = c.x(1), &k = c.x(2), &v = c.x(3);
  check_qkv(q, k, v, c.attrs<AttentionAttrs>().heads_inside);
  check_mask(c.attrs<AttentionAttrs>(), present(c, 4), present(c, 5), present(c, 6), q, k);
  check_dense_mask(present(c, 9), q, k, c.attrs<AttentionAttrs>().heads_inside);
  detail::check_shape(c.x(0), "the gradient", {q.shape[0], q.shape[1], q.shape[2], v.shape[3]});
  detail::check_dtype(c.x(0), "the gradient", q.dtype);
  const auto [heads, time] = Axes(c.attrs<AttentionAttrs>().heads_inside);
  detail::check_shape(c.x(7), "the output", shape_of(c.x(0)));
  detail::check_dtype(c.x(7), "the output", q.dtype);
  detail::check_shape(c.x(8), "the log-sum-exp", {q.shape[0], q.shape[heads], q.shape[time]});
  detail::check_dtype(c.x(8), "the log-sum-exp", acc_dtype(q.dtype));
  for (int i = 0; i < 3; i++) c.like(i, c.x(i + 1));
}

Tensor both(const Tensor& a, const Tensor& b) { return a.defined() ? logical_and(a, b) : b; }

// The mask's formula, from positions and comparisons: boolean [B or 1, 1, Tq, Tk]. Axis 1 runs over documents until
// the end.
Tensor visible(const AttentionAttrs& a, int64_t queries, int64_t keys, const Tensor& like, const Tensor& documents,
               const Tensor& k_lengths, const Tensor& q_lengths) {
  TensorOptions whole{.dtype = i64, .like = like};
  Tensor q = view(arange(double(queries), whole), {1, 1, queries, 1});
  Tensor k = view(arange(double(keys), whole), {1, 1, 1, keys});
  Tensor q_begin = zeros({1, 1, 1, 1}, whole), k_begin = q_begin;
  Tensor q_end = q_begin + queries, k_end = k_begin + keys;
  if (documents.defined()) {
    auto field = [&](int i) { return reshape(select(documents, 1, i).to(i64), {1, documents.size(0), 1, 1}); };
    q_begin = field(0), q_end = field(1), k_begin = field(2), k_end = field(3);
  }
  auto shorten = [](const Tensor& end, const Tensor& lengths) {
    return lengths.defined() ? minimum(end, reshape(lengths.to(i64), {lengths.numel(), 1, 1, 1})) : end;
  };
  q_end = shorten(q_end, q_lengths), k_end = shorten(k_end, k_lengths);

  Tensor inside = both(both(q >= q_begin, q < q_end), both(k >= k_begin, k < k_end));
  Tensor i = q - q_begin, j = k - k_begin;
  Tensor at = a.top_left ? i : i + ((k_end - k_begin) - (q_end - q_begin));
  Tensor near;  // undefined: everything
  if (a.left >= 0) near = j >= at - a.left;
  if (a.right >= 0) near = both(near, j <= at + a.right);
  if (near.defined() && a.sinks > 0) near = logical_or(near, j < a.sinks);
  if (a.causal) near = both(near, j <= at);
  if (near.defined() && a.prefix > 0) near = logical_or(near, j < a.prefix);
  if (near.defined() && a.global > 0) near = logical_or(near, logical_or(i < a.global, j < a.global));
  Tensor seen = both(near, inside);
  return documents.defined() ? any(seen, {1}, {.keepdim = true}) : seen;
}

Tensor transposed(const Tensor& x) { return transpose(x, -1, -2); }
Tensor finite(const Tensor& x) { return where(isfinite(x), x, 0.0); }

// a b^T. An entry depends on its own row of a and of b only; so that the same holds for gradients, entries with NaN or
// inf are constants there.
Tensor pairs(const Tensor& a, const Tensor& b) {
  Tensor plain = matmul(a.detach(), transposed(b.detach()));
  if (!(state().mode & kGrad) || !(a.requires_grad() || b.requires_grad())) return plain;
  auto bad = [](const Tensor& x) { return any(logical_not(isfinite(x)), {-1}, {.keepdim = true}); };
  return where(logical_or(bad(a), transposed(bad(b))), plain, matmul(finite(a), transposed(finite(b))));
}

// weights x over the entries that are seen; unseen weights are 0, and 0 times NaN must not be NaN. So finite parts are
// multiplied, then NaN and infinities are put back where one is seen: NaN and both signs give NaN. Where the sign of
// the weight is open, everything gives NaN.
enum class Sign { positive, open };
Tensor combine(const Tensor& weights, const Tensor& seen, const Tensor& x, Sign sign) {
  DType t = x.dtype();
  Tensor y = matmul(weights, finite(x)), fixed = x.detach(), count = cast(seen, t);
  auto sees = [&](const Tensor& what) { return matmul(count, cast(what, t)) > 0; };
  if (sign == Sign::open) return where(sees(logical_not(isfinite(fixed))), NAN, y);
  Tensor nan = isnan(fixed);
  Tensor up = sees(logical_or(nan, eq(fixed, INFINITY))), down = sees(logical_or(nan, eq(fixed, -INFINITY)));
  return where(up, where(down, NAN, full({}, INFINITY, {.like = y})), where(down, -INFINITY, y));
}

// The weights of attention. Query heads that share a key head lie one behind the other, [B, Hkv, H / Hkv Tq, ...].
struct Weights {
  int64_t heads, queries, kv_heads;
  Tensor q, k, v;  // q scaled; in the accumulator's dtype
  Tensor seen, p, lse;

  // seen and bias broadcast to [B, H, Tq, Tk]; bias may be undefined.
  Weights(const Tensor& raw_q, const Tensor& raw_k, const Tensor& raw_v, double scale, const Tensor& mask,
          const Tensor& bias)
      : heads(raw_q.size(1)), queries(raw_q.size(2)), kv_heads(raw_k.size(1)) {
    DType t = acc_dtype(raw_q.dtype());
    q = fold(raw_q.to(t)) * scale, k = raw_k.to(t), v = raw_v.to(t);
    Shape all{raw_q.size(0), heads, queries, raw_k.size(2)};
    seen = fold(expand(mask, all));
    Tensor s = pairs(q, k);
    if (bias.defined()) s = s + fold(expand(bias.to(t), all));
    s = where(seen, s, -INFINITY);
    Shape rows = s.shape();
    rows[3] = 1;
    Tensor m = zeros(rows, {.like = s});
    if (s.numel() > 0) {
      m = amax(s.detach(), {-1}, {.keepdim = true});
      m = where(eq(m, -INFINITY), 0.0, m);
    }
    Tensor e = exp(s - m), z = sum(e, {-1}, {.keepdim = true}), none = eq(z, 0), some = where(none, 1.0, z);
    p = where(seen, e / some, 0.0);
    lse = squeeze(unfold(where(none, -INFINITY, log(some) + m)), -1);
  }

  Tensor fold(const Tensor& x) const {  // [B, H, Tq, n] -> [B, Hkv, H / Hkv Tq, n]
    return reshape(x, {x.size(0), kv_heads, kv_heads ? heads / kv_heads * queries : queries, x.size(3)});
  }
  Tensor unfold(const Tensor& x) const { return reshape(x, {x.size(0), heads, queries, x.size(3)}); }
};

double scale_of(double scale, int64_t head_size) { return scale != 0 ? scale : 1 / std::sqrt(double(head_size)); }

// [B, H, T, D] of what the op was given, and back.
Tensor outside(const Tensor& x, const AttentionAttrs& a) { return a.heads_inside ? transpose(x, 1, 2) : x; }

Weights weights_of(const Compose& c, int first, int dense, const AttentionAttrs& a) {
  Tensor q = outside(c.x(first), a), k = outside(c.x(first + 1), a), v = outside(c.x(first + 2), a);
  Tensor mask = visible(a, q.size(2), k.size(2), q, c.x(first + 3), c.x(first + 4), c.x(first + 5));
  Tensor bias = c.x(dense);
  if (bias.defined()) mask = both(mask, ne(bias, -INFINITY));
  return Weights(q, k, v, scale_of(a.scale, q.size(3)), mask, bias);
}

void attention_compose(Compose& c) {
  const auto& a = c.attrs<AttentionAttrs>();
  Weights w = weights_of(c, 0, 6, a);
  c.out[0] = outside(w.unfold(combine(w.p, w.seen, w.v, Sign::positive)), a).to(c.x(0).dtype());
  c.out[1] = w.lse;
}

// With p the weights, dp = g v^T and ds = p (dp - sum(p dp)):
//   dq = scale ds k,  dk = scale ds^T q,  dv = p^T g. o and lse are computed anew.
void attention_backward_compose(Compose& c) {
  const auto& a = c.attrs<AttentionAttrs>();
  Weights w = weights_of(c, 1, 9, a);
  Tensor g = w.fold(outside(c.x(0), a).to(w.v.dtype()));
  Tensor dp = pairs(g, w.v);
  Tensor drift = sum(where(w.seen, w.p * dp, 0.0), {-1}, {.keepdim = true});
  Tensor ds = where(w.seen, w.p * (dp - drift), 0.0), seen_by = transposed(w.seen);
  Tensor dq = combine(ds, w.seen, w.k, Sign::open) * scale_of(a.scale, w.q.size(3));
  c.out[0] = outside(w.unfold(dq), a).to(c.x(1).dtype());
  c.out[1] = outside(combine(transposed(ds), seen_by, w.q, Sign::open), a).to(c.x(2).dtype());
  c.out[2] = outside(combine(transposed(w.p), seen_by, g, Sign::positive), a).to(c.x(3).dtype());
}

void attention_backward(Backward& b) {
  Tensor in[10] = {b.g(0), b.x(0), b.x(1), b.x(2), b.x(3), b.x(4), b.x(5), b.y(0), b.y(1), b.x(6)}, out[3];
  const Tensor* x[10];
  for (int i = 0; i < 10; i++) x[i] = &in[i];
  detail::apply_any(state(), op::attention_backward, x, 10, &b.attrs<AttentionAttrs>(), std::source_location::current(),
                    out);
  for (int i = 0; i < 3; i++)
    if (b.needs(i)) b.add(i, out[i]);
}

// A mask of truths or numbers as the row takes it.
Tensor added_to_scores(const Tensor& mask, DType t, int64_t keys) {
  Tensor x =
      mask.dtype() == boolean ? where(mask, zeros({}, {.dtype = t, .like = mask}), -INFINITY) : mask.detach().to(t);
  Shape s = x.shape(), four{1, 1, 1, 1};
  for (int d = 1; d <= s.rank; d++) four[4 - d] = s[s.rank - d];
  x = reshape(x, four);
  return four[3] == 1 ? contiguous(expand(x, {four[0], four[1], four[2], keys})) : x;
}

// Those beyond i32 stay beyond all lengths.
Tensor short_integers(const Tensor& t) {
  if (!t.defined() || t.dtype() != i64) return t;
  return maximum(minimum(t, int64_t(INT32_MAX)), int64_t(INT32_MIN)).to(i32);
}

}  // namespace

void define_attention_ops() {
  define(op::attention, {.doc = "softmax(scale q k^T) v over the keys that a query sees; also the rows' log-sum-exp",
                         .infer = infer_attention,
                         .compose = attention_compose,
                         .gradient = Gradient::backward,
                         .backward = attention_backward,
                         .fixed_outputs = 0b10});
  define(op::attention_backward, {.doc = "the gradients of q, k and v",
                                  .infer = infer_attention_backward,
                                  .compose = attention_backward_compose,
                                  .gradient = Gradient::derived});
}

Tensor attention(const Operand& q, const Operand& k, const Operand& v, const AttentionOptions& o) {
  const char* name = "attention";
  AttentionAttrs a{o.scale, o.left, o.right, o.prefix, o.sinks, o.global, o.causal, o.top_left, o.heads_inside};
  Tensor documents = short_integers(o.documents), k_lengths = short_integers(o.k_lengths),
         q_lengths = short_integers(o.q_lengths);
  const Tensor none;
  return apply<op::attention, 7>({&detail::tensor_of(q, name), &detail::tensor_of(k, name), &detail::tensor_of(v, name),
                                  &documents, &k_lengths, &q_lengths, &none},
                                 a, q.where());
}

Tensor scaled_dot_product_attention(const Operand& query, const Operand& key, const Operand& value,
                                    const SdpaOptions& o) {
  return detail::called("scaled_dot_product_attention", query.where(), [&]() -> Tensor {
    const char* name = "scaled_dot_product_attention";
    Tensor q = detail::tensor_of(query, name), k = detail::tensor_of(key, name), v = detail::tensor_of(value, name);
    int rank = q.dim();
    if (rank < 2 || rank > 4 || k.dim() != rank || v.dim() != rank)
      throw ShapeError("query " + to_string(q.shape()) + ", key " + to_string(k.shape()) + ", value " +
                       to_string(v.shape()) + " (expected 2 to 4 axes, as many in each)");
    for (Tensor* t : {&q, &k, &v})
      for (int i = rank; i < 4; i++) *t = unsqueeze(Operand(*t, query.where()), rank == 2 ? 0 : 1);
    check_qkv(q.array().view(), k.array().view(), v.array().view(), false);
    if (q.size(1) != k.size(1) && !o.enable_gqa)
      throw ShapeError("query has " + std::to_string(q.size(1)) + " heads and key has " + std::to_string(k.size(1)) +
                       " (expected as many, or enable_gqa)");
    if (!(o.dropout_p >= 0 && o.dropout_p <= 1))
      throw ValueError("dropout_p is " + text_of(o.dropout_p) + " (expected 0 to 1)");
    if (o.is_causal && o.attn_mask.defined()) throw ValueError("attn_mask and is_causal exclude each other");
    Tensor y, given = o.attn_mask;
    if (given.defined()) {
      if (given.dtype() != boolean && !is_floating(given.dtype()))
        throw DTypeError(std::string("attn_mask is ") + name_of(given.dtype()) + " (expected bool or floating)");
      if (rank == 3 && given.dim() == 3) given = unsqueeze(given, 1);
      check_fits("attn_mask", given.shape(), {q.size(0), q.size(1), q.size(2), k.size(2)});
    }
    const double scale = o.scale.value_or(1 / std::sqrt(double(std::max<int64_t>(q.size(3), 1))));
    const bool learnt = given.defined() && given.requires_grad() && (state().mode & kGrad);
    const AttentionAttrs a{.scale = scale, .causal = o.is_causal, .top_left = true};
    if (!learnt && o.dropout_p == 0 && scale != 0) {
      const Tensor none, dense = given.defined() ? added_to_scores(given, acc_dtype(q.dtype()), k.size(2)) : none;
      y = apply<op::attention, 7>({&q, &k, &v, &none, &none, &none, &dense}, a, query.where());
    } else {
      Tensor seen = visible(a, q.size(2), k.size(2), q, {}, {}, {}), bias;
      if (given.defined()) {
        if (given.dtype() == boolean) seen = given;
        else bias = given, seen = ne(given.detach(), -INFINITY);
      }
      Weights w(q, k, v, scale, seen, bias);
      Tensor p = o.dropout_p > 0 ? dropout(w.p, o.dropout_p) : w.p;
      y = w.unfold(combine(p, w.seen, w.v, Sign::positive)).to(q.dtype());
    }
    return rank == 4 ? y : rank == 3 ? squeeze(y, 1) : squeeze(squeeze(y, 0), 0);
  });
}

}  // namespace fovea
