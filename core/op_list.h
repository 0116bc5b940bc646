// THE TABLE of built-in ops. A row says what an op is; what it computes is an OpDef in autograd/ops, how fast is a
// kernel in backends. Row order is free: plug-ins find rows by name. To add an op: a row here, an OpDef, samples in
// autograd/proof; kernels if it should be fast.
#pragma once
#include "core/op_attrs.h"

namespace fovea {

enum class Form : uint8_t {
  pure,    // fresh outputs, recorded when an input needs a gradient
  view,    // an alias of the first input's memory: no kernel, the OpDef makes the view
  update,  // writes into what it is given; never recorded
  slot     // not an op: a kernel shared by several rows, told apart by kind
};

// Kinds of the shared slots. Every backend's unary, binary, reduce, scan, arg_reduce and scatter know all of theirs;
// activations have compositions.
enum class Unary : uint8_t {
  neg,
  abs,
  sign,
  exp,
  expm1,
  log,
  log1p,
  log2,
  log10,
  sqrt,
  rsqrt,
  reciprocal,
  square,
  sin,
  cos,
  tan,
  asin,
  acos,
  atan,
  sinh,
  cosh,
  tanh,
  sigmoid,
  erf,
  relu,
  floor,
  ceil,
  round,
  trunc,
  logical_not,
  bitwise_not,
  isnan,
  isinf,
  isfinite
};
enum class Binary : uint8_t {
  add,
  sub,
  mul,
  div,
  pow,
  maximum,
  minimum,
  fmod,
  remainder,
  atan2,
  floor_divide,
  eq,
  ne,
  lt,
  le,
  gt,
  ge,
  logical_and,
  logical_or,
  logical_xor,
  bitwise_and,
  bitwise_or,
  bitwise_xor,
  shift_left,
  shift_right /* logical */
};
// relu, tanh and sigmoid are kinds of unary; only their gradients are here, of the result in place of x.
enum class Activation : uint8_t {
  silu,
  mish,
  softplus,
  elu,
  selu,
  leaky_relu,
  hardswish,
  logsigmoid,
  relu6,
  softsign,
  clamp,
  nan_to_num,
  relu,
  tanh,
  sigmoid
};
enum class Reduce : uint8_t { sum, mean, prod, amax, amin, any, all };
enum class Scan : uint8_t { sum, prod };
enum class ArgReduce : uint8_t { max, min };
enum class Scatter : uint8_t { assign, add, amax, amin };

// The result's dtype, from the promoted dtype of the inputs.
enum class Result : uint8_t { same, floating /* integers become f32 */, boolean, index /* i64 */ };

// What an input's gradient needs: bit k is input k, bit 16 + k output k. Nothing else is kept alive.
// A row whose rule is `derived` lists none: all its inputs but the statistics are kept.
constexpr uint32_t in(int k) { return 1u << k; }
constexpr uint32_t out(int k = 0) { return 1u << (16 + k); }

// A field of attributes that holds none of the values of its enum; name null: there is none.
struct WrongEnum {
  const char* name = nullptr;
  int64_t value = 0, last = 0;
};
template <class T>
concept Listed = requires(T value) {
  last_of(value);
};
template <class A> WrongEnum wrong_enum(const void* attrs) {
  WrongEnum wrong;
  A::fields().each([&]<class T>(Field<A, T> f) {
    if constexpr (Listed<T>)
      if (T v = static_cast<const A*>(attrs)->*f.member; uint64_t(v) > uint64_t(last_of(v)))
        wrong = {f.name, int64_t(v), int64_t(last_of(v))};
  });
  return wrong;
}
template <class A> constexpr bool has_enums() {
  bool any = false;
  A::fields().each([&]<class T>(Field<A, T>) { any |= Listed<T>; });
  return any;
}

struct OpRow {
  const char* name = nullptr;
  Form form = Form::pure;
  uint16_t slot = 0;   // the id whose kernel runs it: its own, or a shared slot
  uint8_t kind = 0;    // which of a shared slot
  uint8_t inputs = 1;  // how many; for a list row, how many come before the list
  uint8_t outputs = 1;
  uint8_t dispatch = 0;      // the input whose dtype and device pick the slot
  bool list = false;         // any number of further inputs
  bool elementwise = false;  // outputs = the inputs broadcast together; the engine sums gradients back
  Result result = Result::same;
  uint16_t optional = 0;     // inputs that may be absent, as bits
  uint16_t statistic = 0;    // inputs that are functions of the others (mean, rstd, log-sum-exp)
  uint16_t no_gradient = 0;  // inputs that never have one (indices, masks, statistics)
  uint16_t attrs_size = 0;
  uint64_t attrs_hash = 0;
  uint32_t needs[8] = {};                                // per input gradient
  WrongEnum (*wrong_enum)(const void* attrs) = nullptr;  // of attributes without enums: null

  template <class A> constexpr OpRow attrs() const {
    OpRow r = *this;
    r.attrs_size = std::is_empty_v<A> ? 0 : sizeof(A);
    r.attrs_hash = fovea::attrs_hash<A>();
    if (has_enums<A>()) r.wrong_enum = fovea::wrong_enum<A>;
    return r;
  }
};

// One line per op: X(id, attrs, row). A row is written with designated initialisers; slot 0 means its own id.
// clang-format off
#define FOVEA_OPS(X) \
  /* shared slots and mandatory kernels */ \
  X(unary,          NoAttrs,        {.form = Form::slot}) \
  X(binary,         NoAttrs,        {.form = Form::slot, .inputs = 2}) \
  X(reduce,         ReduceAttrs,    {.form = Form::slot}) \
  X(scan,           DimAttrs,       {.form = Form::slot}) \
  X(arg_reduce,     DimKeepAttrs,   {.form = Form::slot}) \
  X(scatter_kind,   ScatterAttrs,   {.form = Form::slot, .inputs = 3, .dispatch = 2}) \
  X(activation,     ActivationAttrs, {.form = Form::slot}) \
  X(activation_backward, ActivationAttrs, {.form = Form::slot, .inputs = 2}) \
  X(copy,           NoAttrs,        {.form = Form::slot}) \
  X(fill,           FillAttrs,      {.form = Form::update, .inputs = 0}) \
  X(iota,           IotaAttrs,      {.form = Form::update, .inputs = 0}) \
  X(random_bits,    NoAttrs,        {.form = Form::update, .inputs = 1}) \
  X(assign,         NoAttrs,        {.form = Form::update, .slot = op::copy}) \
  X(select,         NoAttrs,        {.form = Form::slot, .inputs = 3, .dispatch = 1}) \
  X(where,          NoAttrs,        {.slot = op::select, .inputs = 3, .dispatch = 1, .elementwise = true, .no_gradient = in(0), .needs = {0, in(0), in(0)}}) \
  X(matmul,         NoAttrs,        {.inputs = 2, .needs = {in(1), in(0)}}) \
  X(gather,         DimAttrs,       {.inputs = 2, .no_gradient = in(1), .needs = {in(1)}}) \
  X(sort,           SortAttrs,      {.outputs = 2, .needs = {out(1)}}) \
  /* elementwise, one input */ \
  X(neg,            NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::neg), .elementwise = true}) \
  X(abs,            NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::abs), .elementwise = true, .needs = {in(0)}}) \
  X(sign,           NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::sign), .elementwise = true}) \
  X(exp,            NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::exp), .elementwise = true, .result = Result::floating, .needs = {out()}}) \
  X(expm1,          NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::expm1), .elementwise = true, .result = Result::floating, .needs = {out()}}) \
  X(log,            NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::log), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(log1p,          NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::log1p), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(sqrt,           NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::sqrt), .elementwise = true, .result = Result::floating, .needs = {out()}}) \
  X(rsqrt,          NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::rsqrt), .elementwise = true, .result = Result::floating, .needs = {out()}}) \
  X(reciprocal,     NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::reciprocal), .elementwise = true, .result = Result::floating, .needs = {out()}}) \
  X(square,         NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::square), .elementwise = true, .needs = {in(0)}}) \
  X(sin,            NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::sin), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(cos,            NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::cos), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(tanh,           NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::tanh), .elementwise = true, .result = Result::floating, .needs = {out()}}) \
  X(sigmoid,        NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::sigmoid), .elementwise = true, .result = Result::floating, .needs = {out()}}) \
  X(erf,            NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::erf), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(relu,           NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::relu), .elementwise = true, .needs = {out()}}) \
  X(logical_not,    NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::logical_not), .elementwise = true, .result = Result::boolean}) \
  X(isnan,          NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::isnan), .elementwise = true, .result = Result::boolean}) \
  X(isfinite,       NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::isfinite), .elementwise = true, .result = Result::boolean}) \
  X(log2,          NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::log2), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(log10,         NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::log10), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(tan,           NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::tan), .elementwise = true, .result = Result::floating, .needs = {out()}}) \
  X(asin,          NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::asin), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(acos,          NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::acos), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(atan,          NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::atan), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(sinh,          NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::sinh), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(cosh,          NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::cosh), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(floor,         NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::floor), .elementwise = true}) \
  X(ceil,          NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::ceil), .elementwise = true}) \
  X(round,         NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::round), .elementwise = true}) \
  X(trunc,         NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::trunc), .elementwise = true}) \
  X(bitwise_not,   NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::bitwise_not), .elementwise = true}) \
  X(isinf,         NoAttrs,        {.slot = op::unary, .kind = uint8_t(Unary::isinf), .elementwise = true, .result = Result::boolean}) \
  X(cast,           CastAttrs,      {.slot = op::copy, .elementwise = true}) \
  X(contiguous,     NoAttrs,        {.slot = op::copy, .elementwise = true}) \
  X(gelu,           GeluAttrs,      {.elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(gelu_backward,  GeluAttrs,      {.inputs = 2, .elementwise = true}) \
  X(logsigmoid,    NoAttrs,        {.slot = op::activation, .kind = uint8_t(Activation::logsigmoid), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(softsign,      NoAttrs,        {.slot = op::activation, .kind = uint8_t(Activation::softsign), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(relu6,         NoAttrs,        {.slot = op::activation, .kind = uint8_t(Activation::relu6), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(selu,          NoAttrs,        {.slot = op::activation, .kind = uint8_t(Activation::selu), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(silu,          NoAttrs,        {.slot = op::activation, .kind = uint8_t(Activation::silu), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(mish,          NoAttrs,        {.slot = op::activation, .kind = uint8_t(Activation::mish), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(hardswish,     NoAttrs,        {.slot = op::activation, .kind = uint8_t(Activation::hardswish), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(softplus,       SoftplusAttrs,  {.slot = op::activation, .kind = uint8_t(Activation::softplus), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(leaky_relu,     LeakyReluAttrs, {.slot = op::activation, .kind = uint8_t(Activation::leaky_relu), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(elu,            EluAttrs,       {.slot = op::activation, .kind = uint8_t(Activation::elu), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(clamp,          ClampAttrs,     {.slot = op::activation, .kind = uint8_t(Activation::clamp), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(nan_to_num,     NanToNumAttrs,  {.slot = op::activation, .kind = uint8_t(Activation::nan_to_num), .elementwise = true, .result = Result::floating, .needs = {in(0)}}) \
  X(logsigmoid_backward, NoAttrs, {.slot = op::activation_backward, .kind = uint8_t(Activation::logsigmoid), .inputs = 2, .elementwise = true}) \
  X(softsign_backward, NoAttrs, {.slot = op::activation_backward, .kind = uint8_t(Activation::softsign), .inputs = 2, .elementwise = true}) \
  X(relu6_backward, NoAttrs, {.slot = op::activation_backward, .kind = uint8_t(Activation::relu6), .inputs = 2, .elementwise = true}) \
  X(selu_backward, NoAttrs, {.slot = op::activation_backward, .kind = uint8_t(Activation::selu), .inputs = 2, .elementwise = true}) \
  X(silu_backward, NoAttrs, {.slot = op::activation_backward, .kind = uint8_t(Activation::silu), .inputs = 2, .elementwise = true}) \
  X(mish_backward, NoAttrs, {.slot = op::activation_backward, .kind = uint8_t(Activation::mish), .inputs = 2, .elementwise = true}) \
  X(hardswish_backward, NoAttrs, {.slot = op::activation_backward, .kind = uint8_t(Activation::hardswish), .inputs = 2, .elementwise = true}) \
  X(softplus_backward, SoftplusAttrs, {.slot = op::activation_backward, .kind = uint8_t(Activation::softplus), .inputs = 2, .elementwise = true}) \
  X(leaky_relu_backward, LeakyReluAttrs, {.slot = op::activation_backward, .kind = uint8_t(Activation::leaky_relu), .inputs = 2, .elementwise = true}) \
  X(elu_backward, EluAttrs, {.slot = op::activation_backward, .kind = uint8_t(Activation::elu), .inputs = 2, .elementwise = true}) \
  X(clamp_backward, ClampAttrs, {.slot = op::activation_backward, .kind = uint8_t(Activation::clamp), .inputs = 2, .elementwise = true}) \
  X(relu_backward, NoAttrs, {.slot = op::activation_backward, .kind = uint8_t(Activation::relu), .inputs = 2, .elementwise = true}) \
  X(tanh_backward, NoAttrs, {.slot = op::activation_backward, .kind = uint8_t(Activation::tanh), .inputs = 2, .elementwise = true}) \
  X(sigmoid_backward, NoAttrs, {.slot = op::activation_backward, .kind = uint8_t(Activation::sigmoid), .inputs = 2, .elementwise = true}) \
  X(dropout,        DropoutAttrs,   {.inputs = 2, .no_gradient = in(1), .needs = {in(1)}}) \
  /* elementwise, two inputs */ \
  X(add,            NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::add), .inputs = 2, .elementwise = true}) \
  X(sub,            NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::sub), .inputs = 2, .elementwise = true}) \
  X(mul,            NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::mul), .inputs = 2, .elementwise = true, .needs = {in(1), in(0)}}) \
  X(div,            NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::div), .inputs = 2, .elementwise = true, .result = Result::floating, .needs = {in(1), in(1) | out()}}) \
  X(pow,            NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::pow), .inputs = 2, .elementwise = true, .needs = {in(0) | in(1), in(0) | out()}}) \
  X(maximum,        NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::maximum), .inputs = 2, .elementwise = true, .needs = {in(0) | in(1), in(0) | in(1)}}) \
  X(minimum,        NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::minimum), .inputs = 2, .elementwise = true, .needs = {in(0) | in(1), in(0) | in(1)}}) \
  X(floor_divide,   NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::floor_divide), .inputs = 2, .elementwise = true}) \
  X(trunc_divide,   NoAttrs,        {.inputs = 2, .elementwise = true}) \
  X(remainder,      NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::remainder), .inputs = 2, .elementwise = true, .needs = {0, in(0) | in(1)}}) \
  X(fmod,          NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::fmod), .inputs = 2, .elementwise = true, .needs = {0, in(0) | in(1)}}) \
  X(atan2,         NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::atan2), .inputs = 2, .elementwise = true, .result = Result::floating, .needs = {in(0) | in(1), in(0) | in(1)}}) \
  X(hypot,          NoAttrs,        {.inputs = 2, .elementwise = true, .result = Result::floating, .needs = {in(0) | in(1) | out(), in(0) | in(1) | out()}}) \
  X(logaddexp,      NoAttrs,        {.inputs = 2, .elementwise = true, .result = Result::floating, .needs = {in(0) | in(1), in(0) | in(1)}}) \
  X(swiglu,         NoAttrs,        {.inputs = 2, .elementwise = true, .result = Result::floating, .needs = {in(0) | in(1), in(0)}}) \
  X(swiglu_backward, NoAttrs,       {.inputs = 3, .outputs = 2, .elementwise = true}) \
  X(lerp,           NoAttrs,        {.inputs = 3, .elementwise = true, .needs = {in(2), in(2), in(0) | in(1)}}) \
  X(addcmul,        AddcmulAttrs,   {.inputs = 3, .elementwise = true, .needs = {0, in(2), in(1)}}) \
  X(clamp_between,  NoAttrs,        {.inputs = 3, .elementwise = true}) \
  X(eq,             NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::eq), .inputs = 2, .elementwise = true, .result = Result::boolean}) \
  X(ne,             NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::ne), .inputs = 2, .elementwise = true, .result = Result::boolean}) \
  X(lt,             NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::lt), .inputs = 2, .elementwise = true, .result = Result::boolean}) \
  X(le,             NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::le), .inputs = 2, .elementwise = true, .result = Result::boolean}) \
  X(gt,             NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::gt), .inputs = 2, .elementwise = true, .result = Result::boolean}) \
  X(ge,             NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::ge), .inputs = 2, .elementwise = true, .result = Result::boolean}) \
  X(logical_and,    NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::logical_and), .inputs = 2, .elementwise = true, .result = Result::boolean}) \
  X(logical_or,     NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::logical_or), .inputs = 2, .elementwise = true, .result = Result::boolean}) \
  X(logical_xor,   NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::logical_xor), .inputs = 2, .elementwise = true, .result = Result::boolean}) \
  X(bitwise_and,   NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::bitwise_and), .inputs = 2, .elementwise = true}) \
  X(bitwise_or,    NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::bitwise_or), .inputs = 2, .elementwise = true}) \
  X(bitwise_xor,   NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::bitwise_xor), .inputs = 2, .elementwise = true}) \
  X(shift_right,    NoAttrs,        {.slot = op::binary, .kind = uint8_t(Binary::shift_right), .inputs = 2, .elementwise = true}) \
  /* reductions, scans, indexing */ \
  X(sum,            ReduceAttrs,    {.slot = op::reduce, .kind = uint8_t(Reduce::sum)}) \
  X(mean,           ReduceAttrs,    {.slot = op::reduce, .kind = uint8_t(Reduce::mean), .result = Result::floating}) \
  X(prod,           ReduceAttrs,    {.slot = op::reduce, .kind = uint8_t(Reduce::prod), .needs = {in(0)}}) \
  X(prod_backward,  ReduceAttrs,    {.inputs = 2, .dispatch = 1}) \
  X(amax,           ReduceAttrs,    {.slot = op::reduce, .kind = uint8_t(Reduce::amax), .needs = {in(0) | out()}}) \
  X(amin,           ReduceAttrs,    {.slot = op::reduce, .kind = uint8_t(Reduce::amin), .needs = {in(0) | out()}}) \
  X(any,            ReduceAttrs,    {.slot = op::reduce, .kind = uint8_t(Reduce::any), .result = Result::boolean}) \
  X(all,            ReduceAttrs,    {.slot = op::reduce, .kind = uint8_t(Reduce::all), .result = Result::boolean}) \
  X(cumsum,         DimAttrs,       {.slot = op::scan, .kind = uint8_t(Scan::sum)}) \
  X(cumprod,        DimAttrs,       {.slot = op::scan, .kind = uint8_t(Scan::prod), .needs = {in(0) | out()}}) \
  X(logcumsumexp,   DimAttrs,       {}) \
  X(var_mean,       VarAttrs,       {.outputs = 2, .needs = {in(0)}}) \
  X(std_mean,       VarAttrs,       {.outputs = 2, .needs = {in(0) | out(0) | out(1)}}) \
  X(vector_norm,    VectorNormAttrs, {.needs = {in(0) | out()}}) \
  X(argmax,         DimKeepAttrs,   {.slot = op::arg_reduce, .kind = uint8_t(ArgReduce::max), .result = Result::index}) \
  X(argmin,         DimKeepAttrs,   {.slot = op::arg_reduce, .kind = uint8_t(ArgReduce::min), .result = Result::index}) \
  X(scatter,        ScatterAttrs,   {.slot = op::scatter_kind, .kind = uint8_t(Scatter::assign), .inputs = 3, .dispatch = 2, .optional = in(0), .no_gradient = in(1), .needs = {in(1), 0, in(1)}}) \
  X(scatter_add,    ScatterAttrs,   {.slot = op::scatter_kind, .kind = uint8_t(Scatter::add), .inputs = 3, .dispatch = 2, .optional = in(0), .no_gradient = in(1), .needs = {in(1), 0, in(1)}}) \
  X(scatter_backward, DimAttrs,     {.inputs = 2, .outputs = 2, .no_gradient = in(1)}) \
  X(roll,           RollAttrs,      {}) \
  X(tril,           TriangleAttrs,  {}) \
  X(triu,           TriangleAttrs,  {}) \
  X(upper_bound,    NoAttrs,        {.inputs = 2, .result = Result::index}) \
  X(true_places,    CountAttrs,     {.result = Result::index}) \
  X(randperm,       CountAttrs,     {.result = Result::index}) \
  X(cat,            DimAttrs,       {.inputs = 0, .list = true}) \
  X(embedding,      EmbeddingAttrs, {.inputs = 2, .dispatch = 1, .no_gradient = in(0), .needs = {0, in(0)}}) \
  X(embedding_backward, EmbeddingBackwardAttrs, {.inputs = 2, .no_gradient = in(1), .needs = {in(1)}}) \
  /* views */ \
  X(view,           ShapeAttrs,     {.form = Form::view}) \
  X(permute,        PermuteAttrs,   {.form = Form::view}) \
  X(transpose,      TransposeAttrs, {.form = Form::view}) \
  X(expand,         ShapeAttrs,     {.form = Form::view}) \
  X(slice,          SliceAttrs,     {.form = Form::view}) \
  X(diagonal,       DiagonalAttrs,  {.form = Form::view}) \
  X(diagonal_backward, DiagonalBackwardAttrs, {}) \
  X(unfold,         UnfoldAttrs,    {.form = Form::view}) \
  X(unfold_backward, UnfoldBackwardAttrs, {}) \
  X(to_device,      ToDeviceAttrs,  {}) \
  X(slice_backward, SliceBackwardAttrs, {}) \
  X(sum_to,         ShapeAttrs,     {}) \
  /* nn */ \
  X(linear,         NoAttrs,        {.inputs = 3, .optional = in(2), .needs = {in(1), in(0)}}) \
  X(softmax,        DimAttrs,       {.needs = {out()}}) \
  X(softmax_backward, DimAttrs,     {.inputs = 2}) \
  X(log_softmax,    DimAttrs,       {.needs = {out()}}) \
  X(log_softmax_backward, DimAttrs, {.inputs = 2}) \
  X(logsumexp,      ReduceAttrs,    {.needs = {in(0) | out()}}) \
  X(layer_norm,     LayerNormAttrs, {.inputs = 3, .outputs = 3, .optional = in(1) | in(2), .needs = {in(0) | in(1) | out(1) | out(2), in(0) | in(1) | out(1) | out(2)}}) \
  X(layer_norm_backward, LayerNormAttrs, {.inputs = 5, .outputs = 3, .optional = in(2), .statistic = in(3) | in(4), .no_gradient = in(3) | in(4)}) \
  X(rms_norm,       LayerNormAttrs, {.inputs = 2, .outputs = 2, .optional = in(1), .needs = {in(0) | in(1) | out(1), in(0) | out(1)}}) \
  X(rms_norm_backward, LayerNormAttrs, {.inputs = 4, .outputs = 2, .optional = in(2), .statistic = in(3), .no_gradient = in(3)}) \
  X(group_norm,     GroupNormAttrs, {.inputs = 3, .outputs = 3, .optional = in(1) | in(2), .needs = {in(0) | in(1) | out(1) | out(2), in(0) | in(1) | out(1) | out(2)}}) \
  X(group_norm_backward, GroupNormAttrs, {.inputs = 5, .outputs = 3, .optional = in(2), .statistic = in(3) | in(4), .no_gradient = in(3) | in(4)}) \
  X(max_pool1d,     MaxPoolAttrs,   {.needs = {in(0)}}) \
  X(max_pool1d_backward, MaxPoolAttrs, {.inputs = 2, .no_gradient = in(1)}) \
  X(rope,           RopeAttrs,      {.inputs = 2, .no_gradient = in(1), .needs = {in(1)}}) \
  X(cross_entropy,  CrossEntropyAttrs, {.inputs = 3, .outputs = 2, .optional = in(2), .no_gradient = in(1) | in(2), .needs = {in(0) | in(1) | in(2) | out(1)}}) \
  X(cross_entropy_backward, CrossEntropyAttrs, {.inputs = 5, .dispatch = 1, .optional = in(3), .statistic = in(4), .no_gradient = in(2) | in(3) | in(4)}) \
  X(nll_loss,       NllLossAttrs,   {.inputs = 3, .optional = in(2), .no_gradient = in(1) | in(2), .needs = {in(1) | in(2)}}) \
  X(pair_loss,      PairLossAttrs,  {.inputs = 2, .needs = {in(0) | in(1), in(0) | in(1)}}) \
  X(pair_loss_backward, PairLossAttrs, {.inputs = 3, .dispatch = 1}) \
  X(attention,      AttentionAttrs, {.inputs = 7, .outputs = 2, .optional = in(3) | in(4) | in(5) | in(6), .no_gradient = in(3) | in(4) | in(5) | in(6), .needs = {in(0) | in(1) | in(2) | in(3) | in(4) | in(5) | in(6) | out(0) | out(1), in(0) | in(1) | in(2) | in(3) | in(4) | in(5) | in(6) | out(0) | out(1), in(0) | in(1) | in(2) | in(3) | in(4) | in(5) | in(6) | out(0) | out(1)}}) \
  X(attention_backward, AttentionAttrs, {.inputs = 10, .outputs = 3, .optional = in(4) | in(5) | in(6) | in(9), .statistic = in(7) | in(8), .no_gradient = in(4) | in(5) | in(6) | in(7) | in(8) | in(9)}) \
  /* updates of parameters and caches */ \
  X(adamw,          AdamWAttrs,     {.form = Form::update, .inputs = 3, .dispatch = 3, .list = true}) \
  X(scale_by_norm,  NoAttrs,        {.form = Form::update, .inputs = 1, .list = true})
// clang-format on

namespace op {
enum Id : uint16_t {
  none,  // no row
#define FOVEA_ID(id, attrs, ...) id,
  FOVEA_OPS(FOVEA_ID)
#undef FOVEA_ID
      count
};
}  // namespace op

template <op::Id> struct AttrsOf;
#define FOVEA_ATTRS(id, A, ...) \
  template <> struct AttrsOf<op::id> { using type = A; };
FOVEA_OPS(FOVEA_ATTRS)
#undef FOVEA_ATTRS
template <op::Id id> using Attrs = typename AttrsOf<id>::type;

}  // namespace fovea
