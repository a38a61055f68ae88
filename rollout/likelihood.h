// How likely a model finds the reference solutions of tasks, without sampling.
#pragma once
#include <functional>
#include <span>

#include "policy/forward.h"
#include "policy/text/tokenizer.h"
#include "tasks/task.h"

namespace cohort {

struct Likelihood {
  double logprob = 0;             // log p of the solution behind its prompt, nats
  int64_t tokens = 0, bytes = 0;  // of the solution
};

/// Ids of a prompt and of its reference solution.
struct SolvedPrompt {
  std::vector<int32_t> prompt, solution;
  int64_t bytes = 0;  // of the solution's text
};
/// The solution follows the generation prompt of a chat, or a plain prompt and, where that ends in no white space, a
/// newline. Throws UsageError naming a task whose solution has no token or does not fit the context.
SolvedPrompt encode_solved(const Task& task, const Tokenizer& tokenizer, int64_t context);

/// log p of each solution's tokens at temperature 1, in the bits that sampling gives them. The model's rope table
/// reaches over the longest.
std::vector<std::vector<float>> solution_logprobs(const CausalLM& model, const Compute& compute,
                                                  std::span<const SolvedPrompt> solved,
                                                  const std::function<void(int64_t done)>& progress = {});

std::vector<Likelihood> likelihoods(CausalLM& model, const Compute& compute, std::span<const SolvedPrompt> solved,
                                    const std::function<void(int64_t done)>& progress = {});

/// {"tasks", "tokens", "nll" (nats a token, over all tokens), "ci95" (by bootstrap over tasks), "perplexity",
///  "bits_per_byte"}.
Json likelihood_figures(std::span<const Likelihood> likelihoods);

}  // namespace cohort
