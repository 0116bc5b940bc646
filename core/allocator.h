// The caching arena of host memory. Thread-local free lists by size class in front of a shared depot; pages are kept,
// never given back unasked, since freshly mapped pages cost a trainer up to half of its step. No lock and no system
// call on the op path.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace fovea {

struct ThreadState;

inline constexpr size_t kLine = 64;                      // every block starts on a cache line
inline constexpr int kSmallClasses = 16;                 // 64, 128, ... 1024 bytes
inline constexpr int kClasses = kSmallClasses + 4 * 34;  // then four classes per power of two, to 2^44

// The class that holds `bytes`, and how much a block of it holds.
inline int size_class(size_t bytes) {
  if (bytes <= 1024) return bytes ? int((bytes - 1) >> 6) : 0;
  int e = 63 - __builtin_clzll(bytes - 1);  // 2^e < bytes <= 2^(e+1), e >= 10
  return kSmallClasses + 4 * (e - 10) + int((bytes - 1) >> (e - 2) & 3);
}
inline size_t class_bytes(int c) {
  if (c < kSmallClasses) return size_t(c + 1) * 64;
  int e = 10 + (c - kSmallClasses) / 4, q = (c - kSmallClasses) % 4;
  return (size_t(1) << e) + (size_t(q + 1) << (e - 2));
}

// A free block's own memory links it: to the next in its magazine, and to the next magazine in the depot.
struct FreeBlock {
  FreeBlock* next;
  FreeBlock* next_magazine;
};

// What shape-only arrays would take. `reserved` is what the arena would have asked of the system: it keeps blocks, so
// the most of every class counts, whenever it was needed.
struct PlannedMemory {
  int64_t live = 0, peak = 0, reserved = 0;
  int32_t count[kClasses] = {}, most[kClasses] = {};

  void take(size_t bytes) {
    int c = size_class(bytes);
    if ((live += int64_t(class_bytes(c))) > peak) peak = live;
    if (++count[c] > most[c]) most[c]++, reserved += int64_t(class_bytes(c));
  }
  void give(size_t bytes) {
    int c = size_class(bytes);
    live -= int64_t(class_bytes(c));
    count[c]--;
  }
  void start() {  // of a plan: peak and reserved count from here
    peak = live;
    reserved = 0;
    for (int c = 0; c < kClasses; c++) most[c] = count[c];
  }
};

// Per class two magazines: blocks are taken from and returned to `top`; a full pair hands one to the depot, so memory
// freed on another thread does not pile up there.
struct BlockCache {
  struct Bin {
    FreeBlock* top = nullptr;
    FreeBlock* spare = nullptr;
    int32_t top_count = 0, spare_count = 0;
  };
  Bin bins[kClasses];
  int64_t live = 0, peak = 0;  // bytes this thread has allocated less those it has freed
  PlannedMemory planned;
  void* refill(int c);   // cold: from the spare magazine, the depot or the system
  void overflow(int c);  // cold: the top magazine is full
  void flush();          // everything to the depot (at thread exit)
};

extern const std::array<int32_t, kClasses> kMagazineLimit;  // blocks per magazine
inline constexpr int kSmallMagazine = 128;                  // that of every small class

// Blocks of at most 16 lines, where the class is known without a search.
inline void* allocate_lines(BlockCache& cache, int lines) {
  BlockCache::Bin& bin = cache.bins[lines - 1];
  cache.live += lines * int64_t(kLine);
  if (cache.live > cache.peak) cache.peak = cache.live;
  FreeBlock* b = bin.top;
  if (!b) [[unlikely]]
    return cache.refill(lines - 1);
  bin.top = b->next;
  bin.top_count--;
  return b;
}
inline void free_lines(BlockCache& cache, void* block, int lines) {
  BlockCache::Bin& bin = cache.bins[lines - 1];
  cache.live -= lines * int64_t(kLine);
  if (bin.top_count >= kSmallMagazine) [[unlikely]]
    cache.overflow(lines - 1);
  FreeBlock* b = static_cast<FreeBlock*>(block);
  b->next = bin.top;
  bin.top = b;
  bin.top_count++;
}

inline void* allocate_block(BlockCache& cache, size_t bytes) {
  int c = size_class(bytes);
  BlockCache::Bin& bin = cache.bins[c];
  cache.live += int64_t(class_bytes(c));
  if (cache.live > cache.peak) cache.peak = cache.live;
  FreeBlock* b = bin.top;
  if (!b) [[unlikely]]
    return cache.refill(c);
  bin.top = b->next;
  bin.top_count--;
  return b;
}

inline void free_block(BlockCache& cache, void* block, size_t bytes) {
  int c = size_class(bytes);
  BlockCache::Bin& bin = cache.bins[c];
  cache.live -= int64_t(class_bytes(c));
  if (bin.top_count >= kMagazineLimit[c]) [[unlikely]]
    cache.overflow(c);
  FreeBlock* b = static_cast<FreeBlock*>(block);
  b->next = bin.top;
  bin.top = b;
  bin.top_count++;
}

struct MemoryStats {
  int64_t live = 0;          // bytes in blocks in use, all threads
  int64_t peak = 0;          // most bytes one thread had in use at once (all, when one thread allocates)
  int64_t reserved = 0;      // bytes taken from the system and kept
  int64_t system_calls = 0;  // how often memory was asked of the system
};
MemoryStats memory_stats();
void reset_peak_memory();

// Gives cached large blocks (1 MiB and more) of the depot and of this thread back to the system.
void release_cached_memory();

}  // namespace fovea
