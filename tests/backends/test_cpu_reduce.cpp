// Reductions, copies and fills of the CPU backend against naive loops: patterns of kept and dropped axes, strides,
// tails, long ranges, NaN, and the same bits for any number of threads.
#include <algorithm>

#include "backends/cpu/kernels.h"
#include "backends/cpu/reduce.h"
#include "backends/ref/kernels.h"
#include "tests/backends/cpu_helpers.h"

#define FOVEA_LOWERED
#define FOVEA_FAMILY "backends/cpu/reduce_kernels.inc"
#include "backends/cpu/levels.inc"

using namespace fovea;
using namespace fovea::cpu_test;

namespace {

struct Case {
  std::vector<int64_t> shape, strides, drop;
};
std::vector<int64_t> dense(const std::vector<int64_t>& shape) {
  std::vector<int64_t> s(shape.size());
  int64_t n = 1;
  for (size_t d = shape.size(); d-- > 0; n *= shape[d]) s[d] = n;
  return s;
}
const std::vector<Case> kCases = {
    {{}, {}, {}},
    {{1}, {1}, {0}},
    {{7}, {1}, {0}},
    {{100003}, {1}, {0}},
    {{33, 65}, {65, 1}, {1}},
    {{33, 65}, {65, 1}, {0}},
    {{33, 65}, {70, 1}, {0, 1}},
    {{33, 65}, {1, 33}, {0}},  // transposed
    {{33, 65}, {1, 33}, {1}},
    {{33, 65}, {130, 2}, {1}},  // the reference's
    {{9001, 70}, {70, 1}, {0}},
    {{7, 1300}, {1300, 1}, {0}},
    {{5, 6, 7}, {42, 7, 1}, {1}},
    {{5, 6, 7}, {42, 7, 1}, {0, 2}},
    {{5, 6, 7}, {42, 7, 1}, {0, 1}},
    {{5, 6, 7}, {42, 7, 1}, {1, 2}},
    {{4, 3, 5, 128}, {1920, 640, 128, 1}, {0, 1}},
    {{4, 3, 5, 17}, {51, 17, 204, 1}, {2}},
    {{3, 20, 4, 600}, {48000, 2400, 600, 1}, {0, 2}},
    {{2, 3, 1100, 40}, {132000, 44000, 40, 1}, {0, 2}},
    {{3, 50, 2500}, {125000, 2500, 1}, {0, 2}},
    {{6, 4}, {0, 1}, {0}},
    {{9001, 2}, {2, 1}, {1}},  // rows of few numbers
    {{75, 3}, {3, 1}, {1}},
    {{75, 4}, {4, 1}, {1}},
    {{75, 8}, {8, 1}, {1}},
    {{25, 3, 16}, {48, 16, 1}, {2}},
};

// The result in f64, by the formula.
std::vector<double> naive(const Case& c, const std::vector<float>& x, Reduce kind) {
  std::vector<int64_t> kept_shape = c.shape;
  for (int64_t d : c.drop) kept_shape[size_t(d)] = 1;
  if (c.drop.empty()) std::fill(kept_shape.begin(), kept_shape.end(), 1);
  std::vector<int64_t> st = dense(kept_shape);
  int64_t outputs = 1, all = 1;
  for (size_t d = 0; d < c.shape.size(); d++) outputs *= kept_shape[d], all *= c.shape[d];
  std::vector<double> y(size_t(outputs), kind == Reduce::amax   ? -INFINITY
                                         : kind == Reduce::amin ? INFINITY
                                                                : kind == Reduce::prod);
  for (int64_t i = 0; i < all; i++) {
    int64_t rest = i, from = 0, to = 0;
    for (size_t d = c.shape.size(); d-- > 0; rest /= c.shape[d]) {
      from += rest % c.shape[d] * c.strides[d];
      if (kept_shape[d] != 1) to += rest % c.shape[d] * st[d];
    }
    double v = x[size_t(from)], &t = y[size_t(to)];
    if (kind == Reduce::amax) t = std::isnan(v) || std::isnan(t) ? NAN : std::max(t, v);
    else if (kind == Reduce::amin) t = std::isnan(v) || std::isnan(t) ? NAN : std::min(t, v);
    else if (kind == Reduce::prod) t *= v;
    else t += v;
  }
  if (kind == Reduce::mean)
    for (double& v : y) v /= double(all / outputs);
  return y;
}

struct Run {
  std::vector<float> result;
  bool broken;
};
Run reduce(const Case& c, std::vector<float>& x, Reduce kind, bool keepdim) {
  std::vector<int64_t> shape;
  for (size_t d = 0; d < c.shape.size(); d++) {
    bool drop = c.drop.empty() || std::count(c.drop.begin(), c.drop.end(), int64_t(d));
    if (!drop) shape.push_back(c.shape[d]);
    else if (keepdim) shape.push_back(1);
  }
  int64_t n = 1;
  for (int64_t s : shape) n *= s;
  Guarded<float> out(n);
  Strided vx(x.data(), f32, c.shape, c.strides), vy(out.data(), f32, shape, dense(shape));
  const View *in[] = {&vx.view}, *to[] = {&vy.view};
  ReduceAttrs a{Shape(c.drop), keepdim};
  Call call{.in = in, .out = to, .inputs = 1, .outputs = 1, .kind = uint8_t(kind)};
  Scratch scratch(cpu::reduce_scratch(call, &a));
  call.scratch = scratch.data();
  CHECK(cpu::reduce(call, a));
  return {{out.data(), out.data() + n}, out.broken() || scratch.broken()};
}

}  // namespace

TEST_CASE("reductions over every pattern of axes") {
  for (const Case& c : kCases)
    for (Reduce kind : {Reduce::sum, Reduce::mean, Reduce::prod, Reduce::amax, Reduce::amin})
      for (bool nan : {false, true}) {
        std::vector<float> x = numbers<float>(9001 * 70, 3);
        if (kind == Reduce::prod)  // neither to 0 nor to infinity
          for (float& v : x) v = 1 + v / 1024;
        if (nan) x[3] = NAN, x[14] = INFINITY;
        std::vector<double> want = naive(c, x, kind);
        double n = 1;  // of a range, and what rounding its blocks may cost
        for (int64_t d : c.shape) n *= double(d);
        double size = kind == Reduce::sum || kind == Reduce::prod ? 4 + 4 * std::sqrt(n / double(want.size())) : 4;
        at_every_isa([&](cpu::Isa) {
          Run r = reduce(c, x, kind, nan);
          CHECK(!r.broken);
          int wrong = r.result.size() != want.size();
          for (size_t i = 0; i < want.size() && !wrong; i++) {
            double e = std::abs(r.result[i] - want[i]);
            bool same = std::isfinite(want[i]) ? e <= 1e-7 * (std::abs(want[i]) + size)
                        : std::isnan(want[i])  ? std::isnan(r.result[i])
                                               : r.result[i] == want[i];
            wrong += !same;
            if (!same) MESSAGE("element ", i, ": ", r.result[i], " for ", want[i], " error ", e);
          }
          INFO("shape ", to_string(Shape(c.shape)), " drops ", to_string(Shape(c.drop)), " kind ", int(kind));
          CHECK(wrong == 0);
        });
      }
}

// Each slot beside the reference's on the same views: the axis first, in the middle and last, long enough for threads
// and for radix, few values so that ties are many, NaN and both zeros among them.
TEST_CASE("scans, places of the best, sorts, gathers, scatters, any and all are the reference's") {
  struct Slot {
    const char* name;
    Status (*cpu)(const Call&, const void*);
    Status (*ref)(const Call&, const void*);
    int64_t (*cpu_scratch)(const Call&, const void*);
    int64_t (*ref_scratch)(const Call&, const void*);
    int kinds;
    int first = 0;  // kind
  };
#define FOVEA_BOTH(slot, A)                                                                       \
  [](const Call& c, const void* a) -> Status { return cpu::slot(c, *static_cast<const A*>(a)); }, \
      [](const Call& c, const void* a) -> Status { return ref::slot(c, *static_cast<const A*>(a)); }
  auto none = [](const Call&, const void*) -> int64_t { return 0; };
  const Slot scan{"scan", FOVEA_BOTH(scan, DimAttrs), none, none, 2};
  const Slot arg{"arg_reduce", FOVEA_BOTH(arg_reduce, DimKeepAttrs), none, none, 2};
  const Slot sort{"sort", FOVEA_BOTH(sort, SortAttrs), cpu::sort_scratch, ref::sort_scratch, 2};
  const Slot gather{"gather", FOVEA_BOTH(gather, DimAttrs), none, none, 1};
  const Slot scatter{"scatter", FOVEA_BOTH(scatter, ScatterAttrs), cpu::scatter_scratch, ref::scatter_scratch, 2};
  const Slot flags{"any or all", FOVEA_BOTH(reduce, ReduceAttrs), cpu::reduce_scratch, none, 2, int(Reduce::any)};
  const Slot total{"sum", FOVEA_BOTH(reduce, ReduceAttrs), cpu::reduce_scratch, none, 1};
  const Slot best{"amax or amin", FOVEA_BOTH(reduce, ReduceAttrs), cpu::reduce_scratch, none, 2, int(Reduce::amax)};
#undef FOVEA_BOTH
  for (std::vector<int64_t> shape : {std::vector<int64_t>{3, 700, 5}, {2, 90, 300}, {40, 1, 33}, {1, 9, 4000}})
    for (int64_t d = 0; d < 3; d++) {
      const int64_t n = shape[0] * shape[1] * shape[2], size = shape[size_t(d)];
      std::vector<int64_t> kept = shape, rows = {dense(shape)};
      kept[size_t(d)] = 1;
      std::vector<float> x(static_cast<size_t>(n)), src = numbers<float>(n, 5);
      std::vector<int64_t> index(static_cast<size_t>(n));
      std::vector<uint8_t> truth(static_cast<size_t>(n));
      for (uint64_t i = 0; i < uint64_t(n); i++) {
        double v = number(i, 1);
        x[i] = v > 0.999 ? NAN : std::round(float(v * 40)) / 8 * (i % 2 ? 1.0f : -1.0f);
        src[i] = std::round(src[i] * 64);
        index[i] = std::min(int64_t((number(i, 2) + 1) / 2 * double(size)), size - 1);
        truth[i] = number(i, 3) > 0.9;
      }
      Strided vx(x.data(), f32, shape, rows), vi(index.data(), i64, shape, rows), vs(src.data(), f32, shape, rows);
      Strided column(index.data(), i64, shape, {d == 0 ? 1 : 0, d == 1 ? 1 : 0, d == 2 ? 1 : 0});
      std::vector<double> wide(x.begin(), x.end()), source(src.begin(), src.end());
      Strided vt(truth.data(), boolean, shape, rows), vw(wide.data(), f64, shape, rows);
      Strided vd(source.data(), f64, shape, rows);
      auto agree = [&](const Slot& slot, std::vector<const View*> in, std::vector<DType> types,
                       const std::vector<int64_t>& to, const void* attrs) {
        for (int kind = 0; kind < slot.kinds; kind++) {
          std::vector<double> bytes[2];
          for (bool ours : {false, true}) {
            std::vector<std::unique_ptr<Strided>> views;
            std::vector<const View*> out;
            std::vector<double> memory(size_t(n) * types.size());
            for (size_t k = 0; k < types.size(); k++) {
              views.push_back(std::make_unique<Strided>(&memory[k * size_t(n)], types[k], to, dense(to)));
              out.push_back(&views[k]->view);
            }
            Call c{.in = in.data(),
                   .out = out.data(),
                   .inputs = int(in.size()),
                   .outputs = int(out.size()),
                   .kind = uint8_t(slot.first + kind)};
            Scratch scratch((ours ? slot.cpu_scratch : slot.ref_scratch)(c, attrs));
            c.scratch = scratch.data();
            CHECK((ours ? slot.cpu : slot.ref)(c, attrs));
            CHECK(!scratch.broken());
            bytes[ours] = memory;
          }
          INFO(std::string(slot.name), " kind ", kind, " shape ", to_string(Shape(shape)), " axis ", d);
          CHECK(same_bits(bytes[0], bytes[1]));
        }
      };
      DimAttrs dim{d};
      DimKeepAttrs keep{d, true};
      ReduceAttrs one{{d}, true};
      ScatterAttrs into{d};
      agree(scan, {&vs.view}, {f32}, shape, &dim);
      agree(scan, {&vd.view}, {f64}, shape, &dim);
      agree(arg, {&vx.view}, {i64}, kept, &keep);
      for (int64_t k : {size, size / 3, size / 20})
        for (bool descending : {false, true}) {
          std::vector<int64_t> some = shape;
          some[size_t(d)] = k;
          SortAttrs first{d, descending, k};
          agree(sort, {&vx.view}, {f32, i64}, some, &first);
          agree(sort, {&vw.view}, {f64, i64}, some, &first);
          agree(sort, {&vi.view}, {i64, i64}, some, &first);
        }
      for (const Strided* at : {&vi, &column}) {
        agree(gather, {&vx.view, &at->view}, {f32}, shape, &dim);
        agree(scatter, {&vx.view, &at->view, &vs.view}, {f32}, shape, &into);
        agree(scatter, {&vi.view, &at->view, &vi.view}, {i64}, shape, &into);
      }
      agree(flags, {&vt.view}, {boolean}, kept, &one);
      agree(total, {&vt.view}, {i64}, kept, &one);
      agree(total, {&vi.view}, {i64}, kept, &one);
      agree(best, {&vi.view}, {i64}, kept, &one);
    }
}

TEST_CASE("reduction kernels for 512-bit vectors, lowered to AVX2") {
  if (cpu::best_isa() < cpu::Isa::avx2) return;
  const auto& t = cpu::lowered::kReduceTable<float>;
  for (int64_t n : {1, 15, 64, 77, 5000}) {
    std::vector<float> x = numbers<float>(n, 1);
    double sum = 0;
    for (float v : x) sum += v;
    CHECK(std::abs(t.row[0](n, x.data()) - sum) <= 1e-5);
    CHECK(t.row[1](n, x.data()) == *std::max_element(x.begin(), x.end()));
    if (n / 15 > cpu::kDownRows) continue;
    std::vector<float> acc(15);
    t.down[2](n / 15, 15, x.data(), 15, acc.data());
    for (int64_t j = 0; j < 15 && n >= 15; j++) {
      double least = 100;
      for (int64_t i = 0; i < n / 15; i++) least = std::min<double>(least, x[size_t(i * 15 + j)]);
      CHECK(acc[size_t(j)] == least);
    }
  }
}

TEST_CASE("pools of every kernel, stride, padding and dilation, and their gradients, for any number of threads") {
  const int64_t rows = 5;
  for (int64_t size : {1, 7, 70})
    for (cpu::PoolWindows w : {cpu::PoolWindows{1, 1, 0, 1},
                               {2, 2, 0, 1},
                               {3, 2, 1, 1},
                               {3, 3, 1, 1},
                               {4, 1, 2, 3},
                               {5, 2, 2, 2},
                               {2, 5, 1, 1},
                               {2, int64_t(1) << 62, 1, 1}}) {
      const int64_t left = size + 2 * w.padding - (w.kernel - 1) * w.dilation - 1;
      if (left < 0) continue;
      const int64_t windows = left / w.stride + 1;
      std::vector<float> x = numbers<float>(rows * size, 1), g = numbers<float>(rows * windows, 2);
      if (size == 70) x[33] = NAN, x[35] = INFINITY, x[34] = -INFINITY, x[100] = x[101];
      std::vector<float> want, slope(x.size());
      for (int64_t row = 0; row < rows; row++)
        for (int64_t i = 0; i < windows; i++) {
          int64_t place = -1;
          for (int64_t k = 0; k < w.kernel; k++) {
            const int64_t at = i * w.stride - w.padding + k * w.dilation;
            if (at < 0 || at >= size) continue;
            const float v = x[size_t(row * size + at)];
            if (place < 0 || std::isnan(v) || v > x[size_t(row * size + place)]) place = at;
          }
          want.push_back(place < 0 ? -INFINITY : x[size_t(row * size + place)]);
          if (place >= 0) slope[size_t(row * size + place)] += g[want.size() - 1];
        }
      const MaxPoolAttrs a{w.kernel, w.stride, w.padding, w.dilation};
      Strided vx(x.data(), f32, {rows, size}, {size, 1}), vg(g.data(), f32, {rows, windows}, {windows, 1});
      at_every_isa([&](cpu::Isa) {
        for (int threads : {1, 3})
          with_threads(threads, [&] {
            Guarded<float> y(rows * windows), dx(rows * size);
            Strided vy(y.data(), f32, {rows, windows}, {windows, 1}), vdx(dx.data(), f32, {rows, size}, {size, 1});
            const View *in[] = {&vx.view}, *both[] = {&vg.view, &vx.view}, *out[] = {&vy.view}, *to[] = {&vdx.view};
            CHECK(cpu::max_pool1d({.in = in, .out = out, .inputs = 1, .outputs = 1}, a));
            CHECK(cpu::max_pool1d_backward({.in = both, .out = to, .inputs = 2, .outputs = 1}, a));
            INFO("size ", size, " kernel ", w.kernel, " stride ", w.stride);
            CHECK(!(y.broken() || dx.broken()));
            CHECK(same_bits(std::vector<float>(y.data(), y.data() + want.size()), want));
            CHECK(same_bits(std::vector<float>(dx.data(), dx.data() + slope.size()), slope));
          });
      });
    }
}

TEST_CASE("a long sum is as good as one in f64, and its bits do not depend on threads") {
  std::vector<float> x = numbers<float>(3000000, 4);
  for (float& v : x) v += 1;  // sums that grow
  for (const Case& c :
       {Case{{3000000}, {1}, {0}}, Case{{100000, 30}, {30, 1}, {0}}, Case{{30, 100000}, {100000, 1}, {1}}}) {
    std::vector<double> want = naive(c, x, Reduce::sum);
    std::vector<std::vector<float>> results;
    for (int threads : {1, 2, 3, 7})
      with_threads(threads, [&] { results.push_back(reduce(c, x, Reduce::sum, false).result); });
    for (auto& r : results) CHECK(same_bits(r, results[0]));
    for (size_t i = 0; i < want.size(); i++) CHECK(std::abs(results[0][i] - want[i]) <= 1.2e-7 * want[i]);
  }
}

TEST_CASE("copies through any strides, fills, in every size of element") {
  struct Layout {
    std::vector<int64_t> shape, x, y;
  };
  const std::vector<Layout> layouts = {{{}, {}, {}},
                                       {{100000}, {1}, {1}},
                                       {{50, 70}, {1, 50}, {70, 1}},
                                       {{50, 70}, {70, 1}, {1, 50}},
                                       {{3, 37, 41}, {1517, 1, 37}, {1517, 41, 1}},
                                       {{2, 64, 4, 32}, {8192, 32, 2048, 1}, {8192, 128, 32, 1}},
                                       {{5, 9}, {-9, 2}, {9, 1}},
                                       {{300, 20}, {0, 1}, {20, 1}},
                                       {{4, 0}, {1, 1}, {1, 1}}};
  for (const Layout& l : layouts)
    for (DType t : {f32, f64, bf16, i64, u8, boolean}) {
      std::vector<double> store = numbers<double>(200000, 5);
      Guarded<double> out(100000, 0);
      Strided x(&store[100000], t, l.shape, l.x), y(out.data(), t, l.shape, l.y);
      const View *in[] = {&x.view}, *to[] = {&y.view};
      CHECK(cpu::copy({.in = in, .out = to, .inputs = 1, .outputs = 1}, {}));
      auto ox = offsets(x), oy = offsets(y);
      int wrong = 0, size = size_of(t);
      for (size_t i = 0; i < ox.size(); i++)
        wrong += std::memcmp(x.view.as<char>() + ox[i] * size, y.view.as<char>() + oy[i] * size, size_t(size)) != 0;
      CHECK(wrong == 0);
      CHECK(!out.broken());
      for (double value : {0.0, 1.0}) {
        CHECK(cpu::fill({.out = to, .outputs = 1}, {value, int64_t(value)}));
        CHECK(!out.broken());
        if (t == f32)
          for (int64_t o : oy) wrong += y.view.as<float>()[o] != float(value);
        CHECK(wrong == 0);
      }
    }
}
