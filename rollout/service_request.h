// What OpenAI's routes ask for, read from the body of a request. Every refusal names the field and its limits; a field
// of the API that would change the answer and is not supported is refused, other unknown ones are ignored. Null counts
// as absent.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include "rewards/http/server.h"
#include "rollout/engine.h"

namespace cohort {

using OrderedJson = nlohmann::ordered_json;
class Service;

struct GenerationRequest {
  bool is_chat = false;
  std::string model;                          // as it was asked for, or the served name
  std::vector<std::vector<int32_t>> prompts;  // ids
  std::vector<std::string> echoed;            // [prompts] texts that the answer begins with; empty: none
  int32_t n = 1;
  uint64_t seed = 0;
  SamplingConfig sampling;       // max_completion_length is the one of prompts[0]
  std::vector<int32_t> budgets;  // [prompts] tokens
  std::vector<int32_t> stop_ids;
  std::optional<int32_t> logprobs;         // so many most likely ones beside each token
  std::optional<int32_t> prompt_logprobs;  // the same for the prompt's tokens
  bool echo_logprobs = false;              // the prompt's scores open the completion's
  bool stream = false, include_usage = false, return_token_ids = false;
  bool continuous_usage = false;      // also in every chunk of a stream
  bool return_tokens_as_ids = false;  // tokens beside log-probabilities are told as token_id:7
};

GenerationRequest completion_request(const OrderedJson& body, const Service& service);
GenerationRequest chat_request(const OrderedJson& body, const Service& service);

/// Requests for the engine, one a prompt.
std::vector<Request> engine_requests(const GenerationRequest& asked);

/// Ids of the prompt that {"messages", "tools"?, "chat_template_kwargs"?, …} makes.
std::vector<int32_t> chat_ids(const OrderedJson& body, const Tokenizer& tokenizer);

}  // namespace cohort
