// Node: one recorded op. Header, edges, saved arrays, gradient slots, attrs and the shapes of what was not saved, in
// one block. A graph is nodes holding their inputs' nodes; a tensor holds the node that made it. Released with an
// explicit stack, never recursion.
#pragma once
#include <atomic>
#include <source_location>

#include "core/array.h"

namespace fovea {

struct Node;
struct OpDef;
struct Hooks;
class Tensor;
void release_node(Node* n);  // the last reference is gone

// A node and one of its outputs: the slot sits in the low bits of the 64-byte-aligned pointer, so at most 64 outputs.
class Edge {
 public:
  Edge() = default;
  Edge(Node* n, int slot);  // takes a reference
  Edge(const Edge& o);
  Edge(Edge&& o) noexcept : bits_(std::exchange(o.bits_, 0)) {}
  Edge& operator=(Edge o) noexcept {
    std::swap(bits_, o.bits_);
    return *this;
  }
  ~Edge();
  static Edge adopt(Node* n, int slot) {  // the caller's reference moves in
    Edge e;
    e.bits_ = reinterpret_cast<uintptr_t>(n) | uintptr_t(slot);
    return e;
  }
  explicit operator bool() const { return bits_ != 0; }
  Node* node() const { return reinterpret_cast<Node*>(bits_ & ~uintptr_t(63)); }
  int slot() const { return int(bits_ & 63); }
  uintptr_t bits() const { return bits_; }
  bool operator==(const Edge& o) const { return bits_ == o.bits_; }
  Node* take() {  // the reference moves out
    Node* n = node();
    bits_ = 0;
    return n;
  }

 private:
  uintptr_t bits_ = 0;
};

// The user's handle: an array and where it came from. 16 bytes, immutable once made: there is no in-place arithmetic
// inside a graph. Members and functions on tensors are in autograd/tensor.h; this is the part that nodes need.
class TensorBase {
 public:
  TensorBase() = default;
  explicit TensorBase(Array a) : array_(std::move(a)) {}
  TensorBase(Array a, Edge e) : array_(std::move(a)), edge_(std::move(e)) {}
  const Array& array() const { return array_; }
  const Edge& edge() const { return edge_; }
  bool defined() const { return array_.defined(); }
  Array take_array() { return std::move(array_); }

 protected:
  Array array_;
  Edge edge_;
};

struct alignas(64) Node {
  std::atomic<int32_t> refs{1};
  int32_t pending = 0;           // engine: gradients still to arrive
  const OpDef* def = nullptr;    // null: a leaf
  std::source_location where;    // the user's line
  const char* module = nullptr;  // interned dotted path
  Node* next = nullptr;          // engine's and release's stacks
  Hooks* hooks = nullptr;
  std::atomic<uint32_t> claim{0};  // the backward run that uses it now; 0: none
  uint16_t attrs_size = 0, inputs = 0;
  uint16_t lines = 0;  // size of the block
  uint8_t outputs = 0;
  enum Flag : uint8_t {
    same_shape = 1,  // every input has the dtype and shape of output 0
    freed = 2,       // backward has used and dropped what it saved
    unsaved = 4,     // recorded under kUnsaved by the tape whose number is in `pending`
  };
  uint8_t flags = 0;

  // Trailing arrays, in this order.
  Edge* edges() { return reinterpret_cast<Edge*>(this + 1); }
  Array* saved_inputs() { return reinterpret_cast<Array*>(edges() + inputs); }
  Array* saved_outputs() { return saved_inputs() + inputs; }
  TensorBase* gradients() { return reinterpret_cast<TensorBase*>(saved_outputs() + outputs); }
  uint32_t* versions() { return reinterpret_cast<uint32_t*>(gradients() + outputs); }  // of saved inputs, then outputs
  char* attrs() { return reinterpret_cast<char*>(versions() + ((inputs + outputs + 1) & ~1)); }
  // Per input, unless same_shape: rank, dtype and device in one word, then the sizes.
  int64_t* metas() { return reinterpret_cast<int64_t*>(attrs() + ((attrs_size + 7) & ~7)); }

  static constexpr size_t bytes(int inputs, int outputs, size_t attrs_size) {
    return sizeof(Node) + size_t(inputs) * 16 + size_t(outputs) * 24 + size_t((inputs + outputs + 1) & ~1) * 4 +
           ((attrs_size + 7) & ~size_t(7));
  }
};
static_assert(sizeof(Node) == 64 && sizeof(TensorBase) == 16);

// A leaf: where backward leaves gradients. Threads may share it, so without hooks the engine keeps no scratch in it.
struct LeafNode : Node {
  Array gradient;  // in the place of saved_outputs()[0], as `slot` is in that of gradients()[0]
  TensorBase slot;
  std::atomic_flag lock = ATOMIC_FLAG_INIT;
};

inline Edge::Edge(Node* n, int slot) : bits_(reinterpret_cast<uintptr_t>(n) | uintptr_t(slot)) {
  n->refs.fetch_add(1, std::memory_order_relaxed);
}
inline Edge::Edge(const Edge& o) : bits_(o.bits_) {
  if (bits_) node()->refs.fetch_add(1, std::memory_order_relaxed);
}
inline void drop_node(Node* n) {
  if (n->refs.load(std::memory_order_acquire) == 1 || n->refs.fetch_sub(1, std::memory_order_acq_rel) == 1)
    release_node(n);
}
inline Edge::~Edge() {
  if (bits_) drop_node(node());
}

// A fresh leaf, for tensors that ask for gradients.
Edge make_leaf(std::source_location where);

}  // namespace fovea
