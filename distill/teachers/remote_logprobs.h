// A teacher behind an OpenAI-compatible server that tells prompt_logprobs and has /tokenize beside /v1 (vLLM, cohort
// serve): log p of the tokens that a student sampled. Temperature is 1, the log-probabilities are those of the model.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "distill/teachers/openai.h"
#include "policy/text/tokenizer.h"

namespace cohort {

struct LogprobServer {
  openai::Server scores;  // /v1/completions
  HttpUrl tokenize;
  RemoteConfig remote;
  int32_t max_model_len = 0;  // tokens of a request, one more of its own included
};

/// `url` is http://HOST:PORT/v1. Throws UsageError for what is no such address, and naming the first token that differs
/// where the server reads one of the `texts` in other tokens than the student.
/// Throws std::runtime_error where it does not answer.
LogprobServer expect_logprob_server(const std::string& url, const RemoteConfig& remote, const Tokenizer& student,
                                    std::span<const std::string> texts);

/// Of all completions one after another, by token; throws what openai::ask does.
std::vector<float> remote_logprobs(const LogprobServer& server, std::span<const Group> groups);

}  // namespace cohort
