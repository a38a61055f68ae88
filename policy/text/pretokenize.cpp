#include "policy/text/pretokenize.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "configs/error.h"
#include "policy/text/regex.h"
#include "policy/text/unicode.h"

namespace cohort {
namespace {

using Emit = std::function<void(std::string_view)>;

/// Joins matches and the stretches between them by the rule of a behaviour, and emits what results.
class Joiner {
 public:
  Joiner(std::string_view text, SplitBehavior behavior, const Emit& emit)
      : text_(text), behavior_(behavior), emit_(emit) {}

  void add(Span span, bool is_match) {
    switch (behavior_) {
      case SplitBehavior::isolated:
        return out(span);
      case SplitBehavior::removed:
        return is_match ? void() : out(span);
      case SplitBehavior::contiguous:
        join(span, held_ && was_match_ == is_match);
        break;
      case SplitBehavior::merged_with_previous:
        join(span, held_ && is_match && !was_match_);
        break;
      case SplitBehavior::merged_with_next:
        join(span, held_ && !is_match && was_match_);
        break;
    }
    was_match_ = is_match;
  }

  void finish() {
    if (held_) out(*held_);
  }

 private:
  void join(Span span, bool with_held) {
    if (with_held) {
      held_->end = span.end;
    } else {
      finish();
      held_ = span;
    }
  }
  void out(Span span) const { emit_(text_.substr(span.begin, span.end - span.begin)); }

  std::string_view text_;
  SplitBehavior behavior_;
  const Emit& emit_;
  std::optional<Span> held_;
  bool was_match_ = false;
};

void split_by(const SplitStage& stage, std::string_view text, const Emit& emit) {
  Joiner joiner(text, stage.behavior, emit);
  size_t at = 0;
  for (Span match; at < text.size() && stage.find(text, at, match); at = match.end) {
    if (match.begin > at) joiner.add({at, match.begin}, stage.invert);
    joiner.add(match, !stage.invert);
  }
  if (at < text.size()) joiner.add({at, text.size()}, stage.invert);
  joiner.finish();
}

void split_bytes(const ByteLevelStage& stage, std::string_view text, const Emit& emit) {
  std::string spaced;
  if (stage.add_prefix_space && !text.starts_with(' ')) text = spaced.append(" ").append(text);
  if (!stage.use_regex) return emit(text);
  Span match;
  for (size_t at = 0; find_gpt2(text, at, match); at = match.end) emit(text.substr(at, match.end - at));
}

void split_metaspace(const MetaspaceStage& stage, std::string_view text, bool at_start, const Emit& emit) {
  std::string marked;
  for (const char c : text) c == ' ' ? marked += stage.replacement : marked += c;
  const bool prepend = stage.prepend == PrependScheme::always || (stage.prepend == PrependScheme::first && at_start);
  if (prepend && !marked.starts_with(stage.replacement)) marked.insert(0, stage.replacement);
  if (!stage.split) return emit(marked);
  const auto find = [&](std::string_view from_text, size_t from, Span& match) {
    const size_t at = from_text.find(stage.replacement, from);
    match = {at, at + stage.replacement.size()};
    return at != std::string_view::npos;
  };
  split_by({find, SplitBehavior::merged_with_next, false}, marked, emit);
}

SplitBehavior behavior_from(const std::string& name) {
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  throw UsageError("the tokenizer's split behaviour \"" + name + "\" is not known");
}

MetaspaceStage metaspace_from(const Json& stage) {
  MetaspaceStage metaspace;
  metaspace.replacement = stage.value("replacement", metaspace.replacement);
  if (metaspace.replacement.empty() || unicode::count(metaspace.replacement) != 1)
    throw UsageError("the pre-tokenizer Metaspace has the replacement \"" + metaspace.replacement +
                     "\", expected one character");
  metaspace.split = stage.value("split", true);
  const std::string scheme = stage.value("prepend_scheme", stage.value("add_prefix_space", true) ? "always" : "never");
  metaspace.prepend = scheme == "first"   ? PrependScheme::first
                      : scheme == "never" ? PrependScheme::never
                                          : PrependScheme::always;
  return metaspace;
}

FindMatch find_regex(const std::string& pattern) {
  if (FindMatch known = known_pattern(pattern)) return known;
  auto regex = std::make_shared<Regex>(pattern);  // shared: std::function wants what it holds to be copyable
  return [regex](std::string_view text, size_t from, Span& match) { return regex->find(text, from, match); };
}

void add_stages(const Json& description, std::vector<PreTokenizerStage>& stages) {
  const std::string type = description.at("type");
  if (type == "Sequence") {
    for (const Json& stage : description.at("pretokenizers")) add_stages(stage, stages);
  } else if (type == "Split") {
    stages.emplace_back(SplitStage{find_pattern(description.at("pattern")), behavior_from(description.at("behavior")),
                                   description.value("invert", false)});
  } else if (type == "Digits") {
    stages.emplace_back(SplitStage{description.value("individual_digits", false) ? find_numeric : find_numerics});
  } else if (type == "ByteLevel") {
    stages.emplace_back(
        ByteLevelStage{description.value("add_prefix_space", true), description.value("use_regex", true)});
  } else if (type == "Metaspace") {
    stages.emplace_back(metaspace_from(description));
  } else if (type == "Punctuation") {
    const std::string behavior = description.value("behavior", "Isolated");
    stages.emplace_back(SplitStage{find_regex(R"([\p{P}$+<=>^`|~])"), behavior_from(behavior)});
  } else if (type == "Whitespace") {
    stages.emplace_back(SplitStage{find_regex(R"(\w+|[^\w\s]+)"), SplitBehavior::removed, true});
  } else if (type == "WhitespaceSplit") {
    stages.emplace_back(SplitStage{find_regex(R"(\s)"), SplitBehavior::removed});
  } else {
    throw UsageError(
        "the pre-tokenizer \"" + type +
        "\" is not supported; Split, Digits, ByteLevel, Metaspace, Punctuation, Whitespace and WhitespaceSplit are");
  }
}

}  // namespace

bool PreTokenizer::byte_level() const {
  return !stages.empty() && std::holds_alternative<ByteLevelStage>(stages.back());
}

void PreTokenizer::split(std::string_view text, bool at_start, const Emit& emit) const {
  // By stage, and after the last `emit`: made once, because a text has many pieces.
  std::vector<Emit> steps(stages.size() + 1);
  steps.back() = [&emit](std::string_view piece) {
    if (!piece.empty()) emit(piece);
  };
  for (size_t i = 0; i < stages.size(); ++i) {
    const Emit& next = steps[i + 1];
    if (const auto* stage = std::get_if<SplitStage>(&stages[i])) {
      steps[i] = [stage, &next](std::string_view piece) { split_by(*stage, piece, next); };
    } else if (const auto* bytes = std::get_if<ByteLevelStage>(&stages[i])) {
      steps[i] = [bytes, &next](std::string_view piece) {
        if (!piece.empty()) split_bytes(*bytes, piece, next);
      };
    } else {
      steps[i] = [&, metaspace = &std::get<MetaspaceStage>(stages[i])](std::string_view piece) {
        if (!piece.empty()) split_metaspace(*metaspace, piece, at_start && piece.data() == text.data(), next);
      };
    }
  }
  steps[0](text);
}

PreTokenizer pre_tokenizer_from(const Json& description) {
  PreTokenizer pre_tokenizer;
  if (!description.is_null()) add_stages(description, pre_tokenizer.stages);
  for (size_t i = 0; i + 1 < pre_tokenizer.stages.size(); ++i)
    if (std::holds_alternative<ByteLevelStage>(pre_tokenizer.stages[i]))
      throw UsageError("the pre-tokenizer ByteLevel is followed by another; it is supported as the last of a sequence");
  return pre_tokenizer;
}

FindMatch find_pattern(const Json& pattern) {
  if (pattern.contains("Regex")) return find_regex(pattern.at("Regex"));
  const std::string literal = pattern.at("String");
  return [literal](std::string_view text, size_t from, Span& match) {
    const size_t at = literal.empty() ? std::string_view::npos : text.find(literal, from);
    match = {at, at + literal.size()};
    return at != std::string_view::npos;
  };
}

}  // namespace cohort
