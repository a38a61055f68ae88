// The table of rewards by name, and the way from a spec to a function.
#include "rewards/reward.h"

#include <algorithm>
#include <cmath>

#include "configs/error.h"
#include "rewards/plugins/plugin.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

// Number of one-character edits between two names.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

template <class Named>
std::string nearest(std::string_view name, const std::vector<Named>& known) {
  name = name.substr(0, 100);
  const auto closer = [&](const Named& a, const Named& b) {
    return edit_distance(name, a.name) < edit_distance(name, b.name);
  };
  return std::string(std::min_element(known.begin(), known.end(), closer)->name);
}

// An object may also come as text: its own, or the path of a file that holds it.
bool fits(const Json& option, const Json& value) {
  return (option.is_number() && value.is_number()) || (option.is_boolean() && value.is_boolean()) ||
         (option.is_string() && value.is_string()) || (option.is_object() && (value.is_object() || value.is_string()));
}

std::string type_name(const Json& json) {
  return json.is_number()    ? "a number"
         : json.is_boolean() ? "true or false"
         : json.is_object()  ? "an object or a path"
                             : "a string";
}

// Every option of the rule, those given in place of their defaults.
Json complete_options(const RewardRule& rule, const Json& given) {
  Json options = Json::object();
  for (const RewardOption& option : rule.options) options[std::string(option.name)] = option.initial;
  if (given.is_null()) return options;
  if (!given.is_object()) throw UsageError("reward " + std::string(rule.name) + ": options must be an object");
  for (const auto& [name, value] : given.items()) {
    if (!options.contains(name)) {
      std::string message = "reward " + std::string(rule.name) + " has no option " + excerpt(name);
      throw UsageError(message + (rule.options.empty() ? "; it has none"
                                                       : "; the nearest is \"" + nearest(name, rule.options) + "\""));
    }
    Json& option = options[name];
    if (option.is_string() && (value.is_number() || value.is_boolean())) {
      option = value.dump();  // NAME:pattern=42 on a command line
    } else if (fits(option, value)) {
      option = value;
    } else {
      throw UsageError("reward " + std::string(rule.name) + ": option " + name + " must be " + type_name(option) +
                       ", found " + excerpt(json_text(value)));
    }
  }
  return options;
}

std::vector<RewardOption> tags() {
  return {{"think", "think", "name of the tag around the thought"},
          {"answer", "answer", "name of the tag around the answer"}};
}

std::vector<RewardOption> code_options() {
  return {{"timeout", 0.0, "wall seconds for one test; 0 is the deadline of the job (--timeout)"},
          {"memory_mb", 1024, "of all processes of a program together, its files among them"},
          {"output_kb", 16384, "standard output and standard error together"},
          {"processes", 64, "processes and threads of a program"},
          {"compile_timeout", 20.0, "wall seconds for compiling"},
          {"compile_memory_mb", 2048, "for compiling"},
          {"python", "/usr/bin/python3", "the interpreter"}};
}

}  // namespace

const std::vector<RewardRule>& reward_rules() {
  static const std::vector<RewardRule> rules = {
      {"accuracy",
       "1 when the completion's answer equals the reference as mathematics",
       "own parser and ladder; conventions after MATH, GSM8K and Math-Verify graders",
       {{"percent", "either", "25%: either = 25 or 0.25, sign = 25 alone, hundredth = 0.25 alone"},
        {"list_order", "any", "any or same: whether 1, 2 equals 2, 1"},
        {"brackets", "loose",
         "loose: a bare list may stand for a set or a tuple; any: (1, 2) is [1, 2] too; strict: neither"},
        {"degrees", "either", "90 degrees: either = 90 or pi/2, sign = 90 alone, radian = pi/2 alone"},
        {"log_base", "either", "of log without a base: e, 10, or either"},
        {"relations", "loose",
         "loose: x = 5 may stand for 5, x > 2 for (2, inf), 1/x for 1/x, x != 0; asked: not where the reference is an "
         "inequality; "
         "strict: never"},
        {"form", "any", "any, or simplified: 2/4 and 1 + 1 are no answers"},
        {"mixed_fractions", "sum", "1\\frac12 as sum 3/2 or product 1/2"},
        {"bases", "either", "4210_5: either = its value or the digits alone, value = 555 alone"},
        {"boxes", "joined", "several boxes side by side: joined to a list, or the last"},
        {"case", "words", "words: letter case of words does not count; match: it does; all: nor does that of symbols"},
        {"decimal_comma", false, "read 3,14 as 3.14"},
        {"digits", 6, "significant digits a rounded completion needs against an exact reference"},
        {"tolerance", 0.0, "relative tolerance; 0 leaves the rule of digits"},
        {"units", "strip", "strip: units are dropped; match: they must be the same"},
        {"strict_names", true, "whether x = 5 differs from y = 5"},
        {"after_think", true, "read only what follows the last </think>"},
        {"last_number", false, "fall back to the last number of the completion"},
        {"domain", "auto",
         "of free symbols: positive, real, or auto (positive where a radical or logarithm holds one)"}},
       make_accuracy},
      {"format", "1 when the completion is exactly <think>…</think> then <answer>…</answer>",
       "DeepSeek-R1; open-r1 format_reward",
       [] {
         auto options = tags();
         options.push_back({"prefilled", false, "the prompt already ended with the opening think tag"});
         return options;
       }(),
       make_format},
      {"tag_count", "a quarter for each of the four think and answer tags that stands exactly once",
       "open-r1 tag_count_reward", tags(), make_tag_count},
      {"soft_overlong",
       "0 up to max - cache tokens, then falling linearly to -1 at max",
       "DAPO (arXiv 2503.14476), eq. 13",
       {{"max_completion_length", 20480, "tokens at which the penalty is whole"},
        {"cache", 4096, "tokens over which it grows"}},
       make_soft_overlong},
      {"cosine",
       "correct answers earn more when short, wrong ones lose less when long",
       "Demystifying Long CoT (arXiv 2502.03373); open-r1 cosine_scaled_reward",
       {{"min_value_wrong", -1.0, "wrong and empty"},
        {"max_value_wrong", -0.5, "wrong and of max_len"},
        {"min_value_correct", 0.5, "correct and of max_len"},
        {"max_value_correct", 1.0, "correct and short"},
        {"max_len", 1000, "length at which the curve ends; longer counts as this"},
        {"unit", "tokens", "tokens (needs completion_ids) or characters"}},
       make_cosine},
      {"repetition",
       "penalty for the share of repeated n-grams of words",
       "Demystifying Long CoT (arXiv 2502.03373); open-r1 repetition_penalty",
       {{"ngram", 3, "words in an n-gram"}, {"max_penalty", -1.0, "value when all repeat"}},
       make_repetition},
      {"regex",
       "1 when the pattern is found in the completion",
       "PCRE2, UTF-8, bounded work",
       {{"pattern", "", "PCRE2 pattern; required"},
        {"full", false, "the whole completion must match"},
        {"ignore_case", false, ""}},
       make_regex},
      {"exact",
       "1 when the answer is the reference, character by character",
       "own",
       {{"extract", "none", "none (the trimmed completion), answer_tag, boxed, last_line, last_number or fence"},
        {"ignore_case", false, ""}},
       make_exact},
      {"last_number",
       "1 when the last number of the completion equals the reference, whatever the form",
       "GSM8K's lenient grading",
       {},
       make_last_number},
      {"choice",
       "1 when the chosen letter is the reference's",
       "multiple-choice suites",
       {{"letters", "ABCDEFGHIJ", "letters that can be chosen"}},
       make_choice},
      {"language_consistency",
       "share of the target language's words in the thought, LaTeX and code left out",
       "DeepSeek-R1 (arXiv 2501.12948), 2.3.2",
       {{"language", "en", "en, zh, ja, ko, ru, ar, hi, th, he or el, told apart by script"},
        {"think", "think", "name of the tag around the thought"}},
       make_language_consistency},
      {"json_schema",
       "1 when the completion is JSON of the schema's form; NaN, a key twice and text behind it are none",
       "JSON Schema, draft 2020-12",
       {{"schema", Json::object(), "the schema, or the path of its file; none: the row's column json_schema"},
        {"extract", "fence", "fence (the last block, or all), answer_tag, boxed, last_line or none; after </think>"}},
       make_json_schema},
      {"countdown",
       "1 when the equation uses exactly the given numbers and gives the target",
       "Countdown, as in TinyZero",
       {{"extract", "answer_tag", "answer_tag, boxed, last_line or none"},
        {"format_score", 0.0, "value of a readable expression that is wrong"}},
       make_countdown},
      {"code", "share of the tests that the completion's program passes, run in a sandbox (Python, C++, Java)",
       "HumanEval, HumanEval-X, MBPP, APPS and open-r1 forms of tests", code_options(), make_code, true},
      {"binary_code", "1 when the completion's program passes all tests, run in a sandbox (Python, C++, Java)",
       "as code; stops at the first test that fails", code_options(), make_binary_code, true},
  };
  return rules;
}

const RewardRule* find_rule(std::string_view name) {
  const auto& rules = reward_rules();
  const auto rule = std::find_if(rules.begin(), rules.end(), [&](const RewardRule& r) { return r.name == name; });
  return rule == rules.end() ? nullptr : &*rule;
}

Reward make_reward(const RewardSpec& spec) {
  if (!std::isfinite(spec.weight)) throw UsageError("reward " + excerpt(spec.name) + ": weight must be finite");
  if (is_plugin(spec.name)) {
    const RewardRule plugin{.name = spec.name, .options = plugin_options()};
    return make_plugin(spec.name, complete_options(plugin, spec.options));
  }
  const RewardRule* rule = find_rule(spec.name);
  if (!rule) {
    throw UsageError("unknown reward " + excerpt(spec.name) + ", the nearest is \"" +
                     nearest(spec.name, reward_rules()) + "\"; `cohort score --list` shows all");
  }
  return {.judge = rule->make(complete_options(*rule, spec.options)), .bounds_tests = rule->bounds_tests};
}

}  // namespace cohort
