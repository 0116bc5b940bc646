#include "backends/cpu/onednn.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/parallel.h"

#if FOVEA_ONEDNN
#include <oneapi/dnnl/dnnl.hpp>
#if FOVEA_OPENMP
#include <omp.h>
#endif
#endif

namespace fovea::cpu::onednn {

#if FOVEA_ONEDNN
namespace {

using dnnl::memory;

// What a plan is made for; compared as a whole, so no padding may be left undefined.
struct Key {
  int64_t m, n, k, a_row, a_col, b_row, b_col, c_row;
  memory::data_type kept;
  int16_t bias, add;
  int32_t whole;  // one of many: every part is a product
  bool operator==(const Key&) const = default;
  size_t hash() const {
    uint64_t h = uint64_t(kept) * 8 + uint64_t(whole) * 4 + uint64_t(bias) * 2 + uint64_t(add);
    for (int64_t x : {m, n, k, a_row, a_col, b_row, b_col, c_row})
      h = (h ^ uint64_t(x)) * 0x9e3779b97f4a7c15, h ^= h >> 29;
    return size_t(h);
  }
};

template <class T> Key key_of(const Gemm<T>& g, bool whole = false) {
  const auto kept = std::is_same_v<T, float> ? memory::data_type::f32 : memory::data_type::bf16;
  return {g.m, g.n, g.k, g.a_row, g.a_col, g.b_row, g.b_col, g.c_row, kept, g.bias != nullptr, g.add, whole};
}

bool multiplies_bf16() {
  static const bool it_does = __builtin_cpu_supports("avx512bf16");
  return it_does && isa() == Isa::avx512;
}

constexpr int64_t kMost = 1 << 24;  // its 32-bit sums of sizes overflow somewhere above, and divide by zero

// A dense side of every matrix, no gaps that overlap: what its descriptors can say.
template <class T> bool takes(const Gemm<T>& g) {
  auto matrix = [](int64_t rows, int64_t columns, int64_t row, int64_t column) {
    return (column == 1 && row >= columns) || (row == 1 && column >= rows);
  };
  if (!std::is_same_v<T, float> && !multiplies_bf16()) return false;
  for (int64_t size : {g.m, g.n, g.k, g.a_row, g.a_col, g.b_row, g.b_col, g.c_row})
    if (size > kMost) return false;
  return g.m > 0 && g.n > 0 && g.k > 0 && matrix(g.m, g.k, g.a_row, g.a_col) && matrix(g.k, g.n, g.b_row, g.b_col) &&
         g.c_col == 1 && g.c_row >= g.n;
}

constexpr int64_t kUnit = 16;  // rows or columns that are not cut

const dnnl::engine& engine() {
  static const dnnl::engine e(dnnl::engine::kind::cpu, 0);
  return e;
}

// One part of a product, with what oneDNN needs to compute it.
struct Part {
  dnnl::matmul::primitive_desc desc;
  dnnl::matmul primitive;
  dnnl::stream stream{engine()};
  memory a, b, c, bias, scratch;
  std::unordered_map<int, memory> arguments;  // share the handles of the five

  explicit Part(const Key& k) {
    auto matrix = [&](int64_t rows, int64_t columns, int64_t row, int64_t column) {
      return memory::desc({rows, columns}, k.kept, {row, column});
    };
    memory::desc da = matrix(k.m, k.k, k.a_row, k.a_col), db = matrix(k.k, k.n, k.b_row, k.b_col),
                 dc = matrix(k.m, k.n, k.c_row, 1), dbias = matrix(1, k.n, k.n, 1);
    dnnl::primitive_attr attr;
    attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);  // else each thread asks the system for its own, at any time
    if (k.add) {
      dnnl::post_ops post;
      post.append_sum(1);
      attr.set_post_ops(post);
    }
    desc = k.bias ? dnnl::matmul::primitive_desc({da, db, dbias, dc}, attr, engine())
                  : dnnl::matmul::primitive_desc({da, db, dc}, attr, engine());
    primitive = dnnl::matmul(desc);
    a = memory(da, engine(), nullptr), b = memory(db, engine(), nullptr), c = memory(dc, engine(), nullptr);
    scratch = memory(desc.scratchpad_desc(), engine(), nullptr);
    arguments = {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}, {DNNL_ARG_SCRATCHPAD, scratch}};
    if (k.bias) bias = memory(dbias, engine(), nullptr), arguments.emplace(DNNL_ARG_BIAS, bias);
  }

  int64_t scratch_bytes() const { return (int64_t(desc.scratchpad_desc().get_size()) + 63) / 64 * 64; }

  template <class T> void run(const Gemm<T>& g, char* work) {
    scratch.set_data_handle(work);
    a.set_data_handle(const_cast<T*>(g.a));
    b.set_data_handle(const_cast<T*>(g.b));
    c.set_data_handle(g.c);
    if (g.bias) bias.set_data_handle(const_cast<T*>(g.bias));
    primitive.execute(stream, arguments);
  }
};

// oneDNN asks OpenMP how many threads there are, and shall find the one that calls it.
struct Alone {
#if FOVEA_OPENMP
  int before = omp_get_max_threads();
  Alone() { omp_set_num_threads(1); }
  ~Alone() { omp_set_num_threads(before); }
#endif
};

// The bits of an element depend on the part that it is in, so who computes a part is decided at run time, but not where
// the parts are cut.
template <class T> int64_t parts_of(const Gemm<T>& g) {
  constexpr double kAlone = 300'000;  // multiply-adds that are not worth a thread
  const int64_t units = (std::max(g.m, g.n) + kUnit - 1) / kUnit, most = std::min<int64_t>(thread_count(), units);
  return int64_t(std::clamp<double>(double(g.m) * double(g.n) * double(g.k) / kAlone, 1, double(most)));
}
// Part i of the product, of `parts` along its longer side.
template <class T> Gemm<T> part_of(const Gemm<T>& g, int64_t i, int64_t parts) {
  const int64_t size = std::max(g.m, g.n), units = (size + kUnit - 1) / kUnit;
  const int64_t first = units * i / parts * kUnit, count = std::min(units * (i + 1) / parts * kUnit, size) - first;
  Gemm<T> part = g;
  if (g.m >= g.n) part.m = count, part.a += first * g.a_row, part.c += first * g.c_row;
  else part.n = count, part.b += first * g.b_col, part.c += first, part.bias += g.bias ? first : 0;
  return part;
}

// A product's parts. They are made by the thread that asks for the product, so a later call allocates nothing, whoever
// computes them.
struct Plan {
  Key key;
  std::vector<Part> parts;
  int64_t scratch_bytes = 0;  // of each part

  template <class T> Plan(const Gemm<T>& g, const Key& k, int64_t n) : key(k) {
    Alone scope;
    parts.reserve(size_t(n));
    for (int64_t i = 0; i < n; i++) {
      parts.emplace_back(key_of(k.whole ? g : part_of(g, i, n)));
      scratch_bytes = std::max(scratch_bytes, parts.back().scratch_bytes());
    }
  }
};

// The calling thread's plan for so many parts (0: as it is), in one of a few places of a hash table; a newcomer takes a
// free one or the place of the first.
template <class T> Plan& plan_of(const Gemm<T>& g, int64_t parts = 0, bool whole = false) {
  constexpr size_t kPlaces = 256, kNear = 8;
  static thread_local std::vector<std::unique_ptr<Plan>> places(kPlaces);
  const Key k = key_of(g, whole);
  const size_t home = k.hash() % kPlaces;
  std::unique_ptr<Plan>* free = nullptr;
  for (size_t i = 0; i < kNear; i++) {
    std::unique_ptr<Plan>& place = places[(home + i) % kPlaces];
    if (!place) {
      if (!free) free = &place;
    } else if (place->key == k && (parts == 0 || int64_t(place->parts.size()) == parts)) {
      return *place;
    }
  }
  std::unique_ptr<Plan>& place = free ? *free : places[home];
  place = std::make_unique<Plan>(g, k, parts ? parts : parts_of(g));
  return *place;
}

std::atomic<Use> wanted = Use::where_faster;

}  // namespace

void use(Use u) { wanted.store(u, std::memory_order_relaxed); }

// Where it is at least level with ours (tools/notes/matmul.md).
template <class T> bool is_wanted(const Gemm<T>& g) {
  const Use u = wanted.load(std::memory_order_relaxed);
  if (u == Use::never) return false;
  if (u == Use::always) return takes(g);
  if (isa() != Isa::avx512 || double(g.m) * double(g.n) * double(g.k) < 1e6 || g.m * g.n == 1 || !takes(g))
    return false;
  const bool across = g.a_row == 1 && g.a_col != 1;  // k runs across the rows of A: its lines evict each other
  return !std::is_same_v<T, float> || !across || g.n >= g.m || g.a_col * int64_t(sizeof(float)) % 2048 != 0;
}

template <class T> int64_t scratch(const Gemm<T>& g) {
  if (!takes(g)) return 0;
  const Plan& plan = plan_of(g, parts_of(g));
  return plan.scratch_bytes * int64_t(plan.parts.size());
}

template <class T> bool gemm(const Gemm<T>& g, void* scratch) {
  if (!takes(g)) return false;
  Plan& plan = plan_of(g);  // that of scratch(), whatever the thread count is now
  const int64_t parts = int64_t(plan.parts.size());
  parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    Alone scope;
    for (int64_t i = begin; i < end; i++)
      plan.parts[size_t(i)].run(part_of(g, i, parts), static_cast<char*>(scratch) + i * plan.scratch_bytes);
  });
  return true;
}

template <class T> int64_t scratch_each(const Gemm<T>& first, int64_t count) {
  if (!takes(first)) return 0;
  const Plan& plan = plan_of(first, std::min<int64_t>(count, thread_count()), true);
  return plan.scratch_bytes * int64_t(plan.parts.size());
}

template <class T>
bool gemm_each(const Gemm<T>& first, int64_t count, Gemm<T> (*nth)(const void*, int64_t), const void* of,
               void* scratch) {
  if (!takes(first)) return false;
  Plan& plan = plan_of(first, 0, true);
  const int64_t parts = int64_t(plan.parts.size());
  parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    Alone scope;
    for (int64_t p = begin; p < end; p++)
      for (int64_t i = count * p / parts; i < count * (p + 1) / parts; i++)
        plan.parts[size_t(p)].run(nth(of, i), static_cast<char*>(scratch) + p * plan.scratch_bytes);
  });
  return true;
}

template <class T> const char* implementation(const Gemm<T>& g) {
  if (!takes(g)) return nullptr;
  return plan_of(g).parts[0].desc.impl_info_str();
}

const char* version() {
  static const std::string text = [] {
    const dnnl_version_t* v = dnnl_version();
    return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
  }();
  return text.c_str();
}

#else
void use(Use) {}
template <class T> bool is_wanted(const Gemm<T>&) { return false; }
template <class T> int64_t scratch(const Gemm<T>&) { return 0; }
template <class T> bool gemm(const Gemm<T>&, void*) { return false; }
template <class T> int64_t scratch_each(const Gemm<T>&, int64_t) { return 0; }
template <class T> bool gemm_each(const Gemm<T>&, int64_t, Gemm<T> (*)(const void*, int64_t), const void*, void*) {
  return false;
}
template <class T> const char* implementation(const Gemm<T>&) { return nullptr; }
const char* version() { return ""; }
#endif

template bool is_wanted(const Gemm<float>&);
template bool is_wanted(const Gemm<BFloat16>&);
template int64_t scratch(const Gemm<float>&);
template int64_t scratch(const Gemm<BFloat16>&);
template bool gemm(const Gemm<float>&, void*);
template bool gemm(const Gemm<BFloat16>&, void*);
template int64_t scratch_each(const Gemm<BFloat16>&, int64_t);
template bool gemm_each(const Gemm<BFloat16>&, int64_t, Gemm<BFloat16> (*)(const void*, int64_t), const void*, void*);
template const char* implementation(const Gemm<float>&);
template const char* implementation(const Gemm<BFloat16>&);

}  // namespace fovea::cpu::onednn
