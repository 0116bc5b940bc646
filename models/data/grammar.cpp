#include "models/data/grammar.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "core/random.h"

namespace fovea::data {

// The choices of one document: choice i is element i of draw `index` of the generator `seed`.
struct Grammar::Draws {
  uint64_t seed, index;
  std::string* text;  // null: only the probability is wanted
  uint64_t number = 0;
  double log2_probability = 0;
  double next() { return double(random_bits(seed, index, number++) >> 11) * 0x1p-53; }
};

void Grammar::expand(int rule, Draws& draws) const {
  const Rule& r = rules_[size_t(rule)];
  size_t chosen = 0;
  if (r.alternatives.size() > 1) {
    auto it = std::upper_bound(r.cumulative.begin(), r.cumulative.end() - 1, draws.next());
    chosen = size_t(it - r.cumulative.begin());
  }
  const Alternative& a = r.alternatives[chosen];
  draws.log2_probability += a.log2_probability;
  for (int symbol : a.symbols) {
    if (symbol >= 0) expand(symbol, draws);
    else if (draws.text) *draws.text += texts_[size_t(~symbol)];
  }
}

std::string Grammar::sample_document(uint64_t seed, uint64_t index) const {
  std::string text;
  text.reserve(longest_document());
  Draws draws{seed, index, &text};
  expand(int(rules_.size()) - 1, draws);
  return text;
}

double Grammar::sample_log2_probability(uint64_t seed, uint64_t index) const {
  Draws draws{seed, index, nullptr};
  expand(int(rules_.size()) - 1, draws);
  return draws.log2_probability;
}

std::string Grammar::sample_text(uint64_t seed, uint64_t first_document, size_t min_bytes) const {
  std::string text;
  text.reserve(min_bytes + longest_document() + 1);
  for (uint64_t i = first_document; text.size() < min_bytes; i++) text += sample_document(seed, i) += kSeparator;
  return text;
}

double Grammar::nats_per_character() const {
  return entropy_bits_per_document() * std::log(2.0) / (expected_characters_per_document() + 1);
}

// H(A) = sum_a p_a (-log2 p_a + sum over its nonterminals of H); lengths likewise.
void Grammar::measure() {
  for (const Rule& r : rules_) {
    double entropy = 0, length = 0;
    size_t shortest = std::numeric_limits<size_t>::max(), longest = 0;
    std::bitset<256> first;
    for (const Alternative& a : r.alternatives) {
      entropy -= a.probability * a.log2_probability;
      size_t least = 0, most = 0;
      for (int symbol : a.symbols) {
        bool is_text = symbol < 0;
        size_t s = size_t(is_text ? ~symbol : symbol), n = is_text ? texts_[s].size() : 0;
        if (least == 0) first |= is_text ? std::bitset<256>().set(uint8_t(texts_[s][0])) : first_[s];
        entropy += is_text ? 0 : a.probability * entropy_[s];
        length += a.probability * (is_text ? double(n) : length_[s]);
        least += is_text ? n : shortest_[s];
        most += is_text ? n : longest_[s];
      }
      if (least == 0) first.set();
      shortest = std::min(shortest, least);
      longest = std::max(longest, most);
    }
    entropy_.push_back(entropy);
    length_.push_back(length);
    shortest_.push_back(shortest);
    longest_.push_back(longest);
    first_.push_back(first);
  }
}

// Top-down with memory: what a rule derives from a position on, as a short list of ends.
struct Grammar::Chart {
  struct End {
    size_t at;
    double probability, parses;
  };
  using Ends = std::vector<End>;
  const Grammar& g;
  std::string_view text;
  std::unordered_map<uint64_t, Ends> known;

  static void add(Ends& ends, const End& e) {
    for (End& known_end : ends)
      if (known_end.at == e.at) {
        known_end.probability += e.probability;
        known_end.parses += e.parses;
        return;
      }
    ends.push_back(e);
  }

  // Exact for a text, by the first byte alone for a rule.
  bool may_begin(int symbol, size_t at) const {
    if (symbol < 0) return text.substr(at).starts_with(g.texts_[size_t(~symbol)]);
    return g.first_[size_t(symbol)][at < text.size() ? uint8_t(text[at]) : 0];
  }

  const Ends& derive(int rule, size_t begin) {
    uint64_t key = uint64_t(rule) << 32 | begin;
    if (auto it = known.find(key); it != known.end()) return it->second;
    Ends ends;
    for (const Alternative& a : g.rules_[size_t(rule)].alternatives) {
      if (!a.symbols.empty() && !may_begin(a.symbols[0], begin)) continue;
      Ends now{{begin, a.probability, 1}};
      for (int symbol : a.symbols) {
        Ends next;
        for (const End& e : now) {
          if (!may_begin(symbol, e.at)) continue;
          if (symbol < 0) {
            add(next, {e.at + g.texts_[size_t(~symbol)].size(), e.probability, e.parses});
          } else {
            for (const End& c : derive(symbol, e.at))
              add(next, {c.at, e.probability * c.probability, e.parses * c.parses});
          }
        }
        now = std::move(next);
        if (now.empty()) break;
      }
      for (const End& e : now) add(ends, e);
    }
    return known.emplace(key, std::move(ends)).first->second;
  }
};

Grammar::Score Grammar::score(std::string_view document) const {
  Chart chart{*this, document, {}};
  for (const Chart::End& e : chart.derive(int(rules_.size()) - 1, 0))
    if (e.at == document.size()) return {std::log2(e.probability), e.parses};
  return {-std::numeric_limits<double>::infinity(), 0};
}

// What is still to be derived: the rest of a text, then symbols, the next one at the back.
struct Grammar::Row {
  std::string_view text;
  std::vector<int> rest;
};

// Whether a text of one row begins a text of the other. Equal rules at the front of both are passed over together:
// they derive the same there, or, since `ambiguity` looks at every rule, texts that part before either ends.
bool Grammar::overlap(Row a, Row b) const {
  for (;;) {
    size_t n = std::min(a.text.size(), b.text.size());
    if (a.text.substr(0, n) != b.text.substr(0, n)) return false;
    a.text.remove_prefix(n);
    b.text.remove_prefix(n);
    Row &row = a.text.empty() ? a : b, &other = a.text.empty() ? b : a;
    if (row.rest.empty() || (other.text.empty() && other.rest.empty())) return true;
    int symbol = row.rest.back();
    row.rest.pop_back();
    if (other.text.empty() && other.rest.back() == symbol) {
      other.rest.pop_back();
    } else if (symbol < 0) {
      row.text = texts_[size_t(~symbol)];
    } else {
      for (const Alternative& alternative : rules_[size_t(symbol)].alternatives) {
        Row longer = row;
        longer.rest.insert(longer.rest.end(), alternative.symbols.rbegin(), alternative.symbols.rend());
        if (overlap(std::move(longer), other)) return true;
      }
      return false;
    }
  }
}

std::string Grammar::ambiguity() const {
  for (const Rule& r : rules_) {
    std::vector<Row> rows;
    for (const Alternative& a : r.alternatives) rows.push_back({{}, {a.symbols.rbegin(), a.symbols.rend()}});
    for (size_t i = 0; i < rows.size(); i++)
      for (size_t j = i + 1; j < rows.size(); j++)
        if (overlap(rows[i], rows[j]))
          return r.name + ": alternatives " + std::to_string(i + 1) + " and " + std::to_string(j + 1) + " overlap";
  }
  return "";
}

std::string Grammar::alphabet() const {
  std::string all(1, kSeparator);
  for (const std::string& t : texts_) all += t;
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

}  // namespace fovea::data
