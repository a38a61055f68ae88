#include "distill/traces/filters.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "configs/error.h"
#include "rewards/language.h"
#include "rewards/words.h"
#include "tasks/task_json.h"

namespace cohort {
namespace {

/// Of a prompt too short for an n-gram: operators and marks count, white space and case do not.
uint64_t whole_hash(std::string_view prompt) {
  const std::vector<uint64_t> words = word_hashes(prompt);
  return words.empty() ? 0 : ngram_hashes(words, words.size())[0];
}

bool shares_ngram(const EvaluatedText& evaluated, std::string_view text) {
  const std::vector<uint64_t> ngrams = ngram_hashes(word_hashes(text, Words::bare), evaluated.ngram);
  return std::ranges::any_of(ngrams, [&](uint64_t ngram) { return evaluated.ngrams.contains(ngram); });
}

/// Smallest overlap with a set of `size` elements that a set more alike than `least` can have: J ≥ t needs ≥ t·size.
size_t least_overlap(size_t size, double least) {
  return size_t(std::max(1.0, std::ceil(least * double(size) - 1e-9)));
}

/// The sets with their rarest elements first: ranks in place of hashes, ascending.
std::vector<std::vector<uint32_t>> by_rarity(std::span<const std::vector<uint64_t>> sets) {
  std::unordered_map<uint64_t, uint32_t> counts;
  for (const auto& set : sets)
    for (uint64_t element : set) ++counts[element];
  std::vector<std::pair<uint32_t, uint64_t>> order;
  for (const auto& [element, count] : counts) order.emplace_back(count, element);
  std::ranges::sort(order);
  for (size_t rank = 0; rank < order.size(); ++rank) counts[order[rank].second] = uint32_t(rank);
  std::vector<std::vector<uint32_t>> ranked(sets.size());
  for (size_t i = 0; i < sets.size(); ++i) {
    for (uint64_t element : sets[i]) ranked[i].push_back(counts[element]);
    std::ranges::sort(ranked[i]);
  }
  return ranked;
}

template <class T>
double jaccard_of(std::span<const T> a, std::span<const T> b) {
  size_t shared = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i] == b[j])
      ++shared, ++i, ++j;
    else if (a[i] < b[j])
      ++i;
    else
      ++j;
  }
  const size_t all = a.size() + b.size() - shared;
  return all ? double(shared) / double(all) : 0;
}

}  // namespace

void expect_consistent(const TraceFilters& filters) {
  if (!filters.language.empty()) expect_language(filters.language);
  if (filters.max_tokens > 0 && filters.max_tokens < filters.min_tokens)
    throw UsageError("filters.max_tokens is " + std::to_string(filters.max_tokens) + ", less than min_tokens " +
                     std::to_string(filters.min_tokens));
}

std::string asked_text(const Task& task) {
  Messages prompt = task.prompt;
  if (task.extra.contains("raw_prompt")) {
    Messages raw;
    if (!read_prompt(task.extra["raw_prompt"], raw) && !raw.empty()) prompt = std::move(raw);
  }
  const auto asks = [](const Message& message) { return message.role == "user" || message.role.empty(); };
  const auto last = std::find_if(prompt.rbegin(), prompt.rend(), asks);
  return last == prompt.rend() ? "" : last->content;
}

EvaluatedText evaluated_text(std::span<const Task> eval_tasks, size_t ngram) {
  EvaluatedText evaluated{.ngram = ngram};
  for (const Task& task : eval_tasks) {
    const std::string text = asked_text(task);
    const std::vector<uint64_t> ngrams = ngram_hashes(word_hashes(text, Words::bare), ngram);
    evaluated.ngrams.insert(ngrams.begin(), ngrams.end());
    if (ngrams.empty()) evaluated.short_prompts.insert(whole_hash(text));
  }
  return evaluated;
}

bool is_contaminated(const EvaluatedText& evaluated, std::string_view prompt, std::string_view completion) {
  return shares_ngram(evaluated, prompt) || shares_ngram(evaluated, completion) ||
         (!evaluated.short_prompts.empty() && evaluated.short_prompts.contains(whole_hash(prompt)));
}

const char* dropped_by(const TraceFilters& filters, const EvaluatedText& evaluated, std::string_view prompt,
                       std::string_view completion, int64_t num_tokens) {
  if (num_tokens < filters.min_tokens) return "too_short";
  if (filters.max_tokens > 0 && num_tokens > filters.max_tokens) return "too_long";
  if (!filters.language.empty() &&
      language_share(completion, filters.language).value_or(1) < filters.min_language_share)
    return "mixed_language";
  if (filters.max_repetition < 1 &&
      repeated_share(word_hashes(completion), size_t(filters.repetition_ngram)) > filters.max_repetition)
    return "repetitive";
  if (is_contaminated(evaluated, prompt, completion)) return "contaminated";
  return nullptr;
}

std::vector<uint64_t> ngram_set(std::string_view text, size_t n) {
  const std::vector<uint64_t> words = word_hashes(text);
  if (words.empty()) return {};
  std::vector<uint64_t> set = ngram_hashes(words, std::min(n, words.size()));
  std::ranges::sort(set);
  set.erase(std::unique(set.begin(), set.end()), set.end());
  return set;
}

double jaccard(std::span<const uint64_t> a, std::span<const uint64_t> b) {
  return jaccard_of(a, b);
}

std::vector<bool> near_duplicates(std::span<const std::vector<uint64_t>> sets, double max_similarity) {
  const std::vector<std::vector<uint32_t>> ranked = by_rarity(sets);
  std::unordered_map<uint32_t, std::vector<uint32_t>> by_element;  // kept sets by each element of their prefix
  std::vector<bool> dropped(sets.size(), false);
  std::vector<uint32_t> last_compared(sets.size(), UINT32_MAX);
  for (uint32_t i = 0; i < ranked.size(); ++i) {
    const std::vector<uint32_t>& set = ranked[i];
    if (set.empty()) continue;
    const size_t prefix = set.size() - least_overlap(set.size(), max_similarity) + 1;
    for (size_t p = 0; p < prefix && !dropped[i]; ++p) {
      const auto found = by_element.find(set[p]);
      if (found == by_element.end()) continue;
      for (uint32_t other : found->second) {
        if (std::exchange(last_compared[other], i) == i) continue;
        if (jaccard_of(std::span(set), std::span(ranked[other])) > max_similarity) {
          dropped[i] = true;
          break;
        }
      }
    }
    if (dropped[i]) continue;
    for (size_t p = 0; p < prefix; ++p) by_element[set[p]].push_back(i);
  }
  return dropped;
}

std::vector<int64_t> quotas(std::span<const int64_t> supply, std::span<const double> weights, int64_t total) {
  std::vector<int64_t> taken(supply.size(), 0);
  std::vector<bool> open(supply.size());
  for (size_t b = 0; b < supply.size(); ++b) open[b] = weights[b] > 0;
  const auto open_weight = [&] {
    double sum = 0;
    for (size_t b = 0; b < supply.size(); ++b) sum += open[b] ? weights[b] : 0;
    return sum;
  };
  for (bool is_settled = false; !is_settled;) {  // bins that give all they have leave more to the others
    is_settled = true;
    const double sum = open_weight();
    const auto left = double(total);
    for (size_t b = 0; b < supply.size(); ++b)
      if (open[b] && double(supply[b]) <= left * weights[b] / sum)
        taken[b] = supply[b], total -= supply[b], open[b] = false, is_settled = false;
  }
  const double sum = open_weight();
  int64_t left = total;
  for (size_t b = 0; b < supply.size(); ++b)
    if (open[b]) taken[b] = int64_t(double(total) * weights[b] / sum), left -= taken[b];
  for (size_t b = supply.size(); b-- > 0;)
    if (open[b] && left > 0 && taken[b] < supply[b]) ++taken[b], --left;
  return taken;
}

std::vector<bool> balanced(std::span<const BalancedTrace> traces, std::span<const double> given, int64_t most) {
  const std::vector<double> weights = given.empty() ? std::vector<double>{1} : std::vector(given.begin(), given.end());
  const size_t num_bins = weights.size();
  std::map<int64_t, int64_t> of_prompt;
  std::vector<std::vector<std::pair<int64_t, size_t>>> bins(num_bins);  // which of its prompt's, index
  for (size_t i = 0; i < traces.size(); ++i) {
    const auto bin = std::min(num_bins - 1, size_t(traces[i].difficulty * double(num_bins)));
    bins[bin].emplace_back(of_prompt[traces[i].prompt]++, i);
  }
  std::vector<int64_t> supply;
  for (const auto& bin : bins) supply.push_back(int64_t(bin.size()));
  const int64_t all = std::accumulate(supply.begin(), supply.end(), int64_t(0));
  const std::vector<int64_t> quota = quotas(supply, weights, most > 0 ? most : all);
  std::vector<bool> kept(traces.size(), false);
  for (size_t b = 0; b < num_bins; ++b) {
    std::ranges::sort(bins[b]);
    for (int64_t i = 0; i < quota[b]; ++i) kept[bins[b][size_t(i)].second] = true;
  }
  return kept;
}

}  // namespace cohort
