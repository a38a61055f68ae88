// A teacher behind an OpenAI-compatible server that tells prompt_logprobs and has /tokenize beside /v1 (vLLM, cohort
// serve): log p of the tokens that a student sampled. Temperature is 1, the log-probabilities are those of the model.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "policy/text/tokenizer.h"
#include "rewards/plugins/http.h"
#include "rollout/completion.h"

namespace cohort {

struct LogprobServer {
  HttpUrl completions, tokenize;
  int32_t max_model_len = 0;  // tokens of a request, one more of its own included
};

bool is_url(const std::string& teacher);

/// `url` is http://HOST:PORT/v1. Throws UsageError for what is no such address, and naming the first token that differs
/// where the server reads one of the `texts` in other tokens than the student.
/// Throws std::runtime_error where it does not answer.
LogprobServer expect_logprob_server(const std::string& url, const Tokenizer& student,
                                    std::span<const std::string> texts);

/// Of all completions one after another, by token. A lost connection and status 429 or 5xx are tried again for half a
/// minute; throws std::runtime_error naming the server and what it said.
std::vector<float> remote_logprobs(const LogprobServer& server, std::span<const Group> groups);

}  // namespace cohort
