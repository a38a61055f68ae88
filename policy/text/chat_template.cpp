#include "policy/text/chat_template.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "configs/error.h"
#include "policy/text/jinja_render.h"
#include "policy/text/tokenizer.h"

namespace cohort {

struct ChatTemplate::Program {
  jinja::Block block;
};

ChatTemplate::ChatTemplate(std::string source) try
    : program_(std::make_unique<const Program>(Program{jinja::parse(source)})) {
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

OrderedJson without_nulls(const OrderedJson& message) {
  OrderedJson kept = OrderedJson::object();
  for (const auto& [key, value] : message.items())
    if (!value.is_null()) kept[key] = value;
  return kept;
}

/// Templates read a message's reasoning under one of two names.
OrderedJson with_reasoning_names(OrderedJson message) {
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
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
  variables["messages"] = prepared(messages);
  variables["add_generation_prompt"] = add_generation_prompt;
  return ChatTemplate(tokenizer.chat_template()).render(variables);
}

std::string render_chat(const Tokenizer& tokenizer, const OrderedJson& messages, bool add_generation_prompt) {
  return render_chat(tokenizer, messages, add_generation_prompt, OrderedJson());
}

}  // namespace cohort
