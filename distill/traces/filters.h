// What verifiers accept is not yet worth learning from: filters of traces, each a pure function of text, and the choice
// among those that pass. Sources: R1 §2.3.3 (arXiv 2501.12948: mixed languages, long paragraphs), GPT-3 appendix C
// (arXiv 2005.14165: contamination by 13-grams).
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "configs/config.h"
#include "tasks/source.h"
#include "tasks/task.h"

namespace cohort {

struct TraceFilters {
  int32_t min_tokens = 0, max_tokens = 0;  // of the student's tokenizer; max 0: no limit
  std::string language;                    // empty: any
  double min_language_share = 0.9;
  int32_t repetition_ngram = 8;
  double max_repetition = 1;
  int32_t similarity_ngram = 5;
  double max_similarity = 1;
  std::vector<TaskSource> decontaminate;
  int32_t decontamination_ngram = 13;
};
template <class V>
void visit_fields(V& v, TraceFilters& c) {
  v.field("min_tokens", c.min_tokens, "shortest completion kept, in tokens of the student", at_least(0));
  v.field("max_tokens", c.max_tokens, "longest completion kept, in tokens of the student; 0: any", at_least(0));
  v.field("language", c.language,
          "en, zh, ja, ko, ru, ar, hi, th, he or el: what completions are to be in; empty: any");
  v.field("min_language_share", c.min_language_share, "share of a completion's words in the script of language",
          between(0, 1));
  v.field("repetition_ngram", c.repetition_ngram, "words of the n-grams whose repetition counts", between(1, 64));
  v.field("max_repetition", c.max_repetition, "share of a completion's n-grams that came before in it; 1: any",
          between(0, 1));
  v.field("similarity_ngram", c.similarity_ngram, "words of the n-grams that two completions are compared by",
          between(1, 64));
  v.field("max_similarity", c.max_similarity,
          "n-grams that a completion shares with an earlier one, of the same prompt or another, by those of either "
          "(Jaccard); 1: any",
          between(0, 1));
  v.field("decontaminate", c.decontaminate,
          "evaluation sets: a completion that shares an n-gram of words with one of their prompts is dropped, or whose "
          "prompt does");
  v.field("decontamination_ngram", c.decontamination_ngram,
          "words of these n-grams, letters and digits alone; a shorter prompt of an evaluation set counts as a whole",
          between(1, 64));
}

/// Throws UsageError for an unknown language and for lengths that nothing can have.
void expect_consistent(const TraceFilters& filters);

/// The prompt as its data set has it, without what templates, examples and system prompts put around it.
std::string asked_text(const Task& task);

/// What evaluation sets ask: hashes of their n-grams, and of whole prompts that have fewer words.
struct EvaluatedText {
  size_t ngram = 13;
  std::unordered_set<uint64_t> ngrams, short_prompts;
};
EvaluatedText evaluated_text(std::span<const Task> eval_tasks, size_t ngram);
/// Whether the prompt or the completion shares an n-gram with an evaluation set, or the prompt is a short one of it.
bool is_contaminated(const EvaluatedText& evaluated, std::string_view prompt, std::string_view completion);

/// The filter of one text that drops it, by the name its count has (too_short, too_long, mixed_language, repetitive,
/// contaminated); null where it passes all.
const char* dropped_by(const TraceFilters& filters, const EvaluatedText& evaluated, std::string_view prompt,
                       std::string_view completion, int64_t num_tokens);

/// N-grams of a text as a set, ascending; a text of fewer words has one, of all of them.
std::vector<uint64_t> ngram_set(std::string_view text, size_t n);
/// |a ∩ b| / |a ∪ b| of ascending sets; 0 where both are empty.
double jaccard(std::span<const uint64_t> a, std::span<const uint64_t> b);
/// [sets]: whether a set is more like an earlier one, that is not dropped itself, than `max_similarity`. Exact; memory
/// and time go with the sets, since only those are compared that share one of their rarest elements (Bayardo, Ma and
/// Srikant, WWW 2007).
std::vector<bool> near_duplicates(std::span<const std::vector<uint64_t>> sets, double max_similarity);

/// What balancing needs to know of a trace.
struct BalancedTrace {
  int64_t prompt = 0;     // its place in the run
  double difficulty = 0;  // 1 − share of the prompt's completions that are correct, in [0, 1)
};
/// How many of each bin are taken, `total` in all, as the weights say: what a bin cannot give goes to the others by
/// their weights. Rounded down; what is left over goes to the hardest bins that have more.
std::vector<int64_t> quotas(std::span<const int64_t> supply, std::span<const double> weights, int64_t total);
/// [traces]: which are kept. Bins of equal width divide the difficulties, one for each weight (none: one bin). Within a
/// bin the first trace of every prompt goes before the second of any, in the order they are given. `most` 0: all, but
/// for bins of weight 0.
std::vector<bool> balanced(std::span<const BalancedTrace> traces, std::span<const double> weights, int64_t most);

}  // namespace cohort
