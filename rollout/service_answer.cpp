#include "rollout/service_answer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

#include "policy/text/tokenizer_parts.h"
#include "policy/text/unicode.h"

namespace cohort {
namespace {

/// The bytes that a token adds to a text, special tokens as they are written.
std::string bytes_of(const Tokenizer& tokenizer, int32_t token) {
  return token < tokenizer.size() ? tokenizer.parts().spelled[size_t(token)] : "";
}
/// The token's text; one that is not whole characters in OpenAI's way, as bytes:\xe4\xbd.
std::string shown(const Tokenizer& tokenizer, int32_t token) {
  const std::string bytes = bytes_of(tokenizer, token);
  if (unicode::valid_prefix(bytes) == bytes.size()) return bytes;
  std::string text = "bytes:";
  char byte[5];
  for (const char c : bytes) snprintf(byte, sizeof byte, "\\x%02x", static_cast<unsigned char>(c)), text += byte;
  return text;
}

int64_t count_characters(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

/// JSON has no infinity: a token that cannot be chosen.
double finite(float logprob) {
  return std::max(double(logprob), -9999.0);
}

}  // namespace

std::string line_of(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

ChoiceWriter::ChoiceWriter(const GenerationRequest& asked, const Tokenizer& tokenizer, size_t prompt, int32_t member)
    : asked_(asked),
      tokenizer_(tokenizer),
      prompt_(prompt),
      index_(int32_t(prompt) * asked.n + member),
      text_(&tokenizer, asked.sampling.stop, asked.sampling.min_tokens),
      offsets_(&tokenizer, {}, 0) {
  if (asked.budgets[prompt] == 0) finish_ = FinishReason::length;
  if (asked.echoed.empty()) return;
  ready_ = asked.echoed[prompt];
  if (!asked.echo_logprobs) offset_ = count_characters(ready_);
}

std::string ChoiceWriter::named(int32_t token) const {
  return asked_.return_tokens_as_ids ? "token_id:" + std::to_string(token) : shown(tokenizer_, token);
}

OrderedJson ChoiceWriter::chat_logprob(int32_t token, float logprob) const {
  OrderedJson bytes = OrderedJson::array();
  for (const char c : bytes_of(tokenizer_, token)) bytes.push_back(static_cast<unsigned char>(c));
  return {{"token", named(token)}, {"logprob", finite(logprob)}, {"bytes", bytes}};
}

/// In the form of completions: parallel lists; in that of chats: a list of objects.
void ChoiceWriter::add_logprob(int32_t token, std::optional<float> logprob, const std::vector<TokenLogprob>& top) {
  if (asked_.is_chat) {
    OrderedJson entry = chat_logprob(token, *logprob);
    entry["top_logprobs"] = OrderedJson::array();
    for (const TokenLogprob& t : top) entry["top_logprobs"].push_back(chat_logprob(t.token, t.logprob));
    logprobs_["content"].push_back(entry);
    return;
  }
  OrderedJson likeliest;  // null for a prompt's first token
  if (logprob) {
    for (const TokenLogprob& t : top) likeliest.emplace(named(t.token), finite(t.logprob));
    likeliest.emplace(named(token), finite(*logprob));
  }
  logprobs_["tokens"].push_back(named(token));
  logprobs_["token_logprobs"].push_back(logprob ? OrderedJson(finite(*logprob)) : OrderedJson());
  logprobs_["top_logprobs"].push_back(likeliest);
  logprobs_["text_offset"].push_back(offset_);
}

void ChoiceWriter::echo(const std::vector<ComparedToken>& scores) {
  const std::vector<int32_t>& prompt = asked_.prompts[prompt_];
  TextStream text(&tokenizer_, {}, 0);
  for (size_t i = 0; i < prompt.size(); ++i) {
    const size_t most = std::min(size_t(*asked_.logprobs), i ? scores[i - 1].top.size() : 0);
    if (i)
      add_logprob(prompt[i], scores[i - 1].logprob,
                  {scores[i - 1].top.begin(), scores[i - 1].top.begin() + std::ptrdiff_t(most)});
    else
      add_logprob(prompt[0], std::nullopt, {});
    text.push(prompt[i]);
    offset_ += count_characters(text.take(false));
  }
  offset_ = count_characters(asked_.echoed[prompt_]);
}

void ChoiceWriter::push(const SampledToken& token) {
  ++num_tokens_;
  text_.push(token.token);
  ready_ += text_.take(token.finish.has_value());
  if (asked_.return_token_ids) ids_.push_back(token.token);
  if (asked_.logprobs) {
    add_logprob(token.token, token.logprob, token.top);
    offsets_.push(token.token);
    offset_ += count_characters(offsets_.take(false));
  }
  if (token.finish) finish_ = token.finish;
}

bool ChoiceWriter::has_news() const {
  return !ready_.empty() || !ids_.empty() || !logprobs_.is_null() || finish_;
}

OrderedJson ChoiceWriter::choice(bool streamed) {
  OrderedJson choice = {{"index", index_}};
  if (!asked_.is_chat) {
    choice["text"] = ready_;
  } else if (!streamed) {
    choice["message"] = {{"role", "assistant"}, {"content", ready_}, {"refusal", nullptr}};
  } else {
    choice["delta"] = OrderedJson::object();
    if (is_first_) choice["delta"]["role"] = "assistant";
    if (is_first_ || !ready_.empty()) choice["delta"]["content"] = ready_;
  }
  if (asked_.is_chat && !logprobs_.is_null()) logprobs_["refusal"] = nullptr;
  choice["logprobs"] = std::exchange(logprobs_, OrderedJson());
  choice["finish_reason"] = finish_ ? OrderedJson(to_string(*finish_)) : OrderedJson();
  if (asked_.return_token_ids) {
    if (is_first_) choice["prompt_token_ids"] = asked_.prompts[prompt_];
    choice["token_ids"] = ids_;
  }
  ready_.clear(), ids_.clear(), finish_.reset(), is_first_ = false;
  return choice;
}

OrderedJson ChoiceWriter::chunk() {
  return choice(true);
}
OrderedJson ChoiceWriter::whole() {
  return choice(false);
}

std::vector<ChoiceWriter> choice_writers(const GenerationRequest& asked, const Tokenizer& tokenizer) {
  std::vector<ChoiceWriter> choices;
  for (size_t prompt = 0; prompt < asked.prompts.size(); ++prompt)
    for (int32_t member = 0; member < asked.n; ++member) choices.emplace_back(asked, tokenizer, prompt, member);
  return choices;
}

Envelope make_envelope(const GenerationRequest& asked) {
  std::random_device device;
  char number[17];
  snprintf(number, sizeof number, "%08x%08x", device(), device());
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return {(asked.is_chat ? "chatcmpl-" : "cmpl-") + std::string(number),
          std::chrono::duration_cast<std::chrono::seconds>(now).count()};
}

OrderedJson Envelope::of(const GenerationRequest& asked, bool streamed, int64_t policy_version) const {
  const char* object = !asked.is_chat ? "text_completion" : streamed ? "chat.completion.chunk" : "chat.completion";
  return {{"id", id},
          {"object", object},
          {"created", created},
          {"model", asked.model},
          {"policy_version", policy_version},
          {"choices", OrderedJson::array()}};
}

OrderedJson usage_of(const GenerationRequest& asked, const std::vector<ChoiceWriter>& choices) {
  int64_t prompts = 0, completions = 0;
  for (const std::vector<int32_t>& prompt : asked.prompts) prompts += int64_t(prompt.size());
  for (const ChoiceWriter& choice : choices) completions += choice.num_tokens();
  return {{"prompt_tokens", prompts}, {"completion_tokens", completions}, {"total_tokens", prompts + completions}};
}

OrderedJson prompt_logprobs_of(const std::vector<ComparedToken>& scores, const Tokenizer& tokenizer) {
  const auto entry = [&](int32_t token, float logprob, int32_t rank) -> OrderedJson {
    return {{"logprob", finite(logprob)}, {"rank", rank}, {"decoded_token", shown(tokenizer, token)}};
  };
  OrderedJson list = OrderedJson::array({nullptr});
  for (const ComparedToken& score : scores) {
    OrderedJson compared = {{std::to_string(score.token), entry(score.token, score.logprob, score.rank)}};
    for (size_t i = 0; i < score.top.size(); ++i)
      compared.emplace(std::to_string(score.top[i].token),
                       entry(score.top[i].token, score.top[i].logprob, int32_t(i) + 1));
    list.push_back(compared);
  }
  return list;
}

}  // namespace cohort
