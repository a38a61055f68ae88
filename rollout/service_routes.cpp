#include "rollout/service_routes.h"

#include "configs/error.h"
#include "rollout/service_answer.h"
#include "rollout/service_fields.h"

namespace cohort {
namespace {

using http::Answer;
using http::Error;

void send(Answer& answer, const OrderedJson& json) {
  answer.send(200, "application/json", line_of(json));
}

Error error_of(Service::End end, const Service& service) {
  switch (end) {
    case Service::End::unread:
      return {503, "more than " + std::to_string(service.options().max_unread) +
                       " tokens were sampled and not read: the request was ended"};
    case Service::End::failed:
      return {500, "the engine failed, or the service ends: try again"};
    default:
      return {503, "the service ends"};  // or the client has left, and reads no answer
  }
}

/// Prompts' scores, where the answer tells them.
void add_prompt_scores(const GenerationRequest& asked, const std::vector<Finished>& finished,
                       const Tokenizer& tokenizer, OrderedJson& body) {
  if (!asked.prompt_logprobs || asked.echo_logprobs) return;
  if (asked.is_chat) {
    body["prompt_logprobs"] = prompt_logprobs_of(finished[0].prompt_scores, tokenizer);
    return;
  }
  for (size_t i = 0; i < body["choices"].size(); ++i)
    body["choices"][i]["prompt_logprobs"] = prompt_logprobs_of(finished[i / size_t(asked.n)].prompt_scores, tokenizer);
}

void answer_whole(const GenerationRequest& asked, Service& service, Answer& answer) {
  Service::Submission submission(service, engine_requests(asked), answer);
  const Service::News news = submission.wait();
  if (news.end != Service::End::complete) throw error_of(news.end, service);
  const std::vector<Finished>& finished = submission.finished();
  std::vector<ChoiceWriter> choices = choice_writers(asked, service.tokenizer());
  for (size_t i = 0; asked.echo_logprobs && i < choices.size(); ++i)
    choices[i].echo(finished[i / size_t(asked.n)].prompt_scores);
  for (const SampledToken& token : news.tokens) choices[size_t(token.id * asked.n + token.member)].push(token);
  OrderedJson body = make_envelope(asked).of(asked, false, finished[0].policy_version);
  for (ChoiceWriter& choice : choices) body["choices"].push_back(choice.whole());
  add_prompt_scores(asked, finished, service.tokenizer(), body);
  body["usage"] = usage_of(asked, choices);
  send(answer, body);
}

std::string event_of(const std::string& line) {
  return "data: " + line + "\n\n";
}

/// The server-sent events of a request.
class Stream {
 public:
  Stream(const GenerationRequest& asked, const Tokenizer& tokenizer)
      : asked_(asked), envelope_(make_envelope(asked)), choices_(choice_writers(asked, tokenizer)) {}

  /// What the tokens add.
  std::string events(std::span<const SampledToken> tokens, int64_t version) {
    for (const SampledToken& token : tokens) choices_[size_t(token.id * asked_.n + token.member)].push(token);
    std::string text;
    for (ChoiceWriter& choice : choices_)
      if (choice.has_news()) text += event_of(before_choice(version) + line_of(choice.chunk()) + after_choice());
    return text;
  }
  std::string last_events(int64_t version) const {
    if (!asked_.include_usage) return event_of("[DONE]");
    OrderedJson chunk = envelope_.of(asked_, true, version);
    chunk["usage"] = usage_of(asked_, choices_);
    return event_of(line_of(chunk)) + event_of("[DONE]");
  }

 private:
  /// A chunk's text up to its choice: the same for all of a version.
  const std::string& before_choice(int64_t version) {
    if (before_.empty() || version != version_of_before_) {
      before_ = line_of(envelope_.of(asked_, true, version)), version_of_before_ = version;
      before_.resize(before_.rfind(']'));
    }
    return before_;
  }
  std::string after_choice() const {
    if (!asked_.include_usage) return "]}";
    return "],\"usage\":" + (asked_.continuous_usage ? line_of(usage_of(asked_, choices_)) : "null") + "}";
  }

  const GenerationRequest& asked_;
  const Envelope envelope_;
  std::vector<ChoiceWriter> choices_;
  std::string before_;
  int64_t version_of_before_ = 0;
};

/// The status goes out once the request has its place in line.
void answer_in_pieces(const GenerationRequest& asked, Service& service, Answer& answer) {
  Service::Submission submission(service, engine_requests(asked), answer);
  answer.start(200, "text/event-stream");
  Stream stream(asked, service.tokenizer());
  const Service::News news =
      submission.wait([&](auto tokens) { answer.offer(stream.events(tokens, tokens.front().policy_version)); });
  const bool is_complete = news.end == Service::End::complete;
  const int64_t version = is_complete ? submission.finished()[0].policy_version : service.policy_version();
  std::string rest = stream.events(news.tokens, version);
  rest += is_complete ? stream.last_events(version) : event_of(http::error_body(error_of(news.end, service)));
  answer.write(rest);
}

void generate(const GenerationRequest& asked, Service& service, Answer& answer) {
  asked.stream ? answer_in_pieces(asked, service, answer) : answer_whole(asked, service, answer);
}

OrderedJson model_card(const Service& service, int64_t created) {
  return {{"id", service.options().name},
          {"object", "model"},
          {"created", created},
          {"owned_by", "cohort"},
          {"max_model_len", service.max_model_len()},
          {"policy_version", service.policy_version()}};
}

void tokenize(const OrderedJson& body, const Service& service, Answer& answer) {
  const bool is_chat = field_of(body, "messages") != nullptr;
  if (!is_chat && !field_of(body, "prompt"))
    throw Error(400, "the field prompt (a text) or messages (a chat) is missing", "prompt");
  const std::vector<int32_t> ids =
      is_chat ? chat_ids(body, service.tokenizer())
              : service.tokenizer().encode(text_of(body, "prompt", ""), flag_of(body, "add_special_tokens", true));
  send(answer, {{"tokens", ids},
                {"count", ids.size()},
                {"max_model_len", service.max_model_len()},
                {"policy_version", service.policy_version()}});
}

void detokenize(const OrderedJson& body, const Service& service, Answer& answer) {
  const OrderedJson* tokens = field_of(body, "tokens");
  if (!tokens) throw Error(400, "the field tokens is missing: a list of token ids", "tokens");
  const std::vector<int32_t> ids = ids_of(*tokens, "tokens", service.spec().vocab);
  send(answer, {{"prompt", service.tokenizer().decode(ids, false)}, {"policy_version", service.policy_version()}});
}

void reload(const OrderedJson& body, Service& service, Answer& answer) {
  const std::string path = text_of(body, "model_path", "");
  if (path.empty()) throw Error(400, "the field model_path is missing: a folder of weights", "model_path");
  std::optional<int64_t> version;
  if (field_of(body, "policy_version")) version = whole_of(body, "policy_version", 0, 0, INT64_MAX);
  try {
    const int64_t now = service.reload(path, version);
    send(answer, {{"model_path", path}, {"policy_version", now}});
  } catch (const UsageError& error) {
    throw Error(400, error.what(), "model_path");
  } catch (const MissingError& error) {
    throw Error(400, error.what(), "model_path");
  }
}

std::string metrics_text(const Service& service) {
  const ServiceStatistics s = service.statistics();
  std::string text;
  const auto add = [&](const char* name, const char* type, const char* meaning, int64_t value) {
    const std::string full = std::string("cohort_") + name;
    text += "# HELP " + full + " " + meaning + "\n# TYPE " + full + " " + type + "\n" + full + " " +
            std::to_string(value) + "\n";
  };
  add("num_requests_running", "gauge", "Completions that are being decoded.", s.running);
  add("num_requests_waiting", "gauge", "Prompts in line.", s.waiting);
  add("prompt_tokens_total", "counter", "Prompt tokens passed.", s.prompt_tokens);
  add("prompt_tokens_shared_total", "counter", "Prompt tokens found in the cache.", s.shared_tokens);
  add("generation_tokens_total", "counter", "Tokens sampled.", s.generation_tokens);
  add("preemptions_total", "counter", "Completions and prompts that gave their memory back.", s.preemptions);
  add("kv_cache_tokens", "gauge", "Tokens that the key/value cache holds.", s.kv_tokens);
  add("kv_cache_used_tokens", "gauge", "Of them, those of running requests.", s.kv_tokens_used);
  add("kv_cache_bytes", "gauge", "Memory of the key/value cache.", s.kv_bytes);
  add("requests_total", "counter", "Requests for completions.", s.requests);
  add("requests_refused_total", "counter", "Of them, those that found the line full.", s.refused);
  add("requests_abandoned_total", "counter", "Of them, those whose client left.", s.abandoned);
  add("requests_unread_total", "counter", "Of them, those ended because nobody read their stream.", s.unread);
  add("policy_version", "gauge", "Version of the weights.", s.policy_version);
  return text;
}

}  // namespace

std::vector<http::Route> model_routes(Service& service) {
  const int64_t created = make_envelope({}).created;
  const auto post = [](auto handle) {
    return [handle](const http::Request& request, Answer& answer) { handle(parse_body(request.body), answer); };
  };
  const auto get = [](auto text_of_it, const char* type) {
    return [=](const http::Request&, Answer& answer) { answer.send(200, type, text_of_it()); };
  };
  std::vector<http::Route> routes = {
      {"POST", "/v1/completions", post([&](const OrderedJson& body, Answer& answer) {
         generate(completion_request(body, service), service, answer);
       })},
      {"POST", "/v1/chat/completions",
       post([&](const OrderedJson& body, Answer& answer) { generate(chat_request(body, service), service, answer); })},
      {"POST", "/tokenize", post([&](const OrderedJson& body, Answer& answer) { tokenize(body, service, answer); })},
      {"POST", "/detokenize",
       post([&](const OrderedJson& body, Answer& answer) { detokenize(body, service, answer); })},
      {"GET", "/v1/models",
       get(
           [&, created] {
             return line_of({{"object", "list"}, {"data", {model_card(service, created)}}});
           },
           "application/json")},
      {"GET", "/v1/models/" + service.options().name,
       get([&, created] { return line_of(model_card(service, created)); }, "application/json")},
      {"GET", "/metrics", get([&] { return metrics_text(service); }, "text/plain; version=0.0.4")},
      {"GET", "/health",
       get(
           [&] {
             return line_of({{"status", "ok"}, {"policy_version", service.policy_version()}});
           },
           "application/json"),
       true}};
  if (service.options().allow_reload)
    routes.push_back(
        {"POST", "/reload", post([&](const OrderedJson& body, Answer& answer) { reload(body, service, answer); })});
  return routes;
}

}  // namespace cohort
