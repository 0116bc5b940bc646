#include "backends/cpu/onednn.h"

#include <algorithm>
#include <atomic>
#include <memory>

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
  int32_t bias, add;
  bool operator==(const Key&) const = default;
  size_t hash() const {
    uint64_t h = uint64_t(kept) * 4 + uint64_t(bias) * 2 + uint64_t(add);
    for (int64_t x : {m, n, k, a_row, a_col, b_row, b_col, c_row})
      h = (h ^ uint64_t(x)) * 0x9e3779b97f4a7c15, h ^= h >> 29;
    return size_t(h);
  }
};

template <class T> Key key_of(const Gemm<T>& g) {
  const auto kept = std::is_same_v<T, float> ? memory::data_type::f32 : memory::data_type::bf16;
  return {g.m, g.n, g.k, g.a_row, g.a_col, g.b_row, g.b_col, g.c_row, kept, g.bias != nullptr, g.add};
}

bool multiplies_bf16() {
  static const bool it_does = __builtin_cpu_supports("avx512bf16");
  return it_does && isa() == Isa::avx512;
}

// A dense side of every matrix, no gaps that overlap: what its descriptors can say.
template <class T> bool takes(const Gemm<T>& g) {
  auto matrix = [](int64_t rows, int64_t columns, int64_t row, int64_t column) {
    return (column == 1 && row >= columns) || (row == 1 && column >= rows);
  };
  if (!std::is_same_v<T, float> && !multiplies_bf16()) return false;
  return g.m > 0 && g.n > 0 && g.k > 0 && matrix(g.m, g.k, g.a_row, g.a_col) && matrix(g.k, g.n, g.b_row, g.b_col) &&
         g.c_col == 1 && g.c_row >= g.n;
}

const dnnl::engine& engine() {
  static const dnnl::engine e(dnnl::engine::kind::cpu, 0);
  return e;
}

struct Plan {
  Key key{};
  dnnl::matmul::primitive_desc desc;
  dnnl::matmul primitive;
  memory a, b, c, bias;
  std::unordered_map<int, memory> arguments;  // share the handles of the four

  explicit Plan(const Key& k) : key(k) {
    auto matrix = [&](int64_t rows, int64_t columns, int64_t row, int64_t column) {
      return memory::desc({rows, columns}, k.kept, {row, column});
    };
    memory::desc da = matrix(k.m, k.k, k.a_row, k.a_col), db = matrix(k.k, k.n, k.b_row, k.b_col),
                 dc = matrix(k.m, k.n, k.c_row, 1), dbias = matrix(1, k.n, k.n, 1);
    dnnl::primitive_attr attr;
    if (k.add) {
      dnnl::post_ops post;
      post.append_sum(1);
      attr.set_post_ops(post);
    }
    desc = k.bias ? dnnl::matmul::primitive_desc({da, db, dbias, dc}, attr, engine())
                  : dnnl::matmul::primitive_desc({da, db, dc}, attr, engine());
    primitive = dnnl::matmul(desc);
    a = memory(da, engine(), nullptr), b = memory(db, engine(), nullptr), c = memory(dc, engine(), nullptr);
    arguments = {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}};
    if (k.bias) bias = memory(dbias, engine(), nullptr), arguments.emplace(DNNL_ARG_BIAS, bias);
  }
};

// One thread's plans: a small hash table, a newcomer takes the place of whoever is there.
struct Plans {
  static constexpr size_t kPlaces = 256;
  std::unique_ptr<Plan> places[kPlaces];
  dnnl::stream stream{engine()};

  Plan& of(const Key& k) {
    std::unique_ptr<Plan>& place = places[k.hash() % kPlaces];
    if (!place || !(place->key == k)) place = std::make_unique<Plan>(k);
    return *place;
  }
};
Plans& plans() {
  static thread_local std::unique_ptr<Plans> mine;
  if (!mine) mine = std::make_unique<Plans>();
  return *mine;
}

// oneDNN asks OpenMP how many threads there are, and shall find the one that calls it.
struct Alone {
#if FOVEA_OPENMP
  int before = omp_get_max_threads();
  Alone() { omp_set_num_threads(1); }
  ~Alone() { omp_set_num_threads(before); }
#endif
};

std::atomic<Use> wanted = Use::where_faster;

template <class T> void alone(const Gemm<T>& g) {
  Alone scope;
  Plans& all = plans();
  Plan& p = all.of(key_of(g));
  p.a.set_data_handle(const_cast<T*>(g.a));
  p.b.set_data_handle(const_cast<T*>(g.b));
  p.c.set_data_handle(g.c);
  if (g.bias) p.bias.set_data_handle(const_cast<T*>(g.bias));
  p.primitive.execute(all.stream, p.arguments);
}

}  // namespace

void use(Use u) { wanted.store(u, std::memory_order_relaxed); }

// Where it is at least level with ours (tools/notes/matmul.md).
template <class T> bool is_wanted(const Gemm<T>& g) {
  if (!takes(g)) return false;
  if (Use u = wanted.load(std::memory_order_relaxed); u != Use::where_faster) return u == Use::always;
  if (isa() != Isa::avx512 || g.m * g.n == 1 || double(g.m) * double(g.n) * double(g.k) < 1e6) return false;
  const bool across = g.a_row == 1 && g.a_col != 1;  // k runs across the rows of A: its lines evict each other
  return !std::is_same_v<T, float> || !across || g.n >= g.m || g.a_col * int64_t(sizeof(float)) % 2048 != 0;
}

template <class T> bool gemm(const Gemm<T>& g) {
  if (!takes(g)) return false;
  // The bits of an element depend on the part that it is in, so who computes a part is decided at run time, but not
  // where the parts are cut.
  constexpr int64_t kUnit = 16, kAlone = 300'000;  // rows or columns; multiply-adds that are not worth a thread
  const int64_t size = std::max(g.m, g.n), units = (size + kUnit - 1) / kUnit, work = size * g.k * std::min(g.m, g.n);
  const int64_t parts = std::clamp<int64_t>(work / kAlone, 1, std::min<int64_t>(thread_count(), units));
  parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t first = units * i / parts * kUnit, count = std::min(units * (i + 1) / parts * kUnit, size) - first;
      Gemm<T> part = g;
      if (g.m >= g.n) part.m = count, part.a += first * g.a_row, part.c += first * g.c_row;
      else part.n = count, part.b += first * g.b_col, part.c += first, part.bias += g.bias ? first : 0;
      alone(part);
    }
  });
  return true;
}

template <class T> const char* implementation(const Gemm<T>& g) {
  if (!takes(g)) return nullptr;
  Alone scope;
  return plans().of(key_of(g)).desc.impl_info_str();
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
template <class T> bool gemm(const Gemm<T>&) { return false; }
template <class T> const char* implementation(const Gemm<T>&) { return nullptr; }
const char* version() { return ""; }
#endif

template bool is_wanted(const Gemm<float>&);
template bool is_wanted(const Gemm<BFloat16>&);
template bool gemm(const Gemm<float>&);
template bool gemm(const Gemm<BFloat16>&);
template const char* implementation(const Gemm<float>&);
template const char* implementation(const Gemm<BFloat16>&);

}  // namespace fovea::cpu::onednn
