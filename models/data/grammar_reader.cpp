// Reads the notation of corpus.cpp and expands features: Grammar's constructor.
// Every nonterminal with its features' values becomes a rule of its own, made when it is first asked for.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "core/error.h"
#include "models/data/grammar.h"

namespace fovea::data {
namespace {

using Words = std::vector<std::string>;
using Bindings = std::map<std::string, std::string>;  // feature -> its value here

std::string trimmed(std::string_view s) {
  size_t b = s.find_first_not_of(" \t\n"), e = s.find_last_not_of(" \t\n");
  return b == s.npos ? "" : std::string(s.substr(b, e - b + 1));
}

Words split(std::string_view s, char separator) {
  Words parts;
  for (size_t b = 0;;) {
    size_t e = s.find(separator, b);
    std::string part = trimmed(s.substr(b, e == s.npos ? e : e - b));
    if (separator != ' ' || !part.empty()) parts.push_back(part);
    if (e == s.npos) return parts;
    b = e + 1;
  }
}

}  // namespace

class GrammarReader {
 public:
  GrammarReader(Grammar& grammar, std::string_view rules) : grammar_(grammar) {
    std::string entry;
    for (const std::string& line : lines(rules)) {
      if (line[0] != ' ' && !entry.empty()) read(entry), entry.clear();
      entry += " " + trimmed(line);
    }
    if (!entry.empty()) read(entry);
    make(Call("document"));
  }

 private:
  // "name(a, b)" -> name, {a, b}
  struct Call {
    std::string name;
    Words arguments;
    explicit Call(const std::string& s) : name(trimmed(s.substr(0, s.find('(')))) {
      size_t open = s.find('('), close = s.rfind(')');
      if (open != s.npos && close != s.npos && close > open)
        arguments = split(s.substr(open + 1, close - open - 1), ',');
    }
    std::string text() const {
      std::string t = name;
      for (size_t i = 0; i < arguments.size(); i++) t += (i ? "," : "(") + arguments[i];
      return arguments.empty() ? t : t + ")";
    }
  };
  struct Definition {
    Call head;
    Words alternatives;
  };

  static std::vector<std::string> lines(std::string_view rules) {
    std::vector<std::string> out;
    for (size_t b = 0; b < rules.size();) {
      size_t e = std::min(rules.find('\n', b), rules.size());
      std::string_view line = rules.substr(b, e - b);
      if (!trimmed(line).empty() && line[0] != '#') out.emplace_back(line);
      b = e + 1;
    }
    return out;
  }

  [[noreturn]] static void fail(const std::string& what) { throw ValueError("grammar: " + what); }

  void read(const std::string& entry) {
    size_t sign = entry.find_first_of(":=");
    if (sign == entry.npos) fail("neither a feature nor a rule: " + trimmed(entry) + " (expected `=` or `:`)");
    std::string body = trimmed(entry.substr(sign + 1));
    if (entry[sign] == ':') {
      definitions_.push_back({Call(entry.substr(0, sign)), split(body, '|')});
      return;
    }
    Words& values = features_[trimmed(entry.substr(0, sign))];
    for (const std::string& word : split(body, ' ')) {
      auto it = features_.find(word);
      if (it == features_.end() || it->second.empty()) values.push_back(word);
      else values.insert(values.end(), it->second.begin(), it->second.end());
    }
  }

  // A value, a feature bound to one, or a sum of numbers.
  std::string value(const std::string& expression, const Bindings& bound) const {
    Words terms = split(expression, '+');
    for (std::string& t : terms)
      if (auto it = bound.find(t); it != bound.end()) t = it->second;
    if (terms.size() == 1) return terms[0];
    int sum = 0;
    for (const std::string& t : terms) {
      if (t.empty() || t.find_first_not_of("0123456789") != t.npos) fail("not a sum of numbers: " + expression);
      sum += std::stoi(t);
    }
    return std::to_string(sum);
  }

  // The rule for a nonterminal whose arguments are values.
  int make(const Call& call) {
    auto [it, fresh] = made_.emplace(call.text(), -1);
    if (!fresh && it->second < 0) fail(call.text() + " derives itself (expected rules without recursion)");
    if (!fresh) return it->second;
    const Definition* found = nullptr;
    Bindings bound;
    for (const Definition& d : definitions_)
      if (auto b = match(d.head, call)) {
        if (found) fail("two rules for " + call.text());
        found = &d;
        bound = *b;
      }
    if (!found) fail("no rule for " + call.text());
    Grammar::Rule rule{call.text(), {}, {}};
    for (const std::string& text : found->alternatives) add_alternatives(rule, text, bound);
    double total = 0, sum = 0;
    for (const auto& a : rule.alternatives) total += a.probability;
    for (auto& a : rule.alternatives) {
      a.probability /= total;
      a.log2_probability = std::log2(a.probability);
      rule.cumulative.push_back(sum += a.probability);
    }
    grammar_.rules_.push_back(std::move(rule));
    return made_[call.text()] = int(grammar_.rules_.size()) - 1;
  }

  std::optional<Bindings> match(const Call& head, const Call& call) const {
    if (head.name != call.name || head.arguments.size() != call.arguments.size()) return {};
    Bindings bound;
    for (size_t i = 0; i < head.arguments.size(); i++) {
      auto it = features_.find(head.arguments[i]);
      const std::string& v = call.arguments[i];
      if (it == features_.end() ? head.arguments[i] != v
                                : std::find(it->second.begin(), it->second.end(), v) == it->second.end())
        return {};
      if (it != features_.end()) bound[head.arguments[i]] = v;
    }
    return bound;
  }

  // One alternative as written is one for each choice of the features that the head does not bind; they share its
  // weight evenly.
  void add_alternatives(Grammar::Rule& rule, std::string text, const Bindings& bound) {
    double weight = 1;
    if (text[0] == '[') {
      weight = std::strtod(text.c_str() + 1, nullptr);
      text = trimmed(text.substr(std::min(text.find(']'), text.size() - 1) + 1));
    }
    if (!(weight > 0 && weight < 1e9)) fail(rule.name + ": a weight that is not positive: " + text);
    std::vector<std::pair<std::string, bool>> pieces;  // text, or what stands in braces
    for (size_t b = 0; b < text.size();) {
      bool braces = text[b] == '{';
      size_t e = std::min(text.find(braces ? '}' : '{', b), text.size());
      if (braces && e == text.size()) fail(rule.name + ": a brace that does not close: " + text);
      pieces.emplace_back(text.substr(b + braces, e - b - braces), braces);
      b = e + braces;
    }
    std::vector<Bindings> choices{bound};
    for (const auto& [piece, braces] : pieces) {
      if (!braces) continue;
      Words expressions = Call(piece).arguments;
      if (!is_call(piece)) expressions = {piece};
      for (const std::string& e : expressions)
        for (const std::string& name : split(e, '+')) choose(choices, name);
    }
    for (const Bindings& c : choices) {
      Grammar::Alternative a{weight / double(choices.size()), 0, {}};
      for (const auto& [piece, braces] : pieces) {
        if (!braces || !is_call(piece)) {
          a.symbols.push_back(text_symbol(braces ? value(piece, c) : piece));
        } else {
          Call call(piece);
          for (std::string& e : call.arguments) e = value(e, c);
          a.symbols.push_back(make(call));
        }
      }
      rule.alternatives.push_back(std::move(a));
    }
  }

  // {Feature} and {A+B} are printed, {name} and {name(...)} derived.
  bool is_call(const std::string& piece) const {
    return !features_.contains(piece) && piece.substr(0, piece.find('(')).find('+') == piece.npos;
  }

  void choose(std::vector<Bindings>& choices, const std::string& feature) const {
    auto it = features_.find(feature);
    if (it == features_.end() || choices[0].contains(feature)) return;
    std::vector<Bindings> more;
    for (const Bindings& c : choices)
      for (const std::string& v : it->second) (more.emplace_back(c))[feature] = v;
    choices = std::move(more);
  }

  int text_symbol(const std::string& text) {
    auto [it, fresh] = texts_.emplace(text, int(grammar_.texts_.size()));
    if (fresh) grammar_.texts_.push_back(text);
    return ~it->second;
  }

  Grammar& grammar_;
  std::map<std::string, Words> features_;
  std::vector<Definition> definitions_;
  std::map<std::string, int> made_, texts_;
};

Grammar::Grammar(std::string_view rules) {
  GrammarReader(*this, rules);
  measure();
}

}  // namespace fovea::data
