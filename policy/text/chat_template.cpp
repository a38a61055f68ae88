#include "policy/text/chat_template.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "configs/error.h"
#include "policy/text/jinja_render.h"
#include "policy/text/jinja_text.h"
#include "policy/text/tokenizer.h"
#include "policy/text/unicode.h"

namespace cohort {

struct ChatTemplate::Program {
  jinja::Block block;
};

/// The source again. Throws TemplateError where it is not valid UTF-8.
static const std::string& expect_utf8(const std::string& source) {
  const size_t at = unicode::valid_prefix(source);
  if (at == source.size()) return source;
  const auto line = 1 + std::count(source.begin(), source.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  throw jinja::TemplateError("line " + std::to_string(line) + ": a byte that is not part of valid UTF-8");
}

ChatTemplate::ChatTemplate(std::string source) try
    : program_(std::make_unique<const Program>(Program{jinja::parse(expect_utf8(source))})) {
} catch (const jinja::TemplateError& error) {
  throw UsageError(std::string("chat template, ") + error.what());
}

ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

std::string ChatTemplate::render(const OrderedJson& variables) const {
  if (!variables.is_object())
    throw UsageError("the variables of a chat template are " + std::string(variables.type_name()) +
                     ", expected an object");
  jinja::Value values;
  try {
    values = jinja::Value(variables);
  } catch (const jinja::TemplateError& error) {
    throw UsageError(std::string("chat template: ") + error.what());
  }
  jinja::Renderer renderer(values.as_dict());
  try {
    return renderer.run(program_->block);
  } catch (const jinja::TemplateError& error) {
    throw UsageError("chat template, line " + std::to_string(renderer.line()) + ": " + error.what());
  }
}

namespace {

/// One message's reasoning goes by any of these.
constexpr const char* reasoning_names[] = {"reasoning_content", "thinking", "reasoning"};

bool is_reasoning(const std::string& field) {
  return std::ranges::any_of(reasoning_names, [&](const char* name) { return field == name; });
}

OrderedJson without_nulls(const OrderedJson& message) {
  OrderedJson kept = OrderedJson::object();
  for (const auto& [key, value] : message.items())
    if (!value.is_null()) kept[key] = value;
  return kept;
}

/// Templates read a message's reasoning under one of two names.
OrderedJson with_reasoning_names(OrderedJson message) {
  for (const char* name : reasoning_names) {
    if (!message.contains(name)) continue;
    const OrderedJson reasoning = message[name];
    OrderedJson named = {{"thinking", reasoning}};
    for (const auto& [key, value] : message.items()) named[key] = value;
    named["reasoning_content"] = reasoning;
    return named;
  }
  return message;
}

OrderedJson prepared(const OrderedJson& messages) {
  if (!messages.is_array() || messages.empty())
    throw UsageError("a chat is " + std::string(messages.is_array() ? "an empty array" : messages.type_name()) +
                     ", expected an array of messages");
  OrderedJson chat = OrderedJson::array();
  for (const OrderedJson& message : messages) {
    if (!message.is_object())
      throw UsageError("message " + std::to_string(chat.size()) + " of a chat is " + message.type_name() +
                       ", expected an object with role and content");
    chat.push_back(with_reasoning_names(without_nulls(message)));
  }
  return chat;
}

constexpr std::string_view continue_tag = "CONTINUE_FINAL_MESSAGE_TAG ";  // transformers' own, which templates see

/// Marks where the last message's `field` ends, and gives the text that the prompt must hold.
std::string mark_end(OrderedJson& message, const std::string& field) {
  const auto refuse = [&] {
    throw UsageError("continue_final_message: the last message of the chat has no text in " + field + " to continue");
  };
  if (!message.contains(field)) refuse();
  OrderedJson& content = message[field];
  if (content.is_array()) {
    for (size_t i = content.size(); i-- > 0;)
      if (content[i].is_object() && content[i].contains("text") && content[i]["text"].is_string()) {
        const auto text = content[i]["text"].get<std::string>();
        content[i]["text"] = text + std::string(continue_tag);
        return text;
      }
    refuse();
  }
  if (!content.is_string()) refuse();
  const auto text = content.get<std::string>();
  if (is_reasoning(field))
    for (const char* name : reasoning_names)
      if (message.contains(name) && message[name] == OrderedJson(text))
        message[name] = text + std::string(continue_tag);
  message[field] = text + std::string(continue_tag);
  return text;
}

/// The prompt up to the mark.
std::string up_to_mark(const std::string& prompt, const std::string& text) {
  const std::string_view tag = continue_tag.substr(0, continue_tag.size() - 1);
  const size_t at = prompt.rfind(tag);
  if (at == std::string::npos || prompt.find(jinja::stripped(text, {}, true, true)) == std::string::npos)
    throw UsageError("continue_final_message: the chat template leaves out the end of the last message");
  const std::string kept = prompt.substr(0, at);
  return prompt.compare(at, continue_tag.size(), continue_tag) == 0 ? kept : jinja::stripped(kept, {}, false, true);
}

/// The field that `continue_final_message` among the variables names; empty for none.
std::string continued_field(OrderedJson& variables, bool add_generation_prompt, const std::string& source) {
  if (!variables.contains("continue_final_message")) return {};
  const OrderedJson wanted = variables["continue_final_message"];
  variables.erase("continue_final_message");
  const std::string field = wanted.is_string()                          ? wanted.get<std::string>()
                            : wanted.is_boolean() && wanted.get<bool>() ? "content"
                                                                        : "";
  if (field.empty()) return {};
  if (add_generation_prompt)
    throw UsageError("continue_final_message goes on with the last message: it takes no generation prompt");
  const auto reads = [&](std::string_view name) { return source.find(name) != std::string::npos; };
  if (!reads(field) && !(is_reasoning(field) && std::ranges::any_of(reasoning_names, reads)))
    throw UsageError("continue_final_message: the chat template does not read " + field + " of messages");
  return field;
}

}  // namespace

std::string render_chat(const Tokenizer& tokenizer, const OrderedJson& messages, bool add_generation_prompt,
                        const OrderedJson& extra) {
  if (tokenizer.chat_template().empty())
    throw UsageError(
        "the tokenizer has no chat template: give a plain prompt, or a chat_template.jinja beside tokenizer.json");
  OrderedJson variables = OrderedJson::object();
  for (const auto& [role, content] : tokenizer.special_tokens().text) variables[role] = content;
  for (const char* name : {"tools", "documents"}) variables[name] = nullptr;
  if (extra.is_object()) variables.update(extra);
  const std::string field = continued_field(variables, add_generation_prompt, tokenizer.chat_template());
  OrderedJson chat = prepared(messages);
  const std::string text = field.empty() ? std::string() : mark_end(chat.back(), field);
  variables["messages"] = std::move(chat);
  variables["add_generation_prompt"] = add_generation_prompt;
  const std::string prompt = ChatTemplate(tokenizer.chat_template()).render(variables);
  return field.empty() ? prompt : up_to_mark(prompt, text);
}

std::string render_chat(const Tokenizer& tokenizer, const OrderedJson& messages, bool add_generation_prompt) {
  return render_chat(tokenizer, messages, add_generation_prompt, OrderedJson());
}

}  // namespace cohort
