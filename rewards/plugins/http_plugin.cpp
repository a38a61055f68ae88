#include "rewards/plugins/http_plugin.h"

#include <optional>
#include <thread>

#include "rewards/plugins/http.h"
#include "rewards/plugins/request.h"
#include "rewards/rules.h"

namespace cohort {
namespace {

using Clock = std::chrono::steady_clock;

// One request: its answer, or why there is none and whether the cause may pass.
struct Try {
  std::optional<Json> answer;
  std::string why;
  bool may_pass = true;
};

Try try_once(const HttpUrl& url, const std::string& body, Clock::duration timeout) {
  try {
    const HttpAnswer answer = post_json(url, body, timeout);
    if (answer.status / 100 == 2) return {.answer = parse_answers(answer.body)};
    const bool is_busy = answer.status == 429 || (answer.status >= 502 && answer.status <= 504);
    return {.why = "it answered with status " + std::to_string(answer.status) + ": " + excerpt(answer.body, 160),
            .may_pass = is_busy};
  } catch (const std::runtime_error& error) {
    return {.why = error.what()};
  }
}

// What looks passing (no connection, a server that is busy) is tried three times by the deadline.
Json ask(const HttpUrl& url, const Json& request, std::chrono::duration<double> timeout) {
  constexpr auto kPause = std::chrono::milliseconds(100);
  const auto until =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(std::min(timeout, std::chrono::duration<double>(1e8)));
  const std::string body = wire_text(request);
  for (int tries = 1;; ++tries) {
    Try result = try_once(url, body, until - Clock::now());
    if (result.answer) return std::move(*result.answer);
    if (tries == 3 || !result.may_pass || Clock::now() + kPause >= until) throw std::runtime_error(result.why);
    std::this_thread::sleep_for(kPause);
  }
}

// What a service answered, once it is an answer at all, is put into `answers` by `read`.
std::vector<Score> judge(std::span<const Judged> batch, Deadline deadline, const HttpUrl& url, const Json& request,
                         Answers& answers, void (*read)(const Json& answer, Answers& answers)) {
  const auto start = Clock::now();
  try {
    const Json answer = ask(url, request, deadline.per_completion * double(batch.size()));
    if (answer.is_discarded())
      answers.fail_all("the service's answer is no JSON, or nested too deep");
    else
      read(answer, answers);
  } catch (const std::exception& error) {
    answers.fail_all("the service failed: " + std::string(error.what()));
  }
  std::vector<Score> scores = answers.scores();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count() / double(batch.size());
  for (Score& score : scores) score.seconds = seconds;
  return scores;
}

// A list of answers, or an object with one.
void read_ours(const Json& answer, Answers& answers) {
  for (const char* name : {"items", "answers", "scores", "results"}) {
    if (answer.is_object() && answer.contains(name)) return answers.take_all(answer[name]);
  }
  answers.take_all(answer);
}

Json openrlhf_request(std::span<const Judged> batch) {
  Json request = {{"query", Json::array()}, {"prompts", Json::array()}, {"labels", Json::array()}};
  for (const Judged& judged : batch) {
    const std::string prompt = prompt_text(judged.task->prompt);
    request["query"].push_back(prompt + std::string(judged.completion));
    request["prompts"].push_back(prompt);
    request["labels"].push_back(ground_truth_of(*judged.task));
  }
  return request;
}

void read_openrlhf(const Json& answer, Answers& answers) {
  const size_t count = answers.ids().size();
  if (!answer.is_object() || !answer.contains("rewards") || !answer["rewards"].is_array())
    return answers.fail_all("the service's answer is " + excerpt(wire_text(answer)) + ", expected {\"rewards\": […]}");
  const Json& rewards = answer["rewards"];
  if (rewards.size() != count)
    return answers.fail_all("the service gave " + std::to_string(rewards.size()) + " rewards for " +
                            std::to_string(count) + " completions");
  const Json given = answer.value("extra_logs", Json());
  const Json logs = given.is_object() ? given : Json::object();
  for (size_t i = 0; i < count; ++i) {
    Json one = {{"id", answers.ids()[i]}, {"score", rewards[i]}};
    for (const auto& [name, values] : logs.items()) {
      one["extra_logs"][name] = values.is_array() && values.size() == count ? values[i] : values;
    }
    answers.take(one);
  }
}

}  // namespace

RewardFn http_reward(const std::string& text) {
  const HttpUrl url = parse_http_url(text);
  return [url](std::span<const Judged> batch, Deadline deadline) {
    Answers answers(wire_ids(batch));
    Json request = Json::array();
    for (size_t i = 0; i < batch.size(); ++i) request.push_back(request_item(batch[i], answers.ids()[i]));
    return judge(batch, deadline, url, request, answers, read_ours);
  };
}

RewardFn openrlhf_reward(const std::string& text) {
  const HttpUrl url = parse_http_url(text);
  return [url](std::span<const Judged> batch, Deadline deadline) {
    Answers answers(wire_ids(batch));
    return judge(batch, deadline, url, openrlhf_request(batch), answers, read_openrlhf);
  };
}

}  // namespace cohort
