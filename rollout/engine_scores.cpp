// Log-probabilities of tokens that stand in a prompt, or might have been sampled.
#include <algorithm>
#include <numeric>

#include "rollout/engine_state.h"

namespace cohort {

std::vector<TokenLogprob> most_likely(const Kernels& kernels, std::span<const float> logits, double temperature,
                                      int32_t count) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto kept = std::ptrdiff_t(std::min(size_t(count), order.size()));
  std::partial_sort(order.begin(), order.begin() + kept, order.end(), [&](int32_t a, int32_t b) {
    return logits[size_t(a)] != logits[size_t(b)] ? logits[size_t(a)] > logits[size_t(b)] : a < b;
  });
  std::vector<TokenLogprob> top;
  for (auto id = order.begin(); id != order.begin() + kept; ++id)
    top.push_back({*id, kernels
                            .token_statistics(logits.data(), int64_t(logits.size()),
                                              temperature > 0 ? float(temperature) : 1.0f, *id)
                            .logprob});
  return top;
}

static ComparedToken score_token(const Kernels& kernels, std::span<const float> logits, int32_t token,
                                 int32_t num_top) {
  ComparedToken scored{.token = token, .top = most_likely(kernels, logits, 1, num_top)};
  scored.logprob = kernels.token_statistics(logits.data(), int64_t(logits.size()), 1, token).logprob;
  for (float logit : logits) scored.rank += logit > logits[size_t(token)];
  return scored;
}

/// Log-probabilities of the tokens behind the span's rows.
void Engine::score_prompt(Active& active, const RowSpan& span) {
  constexpr int64_t kRowsAtOnce = 64;  // of logits in memory
  const int64_t V = model_.spec.vocab, P = active.prompt_length();
  std::vector<ComparedToken>& scores = active.result.prompt_scores;
  scores.resize(size_t(P - 1));
  const int64_t end = std::min(span.first_position + span.num_rows, P - 1);  // nothing follows the last
  for (int64_t begin = span.first_position; begin < end; begin += kRowsAtOnce) {
    const int64_t rows = std::min(kRowsAtOnce, end - begin);
    logits_.resize(rows * V);
    const int64_t first_row = span.first_row + begin - span.first_position;
    logits(model_, compute_, state_.hidden_TD.data() + first_row * model_.spec.dim, nullptr, rows, logits_.data());
    compute_.pool.parallel_for(rows, [&](int64_t n) {
      scores[size_t(begin + n)] =
          score_token(*compute_.kernels, {logits_.data() + n * V, size_t(V)},
                      active.request().prompt[size_t(begin + n + 1)], *active.request().prompt_logprobs);
    });
  }
}

}  // namespace cohort
