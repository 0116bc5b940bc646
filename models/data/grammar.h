// The embedded corpus: a probabilistic grammar of a little English, so that a language model can be trained without any
// file and its loss compared with the entropy of its text, which is known exactly.
// The trick: rules carry features (person, number, sums) that code expands into plain nonterminals, and no alternative
// of a nonterminal can begin another, so that every text has one derivation and the entropy of texts is that of
// derivations.
#pragma once
#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::data {

// The rules of the embedded corpus. The notation is described where they are, in corpus.cpp.
extern const char* const kCorpusRules;

class Grammar {
 public:
  // What ends a document in a text of many; no document contains it.
  static constexpr char kSeparator = '\n';

  // Throws ValueError for rules that are malformed, recursive or incomplete; texts come from the rule `document`.
  explicit Grammar(std::string_view rules = kCorpusRules);

  // Document number `index` of the corpus `seed`: the same text on every machine and thread.
  std::string sample_document(uint64_t seed, uint64_t index) const;
  // The log2 probability of that document's derivation, without writing it.
  double sample_log2_probability(uint64_t seed, uint64_t index) const;
  // Documents first_document, first_document + 1, ... each followed by kSeparator, until there are min_bytes.
  std::string sample_text(uint64_t seed, uint64_t first_document, size_t min_bytes) const;

  // Exact, from the rules: expectations over derivations, children before parents.
  double entropy_bits_per_document() const { return entropy_.back(); }
  double expected_characters_per_document() const { return length_.back(); }
  // The entropy rate of documents written one after another: per character, the separator counted.
  double nats_per_character() const;
  size_t longest_document() const { return longest_.back(); }

  // The exact log2 of the probability that sample_document gives this text (-inf when it never does): the sum over all
  // derivations, by a chart of (nonterminal, start) -> ends.
  double log2_probability(std::string_view document) const { return score(document).log2_probability; }
  struct Score {
    double log2_probability;
    double parses;  // number of derivations
  };
  Score score(std::string_view document) const;

  // Empty when proved: no text that one alternative of a nonterminal derives begins a text that another derives, hence
  // (by induction on the derivation) no text has two. Otherwise names a nonterminal and two alternatives that overlap.
  std::string ambiguity() const;

  // Every byte that a text can have, rising, the separator included.
  std::string alphabet() const;

  size_t rule_count() const { return rules_.size(); }

 private:
  friend class GrammarReader;
  struct Alternative {
    double probability, log2_probability;
    std::vector<int> symbols;  // a rule's number, or ~ that of a text
  };
  struct Rule {
    std::string name;  // with its features: story(Tom)
    std::vector<Alternative> alternatives;
    std::vector<double> cumulative;  // of the probabilities, for sampling
  };
  struct Draws;
  struct Chart;
  struct Row;
  void expand(int rule, Draws& draws) const;
  bool overlap(Row a, Row b) const;
  void measure();

  std::vector<Rule> rules_;  // children before parents, so the last one is `document`
  std::vector<std::string> texts_;
  std::vector<double> entropy_, length_;  // per rule: bits, expected characters
  std::vector<size_t> shortest_, longest_;
  std::vector<std::bitset<256>> first_;  // bytes that may come first; all of them where nothing may
};

}  // namespace fovea::data
