// version, devices: what this program is made of, and what it can compute on.
#include <fmt/core.h>
#include <xxhash.h>

#include "backends/cpu/onednn.h"
#include "core/device.h"
#include "core/parallel.h"
#include "nn/io/hdf5.h"
#include "tools/cli/verbs.h"

namespace fovea::cli {
namespace {

int run_version(const Args& args) {
  unsigned xx = XXH_versionNumber();
  const std::pair<const char*, std::string> all[] = {
      {"fovea", FOVEA_VERSION},
      {"compiler", __VERSION__},
      {"onednn", cpu::onednn::version()},
      {"hdf5", io::hdf5_version()},
      {"fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
      {"xxhash", fmt::format("{}.{}.{}", xx / 10000, xx / 100 % 100, xx % 100)},
      {"cli11", FOVEA_CLI11},
      {"json", "nlohmann " FOVEA_JSON},
  };
  io::Json j{io::Json::Object{}};
  for (auto& [name, version] : all) {
    if (version.empty()) continue;  // not in this build
    if (!args.json()) print_line(fmt::format("{:9} {}", name, version));
    j.set(name, version);
  }
  if (args.json()) print_json(j);
  return 0;
}

// One line: usable or why not.
void print_device(const Args& args, const std::string& name, const char* why, int threads, bool is_default) {
  if (args.json()) {
    io::Json j{io::Json::Object{}};
    j.set("device", name);
    j.set("usable", !why);
    j.set("default", is_default);
    j.set("threads", threads);
    if (why) j.set("why", why);
    print_json(j);
  } else if (why) {
    print_line(fmt::format("{:9} not usable: {}", name, why));
  } else {
    print_line(fmt::format("{:9} usable{}{}", name, threads ? fmt::format(", {} threads", threads) : "",
                           is_default ? ", the default" : ""));
  }
}

int run_devices(const Args& args) {
  Device chosen = default_device();
  bool cuda = false;
  for (int b = 0; b < backend_count(); b++) {
    Backend& backend = *detail::backends[b].backend;
    cuda |= std::string_view(backend.name()) == "cuda";
    int n = backend.device_count(), threads = detail::backends[b].host ? thread_count() : 0;
    for (int i = 0; i < n; i++)
      print_device(args, n > 1 ? fmt::format("{}:{}", backend.name(), i) : backend.name(), nullptr, threads,
                   chosen == Device{uint8_t(b), uint8_t(i)});
    const char* why = backend.unavailable();
    if (n == 0) print_device(args, backend.name(), why ? why : "it has no device", threads, false);
  }
  if (const char* why = absent_backend("cuda"); why && !cuda) print_device(args, "cuda", why, 0, false);
  return 0;
}

}  // namespace

const Verb kVersion = {"version", "versions of every library in use", {}, false, run_version};
const Verb kDevices = {"devices",
                       "what can compute here, and why not",
                       {kPlugins, {"--threads", Option::integer, "how many threads compute"}},
                       false,
                       run_devices};

}  // namespace fovea::cli
