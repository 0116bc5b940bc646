#include "backends/cpu/gemm.h"

#include <algorithm>

#include "core/parallel.h"

#define FOVEA_FAMILY "backends/cpu/gemm_kernels.inc"
#include "backends/cpu/levels.inc"

namespace fovea::cpu {
namespace {

// A piece of a panel (48 KB) stays in the second cache, near the first, while the strips of A pass over it; the packed
// block stays in the last one. Measured on AVX2 and AVX-512 against pieces of 128 to 512.
constexpr int64_t kPiece = 384;        // k of one pass over the strips
constexpr int64_t kDeep = 4 * kPiece;  // k of a packed block
constexpr int64_t kPacked = 1 << 19;   // elements of a packed block
constexpr int64_t kRowBlock = 240;     // rows of A between changes of the panel
constexpr int64_t kAlone = 300'000;    // multiply-adds below which one thread is faster than waking another
constexpr int64_t kDotRows = 8;        // at most so many rows of A go by dot products
constexpr int64_t kCopiedRows = 48;    // rows of A that are copied together: whole strips of any level

// How a product is cut; depends on shapes and strides only, never on threads.
struct Plan {
  enum Way { nothing, dots, in_place, packed } way;
  int64_t columns, panels;  // width of a panel; panels in a packed block
  int64_t deep, piece;      // k of a block, k of a pass
  bool copy_strips;         // A lies so that its lines evict each other from the first cache
};

template <class T> Plan plan(const Gemm<T>& g, const GemmKernels<T>& kernels) {
  Plan p{Plan::packed, kernels.columns, 0, 0, 0, false};
  if (g.m == 0 || g.n == 0) p.way = Plan::nothing;
  else if (g.a_col == 1 && g.b_row == 1 && g.m <= kDotRows) p.way = Plan::dots;
  else if (g.b_col == 1 && g.m <= 2 * kernels.rows) p.way = Plan::in_place;
  p.deep = std::min(std::max<int64_t>(g.k, 1), kDeep);
  int64_t pieces = (p.deep + kPiece - 1) / kPiece;
  p.piece = (p.deep + pieces - 1) / pieces;
  int64_t all = (g.n + p.columns - 1) / p.columns;
  p.panels = p.way == Plan::in_place ? 1 : std::min(all, std::max<int64_t>(kPacked / (p.deep * p.columns), 1));
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

template <class F> void spread(int64_t tasks, int64_t work, F&& f) {
  if (work < kAlone) return f(0, tasks);
  parallel_for(0, tasks, 1, f);
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

// One packed block against all rows of A: k0 to k1 of the panels from column j0 on.
template <class T> struct Block {
  const Gemm<T>& g;
  const Plan& p;
  const GemmKernels<T>& kernels;
  const T* packed;
  int64_t k0, k1, j0, panels;

  int64_t heights() const { return (g.m + kernels.rows - 1) / kernels.rows; }

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

  // Tasks are register tiles, numbered panel by panel, so that any cut balances.
  void run(int64_t begin, int64_t end) const {
    const int64_t H = kernels.rows, count = heights(), first = begin / count, last = (end - 1) / count;
    for (int64_t i0 = 0; i0 < g.m; i0 += kRowBlock)
      for (int64_t k = k0; k < k1 || k == k0; k += p.piece)
        for (int64_t q = first; q <= last; q++) {
          int64_t top = std::max(i0, q == first ? begin % count * H : 0);
          int64_t bottom = std::min({i0 + kRowBlock, g.m, q == last ? ((end - 1) % count + 1) * H : g.m});
          if (top < bottom) kernels.strips(strip(q, top, bottom, k));
        }
  }

  // The same tasks, numbered strip by strip: some strips are copied together and meet every panel.
  void run_copied(int64_t begin, int64_t end) const {
    const int64_t H = kernels.rows, group = kCopiedRows / H;
    alignas(64) T copy[kCopiedRows * kPiece * 4 / 3];
    for (int64_t h = begin / panels; h * panels < end; h += group)
      for (int64_t k = k0; k < k1; k += p.piece) {
        const int64_t deep = std::min(p.piece, k1 - k), size = deep * kernels.width(H);
        const int64_t top = h * H, rows = std::min({group * H, g.m - top, ((end - 1) / panels + 1 - h) * H});
        pack_panels(kernels, g.a + top * g.a_row + k * g.a_col, g.a_col, g.a_row, deep, rows, H, size, copy);
        for (int64_t q = 0; q < panels; q++)
          for (int64_t i = 0; i * H < rows; i++) {
            const int64_t task = (h + i) * panels + q;
            if (task < begin || task >= end) continue;
            Strip<T> s = strip(q, top + i * H, std::min(g.m, top + (i + 1) * H), k);
            s.a = copy + i * size, s.a_row = 1, s.a_col = kernels.width(s.m);
            kernels.strips(s);
          }
      }
  }
};

template <class T> void multiply_block(const Block<T>& b) {
  int64_t tasks = b.panels * b.heights();
  spread(tasks, b.g.m * b.panels * b.p.columns * (b.k1 - b.k0), [&](int64_t begin, int64_t end) {
    if (b.p.copy_strips) b.run_copied(begin, end);
    else b.run(begin, end);
  });
}

template <class T> void run_gemm(const Gemm<T>& g, const GemmKernels<T>& kernels, T* packed) {
  Plan p = plan(g, kernels);
  if (p.way == Plan::nothing) return;
  if (p.way == Plan::dots) {
    int64_t tasks = (g.n + 3) / 4;
    spread(tasks, g.m * g.n * g.k, [&](int64_t b, int64_t e) { kernels.dots(g, 4 * b, std::min(4 * e, g.n)); });
    return;
  }
  static_assert(kRowBlock % 12 == 0);  // whole strips of any level
  const int64_t all = (g.n + p.columns - 1) / p.columns;
  for (int64_t k0 = 0; k0 < g.k || k0 == 0; k0 += p.deep) {
    int64_t k1 = std::min(k0 + p.deep, g.k);
    if (p.way == Plan::in_place) {
      int64_t rest = g.n % p.columns;  // only a ragged last panel is packed
      if (rest && rest != kernels.narrow)
        kernels.pack(g.b + k0 * g.b_row + (g.n - rest), g.b_row, 1, k1 - k0, rest, packed);
      multiply_block(Block<T>{g, p, kernels, packed, k0, k1, 0, all});
      continue;
    }
    for (int64_t q0 = 0; q0 < all; q0 += p.panels) {
      int64_t panels = std::min(p.panels, all - q0), j0 = q0 * p.columns;
      spread(panels, panels * p.columns * (k1 - k0) * 4, [&](int64_t b, int64_t e) {
        const int64_t j = j0 + b * p.columns, size = (k1 - k0) * p.columns;
        pack_panels(kernels, g.b + k0 * g.b_row + j * g.b_col, g.b_row, g.b_col, k1 - k0,
                    std::min((e - b) * p.columns, g.n - j), p.columns, size, packed + b * size);
      });
      multiply_block(Block<T>{g, p, kernels, packed, k0, k1, j0, panels});
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
  if (p.way == Plan::in_place && (o.n % p.columns == 0 || o.n % p.columns == kernels.narrow)) return 0;
  return p.panels * p.columns * p.deep * int64_t(sizeof(T));
}

template <class T> void gemm(const Gemm<T>& g, void* scratch) {
  run_gemm(oriented(g), gemm_kernels<T>(isa()), static_cast<T*>(scratch));
}

template int64_t gemm_scratch(const Gemm<float>&);
template int64_t gemm_scratch(const Gemm<double>&);
template void gemm(const Gemm<float>&, void*);
template void gemm(const Gemm<double>&, void*);

}  // namespace fovea::cpu
