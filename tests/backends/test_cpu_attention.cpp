// Attention of the CPU backend against its definition in f64: masks by formula, odd sizes, grouped heads, fused and
// strided q, k, v, empty rows, NaN behind the mask, every level, and the same bits for any number of threads.
#include <algorithm>
#include <functional>

#include "backends/cpu/attention.h"
#include "backends/cpu/kernels.h"
#include "tests/backends/cpu_helpers.h"

#define FOVEA_LOWERED
#define FOVEA_FAMILY "backends/cpu/attention_backward.inc"
#include "backends/cpu/levels.inc"

using namespace fovea;
using namespace fovea::cpu_test;

namespace {

struct Case {
  int64_t batch, heads, kv_heads, queries, keys, d, dv;
  AttentionAttrs attrs = {};
  std::vector<int32_t> documents = {}, k_lengths = {}, q_lengths = {};
  bool fused = false;  // q, k, v are slices of one [B, T, 3 C]
  int dense = -1;      // a dense mask: which of its axes batch, heads and queries are not of size 1, as bits
};

bool visible(const Case& c, int64_t b, int64_t q, int64_t k) {
  const AttentionAttrs& a = c.attrs;
  int64_t n = c.documents.empty() ? 1 : int64_t(c.documents.size()) / 4;
  for (int64_t i = 0; i < n; i++) {
    int64_t q0 = 0, q1 = c.queries, k0 = 0, k1 = c.keys;
    if (!c.documents.empty())
      q0 = c.documents[size_t(4 * i)], q1 = c.documents[size_t(4 * i + 1)], k0 = c.documents[size_t(4 * i + 2)],
      k1 = c.documents[size_t(4 * i + 3)];
    if (!c.q_lengths.empty()) q1 = std::min<int64_t>(q1, c.q_lengths[size_t(b)]);
    if (!c.k_lengths.empty()) k1 = std::min<int64_t>(k1, c.k_lengths[size_t(b)]);
    if (q < q0 || q >= q1 || k < k0 || k >= k1) continue;
    int64_t row = q - q0, at = a.top_left ? row : row + (k1 - k0) - (q1 - q0), j = k - k0;
    bool window = (a.left < 0 || j >= at - a.left) && (a.right < 0 || j <= at + a.right);
    bool near = !a.causal || j <= at;
    if (row < a.global || j < a.global || j < a.prefix || (near && (j < a.sinks || window))) return true;
  }
  return false;
}

// All arrays of a case, in the layouts asked for. `mine` views are what the kernels get.
struct Data {
  Case c;
  std::vector<float> q, k, v, g, added;
  std::vector<std::unique_ptr<Strided>> views;
  std::vector<const View*> in;
  View absent;

  explicit Data(const Case& c_) : c(c_) {
    if (c.fused) {
      int64_t width = 3 * c.heads * c.d;
      q = numbers<float>(c.batch * c.queries * width, 1, 2);
      for (int i = 0; i < 3; i++) add(&q[size_t(i * c.heads * c.d)], c.heads, c.queries, c.d, width, c.d);
    } else {
      q = numbers<float>(c.batch * c.heads * c.queries * c.d, 1, 2),
      k = numbers<float>(c.batch * c.kv_heads * c.keys * c.d, 2, 2);
      v = numbers<float>(c.batch * c.kv_heads * c.keys * c.dv, 3);
      add(q.data(), c.heads, c.queries, c.d, c.d, c.queries * c.d);
      add(k.data(), c.kv_heads, c.keys, c.d, c.d, c.keys * c.d);
      add(v.data(), c.kv_heads, c.keys, c.dv, c.dv, c.keys * c.dv);
    }
    g = numbers<float>(c.batch * c.heads * c.queries * c.dv, 4);
    auto list = [&](std::vector<int32_t>& x, std::vector<int64_t> shape) {
      if (x.empty()) return in.push_back(&absent);
      std::vector<int64_t> strides = shape.size() == 2 ? std::vector<int64_t>{4, 1} : std::vector<int64_t>{1};
      views.push_back(std::make_unique<Strided>(x.data(), i32, shape, strides));
      in.push_back(&views.back()->view);
    };
    list(c.documents, {int64_t(c.documents.size()) / 4, 4}), list(c.k_lengths, {c.batch}), list(c.q_lengths, {c.batch});
    if (c.dense < 0) {
      in.push_back(&absent);
      return;
    }
    auto size = [&](int axis, int64_t n) { return c.dense >> axis & 1 ? n : 1; };
    std::vector<int64_t> shape{size(0, c.batch), size(1, c.heads), size(2, c.queries), c.keys};
    added = numbers<float>(shape[0] * shape[1] * shape[2] * c.keys, 5);
    for (size_t i = 0; i < added.size(); i++) {
      if (number(i, 6) > 0.5 && int64_t(i) % c.keys) added[i] = i % 3 ? -INFINITY : -3e38f;
      if (c.dense & 4 && int64_t(i) / c.keys % c.queries == 1) added[i] = -INFINITY;  // a row that sees nothing
    }
    views.push_back(std::make_unique<Strided>(
        added.data(), f32, shape, std::vector<int64_t>{shape[1] * shape[2] * c.keys, shape[2] * c.keys, c.keys, 1}));
    in.push_back(&views.back()->view);
  }
  float extra(int64_t b, int64_t h, int64_t i, int64_t j) const {
    if (c.dense < 0) return 0;
    const View& m = *in[6];
    return m.as<float>()[(m.shape[0] > 1) * b * m.strides[0] + (m.shape[1] > 1) * h * m.strides[1] +
                         (m.shape[2] > 1) * i * m.strides[2] + j];
  }
  bool sees(int64_t b, int64_t h, int64_t i, int64_t j) const {
    return visible(c, b, i, j) && extra(b, h, i, j) != -INFINITY;
  }
  void add(float* p, int64_t heads, int64_t t, int64_t d, int64_t row, int64_t head) {
    int64_t batch = c.fused ? t * row : heads * head;
    views.push_back(std::make_unique<Strided>(p, f32, std::vector<int64_t>{c.batch, heads, t, d},
                                              std::vector<int64_t>{batch, head, row, 1}));
    in.push_back(&views.back()->view);
  }
  const float* at(int which, int64_t b, int64_t h, int64_t t) const {
    const View& x = *in[size_t(which)];
    return x.as<float>() + b * x.strides[0] + h * x.strides[1] + t * x.strides[2];
  }
};

struct Grads {
  std::vector<float> o, lse, dq, dk, dv;
};
struct Exact {
  std::vector<double> o, lse, dq, dk, dv;
};

Exact exact(const Data& x) {
  const Case& c = x.c;
  Exact r;
  r.o.resize(x.g.size()), r.lse.resize(size_t(c.batch * c.heads * c.queries));
  r.dq.resize(size_t(c.batch * c.heads * c.queries * c.d)), r.dk.resize(size_t(c.batch * c.kv_heads * c.keys * c.d));
  r.dv.resize(size_t(c.batch * c.kv_heads * c.keys * c.dv));
  double scale = c.attrs.scale != 0 ? c.attrs.scale : 1 / std::sqrt(double(c.d));
  for (int64_t b = 0; b < c.batch; b++)
    for (int64_t h = 0; h < c.heads; h++)
      for (int64_t i = 0; i < c.queries; i++) {
        int64_t kv = h / (c.heads / c.kv_heads), row = (b * c.heads + h) * c.queries + i;
        std::vector<double> p(size_t(c.keys)), dp(size_t(c.keys));
        double top = -INFINITY, sum = 0, drift = 0;
        const float *q = x.at(0, b, h, i), *g = &x.g[size_t(row * c.dv)];
        for (int64_t j = 0; j < c.keys; j++) {
          if (!x.sees(b, h, i, j)) continue;
          p[size_t(j)] = x.extra(b, h, i, j);
          for (int64_t e = 0; e < c.d; e++) p[size_t(j)] += scale * q[e] * x.at(1, b, kv, j)[e];
          for (int64_t e = 0; e < c.dv; e++) dp[size_t(j)] += double(g[e]) * x.at(2, b, kv, j)[e];
          top = std::max(top, p[size_t(j)]);
        }
        for (int64_t j = 0; j < c.keys; j++)
          if (x.sees(b, h, i, j)) sum += p[size_t(j)] = std::exp(p[size_t(j)] - top);
        r.lse[size_t(row)] = std::log(sum) + top;
        for (int64_t j = 0; j < c.keys; j++)
          if (x.sees(b, h, i, j)) drift += (p[size_t(j)] /= sum) * dp[size_t(j)];
        for (int64_t j = 0; j < c.keys; j++) {
          if (!x.sees(b, h, i, j)) continue;
          double w = p[size_t(j)], ds = w * (dp[size_t(j)] - drift) * scale;
          size_t key = size_t((b * c.kv_heads + kv) * c.keys + j);
          for (int64_t e = 0; e < c.dv; e++) {
            r.o[size_t(row * c.dv + e)] += w * x.at(2, b, kv, j)[e];
            r.dv[key * size_t(c.dv) + size_t(e)] += w * g[e];
          }
          for (int64_t e = 0; e < c.d; e++) {
            r.dq[size_t(row * c.d + e)] += ds * x.at(1, b, kv, j)[e];
            r.dk[key * size_t(c.d) + size_t(e)] += ds * q[e];
          }
        }
      }
  return r;
}

Grads run(Data& x) {
  const Case& c = x.c;
  Guarded<float> o(int64_t(x.g.size())), lse(c.batch * c.heads * c.queries), dq(c.batch * c.heads * c.queries * c.d);
  Guarded<float> dk(c.batch * c.kv_heads * c.keys * c.d), dv(c.batch * c.kv_heads * c.keys * c.dv);
  auto view = [&](float* p, int64_t heads, int64_t t, int64_t d) {
    return std::make_unique<Strided>(p, f32, std::vector<int64_t>{c.batch, heads, t, d},
                                     std::vector<int64_t>{heads * t * d, t * d, d, 1});
  };
  auto vo = view(o.data(), c.heads, c.queries, c.dv), vg = view(x.g.data(), c.heads, c.queries, c.dv);
  auto vq = view(dq.data(), c.heads, c.queries, c.d), vk = view(dk.data(), c.kv_heads, c.keys, c.d);
  auto vv = view(dv.data(), c.kv_heads, c.keys, c.dv);
  Strided vl(lse.data(), f32, {c.batch, c.heads, c.queries}, {c.heads * c.queries, c.queries, 1});
  const View* out[] = {&vo->view, &vl.view};
  Call forward{.in = x.in.data(), .out = out, .inputs = 7, .outputs = 2};
  CHECK(cpu::attention_accepts(forward, &c.attrs));
  std::unique_ptr<char, decltype(&std::free)> aligned(nullptr, std::free);
  auto room = [&](int64_t bytes) {
    aligned.reset(static_cast<char*>(std::aligned_alloc(64, size_t(bytes / 64 * 64 + 128))));
    std::memset(aligned.get(), 0xff, size_t(bytes) + 64);  // NaN wherever something is read before it is written
    return aligned.get();
  };
  int64_t bytes = cpu::attention_scratch(forward, &c.attrs);
  forward.scratch = room(bytes);
  CHECK(cpu::attention(forward, c.attrs));
  for (int i = 0; i < 64; i++) CHECK(aligned.get()[bytes + i] == char(0xff));
  std::vector<const View*> back = {&vg->view};
  back.insert(back.end(), x.in.begin(), x.in.begin() + 6);
  back.insert(back.end(), {&vo->view, &vl.view, x.in[6]});
  const View* grads[] = {&vq->view, &vk->view, &vv->view};
  Call backward{.in = back.data(), .out = grads, .inputs = 10, .outputs = 3};
  CHECK(cpu::attention_backward_accepts(backward, &c.attrs));
  bytes = cpu::attention_backward_scratch_bytes(backward, &c.attrs);
  backward.scratch = room(bytes);
  CHECK(cpu::attention_backward(backward, c.attrs));
  for (int i = 0; i < 64; i++) CHECK(aligned.get()[bytes + i] == char(0xff));
  CHECK(!(o.broken() || lse.broken() || dq.broken() || dk.broken() || dv.broken()));
  auto all = [](Guarded<float>& g, size_t n) { return std::vector<float>(g.data(), g.data() + n); };
  return {all(o, x.g.size()), all(lse, size_t(c.batch * c.heads * c.queries)), all(dq, size_t(vq->view.numel)),
          all(dk, size_t(vk->view.numel)), all(dv, size_t(vv->view.numel))};
}

// Largest error over the largest entry.
double distance(const std::vector<float>& got, const std::vector<double>& want) {
  double worst = 0, size = 1e-30;
  for (size_t i = 0; i < want.size(); i++) {
    bool same = double(got[i]) == want[i];  // infinities
    double e = same ? 0 : std::abs(got[i] - want[i]);
    worst = e <= worst ? worst : e;
    if (std::isfinite(want[i])) size = std::max(size, std::abs(want[i]));
  }
  return worst / std::max(size, 0.1);
}

void check(const Data& x, const Grads& r, const Exact& e) {
  const Case& c = x.c;
  INFO("B ", c.batch, " H ", c.heads, "/", c.kv_heads, " T ", c.queries, "/", c.keys, " D ", c.d, "/", c.dv, " fused ",
       c.fused);
  CHECK(distance(r.o, e.o) <= 2e-6);
  CHECK(distance(r.lse, e.lse) <= 1e-6);
  CHECK(distance(r.dq, e.dq) <= 4e-6);
  CHECK(distance(r.dk, e.dk) <= 4e-6);
  CHECK(distance(r.dv, e.dv) <= 4e-6);
}

AttentionAttrs causal(int64_t left = -1) { return {.left = left, .causal = true}; }

std::vector<Case> cases() {
  std::vector<Case> all;
  for (int64_t t : {1, 5, 16, 17, 64, 97, 230})
    for (int64_t d : {32, 20}) all.push_back({2, 2, 2, t, t, d, d, causal()});
  for (int64_t d : {1, 8, 16, 33, 64, 80}) all.push_back({1, 2, 1, 37, 37, d, 72 - d / 2, causal()});
  all.push_back({3, 4, 4, 64, 64, 32, 32, causal(), {}, {}, {}, true});
  all.push_back({2, 6, 2, 40, 40, 16, 16, causal(7)});
  all.push_back({1, 1, 1, 300, 300, 16, 16, causal(31)});
  all.push_back({1, 1, 1, 250, 250, 16, 16, {.left = 5, .right = 3}});
  all.push_back({1, 2, 2, 7, 30, 16, 16, causal()});  // end-aligned
  all.push_back({1, 2, 2, 30, 7, 16, 16, causal()});  // rows that see nothing
  all.push_back({1, 2, 2, 30, 7, 16, 16, {.causal = true, .top_left = true}});
  all.push_back({1, 2, 2, 50, 50, 16, 16, {.scale = 0.3, .prefix = 20, .causal = true}});
  all.push_back({1, 2, 2, 50, 50, 16, 16, {.right = 4, .sinks = 20}});
  all.push_back({1, 2, 2, 100, 100, 16, 16});
  all.push_back({1, 2, 2, 60, 60, 16, 16, causal(), {0, 20, 0, 20, 20, 25, 20, 25, 30, 60, 25, 60}});
  all.push_back({3, 2, 2, 40, 50, 16, 16, causal(), {}, {50, 13, 0}, {40, 40, 5}});
  all.push_back({3, 2, 1, 40, 50, 16, 16, {}, {}, {1, 13, 50}, {}});
  all.push_back({1, 3, 3, 210, 410, 32, 16, {.left = 100, .causal = true}});
  for (int dense : {0, 4, 5, 7}) {
    all.push_back({2, 2, 2, 130, 215, 16, 16, {}, {}, {}, {}, false, dense});
    all.push_back({1, 4, 2, 37, 37, 20, 33, causal(), {}, {}, {}, false, dense});
    all.push_back({1, 1, 1, 37, 53, 20, 33, {}, {}, {}, {}, false, dense});
  }
  return all;
}

}  // namespace

TEST_CASE("attention and its gradients under every mask, shape and layout") {
  for (const Case& c : cases()) {
    Data x(c);
    Exact e = exact(x);
    at_every_isa([&](cpu::Isa) { check(x, run(x), e); });
  }
}

TEST_CASE("sizes of zero") {
  for (int zero = 0; zero < 4; zero++) {
    Case c{zero == 0 ? 0 : 2, zero == 1 ? 0 : 2, zero == 1 ? 1 : 2, zero == 2 ? 0 : 5, zero == 3 ? 0 : 5, 16, 16};
    Data x(c);
    if (zero == 1) continue;  // no heads: the composition's
    Grads r = run(x);
    CHECK(std::all_of(r.o.begin(), r.o.end(), [](float v) { return v == 0; }));
    CHECK(std::all_of(r.dq.begin(), r.dq.end(), [](float v) { return v == 0; }));
    CHECK(std::all_of(r.dk.begin(), r.dk.end(), [](float v) { return v == 0; }));
    CHECK(std::all_of(r.lse.begin(), r.lse.end(), [](float v) { return v == -INFINITY; }));
  }
}

TEST_CASE("masks of more than one interval are left to the composition") {
  for (AttentionAttrs a : {AttentionAttrs{.global = 2}, AttentionAttrs{.left = 3, .sinks = 2, .causal = true},
                           AttentionAttrs{.left = 3, .prefix = 2, .causal = true}}) {
    Data x(Case{1, 1, 1, 8, 8, 16, 16, a});
    std::vector<float> o(128), lse(8);
    Strided vo(o.data(), f32, {1, 1, 8, 16}, {128, 128, 16, 1}), vl(lse.data(), f32, {1, 1, 8}, {8, 8, 1});
    const View* out[] = {&vo.view, &vl.view};
    CHECK(!cpu::attention_accepts({.in = x.in.data(), .out = out, .inputs = 7, .outputs = 2}, &a));
  }
}

// Masks that add the least number of f32 are common: a row of nothing else spreads evenly.
TEST_CASE("rows whose every score is far from zero") {
  for (float far : {-std::numeric_limits<float>::max(), -1e29f, -4e4f, 4e4f}) {
    Data x(Case{1, 2, 1, 20, 37, 16, 16, {}, {}, {}, {}, false, 4});
    std::fill(x.added.begin() + 3 * 37, x.added.begin() + 4 * 37, far);
    std::fill(x.added.begin() + 5 * 37, x.added.begin() + 6 * 37, far);
    Exact e = exact(x);
    at_every_isa([&](cpu::Isa) {
      Grads r = run(x);
      INFO("all scores near ", far);
      CHECK(distance(r.o, e.o) <= (far < -1e20f ? 2e-6 : 3e-3));  // scores are kept in f32
      CHECK(distance(r.dv, e.dv) <= 3e-3);
    });
  }
}

TEST_CASE("what a mask hides does not leak, NaN and infinity reach what sees them") {
  Case c{1, 2, 1, 50, 50, 32, 32, causal(9)};
  Data clean(c);
  for (float poison : {NAN, INFINITY, -INFINITY})
    for (int which : {1, 2}) {
      Data x(c);
      (which == 1 ? x.k : x.v)[size_t(20 * 32 + 3)] = poison;  // key 20, seen by queries 20 to 29
      at_every_isa([&](cpu::Isa) {
        Grads base = run(clean), r = run(x);
        int wrong = 0, reached = 0;
        for (int64_t h = 0; h < 2; h++)
          for (int64_t i = 0; i < 50; i++)
            for (int64_t e = 0; e < 32; e++) {
              size_t at = size_t((h * 50 + i) * 32 + e);
              bool sees = i >= 20 && i < 30;
              if (!sees)
                wrong += !(std::abs(r.o[at] - base.o[at]) <= 1e-6) + !(std::abs(r.dq[at] - base.dq[at]) <= 1e-5);
              else reached += !std::isfinite(r.o[at]) || !std::isfinite(r.dq[at]);
            }
        for (int64_t j = 0; j < 50; j++) {
          bool near = j > 10 && j < 30;  // keys that share a query with key 20
          for (int64_t e = 0; e < 32 && !near; e++) {
            size_t at = size_t(j * 32 + e);
            wrong += !(std::abs(r.dk[at] - base.dk[at]) <= 1e-5) + !(std::abs(r.dv[at] - base.dv[at]) <= 1e-5);
          }
        }
        INFO("poison ", poison, " in input ", which);
        CHECK(wrong == 0);
        CHECK(reached > 0);
      });
    }
}

TEST_CASE("attention has the same bits for any number of threads and on repeat") {
  for (const Case& c : {Case{2, 6, 3, 200, 200, 32, 32, causal()}, Case{1, 2, 2, 400, 400, 64, 64, causal(50)}}) {
    Data x(c);
    std::vector<Grads> all;
    for (int threads : {1, 2, 3, 7, 2}) with_threads(threads, [&] { all.push_back(run(x)); });
    for (Grads& r : all)
      CHECK((same_bits(r.o, all[0].o) && same_bits(r.lse, all[0].lse) && same_bits(r.dq, all[0].dq) &&
             same_bits(r.dk, all[0].dk) && same_bits(r.dv, all[0].dv)));
  }
}

TEST_CASE("attention kernels for 512-bit vectors, lowered to AVX2") {
  if (cpu::best_isa() < cpu::Isa::avx2) return;
  for (const Case& c : cases()) {
    if (c.batch > 1 || c.heads != c.kv_heads || c.queries > cpu::kQueryBlock) continue;
    Data x(c);
    Exact e = exact(x);
    std::vector<int32_t> lo(size_t(c.queries + 16)), hi(size_t(c.queries + 16));
    for (int64_t i = 0; i < c.queries; i++)
      for (int64_t j = c.keys; j-- > 0;)
        if (visible(c, 0, i, j)) lo[size_t(i)] = int32_t(j), hi[size_t(i)] = std::max(hi[size_t(i)], int32_t(j + 1));
    cpu::AttentionShape s{c.queries, c.keys, c.d, c.dv,
                          float(c.attrs.scale != 0 ? c.attrs.scale : 1 / std::sqrt(double(c.d)))};
    std::vector<float> scratch(size_t(cpu::attention_forward_scratch(s) + cpu::attention_backward_scratch(s, 1)));
    std::vector<float> o(size_t(c.queries * c.dv)), lse(size_t(c.queries)), dq(size_t(c.queries * c.d)),
        dk(size_t(c.keys * c.d)), dv(size_t(c.keys * c.dv));
    cpu::Rows q{x.at(0, 0, 0, 0), c.d}, k{x.at(1, 0, 0, 0), c.d}, v{x.at(2, 0, 0, 0), c.dv};
    const cpu::Added added{c.dense < 0 ? nullptr : x.added.data(), c.dense & 4 ? c.keys : 0};
    CHECK(cpu::lowered::attention_forward(
        {s, q, k, v, o.data(), c.dv, lse.data(), {lo.data(), hi.data()}, added, scratch.data()}));
    cpu::Rows g{x.g.data(), c.dv}, out{o.data(), c.dv};
    const float* l = lse.data();
    float* to = dq.data();
    CHECK(cpu::lowered::attention_backward({s,
                                            1,
                                            &q,
                                            &g,
                                            &out,
                                            &l,
                                            &to,
                                            c.d,
                                            k,
                                            v,
                                            dk.data(),
                                            dv.data(),
                                            c.d,
                                            c.dv,
                                            {lo.data(), hi.data()},
                                            &added,
                                            scratch.data()}));
    auto first = [](const std::vector<double>& a, size_t n) {
      return std::vector<double>(a.begin(), a.begin() + long(n));
    };
    CHECK(distance(o, first(e.o, o.size())) <= 2e-6);
    CHECK(distance(dq, first(e.dq, dq.size())) <= 4e-6);
    CHECK(distance(dk, first(e.dk, dk.size())) <= 4e-6);
    CHECK(distance(dv, first(e.dv, dv.size())) <= 4e-6);
  }
}
