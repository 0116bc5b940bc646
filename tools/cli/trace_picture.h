// The ops of a step as a graph, for graphviz: who read what another has written. Used by the verb trace.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "core/trace.h"

namespace fovea::cli {

class GraphPicture final : public TraceSink {
 public:
  void op(const TraceEvent& e) override;
  std::string dot() const;

 private:
  struct Box {
    std::string label;
    const char* module;  // null outside
    bool backward;
    std::vector<size_t> from;  // boxes
  };
  struct Memory {
    const char* end;
    size_t box;  // that wrote it last
  };
  size_t maker_of(const View& v);
  std::vector<Box> boxes_;
  std::map<const char*, Memory> written_;  // by the first byte
};

}  // namespace fovea::cli
