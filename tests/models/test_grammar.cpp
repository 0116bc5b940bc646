#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "core/error.h"
#include "models/data/grammar.h"
#include "tests/helpers.h"

using fovea::data::Grammar;
using fovea::data::kCorpusRules;

namespace {

std::string replaced(std::string s, const std::string& from, const std::string& to) {
  size_t at = s.find(from);
  REQUIRE(at != s.npos);
  return s.replace(at, from.size(), to);
}

std::string grammar_error(const std::string& rules) {
  return fovea::error_of<fovea::ValueError>([&] { Grammar{rules}; });
}

struct Mean {
  double sum = 0, squares = 0, n = 0;
  void add(double x) { sum += x, squares += x * x, n++; }
  double value() const { return sum / n; }
  double error() const { return std::sqrt((squares / n - value() * value()) / n); }
  bool near(double expected) const { return std::abs(value() - expected) <= 4 * error(); }
};

TEST_CASE("the entropy is the mean of -log2 p of a million documents, and of no other grammar") {
  Grammar grammar;
  Mean bits;
  for (uint64_t i = 0; i < 1'000'000; i++) bits.add(-grammar.sample_log2_probability(7, i));
  INFO(bits.value(), " +- ", bits.error(), " against ", grammar.entropy_bits_per_document());
  CHECK(bits.near(grammar.entropy_bits_per_document()));
  // One weight moved a little, and the same figures no longer agree.
  for (auto [from, to] : {std::pair<std::string, std::string>{"[4] {story(X)}", "[5] {story(X)}"},
                          {"[4] {a_adjective} {noun(s)}", "[5] {a_adjective} {noun(s)}"},
                          {"cat | dog", "[5] cat | dog"}}) {
    Grammar other(replaced(kCorpusRules, from, to));
    INFO(from, " -> ", to, ": ", other.entropy_bits_per_document());
    CHECK_FALSE(bits.near(other.entropy_bits_per_document()));
  }
}

TEST_CASE("every document has one derivation, and its probability is read back from its text") {
  Grammar grammar;
  CHECK(grammar.ambiguity() == std::string());
  Mean characters;
  std::set<char> alphabet;
  for (uint64_t i = 0; i < 3'000; i++) {
    std::string document = grammar.sample_document(11, i);
    auto score = grammar.score(document);
    bool one = score.parses == 1 && std::abs(score.log2_probability - grammar.sample_log2_probability(11, i)) < 1e-9;
    if (!one) INFO(document, ": ", score.parses, " derivations, log2 p ", score.log2_probability);
    REQUIRE(one);
    REQUIRE(document.size() <= grammar.longest_document());
    characters.add(double(document.size()));
    alphabet.insert(document.begin(), document.end());
  }
  CHECK(characters.near(grammar.expected_characters_per_document()));
  CHECK(alphabet.size() < 70);
  CHECK_FALSE(alphabet.contains(Grammar::kSeparator));
  for (char c : alphabet) CHECK((c >= ' ' && c <= '~'));
  CHECK(grammar.nats_per_character() == doctest::Approx(grammar.entropy_bits_per_document() * std::log(2) /
                                                        (grammar.expected_characters_per_document() + 1)));
}

TEST_CASE("agreement, pronouns and sums are in the grammar") {
  Grammar grammar;
  for (std::string right :
       {"The red hens by the hill wait at 3:07. They need a wet bear and Mia and rest by the lake with Tom and Ida.",
        "Max has 3 nuts and Ida has 4 nuts. Together they have 7 nuts, Leo and Jane. They run on Monday.",
        "\"Where is the wild cat, Ann?\" asks Finn. \"It is near the shop with Leo and Mia,\" says Ann. "
        "\"Thank you, Ann,\" says Finn."}) {
    INFO(right);
    CHECK(std::isfinite(grammar.log2_probability(right)));
    for (auto [from, to] : {std::pair<std::string, std::string>{"hens", "hen"},
                            {"wait", "waits"},
                            {"They need", "It needs"},
                            {"need ", "needs "},
                            {"a wet", "an wet"},
                            {"bear", "bears"},
                            {"have 7", "have 8"},
                            {"nuts, L", "nut, L"},
                            {"is the", "are the"},
                            {"It is", "She is"},
                            {"says Ann", "says Finn"},
                            {"you, Ann", "you, Finn"},
                            {"Monday.", "Monday. "},
                            {"Monday.", "Monday"}}) {
      if (right.find(from) == right.npos) continue;
      std::string wrong = replaced(right, from, to);
      INFO(wrong);
      CHECK(grammar.log2_probability(wrong) == -INFINITY);
    }
  }
  CHECK(grammar.log2_probability("") == -INFINITY);
}

TEST_CASE("documents depend on seed and number alone, and a text is documents one after another") {
  Grammar grammar, again;
  CHECK(grammar.sample_document(1, 5) == again.sample_document(1, 5));
  CHECK(grammar.sample_document(1, 5) != grammar.sample_document(2, 5));
  std::string text = grammar.sample_text(1, 5, 1000), expected;
  for (uint64_t i = 5; expected.size() < 1000; i++) expected += grammar.sample_document(1, i) + "\n";
  CHECK(text == expected);
  CHECK(grammar.sample_text(1, 5, 0) == std::string());
  // Frozen: runs of other days and machines are compared by their corpus.
  CHECK(grammar.sample_document(1, 3) ==
        std::string(
            "Jane and Sam swim under the hill at 2:04. They draw 76 bikes and an old key. But Jane needs her wolf and "
            "Sam helps his hard owl, 65 bikes and a big ring."));
}

TEST_CASE("figures of a grammar small enough to work out by hand") {
  Grammar grammar(
      "N = s p\nA = 1 2\n\ndocument: [3] {noun(N)} {A+A} | [1] {A}!\nnoun(s): a dog\nnoun(p): dogs | cats\n");
  // noun(s) 2: 2 x 3/8 x 1/2, dogs and cats half of that each; 1! and 2!: 1/8 each
  CHECK(grammar.log2_probability("a dog 4") == doctest::Approx(std::log2(3.0 / 16)));
  CHECK(grammar.log2_probability("cats 2") == doctest::Approx(std::log2(3.0 / 32)));
  CHECK(grammar.log2_probability("1!") == doctest::Approx(std::log2(1.0 / 8)));
  double entropy = 0, characters = 0, total = 0;
  for (std::string text : {"a dog 2", "a dog 4", "dogs 2", "dogs 4", "cats 2", "cats 4", "1!", "2!"}) {
    double log2_p = grammar.log2_probability(text), p = std::exp2(log2_p);
    total += p, entropy -= p * log2_p, characters += p * double(text.size());
  }
  CHECK(total == doctest::Approx(1));
  CHECK(grammar.entropy_bits_per_document() == doctest::Approx(entropy));
  CHECK(grammar.expected_characters_per_document() == doctest::Approx(characters));
  CHECK(grammar.longest_document() == 7);
}

TEST_CASE("ambiguous grammars are found out") {
  struct Row {
    std::string rules, text;
    double parses;
  };
  for (const Row& row : std::vector<Row>{
           {"document: {x} | {y}\nx: ab | c\ny: d | ab\n", "ab", 2},
           {"document: {x}{x}\nx: a | ab | ba | b\n", "aba", 2},
           {"document: {x}{x}{x}\nx: a | aa\n", "aaaa", 3},
           {"document: {x} red | {y} red\nx: a | b\ny: b | c\n", "b red", 2},
       }) {
    INFO(row.rules);
    Grammar grammar(row.rules);
    CHECK(grammar.ambiguity() != std::string());
    CHECK(grammar.score(row.text).parses == row.parses);
  }
  CHECK(Grammar("document: {x}{x}{x}\nx: a | aa\n").log2_probability("aaaa") == doctest::Approx(std::log2(3.0 / 8)));
  // One derivation each, but not by this proof: a word that begins another.
  CHECK(Grammar("document: cat | cats\n").ambiguity() == std::string("document: alternatives 1 and 2 overlap"));
}

TEST_CASE("malformed rules are refused") {
  for (auto [rules, error] : {std::pair<std::string, std::string>{"document: a {b}\nb: {document}\n", "derives itself"},
                              {"document: {b}\n", "no rule for b"},
                              {"a: x\n", "no rule for document"},
                              {"document: a\ndocument: b\n", "two rules for document"},
                              {"N = s p\ndocument: {x(N)}\nx(s): a\n", "no rule for x(p)"},
                              {"document: [0] a\n", "a weight that is not positive"},
                              {"document: [x] a\n", "a weight that is not positive"},
                              {"document: a {b\n", "does not close"},
                              {"A = 1 x\ndocument: {A+A}\n", "not a sum of numbers"},
                              {"document\n", "neither a feature nor a rule"}}) {
    INFO(rules);
    INFO(grammar_error(rules));
    CHECK(grammar_error(rules).find(error) != std::string::npos);
  }
}

}  // namespace
