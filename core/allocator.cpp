// The cold half of the arena: refilling from the depot, mapping pages, statistics, and what happens when a thread ends.
#include "core/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>
#include <new>
#include <vector>

#include "core/error.h"
#include "core/mode.h"

namespace fovea {
namespace {

constexpr size_t kChunk = size_t(1) << 20;       // blocks below kOwnMapping are cut from chunks of this size
constexpr size_t kOwnMapping = size_t(1) << 18;  // larger ones get pages of their own, which can be given back
constexpr size_t kHugePage = size_t(1) << 21;
constexpr size_t kRegion = 8 * kHugePage;  // what is asked of the system at once

constexpr std::array<int32_t, kClasses> magazine_limits() {
  std::array<int32_t, kClasses> limits{};
  for (int c = 0; c < kClasses; c++) {
    size_t bytes = 0;
    if (c < kSmallClasses) bytes = size_t(c + 1) * 64;
    else
      bytes = (size_t(1) << (10 + (c - kSmallClasses) / 4)) +
              (size_t((c - kSmallClasses) % 4 + 1) << (8 + (c - kSmallClasses) / 4));
    limits[c] = int32_t(std::clamp<size_t>((size_t(64) << 20) / bytes, 1, 128));
  }
  return limits;
}

// Shared by all threads, behind one mutex that is taken once per magazine. Never destroyed: threads may end after main.
struct Depot {
  std::mutex mutex;
  FreeBlock* magazines[kClasses] = {};
  char* chunk = nullptr;
  size_t chunk_left = 0;
  char* region = nullptr;
  size_t region_left = 0;
  int64_t reserved = 0, system_calls = 0;
  int64_t gone_live = 0;  // of threads that have ended
  std::vector<ThreadState*> threads;
};
Depot& depot() {
  static Depot* d = new Depot;
  return *d;
}

// Addresses for `bytes` that begin with a huge page. A tensor of a small model is a few hundred pages of 4 KB, and a
// step's tensors are more than the processor's tables of pages hold; memory is used up as it is touched.
char* map_region(Depot& d, size_t bytes) {
  void* p = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED)
    throw MemoryError("out of memory: " + std::to_string(bytes) + " bytes more on top of " +
                      std::to_string(d.reserved) + " reserved. Try a smaller batch or context");
  char* begin = static_cast<char*>(p);
  const size_t before = -reinterpret_cast<uintptr_t>(begin) % kHugePage;
  if (before) munmap(begin, before);
  munmap(begin + before + bytes, kHugePage - before);
  madvise(begin + before, bytes, MADV_HUGEPAGE);  // a wish: kernels without huge pages refuse it
  return begin + before;
}

// `bytes` is a multiple of 4096.
void* map_pages(Depot& d, size_t bytes) {
  const bool alone = bytes > d.region_left && bytes >= kRegion / 2;  // what is left of the region still serves others
  if (bytes > d.region_left && !alone) d.region = map_region(d, kRegion), d.region_left = kRegion;
  void* p = alone ? map_region(d, bytes) : d.region;
  if (!alone) d.region += bytes, d.region_left -= bytes;
  d.reserved += int64_t(bytes);
  d.system_calls++;
  return p;
}

int count(FreeBlock* b) {
  int n = 0;
  for (; b; b = b->next) n++;
  return n;
}

size_t mapping_bytes(int c) { return (class_bytes(c) + 4095) & ~size_t(4095); }

}  // namespace

constinit const std::array<int32_t, kClasses> kMagazineLimit = magazine_limits();
static_assert(magazine_limits()[0] == kSmallMagazine && magazine_limits()[kSmallClasses - 1] == kSmallMagazine);

void* BlockCache::refill(int c) {
  Bin& bin = bins[c];
  if (!bin.spare) {
    Depot& d = depot();
    std::lock_guard lock(d.mutex);
    if (FreeBlock* m = d.magazines[c]) {
      d.magazines[c] = m->next_magazine;
      bin.spare = m;
      bin.spare_count = count(m);
    } else if (class_bytes(c) >= kOwnMapping) {
      try {
        return map_pages(d, mapping_bytes(c));
      } catch (...) {
        live -= int64_t(class_bytes(c));
        throw;
      }
    } else {
      // A magazine's worth for small classes, fewer of the larger ones, cut from the current chunk.
      size_t bytes = class_bytes(c), want = std::clamp<size_t>(16384 / bytes, 1, kMagazineLimit[c]);
      if (d.chunk_left < bytes) d.chunk = static_cast<char*>(map_pages(d, kChunk)), d.chunk_left = kChunk;
      for (size_t i = 0; i < want && d.chunk_left >= bytes; i++) {
        auto* b = reinterpret_cast<FreeBlock*>(d.chunk);
        d.chunk += bytes;
        d.chunk_left -= bytes;
        b->next = bin.spare;
        bin.spare = b;
        bin.spare_count++;
      }
    }
  }
  FreeBlock* b = bin.spare;
  bin.top = b->next;
  bin.top_count = bin.spare_count - 1;
  bin.spare = nullptr;
  bin.spare_count = 0;
  return b;
}

void BlockCache::overflow(int c) {
  Bin& bin = bins[c];
  if (bin.spare) {
    Depot& d = depot();
    std::lock_guard lock(d.mutex);
    bin.spare->next_magazine = d.magazines[c];
    d.magazines[c] = bin.spare;
  }
  bin.spare = bin.top;
  bin.spare_count = bin.top_count;
  bin.top = nullptr;
  bin.top_count = 0;
}

void BlockCache::flush() {
  Depot& d = depot();
  std::lock_guard lock(d.mutex);
  for (int c = 0; c < kClasses; c++)
    for (FreeBlock** list : {&bins[c].top, &bins[c].spare})
      if (*list) {
        (*list)->next_magazine = d.magazines[c];
        d.magazines[c] = *list;
        *list = nullptr;
      }
  for (Bin& bin : bins) bin.top_count = bin.spare_count = 0;
}

namespace detail {

constinit thread_local ThreadState* tls_state __attribute__((tls_model("initial-exec"))) = nullptr;

namespace {
// Flushes a thread's free lists when it ends. A state used after that (by destructors of other thread-locals) is made
// anew and kept.
struct AtThreadExit {
  ~AtThreadExit() {
    ThreadState* s = tls_state;
    if (!s) return;
    s->blocks.flush();
    Depot& d = depot();
    std::lock_guard lock(d.mutex);
    d.gone_live += s->blocks.live;
    std::erase(d.threads, s);
    tls_state = nullptr;
    delete s;
  }
};
}  // namespace

ThreadState& make_state() {
  static thread_local AtThreadExit at_exit;
  (void)&at_exit;
  auto* s = new ThreadState;
  Depot& d = depot();
  std::lock_guard lock(d.mutex);
  d.threads.push_back(s);
  return *(tls_state = s);
}

}  // namespace detail

MemoryStats memory_stats() {
  Depot& d = depot();
  std::lock_guard lock(d.mutex);
  MemoryStats m{.live = d.gone_live, .peak = 0, .reserved = d.reserved, .system_calls = d.system_calls};
  for (ThreadState* s : d.threads) {
    m.live += s->blocks.live;
    m.peak = std::max(m.peak, s->blocks.peak);
  }
  return m;
}

void reset_peak_memory() {
  Depot& d = depot();
  ThreadState& caller = state();
  std::lock_guard lock(d.mutex);
  caller.blocks.live += d.gone_live;  // or this thread's peak would miss what others left to it, or freed of its own
  d.gone_live = 0;
  for (ThreadState* s : d.threads) s->blocks.peak = s->blocks.live;
}

void release_cached_memory() {
  state().blocks.flush();
  Depot& d = depot();
  std::lock_guard lock(d.mutex);
  for (int c = size_class(kOwnMapping); c < kClasses; c++)
    while (FreeBlock* m = d.magazines[c]) {
      if (class_bytes(c) < kOwnMapping) break;
      d.magazines[c] = m->next_magazine;
      while (m) {
        FreeBlock* next = m->next;
        munmap(m, mapping_bytes(c));
        d.reserved -= int64_t(mapping_bytes(c));
        m = next;
      }
    }
}

}  // namespace fovea
