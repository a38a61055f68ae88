// Pre-tokenizers: a text is cut into pieces that are encoded one by one. A piece is handed on as soon as it is found,
// so memory does not grow with the text.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "policy/text/split_patterns.h"

namespace cohort {

using Json = nlohmann::json;

enum class SplitBehavior { isolated, removed, merged_with_previous, merged_with_next, contiguous };
enum class PrependScheme { always, first, never };

struct SplitStage {
  FindMatch find;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;  // what lies between matches counts as the match
};
struct ByteLevelStage {  // last in its sequence: pieces leave it as raw bytes
  bool add_prefix_space = false;
  bool use_regex = true;
};
struct MetaspaceStage {
  std::string replacement = "\u2581";  // stands for a space
  PrependScheme prepend = PrependScheme::always;
  bool split = true;
};
using PreTokenizerStage = std::variant<SplitStage, ByteLevelStage, MetaspaceStage>;

struct PreTokenizer {
  std::vector<PreTokenizerStage> stages;

  bool byte_level() const;
  /// `at_start`: the text begins where the whole input begins.
  void split(std::string_view text, bool at_start, const std::function<void(std::string_view)>& emit) const;
};

/// From the field `pre_tokenizer` of tokenizer.json (null: the text is one piece). Throws UsageError on a kind not
/// known.
PreTokenizer pre_tokenizer_from(const Json& description);

/// The pattern of a Split or Replace: {"String": ..} or {"Regex": ..}.
FindMatch find_pattern(const Json& pattern);

}  // namespace cohort
