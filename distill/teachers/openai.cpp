#include "distill/teachers/openai.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <thread>

#include "configs/error.h"
#include "rewards/http/server.h"
#include "rewards/rules.h"
#include "tasks/random.h"
#include "tasks/rows.h"
#include "tasks/task_json.h"

namespace cohort::openai {
namespace {

/// What one try brought.
struct Try {
  std::optional<Json> answer;
  std::string why;         // there is none
  bool may_pass = true;    // whether asking again may help
  double retry_after = 0;  // seconds
};

/// The server's own words: OpenAI's error.message, else the body.
std::string message_of(const HttpAnswer& answer) {
  const Json body = is_nested_too_deep(answer.body) ? Json() : Json::parse(answer.body, nullptr, false);
  if (body.is_object() && body.contains("error")) {
    const Json& error = body["error"];
    if (error.is_object() && error.contains("message") && error["message"].is_string())
      return excerpt(error["message"].get<std::string>(), 300);
    if (error.is_string()) return excerpt(error.get<std::string>(), 300);
  }
  return excerpt(answer.body, 300);
}

bool may_pass(int status) {
  return status == 408 || status == 409 || status == 425 || status == 429 || status >= 500;
}

Try try_once(const HttpUrl& url, const std::string& key, const std::string& body, double timeout) {
  try {
    const HttpAnswer answer = post_json(url, body, std::chrono::duration<double>(timeout), key);
    if (answer.status / 100 != 2)
      return {.why = "it answered with status " + std::to_string(answer.status) + ": " + message_of(answer),
              .may_pass = may_pass(answer.status),
              .retry_after = retry_after(answer.retry_after, std::time(nullptr))};
    Json response = is_nested_too_deep(answer.body) ? Json() : Json::parse(answer.body, nullptr, false);
    if (!read_answer(response, true))
      return {.why = "its answer is not of the form {\"choices\": [{\"message\" or \"text\"}]}: " +
                     excerpt(answer.body, 200)};
    return {.answer = std::move(response)};
  } catch (const std::runtime_error& error) {
    return {.why = error.what()};
  }
}

void wait(double seconds, const std::function<bool()>& stop) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!stop() && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(0.05, seconds)));
}

std::string text_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string thought_and_answer(const std::string& thought, const std::string& answer) {
  if (trim(thought).empty()) return answer;
  const size_t begin = std::min(answer.find_first_not_of(" \t\r\n"), answer.size());
  return "<think>\n" + std::string(trim(thought)) + "\n</think>\n\n" + answer.substr(begin);
}

std::optional<Choice> read_choice(const Json& choice, bool keep_reasoning) {
  if (!choice.is_object()) return std::nullopt;
  Choice read;
  if (choice.contains("message") && choice["message"].is_object()) {
    const Json& message = choice["message"];
    const std::string thought = text_of(message, "reasoning_content");
    read.text = text_of(message, "content");
    if (keep_reasoning)
      read.text = thought_and_answer(thought.empty() ? text_of(message, "reasoning") : thought, read.text);
  } else if (choice.contains("text") && choice["text"].is_string()) {
    read.text = choice["text"];
  } else {
    return std::nullopt;
  }
  const std::string finish = text_of(choice, "finish_reason");
  read.finish = finish == "stop" || finish == "eos" ? FinishReason::stop
                : finish == "length"                ? FinishReason::length
                                                    : FinishReason::abort;
  return read;
}

std::optional<int64_t> count_of(const Json& usage, const char* name) {
  if (!usage.is_object() || !usage.contains(name) || !usage[name].is_number_unsigned()) return std::nullopt;
  return usage[name].get<int64_t>();
}

}  // namespace

bool is_url(const std::string& teacher) {
  return teacher.starts_with("http://") || teacher.starts_with("https://");
}

Json request_body(const RemoteConfig& remote, const SamplingConfig& sampling, const Messages& prompt,
                  int32_t num_completions, uint64_t seed) {
  Json body = {{"model", remote.teacher_model},
               {"max_tokens", sampling.max_completion_length},
               {"temperature", sampling.temperature},
               {"top_p", sampling.top_p},
               {"seed", seed}};
  body[is_chat(prompt) ? "messages" : "prompt"] = prompt_to_json(prompt);
  if (num_completions > 1) body["n"] = num_completions;
  const Json settings = dump_config(sampling), defaults = dump_config(SamplingConfig());
  for (const char* name : {"top_k", "min_p", "min_tokens", "stop", "stop_token_ids", "repetition_penalty",
                           "presence_penalty", "frequency_penalty", "logit_bias"})
    if (settings[name] != defaults[name]) body[name] = settings[name];
  for (const auto& [name, value] : remote.teacher_request.items()) {
    if (value.is_null())
      body.erase(name);
    else
      body[name] = value;
  }
  return body;
}

std::optional<Answer> read_answer(const Json& response, bool keep_reasoning) {
  if (!response.is_object() || !response.contains("choices") || !response["choices"].is_array() ||
      response["choices"].empty())
    return std::nullopt;
  std::vector<std::pair<int64_t, const Json*>> by_index;
  for (const Json& choice : response["choices"])
    by_index.emplace_back(count_of(choice, "index").value_or(int64_t(by_index.size())), &choice);
  std::ranges::stable_sort(by_index, {}, &std::pair<int64_t, const Json*>::first);
  Answer answer;
  for (const auto& [index, choice] : by_index) {
    std::optional<Choice> read = read_choice(*choice, keep_reasoning);
    if (!read) return std::nullopt;
    answer.choices.push_back(std::move(*read));
  }
  const Json usage = response.value("usage", Json());
  answer.prompt_tokens = count_of(usage, "prompt_tokens");
  answer.completion_tokens = count_of(usage, "completion_tokens");
  return answer;
}

Server expect_server(const std::string& url, const RemoteConfig& remote) {
  if (url.starts_with("https://"))
    throw UsageError("teacher " + url +
                     " wants TLS, which this program does not speak: put a proxy on this machine in between, such as "
                     "`caddy reverse-proxy --from http://127.0.0.1:8001 --to " +
                     url.substr(0, url.find('/', 8)) + " --change-host-header`, and give its http:// address");
  if (remote.teacher_model.empty())
    throw UsageError("teacher_model is empty: name the model as " + url + " calls it (its route /models lists them)");
  if (!remote.teacher_request.is_object())
    throw UsageError("teacher_request is " + excerpt(remote.teacher_request.dump()) +
                     ", expected an object of request fields");
  const std::string base = url.substr(0, url.find_last_not_of('/') + 1);
  Server server{.chats = parse_http_url(base + "/chat/completions"),
                .completions = parse_http_url(base + "/completions")};
  if (!remote.api_key_file.empty()) server.key = http::read_keys(remote.api_key_file).front();
  return server;
}

double retry_pause(int tries, uint64_t seed) {
  const double whole = std::min(60.0, 0.5 * std::exp2(std::min(tries - 1, 10)));
  return whole * (0.5 + 0.5 * RandomStream(seed, uint64_t(tries)).uniform());
}

double retry_after(const std::string& header, int64_t now) {
  if (header.empty()) return 0;
  if (header.find_first_not_of("0123456789.") == std::string::npos) return std::min(86400.0, std::atof(header.c_str()));
  std::tm date{};
  if (!strptime(header.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date)) return 0;
  return double(std::clamp<int64_t>(timegm(&date) - now, 0, 86400));
}

std::optional<Json> ask(const Server& server, const RemoteConfig& remote, const Json& body, uint64_t seed,
                        const std::function<bool()>& stop, const OnRetry& on_retry) {
  const HttpUrl& url = body.contains("messages") ? server.chats : server.completions;
  const std::string text = json_text(body), place = "the teacher at " + url.host + ":" + url.port;
  for (int tries = 1; !stop(); ++tries) {
    Try result = try_once(url, server.key, text, remote.request_timeout);
    if (result.answer) return std::move(result.answer);
    if (!result.may_pass) throw UsageError(place + " refuses: " + result.why);
    if (tries > remote.max_retries)
      throw std::runtime_error(place + " gave no answer in " + std::to_string(tries) + " tries, the last time: " +
                               result.why + "; what it did answer is kept: go on with the same command and --resume");
    const double pause = std::max(retry_pause(tries, seed), result.retry_after);
    on_retry(result.why, pause);
    wait(pause, stop);
  }
  return std::nullopt;
}

}  // namespace cohort::openai
