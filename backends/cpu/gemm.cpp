#include "backends/cpu/gemm.h"

#include <algorithm>
#include <atomic>
#include <memory>

#include "core/parallel.h"

#define FOVEA_FAMILY "backends/cpu/gemm_kernels.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {
namespace {

// A piece of a panel (48 KB) stays in the second cache, near the first, while the strips of A pass over it; the packed
// block stays in the last one. Measured on AVX2 and AVX-512 against pieces of 128 to 512.
constexpr int64_t kPiece = 384;        // k of one pass over the strips
constexpr int64_t kShort = 16;         // the same for one or two rows of A: B in place is then read along its rows
constexpr int64_t kDeep = 4 * kPiece;  // k of a packed block
constexpr int64_t kPacked = 1 << 19;   // elements of a packed block
constexpr int64_t kRowBlock = 240;     // rows of A between changes of the panel
constexpr int64_t kAlone = 300'000;    // multiply-adds below which one thread is faster than waking another
constexpr int64_t kDotRows = 8;        // at most so many rows of A go by dot products; two strips of them where
constexpr int64_t kLong = 256;         // k is as long as this
constexpr int64_t kDotPiece = 4096;    // k of one piece of a product that is a single number
constexpr int64_t kStrips = 4;         // strips of A that are worth reading all panels for
constexpr int64_t kCopiedRows = 48;    // rows of A that are copied together: whole strips of any level
constexpr int64_t kGroup = 4;          // panels that are packed together: they share pages and prefetches

// How a product is cut; depends on shapes and strides only, never on threads.
struct Plan {
  enum Way { nothing, one_dot, dots, in_place, packed } way;
  int64_t columns, panels;  // width of a panel; panels in a packed block
  int64_t deep, piece;      // k of a block, k of a pass
  bool copy_strips;         // A lies so that its lines evict each other from the first cache

  int64_t groups() const { return (panels + kGroup - 1) / kGroup; }
  int64_t flag_bytes() const { return (groups() * int64_t(sizeof(uint32_t)) + 63) / 64 * 64; }
};

template <class T> Plan plan(const Gemm<T>& g, const GemmKernels<T>& kernels) {
  Plan p{Plan::packed, kernels.columns, 0, 0, 0, false};
  if (g.m == 0 || g.n == 0) p.way = Plan::nothing;
  else if (g.a_col == 1 && g.b_row == 1 && g.m * g.n == 1 && g.k > kDotPiece) p.way = Plan::one_dot;
  else if (g.a_col == 1 && g.b_row == 1 && g.m <= (g.k < kLong ? kDotRows : 2 * kernels.rows)) p.way = Plan::dots;
  else if (g.b_col == 1 && g.m <= 2 * kernels.rows) p.way = Plan::in_place;
  p.deep = std::min(std::max<int64_t>(g.k, 1), kDeep);
  const int64_t at_once = p.way == Plan::in_place && g.m <= 2 ? kShort : kPiece;
  int64_t pieces = (p.deep + at_once - 1) / at_once;
  p.piece = (p.deep + pieces - 1) / pieces;
  int64_t all = (g.n + p.columns - 1) / p.columns;
  p.panels = p.way == Plan::in_place ? all : std::min(all, std::max<int64_t>(kPacked / (p.deep * p.columns), 1));
  const int64_t step = g.a_col == 1 ? g.a_row : g.a_col;  // from line to line of a strip
  p.copy_strips = p.way == Plan::packed && g.k > 0 &&
                  (g.a_col == 1 ? step * sizeof(T) % 4096 == 0 && g.n >= 8 * p.columns
                                : g.a_row == 1 && step * sizeof(T) >= 256 && g.k >= 64 && g.n >= 3 * p.columns);
  return p;
}

// The transposed product Ct = Bt At. A bias goes along columns, so products with one stay.
template <class T> Gemm<T> turned(const Gemm<T>& g) {
  return {g.n, g.m, g.k, g.b, g.b_col, g.b_row, g.a, g.a_col, g.a_row, g.c, g.c_col, g.c_row, nullptr, g.add};
}
template <class T> Gemm<T> oriented(const Gemm<T>& g) {
  bool column_major = g.c_col != 1 && g.c_row == 1, thin = g.n < g.m && g.n <= kDotRows && g.a_col == 1 && g.b_row == 1;
  return !g.bias && (column_major || thin) ? turned(g) : g;
}

// Packs n columns of B as panels of `columns`, one every `size` elements. Neighbouring panels share cache lines of a
// row, so some rows of all panels are packed before the next ones.
template <class T>
void pack_panels(const GemmKernels<T>& kernels, const T* b, int64_t b_row, int64_t b_col, int64_t k, int64_t n,
                 int64_t columns, int64_t size, T* to) {
  const int64_t some = b_col == 1 ? 8 : k;
  for (int64_t p = 0; p < k; p += some) {
    // Rows far apart lie in pages of their own, where the hardware looks no further ahead.
    for (int64_t r = p + some; r < std::min(p + 2 * some, k); r++)
      for (int64_t j = 0; j < n; j += 64 / int64_t(sizeof(T))) __builtin_prefetch(b + r * b_row + j, 0, 2);
    for (int64_t j = 0; j < n; j += columns) {
      const int64_t here = std::min(columns, n - j);
      kernels.pack(b + p * b_row + j * b_col, b_row, b_col, std::min(some, k - p), here,
                   to + j / columns * size + p * kernels.width(here));
    }
  }
}

// Into how many ranges of panels a block is cut for the threads, which share out the strips of each range. A range of
// panels reads (or copies) all of A; strips read all of B, packed by whoever comes first.
int64_t ranges(int64_t strips, int64_t rows, int64_t panels, int64_t columns, bool copied) {
  const int64_t threads = thread_count();
  int64_t best = 1;
  double least = 0;
  for (int64_t across = 1; across <= std::min(threads, panels); across++) {
    const int64_t down = std::min(threads / across, strips);
    const double m = double((strips + down - 1) / down * rows), n = double((panels + across - 1) / across * columns);
    const double cost = m * n + (copied ? 16 : 4) * m + 4 * n;  // in multiply-adds per unit of k
    if (across == 1 || cost < least) least = cost, best = across;
  }
  return best;
}

// One block of B, k0 to k1 of the panels from column j0 on, against all rows of A.
template <class T> struct Block {
  const Gemm<T>& g;
  const Plan& p;
  const GemmKernels<T>& kernels;
  std::atomic<uint32_t>* state;  // of every group of panels
  T* packed;
  int64_t k0, k1, j0, panels;

  enum State : uint32_t { untouched, taken, ready };

  // Before panel q is read: its group is packed, or is awaited from another thread, which is at it.
  void need(int64_t q) const {
    if (p.way == Plan::in_place) return;
    const int64_t group = q / kGroup, first = group * kGroup, count = std::min(kGroup, panels - first);
    std::atomic<uint32_t>& s = state[group];
    uint32_t now = s.load(std::memory_order_acquire);
    if (now == ready) return;
    if (now == untouched && s.compare_exchange_strong(now, taken, std::memory_order_acquire)) {
      const int64_t N = p.columns, j = j0 + first * N, size = (k1 - k0) * N;
      pack_panels(kernels, g.b + k0 * g.b_row + j * g.b_col, g.b_row, g.b_col, k1 - k0, std::min(count * N, g.n - j), N,
                  size, packed + first * size);
      s.store(ready);
      s.notify_all();
      return;
    }
    while ((now = s.load(std::memory_order_acquire)) != ready) s.wait(now, std::memory_order_acquire);
  }

  // Rows top to bottom of panel q, from k on.
  Strip<T> strip(int64_t q, int64_t top, int64_t bottom, int64_t k) const {
    const int64_t N = p.columns, j = j0 + q * N, n = std::min(N, g.n - j), width = kernels.width(n);
    Strip<T> s{bottom - top,
               n,
               std::min(p.piece, k1 - k),
               g.a + top * g.a_row + k * g.a_col,
               g.a_row,
               g.a_col,
               nullptr,
               0,
               g.c + top * g.c_row + j * g.c_col,
               g.c_row,
               g.c_col,
               g.bias && k == 0 ? g.bias + j : nullptr,
               g.add || k > 0};
    if (p.way == Plan::in_place && n == width) s.b = g.b + k * g.b_row + j, s.b_row = g.b_row;
    else if (p.way == Plan::in_place) s.b = packed + (k - k0) * width, s.b_row = width;
    else s.b = packed + q * (k1 - k0) * N + (k - k0) * width, s.b_row = width;
    return s;
  }

  // Rows top to bottom against panels first to last, starting with panel `start` and going round.
  void run(int64_t top, int64_t bottom, int64_t first, int64_t last, int64_t start) const {
    for (int64_t i = top; i < bottom; i += kRowBlock)
      for (int64_t k = k0; k < k1 || k == k0; k += p.piece)
        for (int64_t n = first; n < last; n++) {
          const int64_t q = start + n - first < last ? start + n - first : start + n - last;
          need(q);
          kernels.strips(strip(q, i, std::min(i + kRowBlock, bottom), k));
        }
  }

  // The same, but some strips are copied together and meet every panel.
  void run_copied(int64_t top, int64_t bottom, int64_t first, int64_t last, int64_t start) const {
    const int64_t H = kernels.rows;
    alignas(64) T copy[kCopiedRows * kPiece * 4 / 3];
    for (int64_t i0 = top; i0 < bottom; i0 += kCopiedRows)
      for (int64_t k = k0; k < k1; k += p.piece) {
        const int64_t deep = std::min(p.piece, k1 - k), size = deep * kernels.width(H);
        const int64_t end = std::min(i0 + kCopiedRows, bottom);
        pack_panels(kernels, g.a + i0 * g.a_row + k * g.a_col, g.a_col, g.a_row, deep, end - i0, H, size, copy);
        for (int64_t n = first; n < last; n++) {
          const int64_t q = start + n - first < last ? start + n - first : start + n - last;
          need(q);
          for (int64_t i = i0; i < end; i += H) {
            Strip<T> s = strip(q, i, std::min(i + H, end), k);
            s.a = copy + (i - i0) / H * size, s.a_row = 1, s.a_col = kernels.width(s.m);
            kernels.strips(s);
          }
        }
      }
  }

  void run() const {
    const int64_t H = kernels.rows, strips = (g.m + H - 1) / H;
    const bool alone = strips * H * panels * p.columns * (k1 - k0) < kAlone || fovea::detail::inside_parallel();
    const int64_t across = alone ? 1 : ranges(strips, H, panels, p.columns, p.copy_strips);
    const int64_t share = (across * strips + thread_count() - 1) / thread_count();
    // Unit u is strip u % strips of range u / strips. A piece starts with panels that its neighbours do not start with.
    parallel_for(0, across * strips, alone ? strips : std::min(kStrips, share), [&](int64_t u, int64_t end) {
      while (u < end) {
        const int64_t x = u / strips, y = u - x * strips, z = std::min(end - x * strips, strips);
        const int64_t first = panels * x / across, last = panels * (x + 1) / across;
        const int64_t start = first + (last - first) * y / strips / kGroup * kGroup;
        if (p.copy_strips) run_copied(y * H, std::min(z * H, g.m), first, last, start);
        else run(y * H, std::min(z * H, g.m), first, last, start);
        u = x * strips + z;
      }
    });
  }
};

int64_t dot_pieces(int64_t k) { return (k + kDotPiece - 1) / kDotPiece; }

// A single number: the threads share out pieces of k, whose sums are joined in order.
template <class T> void one_dot(const Gemm<T>& g, const GemmKernels<T>& kernels, double* part) {
  const int64_t pieces = dot_pieces(g.k);
  parallel_for(0, pieces, 4, [&](int64_t begin, int64_t end) {
    for (int64_t q = begin; q < end; q++) {
      const int64_t k = q * kDotPiece;
      part[q] = double(kernels.dot(std::min(kDotPiece, g.k - k), g.a + k, g.b + k));
    }
  });
  double total = (g.add ? double(*g.c) : 0) + (g.bias ? double(*g.bias) : 0);
  for (int64_t q = 0; q < pieces; q++) total += part[q];
  *g.c = T(total);
}

template <class T> void run_gemm(const Gemm<T>& g, const GemmKernels<T>& kernels, void* scratch) {
  Plan p = plan(g, kernels);
  if (p.way == Plan::nothing) return;
  if (p.way == Plan::one_dot) return one_dot(g, kernels, static_cast<double*>(scratch));
  if (p.way == Plan::dots) {
    const int64_t tasks = (g.n + 3) / 4;
    auto f = [&](int64_t b, int64_t e) { kernels.dots(g, 4 * b, std::min(4 * e, g.n)); };
    if (g.m * g.n * g.k < kAlone) f(0, tasks);
    else parallel_for(0, tasks, 1, f);
    return;
  }
  static_assert(kRowBlock % 12 == 0);  // whole strips of any level
  const int64_t all = (g.n + p.columns - 1) / p.columns;
  auto* state = static_cast<std::atomic<uint32_t>*>(scratch);
  T* packed = reinterpret_cast<T*>(static_cast<char*>(scratch) + p.flag_bytes());
  for (int64_t k0 = 0; k0 < g.k || k0 == 0; k0 += p.deep) {
    const int64_t k1 = std::min(k0 + p.deep, g.k);
    if (p.way == Plan::in_place) {
      const int64_t rest = g.n % p.columns;  // only a ragged last panel is packed
      if (rest && rest != kernels.narrow)
        kernels.pack(g.b + k0 * g.b_row + (g.n - rest), g.b_row, 1, k1 - k0, rest, packed);
      Block<T>{g, p, kernels, nullptr, packed, k0, k1, 0, all}.run();
      continue;
    }
    for (int64_t q0 = 0; q0 < all; q0 += p.panels) {
      const int64_t panels = std::min(p.panels, all - q0);
      std::uninitialized_value_construct_n(state, (panels + kGroup - 1) / kGroup);
      Block<T>{g, p, kernels, state, packed, k0, k1, q0 * p.columns, panels}.run();
    }
  }
}

}  // namespace

template <> const GemmKernels<float>& gemm_kernels(Isa level) {
  static constexpr const GemmKernels<float>* tables[] = {&sse2::kGemmTable<float>, &avx2::kGemmTable<float>,
                                                         &avx512::kGemmTable<float>};
  return *tables[int(level)];
}
template <> const GemmKernels<double>& gemm_kernels(Isa level) {
  static constexpr const GemmKernels<double>* tables[] = {&sse2::kGemmTable<double>, &avx2::kGemmTable<double>,
                                                          &avx512::kGemmTable<double>};
  return *tables[int(level)];
}

template <class T> int64_t gemm_scratch(const Gemm<T>& g) {
  Gemm<T> o = oriented(g);
  const GemmKernels<T>& kernels = gemm_kernels<T>(isa());
  Plan p = plan(o, kernels);
  if (p.way == Plan::nothing || p.way == Plan::dots) return 0;
  if (p.way == Plan::one_dot) return dot_pieces(o.k) * int64_t(sizeof(double));
  const bool whole = o.n % p.columns == 0 || o.n % p.columns == kernels.narrow;
  const int64_t panels = p.way == Plan::packed ? p.panels : whole ? 0 : 1;
  return panels == 0 ? 0 : p.flag_bytes() + panels * p.columns * p.deep * int64_t(sizeof(T));
}

template <class T> void gemm(const Gemm<T>& g, void* scratch) {
  run_gemm(oriented(g), gemm_kernels<T>(isa()), scratch);
}

template int64_t gemm_scratch(const Gemm<float>&);
template int64_t gemm_scratch(const Gemm<double>&);
template void gemm(const Gemm<float>&, void*);
template void gemm(const Gemm<double>&, void*);

}  // namespace fovea::cpu
