// The arena: size classes, statistics, and that a steady state asks the system for nothing.
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/array.h"
#include "core/device.h"
#include "core/dispatch.h"

using namespace fovea;

namespace {

Array block(int64_t bytes) { return Array::empty(Shape{bytes}, u8, default_device()); }

TEST_CASE("a class holds what it is asked for, and the one below does not") {
  for (size_t bytes :
       {size_t(1), size_t(64), size_t(65), size_t(1024), size_t(1025), size_t(1280), size_t(1281), size_t(4095),
        size_t(4096), size_t(4097), size_t(1) << 20, (size_t(1) << 20) + 1, (size_t(1) << 40) - 1, size_t(1) << 44}) {
    INFO(bytes);
    int c = size_class(bytes);
    CHECK(c < kClasses);
    CHECK(class_bytes(c) >= bytes);
    if (c > 0) CHECK(class_bytes(c - 1) < bytes);
    CHECK(class_bytes(c) < bytes + std::max<size_t>(bytes / 4, 64));  // a quarter is lost at most
    CHECK(class_bytes(c) % kLine == 0);
  }
}

TEST_CASE("live bytes follow what is alive, the peak what was") {
  int64_t before = memory_stats().live;
  reset_peak_memory();
  {
    Array a = block(1 << 20);
    CHECK(memory_stats().live >= before + (1 << 20));
    CHECK(memory_stats().live < before + (1 << 20) + 1024);
    {
      Array b = block(3 << 20);
      CHECK(memory_stats().live >= before + (4 << 20));
    }
    CHECK(memory_stats().live < before + (1 << 20) + 1024);
  }
  MemoryStats after = memory_stats();
  CHECK(after.live == before);
  CHECK(after.peak >= before + (4 << 20));
  CHECK(after.peak < before + (4 << 20) + 4096);
  reset_peak_memory();
  CHECK(memory_stats().peak == before);
  CHECK(after.reserved >= 4 << 20);
}

TEST_CASE("a steady state makes no system call and touches no new page") {
  auto step = [] {
    std::vector<Array> alive;
    for (int64_t bytes = 16; bytes <= 8 << 20; bytes *= 2) {
      alive.push_back(block(bytes));
      fill(alive.back(), 1);
      if (alive.size() > 5) alive.erase(alive.begin());
    }
  };
  for (int i = 0; i < 3; i++) step();
  MemoryStats before = memory_stats();
  rusage faults_before, faults_after;
  getrusage(RUSAGE_SELF, &faults_before);
  for (int i = 0; i < 50; i++) step();
  getrusage(RUSAGE_SELF, &faults_after);
  MemoryStats after = memory_stats();
  CHECK(after.system_calls == before.system_calls);
  CHECK(after.reserved == before.reserved);
  CHECK(after.live == before.live);
  CHECK(faults_after.ru_minflt - faults_before.ru_minflt < 500);  // 50 steps of 4000 pages; threads that begin late
}

TEST_CASE("what other threads free does not pile up with them") {
  auto round = [] {
    std::vector<Array> made;
    for (int i = 0; i < 1000; i++) made.push_back(block(2000));
    std::thread([moved = std::move(made)]() mutable { moved.clear(); }).join();
  };
  for (int i = 0; i < 5; i++) round();
  MemoryStats before = memory_stats();
  for (int i = 0; i < 50; i++) round();
  MemoryStats after = memory_stats();
  CHECK(after.live == before.live);
  CHECK(after.reserved <= before.reserved + (2 << 20));
}

TEST_CASE("200 short threads hand their memory back") {
  auto work = [] {
    std::vector<Array> made;
    for (int i = 0; i < 200; i++) made.push_back(block(i * 50));
    made.push_back(block(1 << 20));
  };
  for (int i = 0; i < 5; i++) std::thread(work).join();
  MemoryStats before = memory_stats();
  for (int i = 0; i < 200; i++) std::thread(work).join();
  MemoryStats after = memory_stats();
  CHECK(after.live == before.live);
  CHECK(after.reserved <= before.reserved + (2 << 20));
}

TEST_CASE("live bytes of threads that are gone are counted with those that freed them") {
  int64_t before = memory_stats().live;
  Array kept;
  std::thread([&] { kept = block(5 << 20); }).join();
  CHECK(memory_stats().live >= before + (5 << 20));
  kept = Array();
  CHECK(memory_stats().live == before);
}

TEST_CASE("the system is asked for huge pages, where it has them") {
  if (!std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled")) return;
  for (int64_t bytes : {int64_t(2000), int64_t(1) << 20, int64_t(40) << 20}) {
    CAPTURE(bytes);
    Array x = block(bytes);
    const auto at = reinterpret_cast<uintptr_t>(x.view().data);
    std::ifstream maps("/proc/self/smaps");
    bool inside = false, found = false;
    for (std::string line; std::getline(maps, line);) {
      uintptr_t begin = 0, end = 0;
      if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) inside = begin <= at && at < end;
      if (inside && line.rfind("VmFlags:", 0) == 0) found = line.find(" hg") != std::string::npos;
    }
    CHECK(found);
  }
}

TEST_CASE("cached memory can be given back") {
  { Array big = block(64 << 20); }
  int64_t before = memory_stats().reserved;
  release_cached_memory();
  CHECK(memory_stats().reserved <= before - (64 << 20));
}

TEST_CASE("sizes that no machine holds are refused, not wrapped round") {
  CHECK_THROWS_AS(Array::empty(Shape{int64_t(1) << 62}, f64, default_device()), MemoryError);
  CHECK_THROWS_AS(Array::empty(Shape{int64_t(1) << 31, int64_t(1) << 30}, f32, default_device()), MemoryError);
  CHECK_THROWS_AS(Array::empty(Shape{int64_t(1) << 40, int64_t(1) << 40}, f32, default_device()), ShapeError);
  Array one = Array::empty(Shape{}, f64, default_device());
  Array wide = one.expand(Shape{int64_t(1) << 61});
  CHECK_THROWS_AS(Array::empty_like(wide), MemoryError);
}

}  // namespace
