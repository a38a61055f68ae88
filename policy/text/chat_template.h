// Chat templates: messages → the prompt a model was trained on. The language is the part of Jinja2 that templates of
// model folders use, rendered with transformers' settings (trim_blocks, lstrip_blocks, its own tojson).
// Non-goals: reading other files, changing values, auto-escaping, % and format() of texts, recursive loops.
// A template is a stranger's program: steps, text and depth are bounded (see jinja_value.h), and nothing it does
// reaches outside the renderer but the clock (strftime_now).
#pragma once
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace cohort {

/// Keeps the order of keys, which tojson prints. Json converts to it.
using OrderedJson = nlohmann::ordered_json;
class Tokenizer;

class ChatTemplate {
 public:
  /// Throws UsageError naming the line and what is not understood there.
  explicit ChatTemplate(std::string source);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  /// `variables`: an object. Thread-safe. Throws UsageError naming the line, also where the template itself refuses.
  std::string render(const OrderedJson& variables) const;

 private:
  struct Program;
  std::unique_ptr<const Program> program_;
};

/// The prompt of `messages`, as transformers' apply_chat_template renders it: keys of messages that are null are left
/// out, special tokens are variables (bos_token, …), reasoning goes by the names reasoning_content and thinking.
/// `extra`: further variables (tools, documents, enable_thinking, …), an object or null; continue_final_message among
/// them (true, or a field of the last message) ends the prompt where that message's text ends. Throws UsageError when
/// the tokenizer has no template.
std::string render_chat(const Tokenizer& tokenizer, const OrderedJson& messages, bool add_generation_prompt,
                        const OrderedJson& extra);
std::string render_chat(const Tokenizer& tokenizer, const OrderedJson& messages, bool add_generation_prompt);

}  // namespace cohort
