#include "rollout/service_request.h"

#include <algorithm>
#include <random>

#include "configs/error.h"
#include "policy/text/chat_template.h"
#include "rollout/service.h"
#include "rollout/service_fields.h"

namespace cohort {
namespace {

constexpr int64_t kMostSeed = (int64_t{1} << 53) - 1;  // exact in JSON everywhere
constexpr int64_t kMostLogprobs = 20, kMostCompletions = 128, kMostStops = 64;
constexpr int64_t kDefaultTokens = 16;  // OpenAI's, of completions

/// Fields that change an answer and are not supported, with the values that change nothing.
struct Unsupported {
  const char* name;
  std::vector<OrderedJson> harmless;
};
const std::vector<Unsupported>& unsupported_fields() {
  const OrderedJson none = OrderedJson::array();
  static const std::vector<Unsupported> fields = {{"suffix", {""}},
                                                  {"response_format", {{{"type", "text"}}}},
                                                  {"tool_choice", {"auto", "none"}},
                                                  {"parallel_tool_calls", {true}},
                                                  {"functions", {none}},
                                                  {"function_call", {"auto", "none"}},
                                                  {"modalities", {OrderedJson::array({"text"})}},
                                                  {"audio", {}},
                                                  {"logits_processors", {none}},
                                                  {"vllm_xargs", {OrderedJson::object()}},
                                                  {"thinking_token_budget", {}},
                                                  {"repetition_detection", {}},
                                                  {"prediction", {}},
                                                  {"web_search_options", {}},
                                                  {"reasoning_effort", {}},
                                                  {"verbosity", {}},
                                                  {"use_beam_search", {false}},
                                                  {"length_penalty", {1, 1.0}},
                                                  {"include_stop_str_in_output", {false}},
                                                  {"skip_special_tokens", {true}},
                                                  {"truncate_prompt_tokens", {}},
                                                  {"bad_words", {none}},
                                                  {"allowed_token_ids", {none}},
                                                  {"guided_json", {}},
                                                  {"guided_regex", {}},
                                                  {"guided_choice", {}},
                                                  {"guided_grammar", {}},
                                                  {"structured_outputs", {}},
                                                  {"prompt_embeds", {}},
                                                  {"chat_template", {}}};
  return fields;
}

void expect_supported(const OrderedJson& body, int64_t n) {
  for (const Unsupported& field : unsupported_fields()) {
    const OrderedJson* found = field_of(body, field.name);
    if (!found || std::find(field.harmless.begin(), field.harmless.end(), *found) != field.harmless.end()) continue;
    std::string allowed = "left out: it is not supported";
    for (const OrderedJson& value : field.harmless)
      allowed += (&value == &field.harmless[0] ? ", but as " : " or ") + value.dump();
    refuse_field(field.name, allowed, *found);
  }
  if (whole_of(body, "best_of", n, 1, kMostCompletions) != n)
    refuse_field("best_of", "equal to n: choosing among more is not supported", body["best_of"]);
}

std::vector<std::string> stops_of(const OrderedJson& body) {
  const OrderedJson* found = field_of(body, "stop");
  if (!found) return {};
  const std::string expected = "a text or a list of at most " + std::to_string(kMostStops) + " texts";
  const OrderedJson list = found->is_array() ? *found : OrderedJson::array({*found});
  std::vector<std::string> stops;
  for (const OrderedJson& stop : list) {
    if (!stop.is_string() || int64_t(list.size()) > kMostStops) refuse_field("stop", expected, *found);
    if (!stop.get<std::string>().empty()) stops.push_back(stop.get<std::string>());
  }
  return stops;
}

std::map<int32_t, double> biases_of(const OrderedJson& body, int32_t vocab) {
  std::map<int32_t, double> biases;
  const OrderedJson* found = field_of(body, "logit_bias");
  if (!found) return biases;
  const std::string expected =
      "an object of token ids from 0 to " + std::to_string(vocab - 1) + " and numbers from -100 to 100";
  if (!found->is_object()) refuse_field("logit_bias", expected, *found);
  for (const auto& [key, value] : found->items()) {
    const bool is_id = !key.empty() && key.size() < 10 && key.find_first_not_of("0123456789") == std::string::npos;
    const double bias = value.is_number() ? value.get<double>() : 1e9;
    if (!is_id || std::stoi(key) >= vocab || !(bias >= -100 && bias <= 100))
      refuse_field("logit_bias", expected, {{key, value}});
    biases[std::stoi(key)] = bias;
  }
  return biases;
}

SamplingConfig sampling_of(const OrderedJson& body, int32_t vocab) {
  SamplingConfig s;
  s.temperature = number_of(body, "temperature", 1, 0, 100);
  s.top_p = number_of(body, "top_p", 1, 0, 1, true);
  s.top_k = int32_t(std::max<int64_t>(0, whole_of(body, "top_k", 0, -1, INT32_MAX)));  // −1: all
  s.min_p = number_of(body, "min_p", 0, 0, 1);
  s.min_tokens = int32_t(whole_of(body, "min_tokens", 0, 0, INT32_MAX));
  s.stop = stops_of(body);
  s.repetition_penalty = number_of(body, "repetition_penalty", 1, 0.01, 100);
  s.presence_penalty = number_of(body, "presence_penalty", 0, -2, 2);
  s.frequency_penalty = number_of(body, "frequency_penalty", 0, -2, 2);
  s.logit_bias = biases_of(body, vocab);
  return s;
}

uint64_t seed_of(const OrderedJson& body) {
  if (field_of(body, "seed")) return uint64_t(whole_of(body, "seed", 0, 0, kMostSeed));
  std::random_device device;
  return (uint64_t(device()) << 32 | device()) & uint64_t(kMostSeed);
}

void expect_model(const OrderedJson& body, const Service& service) {
  const std::string asked = text_of(body, "model", service.options().name), &name = service.options().name;
  if (asked == name || asked == name.substr(name.find_last_of('/') + 1)) return;
  throw http::Error(404, "there is no model " + asked + " here: " + name + " is served", "model");
}

/// What chats and completions have in common. The prompts are there already.
void read_generation(const OrderedJson& body, const Service& service, GenerationRequest& r) {
  const int32_t vocab = service.spec().vocab;
  expect_model(body, service);
  r.model = service.options().name;
  r.n = int32_t(whole_of(body, "n", 1, 1, kMostCompletions));
  expect_supported(body, r.n);
  r.sampling = sampling_of(body, vocab);
  r.seed = seed_of(body);
  if (!flag_of(body, "ignore_eos", false)) r.stop_ids = service.spec().stop_ids;
  if (const OrderedJson* more = field_of(body, "stop_token_ids"))
    for (int32_t id : ids_of(*more, "stop_token_ids", vocab)) r.stop_ids.push_back(id);
  r.stream = flag_of(body, "stream", false);
  if (const OrderedJson* options = field_of(body, "stream_options")) {
    if (!r.stream || !options->is_object())
      refuse_field("stream_options", "an object, and only beside \"stream\": true", *options);
    r.include_usage = flag_of(*options, "include_usage", false);
    r.continuous_usage = r.include_usage && flag_of(*options, "continuous_usage_stats", false);
  }
  r.return_token_ids = flag_of(body, "return_token_ids", false);
  r.return_tokens_as_ids = flag_of(body, "return_tokens_as_token_ids", false);
  if (field_of(body, "prompt_logprobs")) {
    if (r.stream) refuse_field("prompt_logprobs", "left out of a stream", body["prompt_logprobs"]);
    r.prompt_logprobs = int32_t(whole_of(body, "prompt_logprobs", 0, 0, kMostLogprobs));
  }
}

/// The tokens each prompt may have; without a field `missing`, or what the context leaves where that is less.
void read_budgets(const OrderedJson& body, const Service& service, const char* name, int64_t missing,
                  GenerationRequest& r) {
  const int64_t length = service.max_model_len();
  for (const std::vector<int32_t>& prompt : r.prompts) {
    const auto P = int64_t(prompt.size());
    if (P == 0) throw http::Error(400, "a prompt has no tokens: at least one is needed", "prompt");
    const bool is_given = field_of(body, name) != nullptr;
    const int64_t budget = is_given ? whole_of(body, name, 0, 0, INT32_MAX) : std::min(missing, length - P);
    if (P + budget > length || budget < 0 || (!is_given && budget == 0))
      throw http::Error(400,
                        "a prompt of " + std::to_string(P) + " tokens" +
                            (is_given ? " and " + std::string(name) + " " + std::to_string(budget) + " do" : " does") +
                            " not fit into the context of " + std::to_string(length) + " tokens",
                        is_given    ? name
                        : r.is_chat ? "messages"
                                    : "prompt");
    r.budgets.push_back(int32_t(budget));
    if (r.sampling.min_tokens > budget)
      refuse_field("min_tokens", "at most " + std::string(name) + ", which is " + std::to_string(budget),
                   r.sampling.min_tokens);
  }
  const int64_t most = service.options().max_waiting + service.options().engine.max_slots;
  if (int64_t(r.prompts.size()) > most)
    throw http::Error(400,
                      "prompt holds " + std::to_string(r.prompts.size()) + " prompts, at most " + std::to_string(most) +
                          " fit into the line",
                      "prompt");
}

/// A text, a list of texts, a list of ids, or a list of such lists.
void read_prompts(const OrderedJson& body, const Service& service, bool echo, GenerationRequest& r) {
  const OrderedJson* found = field_of(body, "prompt");
  if (!found) throw http::Error(400, "the field prompt is missing: a text, token ids, or a list of either", "prompt");
  const bool add_special_tokens = flag_of(body, "add_special_tokens", true);
  const bool is_one = !found->is_array() || (!found->empty() && found->front().is_number());
  const OrderedJson list = is_one ? OrderedJson::array({*found}) : *found;
  if (list.empty()) refuse_field("prompt", "a text, token ids, or a list of either", *found);
  for (const OrderedJson& prompt : list) {
    if (!prompt.is_string() && !prompt.is_array())
      refuse_field("prompt", "a text, token ids, or a list of either", prompt);
    r.prompts.push_back(prompt.is_string() ? service.tokenizer().encode(prompt.get<std::string>(), add_special_tokens)
                                           : ids_of(prompt, "prompt", service.spec().vocab));
    if (!echo) continue;
    r.echoed.push_back(prompt.is_string() ? prompt.get<std::string>()
                                          : service.tokenizer().decode(r.prompts.back(), false));
  }
}

/// A list of text parts becomes one text, and arguments of tool calls, which travel as JSON texts, what they say:
/// templates were written for both.
OrderedJson readable_message(const OrderedJson& message) {
  if (!message.is_object() || !field_of(message, "role") || !message["role"].is_string())
    refuse_field("messages", "a list of objects with role and content", message);
  OrderedJson readable = message;
  const OrderedJson* content = field_of(message, "content");
  if (content && content->is_array()) {
    std::string text;
    for (const OrderedJson& part : *content) {
      if (!part.is_object() || !field_of(part, "text") || !part["text"].is_string())
        refuse_field("messages", "of text parts: others are not supported", part);
      text += (&part == &content->front() ? "" : "\n") + part["text"].get<std::string>();
    }
    readable["content"] = text;
  } else if (content && !content->is_string()) {
    refuse_field("messages", "a list of objects with role and content, a text or a list of text parts", message);
  }
  const OrderedJson* calls = field_of(message, "tool_calls");
  for (size_t i = 0; calls && calls->is_array() && i < calls->size(); ++i) {
    OrderedJson& call = readable["tool_calls"][i];
    if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) continue;
    OrderedJson& function = call["function"];
    if (!function.contains("arguments") || !function["arguments"].is_string()) continue;
    const OrderedJson said = OrderedJson::parse(function["arguments"].get<std::string>(), nullptr, false);
    if (said.is_object()) function["arguments"] = said;
  }
  return readable;
}

}  // namespace

std::vector<int32_t> chat_ids(const OrderedJson& body, const Tokenizer& tokenizer) {
  const OrderedJson* messages = field_of(body, "messages");
  if (!messages || !messages->is_array() || messages->empty())
    throw http::Error(400, "the field messages must be a list of at least one message", "messages");
  OrderedJson chat = OrderedJson::array(), variables = OrderedJson::object();
  for (const OrderedJson& message : *messages) chat.push_back(readable_message(message));
  if (const OrderedJson* more = field_of(body, "chat_template_kwargs")) {
    if (!more->is_object()) refuse_field("chat_template_kwargs", "an object", *more);
    variables = *more;
  }
  for (const char* name : {"tools", "documents", "continue_final_message"})
    if (const OrderedJson* found = field_of(body, name)) variables[name] = *found;
  if (text_of(body, "tool_choice", "auto") == "none") variables.erase("tools");
  const bool continues = variables.contains("continue_final_message") && variables["continue_final_message"] != false;
  try {
    return tokenizer.encode(render_chat(tokenizer, chat, flag_of(body, "add_generation_prompt", !continues), variables),
                            flag_of(body, "add_special_tokens", false));
  } catch (const UsageError& error) {
    throw http::Error(400, error.what(), "messages");
  }
}

GenerationRequest completion_request(const OrderedJson& body, const Service& service) {
  GenerationRequest r;
  const bool echo = flag_of(body, "echo", false);
  if (const OrderedJson* budget = field_of(body, "max_completion_tokens"))
    refuse_field("max_completion_tokens", "left out of completions: their budget is max_tokens", *budget);
  read_generation(body, service, r);
  read_prompts(body, service, echo, r);
  read_budgets(body, service, "max_tokens", kDefaultTokens, r);
  if (field_of(body, "logprobs")) r.logprobs = int32_t(whole_of(body, "logprobs", 0, 0, kMostLogprobs));
  r.echo_logprobs = echo && r.logprobs;
  if (r.echo_logprobs && r.stream) refuse_field("echo", "left out of a stream with logprobs", true);
  if (r.echo_logprobs) r.prompt_logprobs = std::max(r.prompt_logprobs.value_or(0), *r.logprobs);
  return r;
}

GenerationRequest chat_request(const OrderedJson& body, const Service& service) {
  GenerationRequest r{.is_chat = true};
  read_generation(body, service, r);
  if (flag_of(body, "echo", false)) refuse_field("echo", "left out of a chat: it is not supported", true);
  r.prompts.push_back(chat_ids(body, service.tokenizer()));
  read_budgets(body, service, field_of(body, "max_completion_tokens") ? "max_completion_tokens" : "max_tokens",
               INT32_MAX, r);
  const bool logprobs = flag_of(body, "logprobs", false);
  if (field_of(body, "top_logprobs") && !logprobs)
    refuse_field("top_logprobs", "left out without \"logprobs\": true", body["top_logprobs"]);
  if (logprobs) r.logprobs = int32_t(whole_of(body, "top_logprobs", 0, 0, kMostLogprobs));
  return r;
}

std::vector<Request> engine_requests(const GenerationRequest& asked) {
  std::vector<Request> requests;
  for (size_t i = 0; i < asked.prompts.size(); ++i) {
    Request& r = requests.emplace_back();
    r.prompt = asked.prompts[i], r.num_completions = asked.n, r.seed = asked.seed;
    r.sampling = asked.sampling, r.stop_ids = asked.stop_ids;
    r.sampling.max_completion_length = asked.budgets[i];
    r.top_logprobs = asked.logprobs.value_or(0), r.prompt_logprobs = asked.prompt_logprobs;
  }
  return requests;
}

}  // namespace cohort
