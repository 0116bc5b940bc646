#include "core/device.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>

#include "core/error.h"
#include "core/mode.h"
#include "core/parallel.h"

namespace fovea {
namespace {

constexpr OpRow kNoRow{.name = "none"};
#define FOVEA_ROW(id, A, ...) constexpr OpRow row_##id = OpRow(OpRow __VA_ARGS__).attrs<A>();
#define FOVEA_FINISH(id, A, ...)       \
  constexpr OpRow finished_##id = [] { \
    OpRow r = row_##id;                \
    r.name = #id;                      \
    if (r.slot == 0) r.slot = op::id;  \
    return r;                          \
  }();
FOVEA_OPS(FOVEA_ROW)
FOVEA_OPS(FOVEA_FINISH)
#undef FOVEA_ROW
#undef FOVEA_FINISH

constinit std::atomic<int> rows_used{op::count};

constinit std::atomic<int> backends_used{0};
std::mutex registry_mutex;
std::atomic<uint16_t> default_device_bits{0xffff};

void log_line(const char* text) { std::fprintf(stderr, "fovea: %s\n", text); }

// The host's side of registration: rows by name, attrs by hash.
class Registrar final : public Kernels {
 public:
  Registrar(KernelTable& table, std::vector<std::string>* refused) : table_(table), refused_(refused) {}
  bool put(const char* name, uint64_t hash, const Slot& slot) override {
    int id = find_op(name);
    const char* why = id == op::none               ? "no such op here"
                      : row(id).attrs_hash != hash ? "built for other attributes"
                                                   : nullptr;
    if (why) {
      if (refused_) refused_->push_back(std::string(name) + ": " + why);
      return false;
    }
    if (!forced_to_compose(id)) table_.slots[id] = slot;
    return true;
  }

 private:
  KernelTable& table_;
  std::vector<std::string>* refused_;
};

// Not std::call_once: libstdc++'s reads thread-local storage of its own, which our TLS model would bind to ours, and a
// program that loaded libstdc++ late could not load this library.
void install_once() {
  static const bool installed = (install_default_backends(), true);
  (void)installed;
}

}  // namespace

const Host host_table{abi_number(), log_line, thread_count,
                      [](int64_t b, int64_t e, int64_t grain, void (*body)(void*, int64_t, int64_t), void* context) {
                        parallel_for(b, e, grain, [=](int64_t i, int64_t j) { body(context, i, j); });
                      },
                      [](const char* name) -> const Slot* {
                        const Slot& s = detail::backends[0].table->slots[find_op(name)];
                        return s.thunk ? &s : nullptr;
                      }};

detail::BackendEntry detail::backends[kMaxBackends];
// Published by growing the count with release order, so readers need no lock.
constinit const OpRow* detail::op_rows[kMaxOps] = {&kNoRow,
#define FOVEA_ADDRESS(id, ...) &finished_##id,
                                                   FOVEA_OPS(FOVEA_ADDRESS)
#undef FOVEA_ADDRESS
};

int register_backend(Backend& b, std::vector<std::string>* refused) {
  std::lock_guard lock(registry_mutex);
  int n = backends_used.load();
  for (int i = 0; i < n; i++)
    if (!std::strcmp(detail::backends[i].backend->name(), b.name()))
      throw DeviceError(std::string("register_backend: ") + b.name() + " is there already");
  if (n == kMaxBackends)
    throw DeviceError("register_backend: no room for " + std::string(b.name()) + " (at most 16 backends)");
  auto* table = new KernelTable;  // lives as long as the program: graphs and arrays point here
  if (n > 0 && b.starts_from_reference()) {
    *table = *detail::backends[0].table;
    for (Slot& s : table->slots) s.reference = s.thunk != nullptr;
    table->rest = new KernelTable(*table);
  }
  Registrar registrar(*table, refused);
  b.kernels(registrar);
  detail::backends[n] = {&b, table, b.host_memory()};
  backends_used.store(n + 1, std::memory_order_release);
  return n;
}

int backend_count() {
  install_once();
  return backends_used.load(std::memory_order_acquire);
}

Device device(std::string_view name, std::source_location where) try {
  int n = backend_count();
  std::string_view base = name.substr(0, name.find(':'));
  std::string known;
  for (int i = 0; i < n; i++) {
    Backend& b = *detail::backends[i].backend;
    known += (i ? ", " : "") + std::string(b.name());
    if (base != b.name()) continue;
    if (const char* why = b.unavailable()) throw DeviceError("device: " + std::string(name) + " is not usable: " + why);
    int index = 0;
    if (base.size() < name.size()) {
      std::string digits(name.substr(base.size() + 1));
      char* end = nullptr;
      long v = std::strtol(digits.c_str(), &end, 10);
      if (digits.empty() || *end || v < 0)
        throw DeviceError("device: bad number in '" + std::string(name) + "' (expected a form like cuda:0)");
      index = int(v > 255 ? 256 : v);
    }
    if (index >= b.device_count())
      throw DeviceError("device: " + std::string(name) + " does not exist (" + b.name() + " has " +
                        std::to_string(b.device_count()) + ")");
    return Device{uint8_t(i), uint8_t(index)};
  }
  if (const char* why = absent_backend(base))
    throw DeviceError("device: " + std::string(name) + " is not usable: " + why + " (expected one of " + known + ")");
  throw DeviceError("device: unknown device '" + std::string(name) + "' (expected one of " + known + ")");
} catch (Error& e) {
  ThreadState& s = state();
  e.locate("device", s.where ? *s.where : where, "");
  throw;
}

std::string device_name(Device d) {
  Backend& b = backend_of(d);
  return b.device_count() > 1 || !b.host_memory() ? std::string(b.name()) + ":" + std::to_string(d.index) : b.name();
}

Device default_device() {
  uint16_t bits = default_device_bits.load(std::memory_order_relaxed);
  if (bits == 0xffff) {
    uint8_t best = 0;
    for (int i = 0; i < backend_count(); i++)
      if (detail::backends[i].host) best = uint8_t(i);
    bits = best;
    default_device_bits.store(bits, std::memory_order_relaxed);
  }
  return Device{uint8_t(bits), uint8_t(bits >> 8)};
}

void set_default_device(Device d) { default_device_bits.store(uint16_t(d.backend | d.index << 8)); }

int find_op(std::string_view name) {
  int n = rows_used.load(std::memory_order_acquire);
  for (int i = 1; i < n; i++)
    if (name == detail::op_rows[i]->name) return i;
  return op::none;
}

int op_count() { return rows_used.load(std::memory_order_acquire); }

int add_op_row(const OpRow& r) {
  std::lock_guard lock(registry_mutex);
  static std::deque<OpRow>* kept = new std::deque<OpRow>;
  static std::deque<std::string>* names = new std::deque<std::string>;
  if (find_op(r.name) != op::none) throw ValueError("define_op: " + std::string(r.name) + " exists already");
  int id = rows_used.load();
  if (id == kMaxOps)
    throw ValueError("define_op: no room for " + std::string(r.name) + " (at most " + std::to_string(kMaxOps) +
                     " ops)");
  OpRow& mine = kept->emplace_back(r);
  mine.name = names->emplace_back(r.name).c_str();
  if (mine.slot == 0) mine.slot = uint16_t(id);
  detail::op_rows[id] = &mine;
  rows_used.store(id + 1, std::memory_order_release);
  return id;
}

void set_kernel(std::string_view backend, int id, const Slot& slot) {
  if (id <= op::none || id >= op_count()) throw ValueError("kernels: no op with id " + std::to_string(id));
  detail::backends[device(backend).backend].table->slots[id] = forced_to_compose(id) ? Slot{} : slot;
}

bool forced_to_compose(int id) {
  static const std::vector<bool>* forced = [] {
    auto* f = new std::vector<bool>(kMaxOps);
    const char* list = std::getenv("FOVEA_COMPOSE");
    std::string text = list ? list : "";
    for (size_t a = 0; a < text.size();) {
      size_t b = text.find(',', a);
      if (b == std::string::npos) b = text.size();
      if (int op = find_op(text.substr(a, b - a))) (*f)[size_t(op)] = true;
      else log_line(("FOVEA_COMPOSE: no op named '" + text.substr(a, b - a) + "'").c_str());
      a = b + 1;
    }
    return f;
  }();
  return (*forced)[size_t(id)];
}

}  // namespace fovea
