#include "nn/io/safetensors.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>

#include "core/dispatch.h"
#include "nn/io/json.h"
#include "nn/io/replace_file.h"

namespace fovea::io {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;
constexpr const char* kNames[] = {"F32", "F64", "BF16", "F16", "I64",
                                  "I32", "U8",  "I8",   "BOOL"};  // in the order of DType

struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  uint64_t begin, end;
};

Entry read_entry(const std::string& path, const std::string& name, const Json& j, uint64_t data_bytes) {
  auto refuse = [&](const std::string& what) { throw FileError(path + ": '" + name + "': " + what); };
  Entry e{name, f32, {}, 0, 0};
  try {
    const std::string& type = j["dtype"].as_string();
    auto at = std::find_if(std::begin(kNames), std::end(kNames), [&](const char* n) { return type == n; });
    if (at == std::end(kNames)) refuse("element type " + type + " is not supported");
    e.dtype = DType(at - std::begin(kNames));
    uint64_t bytes = uint64_t(size_of(e.dtype));
    if (j["shape"].as_array().size() > kMaxRank) refuse("has more than eight axes");
    for (const Json& d : j["shape"].as_array()) {
      if (d.as_int() < 0 || __builtin_mul_overflow(bytes, uint64_t(d.as_int()), &bytes))
        refuse("a size is negative or too large");
      e.shape.push_back(d.as_int());
    }
    const Json::Array& offsets = j["data_offsets"].as_array();
    if (offsets.size() != 2 || offsets[0].as_int() < 0 || offsets[1].as_int() < offsets[0].as_int() ||
        uint64_t(offsets[1].as_int()) > data_bytes)
      refuse("its offsets lie outside the file");
    e.begin = uint64_t(offsets[0].as_int());
    e.end = uint64_t(offsets[1].as_int());
    if (e.end - e.begin != bytes) refuse("its offsets do not fit its shape");
    for (auto& [key, value] : j.as_object())
      if (key != "dtype" && key != "shape" && key != "data_offsets") refuse("unknown key '" + key + "'");
  } catch (const ValueError& x) {
    refuse(x.what());
  }
  return e;
}

Safetensors read(const std::string& path) {
  struct stat st;
  if (stat(path.c_str(), &st) != 0) throw FileError(path + ": cannot be read: " + std::strerror(errno));
  if (S_ISDIR(st.st_mode)) throw FileError(path + ": is a folder (expected a safetensors file)");
  std::ifstream in(path, std::ios::binary);
  if (!in) throw FileError(path + ": cannot be read: " + std::strerror(errno));
  uint64_t size = uint64_t(st.st_size), header = 0;
  if (size < 8 || !in.read(reinterpret_cast<char*>(&header), 8))
    throw FileError(path + ": is too short for a safetensors file");
  if (header > kMaxHeader || header > size - 8)
    throw FileError(path + ": is no safetensors file, or is truncated: its header would have " +
                    std::to_string(header) + " bytes");
  std::string text(header, '\0');
  if (!in.read(text.data(), std::streamsize(header)))
    throw FileError(path + ": cannot be read to the end of its header");
  if (text.empty() || text[0] != '{')
    throw FileError(path + ": is no safetensors file: its header does not begin with {");
  Json j = Json::parse(text, path);
  Safetensors content;
  std::vector<Entry> entries;
  uint64_t data_bytes = size - 8 - header;
  for (auto& [name, value] : j.as_object()) {
    if (name == "__metadata__") {
      if (!value.is_object()) throw FileError(path + ": __metadata__ is no object");
      for (auto& [key, v] : value.as_object()) {
        if (!v.is_string()) throw FileError(path + ": __metadata__ '" + key + "' is no text");
        content.metadata[key] = v.as_string();
      }
      continue;
    }
    if (!value.is_object()) throw FileError(path + ": '" + name + "' is no object");
    entries.push_back(read_entry(path, name, value, data_bytes));
  }
  // Laid end to end the arrays are the whole of the data.
  std::vector<const Entry*> order;
  for (const Entry& e : entries) order.push_back(&e);
  std::sort(order.begin(), order.end(),
            [](const Entry* a, const Entry* b) { return std::pair(a->begin, a->end) < std::pair(b->begin, b->end); });
  uint64_t at = 0;
  for (const Entry* e : order) {
    if (e->begin != at) throw FileError(path + ": '" + e->name + "' leaves a hole or overlaps another array");
    at = e->end;
  }
  if (at != data_bytes)
    throw FileError(path + ": has " + std::to_string(data_bytes) + " bytes of data, its arrays " + std::to_string(at));
  for (const Entry& e : entries) {
    Array a = Array::empty(e.shape, e.dtype, default_device());
    in.seekg(std::streamoff(8 + header + e.begin));
    if (e.end > e.begin && !in.read(static_cast<char*>(a.view().data), std::streamsize(e.end - e.begin)))
      throw FileError(path + ": '" + e.name + "' cannot be read");
    if (const std::string wrong = wrong_truth(a); !wrong.empty())
      throw FileError(path + ": '" + e.name + "': " + wrong);
    content.arrays.emplace_back(e.name, std::move(a));
  }
  return content;
}

// What a file is to hold: its header, then arrays end to end.
struct Laid {
  std::vector<std::pair<std::string, Array>> host;
  std::string header;
  uint64_t bytes;

  Laid(const std::string& path, const Safetensors& content) {
    std::set<std::string> names;
    for (auto& [name, a] : content.arrays) {
      if (!names.insert(name).second || name == "__metadata__")
        throw ValueError(path + ": '" + name + "' cannot be written twice");
      Array h = on_host(a.device()) ? a : to_device(a, default_device());
      if (h.is_shape_only() || is_dual(h.dtype()))
        throw ValueError(path + ": '" + name + "' has no data that could be written");
      host.emplace_back(name, h.dense() ? h : dense_copy(h));
    }
    // As the usual writer: falling alignment, then names.
    std::stable_sort(host.begin(), host.end(), [](auto& a, auto& b) {
      int x = size_of(a.second.dtype()), y = size_of(b.second.dtype());
      return x != y ? x > y : a.first < b.first;
    });
    Json j{Json::Object{}};
    if (!content.metadata.empty()) {
      Json::Object metadata;
      for (auto& [key, value] : content.metadata) metadata.emplace_back(key, value);
      j.set("__metadata__", metadata);
    }
    int64_t at = 0;
    for (auto& [name, a] : host) {
      Json::Array shape;
      for (int64_t d : a.shape()) shape.emplace_back(d);
      int64_t end = at + a.numel() * size_of(a.dtype());
      Json entry{Json::Object{}};
      entry.set("dtype", kNames[int(a.dtype())]);
      entry.set("shape", shape);
      entry.set("data_offsets", Json::Array{at, end});
      j.set(name, entry);
      at = end;
    }
    header = j.dump();
    header.resize((header.size() + 7) / 8 * 8, ' ');
    bytes = uint64_t(at) + header.size() + 8;
  }

  // 0, or errno.
  int write(FILE* out) const {
    uint64_t n = header.size();
    bool good = std::fwrite(&n, 8, 1, out) == 1 && std::fwrite(header.data(), 1, n, out) == n;
    for (auto& [name, a] : host) {
      size_t size = size_t(a.numel() * size_of(a.dtype()));
      good = good && std::fwrite(a.view().data, 1, size, out) == size;
    }
    return good && std::fflush(out) == 0 ? 0 : errno;
  }
};

[[noreturn]] void fail(const std::string& path, int error) {
  throw FileError(path + ": cannot be written: " + std::strerror(error));
}

}  // namespace

const Array* Safetensors::find(const std::string& name) const {
  for (auto& [n, a] : arrays)
    if (n == name) return &a;
  return nullptr;
}

Safetensors read_safetensors(const std::string& path, std::source_location where) {
  return at_line(where, [&] { return read(path); });
}

void write_safetensors(const std::string& path, const Safetensors& content, std::source_location where) {
  at_line(where, [&] {
    Laid laid(path, content);
    replace_file(path, laid.bytes, [&](const std::string& temporary) {
      std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(temporary.c_str(), "wb"), &std::fclose);
      if (!file) fail(path, errno);
      if (int error = laid.write(file.get())) fail(path, error);
      if (std::fclose(file.release()) != 0) fail(path, errno);
    });
  });
}

void write_safetensors(FILE* stream, const Safetensors& content) {
  if (int error = Laid("standard output", content).write(stream)) fail("standard output", error);
}

}  // namespace fovea::io
