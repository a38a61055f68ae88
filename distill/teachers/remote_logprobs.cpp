#include "distill/teachers/remote_logprobs.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "configs/error.h"
#include "configs/interrupts.h"
#include "rewards/http/server.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

constexpr size_t kSequencesPerRequest = 32;

Json ask(const openai::Server& server, const RemoteConfig& remote, Json body) {
  if (!remote.teacher_model.empty()) body["model"] = remote.teacher_model;
  const auto tell = [](const std::string& why, double pause) {
    std::fprintf(stderr, "cohort: the teacher: %s; asked again in %.1f s\n", why.c_str(), pause);
  };
  const std::optional<Json> answer = openai::ask(
      server, remote, body, 0, [] { return interrupted(); }, tell);
  if (!answer) throw Interrupted("interrupted while the teacher was asked: go on with the same command and --resume");
  return *answer;
}

/// In one try: who is not there at the start is named at once.
Json tokenized(const LogprobServer& server, const std::string& text) {
  Json body = {{"prompt", text}, {"add_special_tokens", false}};
  if (!server.remote.teacher_model.empty()) body["model"] = server.remote.teacher_model;
  const std::chrono::duration<double> timeout(server.remote.request_timeout);
  const HttpAnswer answer =
      post_json(server.tokenize, body.dump(-1, ' ', false, Json::error_handler_t::replace), timeout, server.scores.key);
  const Json parsed = Json::parse(answer.body, nullptr, false);
  if (answer.status == 200 && parsed.contains("tokens") && parsed.contains("max_model_len")) return parsed;
  throw std::runtime_error("the teacher at " + server.tokenize.host + ":" + server.tokenize.port + " answered status " +
                           std::to_string(answer.status) + " to " + server.tokenize.target + ": " +
                           excerpt(answer.body, 200));
}

void expect_same_tokens(const std::vector<int32_t>& theirs, const std::vector<int32_t>& ours,
                        const Tokenizer& student) {
  const auto [at, own] = std::ranges::mismatch(theirs, ours);
  if (at == theirs.end() && own == ours.end()) return;
  const auto named = [](const auto& it, const auto& end) { return it == end ? "none" : std::to_string(*it); };
  throw UsageError("the teacher reads a prompt as " + std::to_string(theirs.size()) + " tokens, the student as " +
                   std::to_string(ours.size()) + ", and the first that differs is " + named(at, theirs.end()) +
                   " and " + named(own, ours.end()) + " of the student's vocabulary of " +
                   std::to_string(student.size()) + ": on_policy needs one vocabulary; mode traces works with any two");
}

/// Of the tokens from `first` on.
void append_logprobs(const Json& choice, std::span<const int32_t> ids, size_t first, std::vector<float>& logprobs) {
  const Json scores = choice.value("prompt_logprobs", Json());
  if (!scores.is_array() || scores.size() != ids.size())
    throw std::runtime_error("the teacher's answer has no prompt_logprobs of " + std::to_string(ids.size()) +
                             " tokens: it must be a server that tells them, such as vLLM or cohort serve");
  for (size_t i = first; i < ids.size(); ++i) {
    const Json score = scores[i].is_object() ? scores[i].value(std::to_string(ids[i]), Json()) : Json();
    if (!score.is_object() || !score.value("logprob", Json()).is_number())
      throw std::runtime_error("the teacher's prompt_logprobs have none of token " + std::to_string(ids[i]));
    logprobs.push_back(score["logprob"].get<float>());
  }
}

}  // namespace

LogprobServer expect_logprob_server(const std::string& url, const RemoteConfig& remote, const Tokenizer& student,
                                    std::span<const std::string> texts) {
  std::string base = url.ends_with('/') ? url.substr(0, url.size() - 1) : url;
  if (!base.ends_with("/v1"))
    throw UsageError("the teacher " + url +
                     " is no address of an OpenAI-compatible server, expected "
                     "http://HOST:PORT/v1");
  LogprobServer server{.remote = remote};
  server.scores.completions = parse_http_url(base + "/completions");
  server.tokenize = parse_http_url(base.substr(0, base.size() - 3) + "/tokenize");
  if (!remote.api_key_file.empty()) server.scores.key = http::read_keys(remote.api_key_file).front();
  for (const std::string& text : texts) {
    const Json answer = tokenized(server, text);
    expect_same_tokens(answer.at("tokens"), student.encode(text), student);
    server.max_model_len = answer.at("max_model_len");
  }
  return server;
}

std::vector<float> remote_logprobs(const LogprobServer& server, std::span<const Group> groups) {
  struct Sequence {
    std::vector<int32_t> ids;
    size_t first;  // of the completion
  };
  std::vector<Sequence> sequences;
  for (const Group& group : groups)
    for (const Rollout& r : group.rollouts) {
      Sequence& s = sequences.emplace_back(Sequence{group.prompt, group.prompt.size()});
      s.ids.insert(s.ids.end(), r.completion.tokens.begin(), r.completion.tokens.end());
    }
  std::vector<float> logprobs;
  for (size_t begin = 0; begin < sequences.size(); begin += kSequencesPerRequest) {
    const size_t count = std::min(kSequencesPerRequest, sequences.size() - begin);
    Json prompts = Json::array();
    for (size_t i = 0; i < count; ++i) prompts.push_back(sequences[begin + i].ids);
    const Json answer = ask(server.scores, server.remote,
                            {{"prompt", prompts}, {"max_tokens", 1}, {"temperature", 0}, {"prompt_logprobs", 0}});
    const Json choices = answer.value("choices", Json::array());
    if (choices.size() != count)
      throw std::runtime_error("the teacher answered " + std::to_string(choices.size()) + " choices for " +
                               std::to_string(count) + " prompts");
    for (size_t i = 0; i < count; ++i)
      append_logprobs(choices[i], sequences[begin + i].ids, sequences[begin + i].first, logprobs);
  }
  return logprobs;
}

}  // namespace cohort
