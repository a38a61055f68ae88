// The OpenAI API as a client: what is asked, what an answer says, and asking until there is one. Goals: vLLM, SGLang,
// llama.cpp, Ollama, hosted services and `cohort serve`. Non-goals: streams, tools, TLS (a local proxy adds it).
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "distill/distill.h"
#include "rewards/plugins/http.h"
#include "rollout/completion.h"
#include "tasks/task.h"

namespace cohort::openai {

bool is_url(const std::string& teacher);

/// Body for /chat/completions of a chat, for /completions of a plain prompt. Seeds lie below 2^31, as every server
/// takes them. Settings that are at their defaults are left out, where they are no part of OpenAI's own API.
Json request_body(const RemoteConfig& remote, const SamplingConfig& sampling, const Messages& prompt,
                  int32_t num_completions, uint64_t seed);

struct Choice {
  std::string text;
  FinishReason finish = FinishReason::stop;  // abort: neither ended nor cut off (refused, a tool called)
};
struct Answer {
  std::vector<Choice> choices;  // by index
  std::optional<int64_t> prompt_tokens, completion_tokens;
};
/// None where `response` is no such answer. `keep_reasoning`: what a server tells apart as reasoning_content or
/// reasoning goes before the answer, as <think>…</think>.
std::optional<Answer> read_answer(const Json& response, bool keep_reasoning);

/// Where to ask.
struct Server {
  HttpUrl chats, completions;
  std::string key;
};
/// Throws UsageError for what is no address, a model without a name, and a key file that holds none.
Server expect_server(const std::string& url, const RemoteConfig& remote);

/// Seconds before the next try, after `tries` of them: half a second doubling to a minute, of which a half is drawn
/// from the seed so that many requests do not come back at once.
double retry_pause(int tries, uint64_t seed);
/// Seconds that a Retry-After header asks for, a number or a date (RFC 9110 §10.2.3); 0 where it says nothing.
double retry_after(const std::string& header, int64_t now);

/// Told of each try that failed: what came, and after how many seconds it is asked again.
using OnRetry = std::function<void(const std::string& why, double pause)>;

/// Asks until an answer is there; none once `stop` says so. Throws UsageError for a refusal that no repetition
/// changes, std::runtime_error when max_retries are used up.
std::optional<Json> ask(const Server& server, const RemoteConfig& remote, const Json& body, uint64_t seed,
                        const std::function<bool()>& stop, const OnRetry& on_retry);

}  // namespace cohort::openai
