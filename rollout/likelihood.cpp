#include "rollout/likelihood.h"

#include <algorithm>
#include <cmath>

#include "configs/error.h"
#include "policy/kernels/philox.h"
#include "rollout/collect.h"
#include "tasks/reference_solution.h"

namespace cohort {
namespace {

constexpr int64_t kLogitRows = 32;  // rows whose logits are in memory at once

/// Σ nll / Σ tokens of a resample of the tasks.
double resampled(std::span<const Likelihood> all, uint32_t resample) {
  double nll = 0, tokens = 0;
  for (size_t i = 0; i < all.size(); ++i) {
    const Likelihood& one = all[philox({uint32_t(i), resample, 0, 0}, {95, 0})[0] % all.size()];
    nll -= one.logprob, tokens += double(one.tokens);
  }
  return nll / tokens;
}

}  // namespace

SolvedPrompt encode_solved(const Task& task, const Tokenizer& tokenizer, int64_t context) {
  const std::string solution = reference_solution(task);
  SolvedPrompt solved{.prompt = encode_prompt(tokenizer, task.prompt),
                      .solution = tokenizer.encode(continuation(task.prompt, solution)),
                      .bytes = int64_t(solution.size())};
  const size_t length = solved.prompt.size() + solved.solution.size();
  if (solved.solution.empty() || solved.prompt.empty() || int64_t(length) > context)
    throw UsageError("prompt and reference solution of the task " + task.id + " have " +
                     std::to_string(solved.prompt.size()) + " and " + std::to_string(solved.solution.size()) +
                     " tokens, expected some of each and at most the model's context of " + std::to_string(context));
  return solved;
}

std::vector<std::vector<float>> solution_logprobs(const CausalLM& model, const Compute& compute,
                                                  std::span<const SolvedPrompt> solved,
                                                  const std::function<void(int64_t)>& progress) {
  int64_t longest = 1;
  for (const SolvedPrompt& s : solved) longest = std::max(longest, int64_t(s.prompt.size() + s.solution.size()));
  std::vector<int32_t> table(size_t(ceil_div(longest, kKeyBlock)));
  for (size_t b = 0; b < table.size(); ++b) table[b] = int32_t(b);
  KvStore kv(model.spec, int64_t(table.size()), false);
  ForwardState state;
  Buffer rows(kLogitRows * model.spec.vocab);
  std::vector<std::vector<float>> all;
  for (const SolvedPrompt& s : solved) {
    std::vector<int32_t> tokens = s.prompt;
    tokens.insert(tokens.end(), s.solution.begin(), s.solution.end() - 1);
    const RowSpan span{0, int64_t(tokens.size()), 0, table.data()};
    forward(model, compute, {tokens, {&span, 1}, {}}, kv, Activations::none, state);
    std::vector<float>& logprobs = all.emplace_back(s.solution.size());
    for (size_t begin = 0; begin < s.solution.size(); begin += kLogitRows) {
      const int64_t count = std::min<int64_t>(kLogitRows, int64_t(s.solution.size() - begin));
      const int64_t first = int64_t(s.prompt.size() - 1 + begin);
      logits(model, compute, state.hidden_TD.data() + first * model.spec.dim, nullptr, count, rows.data());
      compute.pool.parallel_for(count, [&](int64_t i) {
        const float* row = rows.data() + i * model.spec.vocab;
        const int32_t token = s.solution[begin + size_t(i)];
        logprobs[begin + size_t(i)] = compute.kernels->token_statistics(row, model.spec.vocab, 1.0f, token).logprob;
      });
    }
    if (progress) progress(int64_t(all.size()));
  }
  return all;
}

std::vector<Likelihood> likelihoods(CausalLM& model, const Compute& compute, std::span<const SolvedPrompt> solved,
                                    const std::function<void(int64_t)>& progress) {
  for (const SolvedPrompt& s : solved) extend_rope(model, int64_t(s.prompt.size() + s.solution.size()));
  const auto logprobs = solution_logprobs(model, compute, solved, progress);
  std::vector<Likelihood> all;
  for (size_t i = 0; i < solved.size(); ++i) {
    Likelihood& one = all.emplace_back();
    for (float logprob : logprobs[i]) one.logprob += double(logprob);
    one.tokens = int64_t(logprobs[i].size()), one.bytes = solved[i].bytes;
  }
  return all;
}

Json likelihood_figures(std::span<const Likelihood> all) {
  double nll = 0, tokens = 0, bytes = 0;
  for (const Likelihood& one : all) nll -= one.logprob, tokens += double(one.tokens), bytes += double(one.bytes);
  std::vector<double> means;
  for (uint32_t r = 0; r < 2000; ++r) means.push_back(resampled(all, r));
  std::ranges::sort(means);
  return {{"tasks", all.size()},
          {"tokens", int64_t(tokens)},
          {"nll", nll / tokens},
          {"ci95", {means[size_t(0.025 * 1999)], means[size_t(0.975 * 1999)]}},
          {"perplexity", std::exp(nll / tokens)},
          {"bits_per_byte", nll / std::log(2.0) / bytes}};
}

}  // namespace cohort
